//! `loadgen run`: one load against a running cluster.

use crate::beside::Beside;
use crate::children::watch_parent;
use crate::cli::{LoadArgs, RunArgs};
use crate::cores::CorePlan;
use crate::env::Environment;
use crate::error::Result;
use crate::integrity::IntegrityReport;
use crate::many;
use crate::plan::Mode;
use crate::progress::Progress;
use crate::protocols::Protocol;
use crate::report::folder::RunFolder;
use crate::report::text::count;
use crate::result::RunResult;
use crate::rocketmq;
use crate::runner::{self, Frame, Shown};
use crate::session::{Session, Shape};
use crate::signals::Stop;
use crate::steady::SteadyWish;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Runs `run`.
///
/// # Errors
/// When the cluster can't be used, or a signal came. A failed check is in the result.
pub(crate) fn run(args: &RunArgs, stop: &Stop) -> Result<RunResult> {
    if args.exit_with_parent {
        watch_parent();
    }
    if args.generators > 1 {
        many::check(args)?;
    }
    let progress =
        Progress::new(args.common.json, args.rocketmq_lines.then_some(args.report_interval));
    std::fs::create_dir_all(&args.common.out)
        .map_err(crate::error::Error::file("create", &args.common.out))?;
    let environment = Environment::collect(&args.common.out);
    let (name, label, shape) = shape_of(&args.load);
    let lane = if args.common.protocol == Protocol::Native { "native-" } else { "" };
    let workload = format!("run-{lane}{name}");
    let frame = Frame::new(
        &args.common,
        &environment,
        &workload,
        &format!("What does the cluster at {} do with this load: {label}?", args.target.namesrv),
    );
    let folder = RunFolder::create(&args.common.out, &frame.name)?;
    folder.write_question(&frame.empty_result(), &frame.command)?;
    let outcome = measure(args, &frame, &progress, stop, &folder, (&name, &label, shape))
        .unwrap_or_else(runner::Outcome::nothing);
    runner::finish(frame, outcome, environment, folder, Shown::of(&args.common))
}

fn measure(
    args: &RunArgs,
    frame: &Frame,
    progress: &Progress,
    stop: &Stop,
    folder: &RunFolder,
    (name, label, shape): (&str, &str, Shape),
) -> Result<runner::Outcome> {
    let (cores, consumers_core) = match args.of_cores {
        Some(whole) => (CorePlan::for_part(args.common.threads, args.skip_cores, whole), None),
        None => CorePlan::with_consumers(args.common.threads, args.consumers > 0),
    };
    let bench = runner::bench(&cores, stop);
    let mut setup = runner::Setup::connect(&args.target.namesrv, folder)?;
    if args.common.protocol == Protocol::Native {
        setup.ask_native()?;
    }
    let topic = args.target.topic.clone().unwrap_or_else(|| format!("loadgen-{:x}", frame.run_id));
    let common = frame.session_common(&args.common, &cores, topic.clone(), args.load.warmup);
    let mut session =
        Session::begin(&bench, progress, &mut setup.cluster, common, args.common.queues)?;
    if !args.common.no_floor && args.generators == 1 {
        session.set_floor(runner::floor(
            &cores,
            args.common.protocol,
            shape.duration,
            &folder.config(),
        )?);
    }
    session.set_broker_pids(args.target.broker_pid.clone());
    session.set_beside(Beside {
        consumers: args.consumers as usize,
        core: consumers_core,
        intervals: None,
    });
    if args.consume {
        session.keep_acks();
    }
    let mut integrity = None;
    let warmed = match args.load.steady {
        true => session.make_steady(shape, &SteadyWish::default()).map(|_| ()),
        false => Ok(()),
    };
    let ended = warmed
        .and_then(|()| {
            if args.generators > 1 {
                let row =
                    || many::load(args, frame, folder.path(), &topic, (name, label, shape), stop);
                return session.row_of_others(row);
            }
            wait_for_start(args.start_at);
            session.load(name, label, shape).map(|_| ())
        })
        .and_then(|()| read_back(args, &mut session, &mut integrity))
        .err();
    Ok(setup.outcome(&cores, session.rows, integrity, ended))
}

/// Generator processes of one load begin together.
fn wait_for_start(start_at_us: Option<u64>) {
    let Some(start) = start_at_us.map(Duration::from_micros) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    std::thread::sleep(start.saturating_sub(now));
}

fn read_back(
    args: &RunArgs,
    session: &mut Session<'_>,
    integrity: &mut Option<IntegrityReport>,
) -> Result<()> {
    if args.consume {
        let (report, consumed) = session.consume()?;
        *integrity = Some(report);
        if args.rocketmq_lines {
            rocketmq::print(&rocketmq::consumer_line(&consumed));
        }
    }
    Ok(())
}

/// Name, label and shape of a load.
pub(crate) fn shape_of(args: &LoadArgs) -> (String, String, Shape) {
    let senders = args.senders as usize;
    let in_flight = args.in_flight.map(|depth| depth as usize);
    let duration = args.duration;
    match args.rate {
        Some(rate) => {
            let shape = format!("{:?}", args.shape).to_lowercase();
            let label = format!("open loop ({shape}), {}/s, {senders} senders", count(rate));
            (
                format!("open-{rate:.0}"),
                label,
                Shape {
                    senders,
                    in_flight: in_flight.unwrap_or(0),
                    mode: Mode::Open { rate, shape: args.shape },
                    duration,
                },
            )
        }
        None => {
            let in_flight = in_flight.unwrap_or(1);
            let label = format!("{senders} senders × {in_flight} in flight");
            (
                format!("closed-{senders}x{in_flight}"),
                label,
                Shape { senders, in_flight, mode: Mode::Closed, duration },
            )
        }
    }
}
