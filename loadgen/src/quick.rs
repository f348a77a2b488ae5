//! `loadgen quick`: starts a cluster, measures it and checks every message, in about a minute.

use crate::cli::QuickArgs;
use crate::cores::CorePlan;
use crate::env::Environment;
use crate::env::disk::free_bytes;
use crate::error::{Error, Result};
use crate::integrity::IntegrityReport;
use crate::own_cluster::{BrokerWish, OwnCluster};
use crate::plan::Mode;
use crate::progress::Progress;
use crate::protocols::Protocol;
use crate::report::folder::RunFolder;
use crate::report::text::count;
use crate::result::RunResult;
use crate::row::Kind;
use crate::runner::{self, Frame, Shown};
use crate::schedule;
use crate::session::{Session, Shape};
use crate::signals::Stop;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Room for one log file made ahead and what a fast disk takes per second of a row: less, and the
/// store would be full before the rows are done.
const FREE_BYTES_BASE: u64 = 1 << 30;
const FREE_BYTES_PER_SECOND: u64 = 1_500_000_000;
/// Connections of the open loop: enough to spread, few enough to batch.
const OPEN_SENDERS: usize = 16;

/// Runs `quick`.
///
/// # Errors
/// When it can't be set up, or a signal came. A failed check is in the result.
pub(crate) fn quick(args: &QuickArgs, stop: &Stop) -> Result<RunResult> {
    let progress = Progress::new(args.common.json, None);
    let store_parent = args.dir.clone().unwrap_or_else(|| args.common.out.clone());
    fs::create_dir_all(&store_parent).map_err(Error::file("create", &store_parent))?;
    let environment = Environment::collect(&store_parent);
    check_room(&store_parent, args.seconds_per_phase)?;
    let frame = Frame::new(
        &args.common,
        &environment,
        workload(args),
        "How fast is RingMQ on this machine: RT of one sender, the most it takes, RT at half of \
            that, reading back?",
    );
    let folder = RunFolder::create(&args.common.out, &frame.name)?;
    folder.write_question(&frame.empty_result(), &frame.command)?;
    say_o_direct(&progress, &environment);
    let outcome = on_own_cluster(args, &frame, &progress, stop, &folder, &store_parent)
        .unwrap_or_else(runner::Outcome::nothing);
    runner::finish(frame, outcome, environment, folder, Shown::of(&args.common))
}

/// Starts the cluster, measures it and stops it, whatever happens between.
fn on_own_cluster(
    args: &QuickArgs,
    frame: &Frame,
    progress: &Progress,
    stop: &Stop,
    folder: &RunFolder,
    store_parent: &Path,
) -> Result<runner::Outcome> {
    let store = tempfile::Builder::new()
        .prefix(".loadgen-store-")
        .tempdir_in(store_parent)
        .map_err(Error::file("make a temporary store in", store_parent))?;
    let cores = CorePlan::for_quick(args.shards, args.common.threads);
    progress.say(&cores.sentence());
    let store_path =
        fs::canonicalize(store.path()).map_err(Error::file("resolve", store.path()))?;
    let own = OwnCluster::start(&wish(args, &cores), &store_path, &folder.config(), stop)?;
    let measured = measure(args, frame, &cores, &own, progress, stop, folder);
    let killed = own.stop();
    let mut outcome = measured?;
    outcome.notes.extend(cores.note());
    outcome.notes.extend(killed);
    if let Err(error) = store.close() {
        let path = store_path.display();
        outcome.notes.push(format!("cannot remove the temporary store {path}: {error}"));
    }
    Ok(outcome)
}

fn workload(args: &QuickArgs) -> &'static str {
    match args.common.protocol {
        Protocol::Remoting => "quick",
        Protocol::Native => "quick-native",
    }
}

fn wish(args: &QuickArgs, cores: &CorePlan) -> BrokerWish {
    BrokerWish {
        flush_disk_type: args.flush.name(),
        shards: args.shards,
        cores: cores.broker_list(),
        more: args.broker_config.clone(),
    }
}

fn check_room(folder: &Path, per_phase: Duration) -> Result<()> {
    let seconds = per_phase.as_secs() + 1;
    let needed = FREE_BYTES_BASE + seconds.saturating_mul(FREE_BYTES_PER_SECOND);
    match free_bytes(folder) {
        Some(free) if free < needed => Err(Error::Usage(format!(
            "{} has {}B free, the store may need {}B: give another folder with --dir, or fewer \
                --seconds-per-phase",
            folder.display(),
            count(crate::row::count_f64(free)),
            count(crate::row::count_f64(needed))
        ))),
        _ => Ok(()),
    }
}

fn say_o_direct(progress: &Progress, environment: &Environment) {
    if environment.store.o_direct == Some(false) {
        let filesystem = environment.store.filesystem.as_deref().unwrap_or("the filesystem");
        progress.say(&format!(
            "{filesystem} at {} refuses O_DIRECT: the broker's store goes \
            through the page cache (another folder: --dir)",
            environment.store.folder
        ));
    }
}

fn measure(
    args: &QuickArgs,
    frame: &Frame,
    cores: &CorePlan,
    own: &OwnCluster,
    progress: &Progress,
    stop: &Stop,
    folder: &RunFolder,
) -> Result<runner::Outcome> {
    let bench = runner::bench(cores, stop);
    let mut setup = runner::Setup::connect(&own.namesrv_addr, folder)?;
    setup.know_own(concat!("RingMQ ", env!("CARGO_PKG_VERSION")), &own.broker_config);
    let warmup = (args.seconds_per_phase / 4).min(Duration::from_secs(1));
    let common =
        frame.session_common(&args.common, cores, format!("loadgen-{:x}", frame.run_id), warmup);
    let mut session =
        Session::begin(&bench, progress, &mut setup.cluster, common, args.common.queues)?;
    session.keep_acks();
    session.set_broker_pids(vec![own.broker_pid()]);
    let duration = args.seconds_per_phase;
    if !args.common.no_floor {
        session.set_floor(runner::floor(cores, args.common.protocol, duration, &folder.config())?);
    }
    let mut integrity = None;
    let ended = rows(&mut session, duration, &mut integrity).err();
    Ok(setup.outcome(cores, session.rows, integrity, ended))
}

fn rows(
    session: &mut Session<'_>,
    duration: Duration,
    integrity: &mut Option<IntegrityReport>,
) -> Result<()> {
    closed_rows(session, duration)?;
    open_row(session, duration)?;
    *integrity = Some(session.consume()?.0);
    Ok(())
}

fn closed_rows(session: &mut Session<'_>, duration: Duration) -> Result<()> {
    let rows = [
        ("closed-1x1", "1 sender", 1, 1),
        ("closed-64x1", "64 senders", 64, 1),
        ("closed-16x8", "16 senders × 8 in flight", 16, 8),
    ];
    for (name, label, senders, in_flight) in rows {
        session.load(name, label, Shape { senders, in_flight, mode: Mode::Closed, duration })?;
    }
    Ok(())
}

/// The open loop at half of the best rate so far.
fn open_row(session: &mut Session<'_>, duration: Duration) -> Result<()> {
    let best = session
        .rows
        .iter()
        .filter(|row| row.kind == Kind::Closed)
        .map(|row| row.rate_per_s)
        .fold(0.0, f64::max);
    let rate = (best / 2.0).floor().max(1.0);
    let mode = Mode::Open { rate, shape: schedule::Shape::Constant };
    let label = format!("open loop at half: {}/s", count(rate));
    session.load(
        "open-half",
        &label,
        Shape { senders: OPEN_SENDERS, in_flight: 0, mode, duration },
    )?;
    Ok(())
}
