//! The life of one shard: open, serve, stop.
//!
//! ```text
//!   store, tables ──► network ──► Up ──► first registration ──► Settled ──► … Stop … ──► unregister, answers out,
//!                                                                            tables and log written ──► end
//! ```

use super::control::Control;
use super::put_aside::put_aside;
use crate::config::ShardOptions;
use crate::desk::counts::{Desk, us_of};
use crate::desk::rows;
use crate::peers::Peers;
use crate::reads::state::Reads;
use crate::sends::state::Sends;
use crate::services::replication::slave;
use crate::services::state::Services;
use crate::services::{list, pop, registration, saving, timers, transactions};
use crate::shard::{Cx, ScratchSpace, Shard};
use crate::tables::{Tables, epochs, files};
use engine::{LogSource, Recovered, Store, TailMemory, WriteCounts};
use netcore::{Framing, Listener, NetConfig, Network};
use rt::real::{Core, CoreFailure, Mailbox, Sender};
use rt::{MemoryAccount, Priority, Runtime};
use std::cell::OnceCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

/// The old clients' port lies this far below a shard's.
const VIP_PORT_BELOW: u16 = 2;
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
        /// The ports it listens on for clients: its own, and the VIP port if that was free.
        ports: Vec<u16>,
        /// The log goes through the page cache, because the filesystem has no O_DIRECT.
        buffered: bool,
        /// What opening its store found.
        recovered: Recovered,
        /// What outlives a killed process of its log's tail.
        tail: TailMemory,
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
    if options.process.replication.begins_anew {
        put_aside(&core, &options.store_root).await?;
    }
    // Before the store, which is written to from then on: a shard that can't start leaves
    // everything as it was.
    let mut loaded = files::load(&core, &options).await.map_err(io::Error::other)?;
    // Who answers a peer and who reads for it charge the same account.
    let memory = MemoryAccount::new(options.process.shards.memory_bytes_max);
    let opened = Store::open_charging(core.clone(), options.store_config(), memory.clone()).await;
    let store = opened.map_err(io::Error::other)?;
    take_role(&core, &options, &store, &mut loaded.tables).await?;
    files::mend(&core, &loaded).await;
    files::put_back_lost_topics(&mut loaded.tables.topics, &store, core.wall_ms());
    let (cx, ports) = listen(core, options, store, (loaded.tables, memory)).await?;
    let _main_is_gone = events.send(Event::Up {
        shard: index,
        ports,
        buffered: cx.store.is_buffered(),
        recovered: cx.store.recovered(),
        tail: cx.store.tail_memory().clone(),
    });
    list::start(&cx);
    cx.core.spawn(Priority::Background, tell_when_settled(cx.clone(), index, events.clone()));
    listen_to_control(&cx, &mailbox).await?;
    let stage = |stage| {
        let _main_is_gone = events.send(Event::Stopping { shard: index, stage });
    };
    stop(&cx, stage).await
}

/// A slave's log takes its master's bytes, a master's its own messages. This is how a slave becomes
/// a master: it is started with another `brokerRole`. A master's life is an epoch, on disk before
/// anything is appended in it.
async fn take_role(
    core: &Core,
    options: &ShardOptions,
    store: &Store<Core>,
    tables: &mut Tables,
) -> io::Result<()> {
    let is_slave = options.process.replication.is_slave();
    let source = if is_slave { LogSource::Foreign } else { LogSource::Own };
    let before = store.source();
    store.set_source(source).await.map_err(io::Error::other)?;
    if before != source && store.appended() > store.log_begin() {
        let (begin, end) = (store.log_begin(), store.appended());
        let role = if is_slave { "a slave" } else { "a master" };
        tracing::warn!("this broker has become {role}: its log is [{begin}, {end})");
    }
    if !is_slave {
        let known = tables.topics.state_version().saturating_add(1);
        let known = i32::try_from(known).unwrap_or(i32::MAX);
        let is_promoted = before == LogSource::Foreign;
        let least = if is_promoted { tables.epochs.promoted().max(known) } else { known };
        let life = (store.appended().0, least);
        epochs::begin_life(core, &options.store_root, &mut tables.epochs, life).await?;
        tables.topics.set_state_version(i64::from(tables.epochs.number()));
    }
    Ok(())
}

/// Makes the shard and its network. A port that is taken closes the store again.
async fn listen(
    core: Core,
    options: ShardOptions,
    store: Store<Core>,
    (tables, memory): (Tables, MemoryAccount),
) -> io::Result<(Cx, Vec<u16>)> {
    let (listen, ports) = listen_on(&options);
    let net_config = NetConfig {
        idle_timeout: options.process.network.idle_timeout,
        connections_max: options.process.shards.connections_max,
        memory,
        listen,
        ..NetConfig::listening([], Framing::ByFirstByte)
    };
    let network = Rc::new(OnceCell::new());
    let cx = Cx { options: Rc::new(options), core, store, network };
    match Network::bind(&cx.core, net_config, shard(cx.clone(), tables)) {
        Ok(bound) => {
            let is_first = cx.network.set(bound).is_ok();
            assert!(is_first, "a shard has one network");
            Ok((cx, ports))
        }
        Err(error) => {
            let _closing = cx.store.close().await;
            Err(io::Error::other(error))
        }
    }
}

