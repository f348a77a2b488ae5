//! The life of one shard: open, serve, stop.
//!
//! ```text
//!   store, tables ──► network ──► Up ──► first registration ──► Settled ──► … Stop … ──► unregister, answers out,
//!                                                                            tables and log written ──► end
//! ```

use crate::config::ShardOptions;
use crate::serve::control::Control;
use crate::shard::Shard;
use crate::tables::files as tables;
use engine::{Recovered, Store, WriteCounts};
use netcore::{Framing, NetConfig, Network};
use rt::real::{Core, CoreFailure, Mailbox, Sender};
use rt::{Priority, Runtime};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

/// The old clients' port lies this far below a shard's.
const VIP_PORT_BELOW: u16 = 2;
/// How fine the time of what waits is: held pulls, waiting sends, registrations.
const TICK: Duration = Duration::from_millis(50);
/// How often members and locks are looked through.
const EXPIRE_EVERY: Duration = Duration::from_secs(10);
/// How long answers that are queued may take to leave when the shard stops.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// How long a name server may take to answer before the start goes on without it.
const SETTLE_MAX: Duration = Duration::from_secs(3);

/// What a shard tells the main thread.
pub(crate) enum Event {
    /// Its mailbox exists.
    Mailbox {
        /// Which shard.
        shard: usize,
        /// How to reach it.
        sender: Sender<Control>,
    },
    /// It serves.
    Up {
        /// Which shard.
        shard: usize,
        /// The ports it listens on: its own, and the VIP port if that was free.
        ports: Vec<u16>,
        /// The log goes through the page cache, because the filesystem has no O_DIRECT.
        buffered: bool,
        /// What opening its store found.
        recovered: Recovered,
    },
    /// Every name server has answered its registration or could not be reached.
    Settled {
        /// Which shard.
        shard: usize,
    },
    /// It has been told to stop and says how far it is.
    Stopping {
        /// Which shard.
        shard: usize,
        /// What it does now: "closing its store".
        stage: &'static str,
    },
    /// Its thread is at its end: the last that it tells.
    Ended {
        /// Which shard.
        shard: usize,
        /// How.
        end: End,
    },
    /// What a name server's name means now.
    Resolved {
        /// Which one.
        index: usize,
        /// Its addresses.
        addresses: Vec<SocketAddr>,
    },
    /// SIGINT or SIGTERM.
    Signal(&'static str),
}

/// How a shard ended.
pub(crate) enum End {
    /// It was told to stop, and its store is closed.
    AsAsked,
    /// It gave up for this reason.
    Failed(String),
    /// Its core panicked or its ring failed: its store is not closed.
    Broken(String),
}

impl End {
    /// Of a core that ended with this failure.
    pub(crate) fn of(failure: &CoreFailure) -> Self {
        match failure {
            CoreFailure::Main(error) => Self::Failed(error.to_string()),
            broken => Self::Broken(broken.to_string()),
        }
    }
}

/// Runs one shard from start to end. The end of its thread is told by who started it.
pub(crate) async fn serve(
    core: Core,
    options: ShardOptions,
    events: mpsc::Sender<Event>,
) -> io::Result<()> {
    core.set_idle_spin(options.process.shards.idle_spin);
    let (sender, mailbox) = core.mailbox()?;
    let index = options.index;
    let _main_is_gone = events.send(Event::Mailbox { shard: index, sender });
    // Before the store, which is written to from then on: a shard that can't start leaves
    // everything as it was.
    let mut tables = tables::load(&core, &options).await.map_err(io::Error::other)?;
    let store =
        Store::open(core.clone(), options.store_config()).await.map_err(io::Error::other)?;
    tables::mend(&core, &tables).await;
    tables::put_back_lost_topics(&mut tables.topics, &store, core.wall_ms());
    let (listen, ports) = listen_on(&options);
    let net_config = NetConfig {
        idle_timeout: options.process.network.idle_timeout,
        connections_max: options.process.shards.connections_max,
        ..NetConfig::listening(listen, Framing::ByFirstByte)
    };
    let (buffered, recovered) = (store.is_buffered(), store.recovered());
    let handler = Shard::new(core.clone(), options, store.clone(), tables);
    let network = match Network::bind(&core, net_config, handler) {
        Ok(network) => network,
        Err(error) => {
            let _closing = store.close().await;
            return Err(io::Error::other(error));
        }
    };
    let handle = network.clone();
    network.with(|shard, _| shard.network = Some(handle));
    let _main_is_gone = events.send(Event::Up { shard: index, ports, buffered, recovered });
    core.spawn(Priority::Foreground, tick_for_ever(network.clone()));
    core.spawn(Priority::Foreground, expire_for_ever(network.clone()));
    core.spawn(Priority::Foreground, answer_for_ever(network.clone(), store.clone()));
    core.spawn(Priority::Background, tell_when_settled(network.clone(), index, events.clone()));
    listen_to_control(&network, &mailbox).await?;
    let stage = |stage| {
        let _main_is_gone = events.send(Event::Stopping { shard: index, stage });
    };
    stop(&network, &store, stage).await
}

/// The shard's address first, then the VIP port, which only old clients need: another program may
/// have it.
fn listen_on(options: &ShardOptions) -> (Vec<SocketAddr>, Vec<u16>) {
    let bind = options.process.network.bind;
    let vip = options.port.checked_sub(VIP_PORT_BELOW).filter(|port| *port > 0);
    let vip = vip.filter(|port| TcpListener::bind((bind, *port)).is_ok());
    if vip.is_none() {
        tracing::warn!(
            "port {} is taken: clients before 4.5 that send to the VIP port can't",
            options.port.saturating_sub(VIP_PORT_BELOW)
        );
    }
    let ports: Vec<u16> = std::iter::once(options.port).chain(vip).collect();
    (ports.iter().map(|port| SocketAddr::new(bind, *port)).collect(), ports)
}

async fn tick_for_ever(network: Network<Shard>) {
    loop {
        network.core().sleep(TICK).await;
        network.with(Shard::tick);
    }
}

async fn expire_for_ever(network: Network<Shard>) {
    loop {
        network.core().sleep(EXPIRE_EVERY).await;
        network.with(Shard::expire);
    }
}

/// Answers sends as the mark of their acknowledgement moves. Nothing to do where appending is
/// enough.
async fn answer_for_ever(network: Network<Shard>, store: Store<Core>) {
    loop {
        let seen = store.acknowledged();
        network.with(Shard::acknowledged);
        if store.poisoned().is_some() {
            return;
        }
        store.acknowledged_beyond(seen).await;
    }
}

async fn tell_when_settled(network: Network<Shard>, shard: usize, events: mpsc::Sender<Event>) {
    let step = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    while waited < SETTLE_MAX && !network.with(|shard, _| shard.name_servers.settled()) {
        network.core().sleep(step).await;
        waited += step;
    }
    let _main_is_gone = events.send(Event::Settled { shard });
}

async fn listen_to_control(network: &Network<Shard>, mailbox: &Mailbox<Control>) -> io::Result<()> {
    loop {
        match mailbox.receive().await? {
            Control::Stop => return Ok(()),
            control => network.with(|shard, net| shard.control(net, control)),
        }
    }
}

async fn stop(
    network: &Network<Shard>,
    store: &Store<Core>,
    stage: impl Fn(&'static str),
) -> io::Result<()> {
    stage("answering what it has stored");
    network.with(Shard::unregister);
    let mut waited = Duration::ZERO;
    while waited < STOP_GRACE
        && !network.with(|shard, _| shard.pending.is_empty() && shard.native.is_empty())
    {
        network.core().sleep(Duration::from_millis(1)).await;
        waited += Duration::from_millis(1);
    }
    network.stop(STOP_GRACE).await;
    stage("writing its tables");
    let saved = network.with(|shard, _| shard.last_round()).await;
    stage("closing its store");
    store.close().await.map_err(io::Error::other)?;
    let WriteCounts { messages, log_writes, log_bytes, flushes, .. } = store.write_counts();
    tracing::info!(messages, log_writes, log_bytes, flushes, "the store is closed");
    if saved {
        Ok(())
    } else {
        Err(io::Error::other("not everything in config/ could be written, see the log"))
    }
}
