//! From a command line to running shards and an exit code.

use crate::config::{self, Options, ShardOptions};
use crate::process::cli::Cli;
use crate::process::store_shards;
use crate::serve::control::Control;
use crate::serve::life::{self, Event};
use clap::Parser as _;
use engine::Recovered;
use engine::{FlushPolicy, LogBackend};
use rt::real::{Core, CorePlacement, Sender, available_cores, launch};
use rt::ring::RingConfig;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Between two look-ups of the name servers' names.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

type StartError = Box<dyn std::error::Error>;

/// Runs `mqbroker` with this command line (program name first) until SIGINT or SIGTERM.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(help_or_error) => {
            let _nobody_reads = help_or_error.print();
            return ExitCode::from(u8::try_from(help_or_error.exit_code()).unwrap_or(2));
        }
    };
    match start(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_reads = writeln!(io::stderr(), "mqbroker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A line for whoever started the program; nobody reading it is no reason to stop.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _nobody_reads = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn start(cli: &Cli) -> Result<(), StartError> {
    let settings = config::load(cli.config.as_deref(), cli.namesrv.as_deref(), &cli.set)?;
    if cli.print {
        say(settings.print().trim_end());
        return Ok(());
    }
    if cli.print_important {
        say(config::print_important(&settings).trim_end());
        return Ok(());
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // An error means that whoever called `run` logs already.
    let _logging_already = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
    settings.notes().iter().for_each(|note| tracing::warn!("{note}"));
    let options = Options::from_settings(&settings)?;
    store_shards::claim(&options.store.root, options.shards.count)?;
    supervise(options)
}

/// Which core each shard runs on: the i-th of the list, from the beginning again when there are
/// more shards.
fn cores_of(options: &Options) -> Result<Vec<usize>, StartError> {
    let available = available_cores();
    let cores = if options.shards.cores.is_empty() { &available } else { &options.shards.cores };
    if let Some(missing) = cores.iter().find(|core| !available.contains(core)) {
        return Err(format!(
            "shardCores names core {missing}; this process may use {available:?}. \
            Fix: name some of these"
        )
        .into());
    }
    Ok((0..options.shards.count)
        .filter_map(|shard| cores.get(shard % cores.len()).copied())
        .collect())
}

/// The main thread's view of its shards.
struct Shards {
    options: Options,
    cores: Vec<usize>,
    senders: Vec<Option<Sender<Control>>>,
    /// What the name servers' names mean, for shards whose mailbox comes later.
    resolved: Vec<Control>,
    ports: Vec<Vec<u16>>,
    up: usize,
    settled: usize,
    ended: usize,
    stopping: bool,
    buffered: bool,
    /// What is worth saying of how the stores were found.
    recovered: Vec<String>,
    failure: Option<String>,
}

fn supervise(options: Options) -> Result<(), StartError> {
    let cores = cores_of(&options)?;
    let placements: Vec<_> = cores.iter().map(|core| CorePlacement::Pinned(*core)).collect();
    let shards: Vec<ShardOptions> =
        (0..options.shards.count).map(|index| options.shard(index)).collect();
    let (events, inbox) = mpsc::channel();
    forward_signals(&events)?;
    resolve_names(&options.network.name_servers, &events)?;
    let main = move |core: Core, index: usize| {
        let (shard, events) = (shards.get(index).cloned(), events.clone());
        async move {
            match shard {
                Some(shard) => life::serve(core, shard, events).await,
                None => Err(io::Error::other("more shards than options")),
            }
        }
    };
    let running = launch(&placements, RingConfig::default(), main)?;
    let count = options.shards.count;
    let mut shards = Shards {
        options,
        cores,
        senders: (0..count).map(|_| None).collect(),
        resolved: vec![],
        ports: vec![vec![]; count],
        up: 0,
        settled: 0,
        ended: 0,
        stopping: false,
        buffered: false,
        recovered: vec![],
        failure: None,
    };
    while shards.ended < count {
        let Ok(event) = inbox.recv() else { break };
        shards.on_event(event);
    }
    // A shard that failed has told why; what its thread returns says the same.
    let joined = running.join();
    match shards.failure {
        Some(failure) => Err(failure.into()),
        None => joined.map_err(Into::into),
    }
}

impl Shards {
    fn on_event(&mut self, event: Event) {
        match event {
            Event::Mailbox { shard, sender } => self.introduce(shard, sender),
            Event::Up { shard, ports, buffered, recovered } => {
                self.up += 1;
                self.buffered |= buffered;
                self.recovered.extend(recovery_line(shard, &recovered));
                if let Some(place) = self.ports.get_mut(shard) {
                    *place = ports;
                }
            }
            Event::Settled => {
                self.settled += 1;
                if self.settled == self.options.shards.count && !self.stopping {
                    self.announce();
                }
            }
            Event::Resolved { index, addresses } => {
                let control = Control::NameServer { index, addresses };
                self.tell(&control);
                self.resolved.push(control);
            }
            Event::Signal(name) => self.on_signal(name),
            Event::Ended { shard, error } => self.on_end(shard, error),
        }
    }

    /// Every shard knows the others once all have a mailbox.
    fn introduce(&mut self, shard: usize, sender: Sender<Control>) {
        self.resolved.iter().for_each(|control| sender.send(control.clone()));
        if self.stopping {
            sender.send(Control::Stop);
        }
        if let Some(place) = self.senders.get_mut(shard) {
            *place = Some(sender);
        }
        let all: Vec<_> = self.senders.iter().flatten().cloned().collect();
        if all.len() == self.options.shards.count {
            for (index, sender) in all.iter().enumerate() {
                let others = all
                    .iter()
                    .enumerate()
                    .filter(|(other, _)| *other != index)
                    .map(|(_, sibling)| sibling.clone());
                sender.send(Control::Siblings(others.collect()));
            }
        }
    }

    fn tell(&self, control: &Control) {
        for sender in self.senders.iter().flatten() {
            sender.send(control.clone());
        }
    }

    fn on_signal(&mut self, name: &'static str) {
        if self.stopping {
            tracing::warn!(
                "{name} again: ending at once, what was acknowledged and not yet written is lost"
            );
            std::process::exit(130);
        }
        tracing::info!("{name}: stopping");
        self.stop();
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.tell(&Control::Stop);
    }

    fn on_end(&mut self, shard: usize, error: Option<String>) {
        self.ended += 1;
        if let Some(place) = self.senders.get_mut(shard) {
            *place = None;
        }
        if let Some(error) = error {
            let what = if self.options.shards.count == 1 {
                error
            } else {
                format!("shard {shard}: {error}")
            };
            self.failure.get_or_insert(what);
        }
        if !self.stopping {
            self.stop();
        }
    }

    /// When a send is answered.
    fn durability(&self) -> &'static str {
        match (self.options.store.flush, self.options.store.backend) {
            (FlushPolicy::Sync, _) => {
                "flush SYNC_FLUSH (acknowledged when it survives a power cut)"
            }
            (FlushPolicy::Async, LogBackend::Mmap) => {
                "flush ASYNC_FLUSH (acknowledged when it survives the process)"
            }
            (FlushPolicy::Async, LogBackend::Direct) => {
                "flush ASYNC_FLUSH (acknowledged in memory, written right behind)"
            }
        }
    }

    /// What runs, in a few lines.
    fn announce(&self) {
        let options = &self.options;
        say(&format!(
            "RingMQ {}, compatible with RocketMQ 5.5.0; pid {}",
            env!("CARGO_PKG_VERSION"),
            std::process::id()
        ));
        for (index, core) in self.cores.iter().enumerate() {
            let ports = self.ports.get(index).map(Vec::as_slice).unwrap_or_default();
            let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
            let shard = options.shard(index);
            say(&format!(
                "  shard {index} on core {core}, ports {}, store {}",
                ports.join(" and "),
                shard.store_root.display()
            ));
        }
        self.recovered.iter().for_each(|line| say(line));
        let access = match options.store.backend {
            LogBackend::Mmap => "log mapped",
            LogBackend::Direct if self.buffered => {
                "log direct, through the page cache (this filesystem has no O_DIRECT)"
            }
            LogBackend::Direct => "log direct, O_DIRECT",
        };
        say(&format!("  policies: {}, no replication, {access}", self.durability()));
        for index in 0..options.shards.count {
            let shard = options.shard(index);
            let servers = options.network.name_servers.join(";");
            let servers = if servers.is_empty() {
                String::new()
            } else {
                format!(" and name server is {servers}")
            };
            say(&format!(
                "The broker[{}, {}] boot success. serializeType=JSON{servers}",
                shard.broker, shard.address
            ));
        }
    }
}

/// How a store was found, when it was not simply closed and whole.
fn recovery_line(shard: usize, recovered: &Recovered) -> Option<String> {
    let Recovered { was_unclean, records_scanned, damaged_stretches, damaged_bytes, nanos, .. } =
        *recovered;
    let millis = nanos / 1_000_000;
    if damaged_stretches > 0 {
        return Some(format!(
            "  shard {shard}: UNREADABLE in the log: {damaged_stretches} stretches of {damaged_bytes} bytes together hold no message any more, \
             the rest is served; the log of this start names files and offsets \
             ({records_scanned} messages scanned in {millis} ms)"
        ));
    }
    was_unclean.then(|| {
        format!(
            "  shard {shard}: the store was not closed when it stopped; \
        {records_scanned} messages scanned in {millis} ms, all of them readable"
        )
    })
}

fn forward_signals(events: &mpsc::Sender<Event>) -> io::Result<()> {
    // With a handler in its place a write beyond the limit of file sizes (`ulimit -f`) is an error
    // that names its file; without one it is the end of the process.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    let events = events.clone();
    let mut signals = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
    ])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("signal");
            if events.send(Event::Signal(name)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Looking up a name may block for seconds: no core waits for it.
fn resolve_names(names: &[String], events: &mpsc::Sender<Event>) -> io::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let (names, events) = (names.to_vec(), events.clone());
    let mut known: Vec<Option<Vec<SocketAddr>>> = vec![None; names.len()];
    std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
        loop {
            for (index, (name, known)) in names.iter().zip(&mut known).enumerate() {
                let addresses = resolve(name, known.as_ref());
                if known.as_ref() != Some(&addresses) {
                    *known = Some(addresses.clone());
                    if events.send(Event::Resolved { index, addresses }).is_err() {
                        return;
                    }
                }
            }
            std::thread::sleep(RESOLVE_EVERY);
        }
    })?;
    Ok(())
}

fn resolve(name: &str, known: Option<&Vec<SocketAddr>>) -> Vec<SocketAddr> {
    match name.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            // What was known stays in use while the resolver is down.
            let kept = known.cloned().unwrap_or_default();
            if known.is_none() {
                tracing::warn!(
                    "name server {name} can't be resolved ({error}), trying again every {} s",
                    RESOLVE_EVERY.as_secs()
                );
            }
            kept
        }
    }
}