fn shard(cx: Cx, tables: Tables) -> Shard {
    let seed = us_of(cx.core.random_u64() >> 12);
    Shard {
        peers: Peers::new(&cx.options.process.network.name_servers),
        sends: Sends::new(&cx.options, seed),
        reads: Reads::new(cx.options.process.serve.limits.long_polls),
        desk: Desk::new(rows::codes()),
        services: Services::new(cx.now_ms(), cx.options.process.serve.limits.long_polls),
        scratch: ScratchSpace::default(),
        is_stopping: false,
        tables,
        cx,
    }
}

/// The shard's address, that for slaves, and the VIP port, which only old clients and Apache's
/// slaves need: another program may have it.
fn listen_on(options: &ShardOptions) -> (Vec<Listener>, Vec<u16>) {
    let bind = options.process.network.bind;
    let vip = options.port.checked_sub(VIP_PORT_BELOW).filter(|port| *port > 0);
    let vip = vip.filter(|port| TcpListener::bind((bind, *port)).is_ok());
    if vip.is_none() {
        tracing::warn!(
            "port {} is taken: clients before 4.5 that send to the VIP port can't, nor do Apache's \
                slaves learn of delayed messages",
            options.port.saturating_sub(VIP_PORT_BELOW)
        );
    }
    let listener = |port, framing| Listener { addr: SocketAddr::new(bind, port), framing };
    // In the order of HA_LISTENER and VIP_LISTENER.
    let of_clients = |port| listener(port, Framing::ByFirstByte);
    let mut listen = vec![of_clients(options.port), listener(options.ha_port, Framing::Reports)];
    listen.extend(vip.map(of_clients));
    let ports = std::iter::once(options.port).chain(vip).collect();
    (listen, ports)
}

async fn tell_when_settled(cx: Cx, shard: usize, events: mpsc::Sender<Event>) {
    let step = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    while waited < SETTLE_MAX && !cx.with(|shard, _| shard.peers.name_servers.settled()) {
        cx.core.sleep(step).await;
        waited += step;
    }
    let _main_is_gone = events.send(Event::Settled { shard });
}

async fn listen_to_control(cx: &Cx, mailbox: &Mailbox<Control>) -> io::Result<()> {
    loop {
        match mailbox.receive().await? {
            Control::Stop => return Ok(()),
            Control::Resolved { index, addresses } => cx.with(|shard, _| {
                if index < shard.cx.options.process.network.name_servers.len() {
                    shard.peers.name_servers.resolved(index, addresses);
                } else {
                    slave::resolved(shard, &addresses);
                }
            }),
        }
    }
}

async fn stop(cx: &Cx, stage: impl Fn(&'static str)) -> io::Result<()> {
    stage("answering what it has stored");
    let network = cx.network.get().expect("a shard that stops has listened");
    cx.with(registration::unregister);
    let mut waited = Duration::ZERO;
    let is_done = |shard: &mut Shard| {
        let Services { schedule, timers, transactions, pops, lite, .. } = &shard.services;
        shard.sends.unacknowledged.is_empty()
            && schedule.is_at_rest()
            && timers.is_at_rest()
            && transactions.is_at_rest()
            && pops.is_at_rest()
            && lite.is_at_rest()
    };
    while waited < STOP_GRACE && !cx.with(|shard, _| is_done(shard)) {
        cx.core.sleep(Duration::from_millis(1)).await;
        waited += Duration::from_millis(1);
    }
    network.stop(STOP_GRACE).await;
    cx.with(|shard, _| transactions::stopping(shard));
    pop::spill::stopping(cx).await;
    stage("writing its tables");
    let saved = saving::save_now(cx).await;
    stage("closing its store");
    cx.store.close().await.map_err(io::Error::other)?;
    // What was delivered is flushed by now: its file may say so.
    cx.with(|shard, _| {
        shard.tables.delay_offsets.all_flushed();
        transactions::all_flushed(shard);
        pop::all_flushed(shard);
    });
    let saved = saving::save_now(cx).await && saved;
    if !cx.options.process.replication.is_slave() {
        timers::hand_over(cx).await?;
    }
    let WriteCounts { messages, log_writes, log_bytes, flushes, .. } = cx.store.write_counts();
    tracing::info!(messages, log_writes, log_bytes, flushes, "the store is closed");
    if saved {
        Ok(())
    } else {
        Err(io::Error::other("not everything in config/ could be written, see the log"))
    }
}
