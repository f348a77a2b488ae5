//! `loadgen crash`: kills its own broker at random moments while messages are sent. No acknowledged
//! message may be missing afterwards.
//!
//! ```text
//!   send (closed loop) ──SIGKILL after a random time──► start again on the same store ──► send … ──► read all back, judge
//! ```
//!
//! A kill shows that every acknowledged message has left the process. It cannot show that messages
//! have left the page cache and the drive's cache; the simulation (engine/tests/it) tests that by
//! cutting the power. With ASYNC_FLUSH on `direct` and an empty `tailPath` an acknowledgement
//! promises less than this command checks: lost messages are then counted, but are no failure.

use crate::cli::{Backend, CrashArgs, Flush};
use crate::cores::CorePlan;
use crate::error::{Error, Result};
use crate::integrity::IntegrityReport;
use crate::messages::{Messages, Sizes};
use crate::own_cluster::{BrokerWish, OwnCluster};
use crate::plan::Mode;
use crate::progress::Progress;
use crate::runner;
use crate::session::{Common, Session, Shape};
use crate::signals::Stop;
use protocol::checked::millis;
use protocol::remoting::SerializeType;
use serde::Serialize;
use std::fs;
use std::time::{Duration, Instant};

/// Shortest and longest time until a broker is killed, in ms: some are killed while they start to
/// serve, some under full load.
const LIFE_MS: (u64, u64) = (20, 700);
/// Longer than any broker lives: the load ends when its connections do.
const LOAD_MAX: Duration = Duration::from_secs(60);

/// The result of `crash`.
#[derive(Debug, Serialize)]
pub(crate) struct CrashResult {
    /// `SYNC_FLUSH` or `ASYNC_FLUSH`.
    pub flush_disk_type: &'static str,
    /// `direct` or `mmap`.
    pub log_backend: &'static str,
    /// Seed of the moments of the kills.
    pub seed: u64,
    /// Brokers killed.
    pub kills: u32,
    /// Kills that met a broker with sends in flight.
    pub kills_in_flight: u32,
    /// Slowest start after a kill, until the queues answered, in ms.
    pub slowest_restart_ms: u64,
    /// Whether an acknowledgement promises to survive a kill.
    pub promised: bool,
    /// The verdict on the messages that were read back.
    pub integrity: IntegrityReport,
}

impl CrashResult {
    /// Whether the broker kept its promise. Without a promise, losses are excused and nothing else
    /// is.
    #[must_use]
    pub(crate) fn holds(&self) -> bool {
        let excused = IntegrityReport { lost: 0, ..self.integrity.clone() };
        if self.promised { self.integrity.holds() } else { excused.holds() }
    }

    fn text(&self) -> String {
        let Self {
            flush_disk_type,
            log_backend,
            kills,
            kills_in_flight,
            slowest_restart_ms,
            seed,
            ..
        } = self;
        let excuse = match self.promised || self.integrity.lost == 0 {
            true => "",
            false => {
                " (an acknowledgement from memory does not promise to survive a kill: no failure)"
            }
        };
        format!(
            "{flush_disk_type} on {log_backend}: {kills} kills, {kills_in_flight} of them with \
             sends in flight; slowest restart {slowest_restart_ms} ms\n\
             {}{excuse}\nmoments of the kills: --seed {seed}",
            self.integrity.sentence()
        )
    }
}

