//! From a command line to a running name server and its exit code.

use crate::cli::Args;
use crate::config::Config;
use crate::kv::KvConfig;
use crate::limits;
use crate::processor::{Hooks, Processor};
use crate::service::NameServer;
use netcore::{Framing, NetConfig, Network};
use rt::convert::fits;
use rt::real::{Core, CorePlacement, Mailbox, launch};
use rt::ring::{FileLimit, RingConfig, raise_file_limit};
use rt::{Priority, Runtime};
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// How long answers that are queued may take to leave when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Runs `mqnamesrv` with this command line (program name first) until SIGINT or SIGTERM.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::read(args) {
        Ok(args) => args,
        Err(help_or_error) => {
            let _ = help_or_error.print();
            return ExitCode::from(u8::try_from(help_or_error.exit_code()).unwrap_or(2));
        }
    };
    let config = match args.config() {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    if args.print_config {
        say(config.settings.print().trim_end());
        return ExitCode::SUCCESS;
    }
    log_to_stderr();
    config.settings.notes().iter().for_each(|note| warn!("{note}"));
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "mqnamesrv: {error}");
    ExitCode::FAILURE
}

/// A line for whoever started the program; nobody reading it is no reason to stop.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = io::stderr().is_terminal();
    // An error means that whoever called `run` logs already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(io::stderr)
        .try_init();
}

fn serve(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let files = raise_file_limit()?;
    let main = move |core: Core, _shard: usize| serve_on(core, config.clone(), files);
    // With one core its end, by a panic too, is all there is to wait for.
    launch(&[CorePlacement::Unpinned], RingConfig::default(), main)?.join()?;
    Ok(())
}

async fn serve_on(core: Core, config: Config, files: FileLimit) -> io::Result<()> {
    core.set_idle_spin(Duration::from_micros(config.settings.int("idleSpinMicros")));
    let stop = stop_signals(&core)?;
    let kv = load_kv(&core, &config.kv_path).await?;
    let (kv_changed, changes) = core.mailbox()?;
    let clock = core.clone();
    let hooks = Hooks {
        now_ms: Box::new(move || now_ms(&clock)),
        kv_changed: Box::new(move || kv_changed.send(())),
    };
    let connections_max =
        netcore::limits::connections_max(files.now, 1).min(limits::CONNECTIONS_MAX);
    let net_config = NetConfig {
        idle_timeout: Duration::from_secs(config.settings.int("serverChannelMaxIdleTimeSeconds")),
        connections_max,
        ..NetConfig::listening([config.listen], Framing::Remoting)
    };
    let kv_path = config.kv_path.clone();
    let processor = Processor::new(NameServer::new(config, kv, now_ms(&core)), hooks);
    let network = Network::bind(&core, net_config, processor).map_err(io::Error::other)?;
    core.spawn(Priority::Foreground, expire_for_ever(network.clone()));
    let writer = network.clone();
    core.spawn(
        Priority::Foreground,
        async move { write_kv_for_ever(writer, changes, &kv_path).await },
    );
    announce(&network);
    say(&format!("{files}, at most {connections_max} of them for connections"));
    let signal = stop.receive().await?;
    info!(signal, "stopping");
    network.stop(STOP_GRACE).await;
    info!("stopped");
    Ok(())
}

fn now_ms(core: &Core) -> i64 {
    fits(core.now_nanos() / 1_000_000)
}

fn announce(network: &Network<Processor>) {
    let address = network.local_addrs().first().map(ToString::to_string).unwrap_or_default();
    say(&format!("The Name Server boot success. serializeType=JSON, address {address}"));
    say(&format!(
        "RingMQ {} name server, compatible with RocketMQ 5.5.0; pid {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    ));
    let kv_path = network.with(|processor, _| processor.server().config().kv_path.clone());
    info!(%address, kv_config = %kv_path.display(), "name server up");
}

/// The signals that stop the server, as messages to its core. A second one ends the process: the
/// core may be the one that hangs.
fn stop_signals(core: &Core) -> io::Result<Mailbox<&'static str>> {
    let (sender, mailbox) = core.mailbox()?;
    let mut signals = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
    ])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for (nth, signal) in signals.forever().enumerate() {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("signal");
            if nth > 0 {
                warn!("{name} again: ending at once");
                std::process::exit(130);
            }
            sender.send(name);
        }
    })?;
    Ok(mailbox)
}

async fn load_kv(core: &Core, path: &Path) -> io::Result<KvConfig> {
    let problem = |what: &str| {
        io::Error::other(format!("key-value configuration {}: {what}", path.display()))
    };
    match core.read_file(path).await {
        Ok(content) => KvConfig::from_file(&content).map_err(|error| {
            // RocketMQ starts with an empty table here, and the next change overwrites the file.
            problem(&format!(
                "{error}. Fix: repair it (the version before is beside it as .bak), \
                or move it away to start empty"
            ))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(KvConfig::default()),
        Err(error) => Err(problem(&format!(
            "{error}. Fix: make it readable, or set kvConfigPath \
            to another place"
        ))),
    }
}

async fn expire_for_ever(network: Network<Processor>) {
    loop {
        let interval = network.with(|processor, _| processor.server().config().scan_interval());
        network.core().sleep(interval).await;
        network.with(|processor, net| processor.expire(net));
    }
}

async fn write_kv_for_ever(network: Network<Processor>, changes: Mailbox<()>, path: &Path) {
    while changes.receive().await.is_ok() {
        let Some(content) = network.with(|processor, _| processor.take_kv_to_write()) else {
            continue;
        };
        let outcome = write_kv(network.core(), path, content).await;
        network.with(|processor, net| processor.kv_written(net, &outcome));
    }
}

async fn write_kv(core: &Core, path: &Path, content: Vec<u8>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        core.create_dir_all(folder).await?;
    }
    core.replace_file(path, content, true).await
}