/// Runs `crash`.
///
/// # Errors
/// When the broker does not come up (again), or a signal came. A failed check is in the result.
pub(crate) fn crash(args: &CrashArgs, stop: &Stop) -> Result<CrashResult> {
    let progress = Progress::new(args.json, None);
    fs::create_dir_all(&args.dir).map_err(Error::file("create", &args.dir))?;
    let folder = tempfile::Builder::new()
        .prefix(".loadgen-crash-")
        .tempdir_in(&args.dir)
        .map_err(Error::file("make a temporary store in", &args.dir))?;
    let base = fs::canonicalize(folder.path()).map_err(Error::file("resolve", folder.path()))?;
    let (store, config) = (base.join("store"), base.join("config"));
    fs::create_dir_all(&config).map_err(Error::file("create", &config))?;
    let cores = CorePlan::for_quick(1, 1);
    let mut own = OwnCluster::start(&wish(args, &cores), &store, &config, stop)?;
    let result = kill_often(args, &cores, &mut own, &progress, stop);
    let _killed = own.stop();
    let result = result?;
    if !result.holds() && args.keep_failed {
        progress.say(&format!("the store and the logs are kept: {}", folder.keep().display()));
    }
    say_result(&result, args.json)?;
    Ok(result)
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
fn say_result(result: &CrashResult, json: bool) -> Result<()> {
    let text = if json {
        serde_json::to_string_pretty(result).map_err(|error| Error::Usage(error.to_string()))?
    } else {
        result.text()
    };
    println!("{text}");
    Ok(())
}

fn wish(args: &CrashArgs, cores: &CorePlan) -> BrokerWish {
    // Small files: a life is too short to fill a large one, and every restart looks at the last.
    let mut more = vec![
        format!("logBackend={}", args.backend.name()),
        "mappedFileSizeCommitLog=67108864".to_owned(),
    ];
    more.extend(args.broker_config.iter().cloned());
    BrokerWish { flush_disk_type: args.flush.name(), shards: 1, cores: cores.broker_list(), more }
}

fn kill_often(
    args: &CrashArgs,
    cores: &CorePlan,
    own: &mut OwnCluster,
    progress: &Progress,
    stop: &Stop,
) -> Result<CrashResult> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let bench = runner::bench(cores, stop);
    let quiet = Progress::new(true, None);
    let mut cluster = crate::cluster::Cluster::connect(&own.namesrv_addr)?;
    let mut session = Session::begin(&bench, &quiet, &mut cluster, common(args), args.queues)?;
    session.keep_acks();
    // Every start was waited for: what is not there now never will be.
    session.visible_within = Duration::ZERO;
    let shape = Shape {
        senders: args.senders as usize,
        in_flight: args.in_flight as usize,
        mode: Mode::Closed,
        duration: LOAD_MAX,
    };
    let (mut in_flight, mut slowest) = (0, Duration::ZERO);
    for nth in 1..=args.kills {
        stop.check()?;
        let life = Duration::from_millis(random.u64(LIFE_MS.0..=LIFE_MS.1));
        in_flight += u32::from(one_life(&mut session, own, shape, life)?);
        let start = Instant::now();
        own.restart_broker(stop)?;
        session.wait_until_served(stop)?;
        slowest = slowest.max(start.elapsed());
        let (acknowledged, missing) = session.acknowledged_and_missing()?;
        let verdict = if missing == 0 {
            "every queue reaches its last acknowledged message".to_owned()
        } else {
            format!("{missing} acknowledged messages are beyond the ends of their queues")
        };
        progress.say(&format!(
            "kill {nth}/{} after {} ms, back in {} ms: {acknowledged} acknowledged, {verdict}",
            args.kills,
            life.as_millis(),
            start.elapsed().as_millis()
        ));
    }
    let (integrity, _) = session.consume()?;
    Ok(CrashResult {
        flush_disk_type: args.flush.name(),
        log_backend: args.backend.name(),
        seed,
        kills: args.kills,
        kills_in_flight: in_flight,
        slowest_restart_ms: millis(slowest),
        promised: is_promised(args),
        integrity,
    })
}

/// Whether an acknowledgement promises to survive a kill: always, but where ASYNC_FLUSH answers
/// from memory that is the process's own.
fn is_promised(args: &CrashArgs) -> bool {
    let mut settings = args.broker_config.iter().filter_map(|line| line.split_once('='));
    let tail = settings.rfind(|(key, _)| key.trim() == "tailPath");
    let is_private = tail.is_some_and(|(_, value)| value.trim().is_empty());
    args.flush == Flush::Sync || args.backend == Backend::Mmap || !is_private
}

fn common(args: &CrashArgs) -> Common {
    let run_id = fastrand::u64(1..);
    Common {
        run_id,
        seed: run_id,
        topic: format!("loadgen-crash-{run_id:x}"),
        messages: Messages { sizes: Sizes::Fixed(args.size), ..Messages::default() },
        burst: 0,
        spin: false,
        protocol: crate::protocols::Protocol::Remoting,
        serialize: SerializeType::Json,
        warmup: Duration::ZERO,
    }
}

/// Sends until the broker is killed, after `life`. Returns whether sends were in flight at that
/// moment.
fn one_life(
    session: &mut Session<'_>,
    own: &mut OwnCluster,
    shape: Shape,
    life: Duration,
) -> Result<bool> {
    let pid = own.broker_pid();
    let sent = std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(life);
            crate::children::kill_hard(pid);
        });
        session.load("life", "until the kill", shape).map(|row| row.error_count() > 0)
    });
    match sent {
        Ok(in_flight) => Ok(in_flight),
        // It died before the connections were made: a kill like any other.
        Err(Error::Peer { .. }) if own.broker_ended() => Ok(false),
        Err(error) => Err(error),
    }
}
