//! `loadgen sweep` and `loadgen find-max`: one load at many rates.
//!
//! ```text
//!   sweep       closed loop → highest rate R;  then open loop at R/n, 2R/n … R
//!   find-max    from, 2·from, 4·from … until one fails │ bisect between the last that held and it
//!               │ twice more at the one that held; if one of those fails, 5 % lower
//! ```

use crate::cli::search::{FindMaxArgs, SweepArgs};
use crate::cli::{CommonArgs, LoadArgs, TargetArgs};
use crate::cores::CorePlan;
use crate::env::Environment;
use crate::error::{Error, Result};
use crate::phase::Bench;
use crate::plan::Mode;
use crate::progress::Progress;
use crate::protocols::Protocol;
use crate::remote::shape_of;
use crate::report::folder::RunFolder;
use crate::report::text::{count, time_us};
use crate::result::RunResult;
use crate::row::Row;
use crate::runner::{self, Frame, Setup, Shown};
use crate::session::{Session, Shape};
use crate::signals::Stop;
use crate::steady::SteadyWish;

/// Requests in flight per connection of the closed loop that finds where a sweep ends.
const SATURATING_IN_FLIGHT: usize = 8;
/// Connections of an open loop have no depth: as many as the schedule asks.
const NO_DEPTH: usize = 0;
/// Rates that are tried at most: a search that has not ended by then never will.
const PROBES_MAX: u32 = 40;
/// How often the rate that was found has to hold again.
const CONFIRMATIONS: u32 = 2;
/// By how much a rate is lowered that did not hold again.
const LOWERED: f64 = 0.95;

/// Runs `sweep`.
///
/// # Errors
/// When the cluster can't be used, or a signal came before the first row.
pub(crate) fn sweep(args: &SweepArgs, stop: &Stop) -> Result<RunResult> {
    refuse_rate(&args.load, "sweep")?;
    let question = format!(
        "How do response times of the cluster at {} rise with the rate?",
        args.target.namesrv
    );
    let (common, target, load) = (&args.common, &args.target, &args.load);
    let of = Of { common, target, load, consumes: false };
    on_cluster(&of, "sweep", &question, !args.common.no_floor, stop, |session, _, _| {
        let rates = match args.rates.is_empty() {
            false => args.rates.clone(),
            true => steps_to(closed_rate(session, &args.load)?, args.steps),
        };
        for rate in rates {
            open_row(session, &args.load, rate, "open")?;
        }
        Ok(None)
    })
}

/// Runs `find-max`.
///
/// # Errors
/// When the cluster can't be used, or a signal came before the first row.
pub(crate) fn find_max(args: &FindMaxArgs, stop: &Stop) -> Result<RunResult> {
    refuse_rate(&args.load, "find-max")?;
    let objective_us = args.p99.as_secs_f64() * 1e6;
    let question = format!(
        "What is the highest rate of the cluster at {} that keeps p99 within {}?",
        args.target.namesrv,
        time_us(objective_us)
    );
    let (common, target, load) = (&args.common, &args.target, &args.load);
    let of = Of { common, target, load, consumes: false };
    on_cluster(&of, "find-max", &question, false, stop, |session, _, _| {
        let mut search = Search { session, args, objective_us, rows: 0, why: String::new() };
        search.run().map(Some)
    })
}

fn refuse_rate(load: &LoadArgs, command: &str) -> Result<()> {
    match load.rate {
        None => Ok(()),
        Some(_) => Err(Error::Usage(format!(
            "{command} chooses the rates itself: leave --rate out (run measures one rate)"
        ))),
    }
}

/// The arguments that commands on a running cluster share.
pub(crate) struct Of<'a> {
    /// What all commands have.
    pub common: &'a CommonArgs,
    /// The cluster.
    pub target: &'a TargetArgs,
    /// The load.
    pub load: &'a LoadArgs,
    /// Whether a thread consumes beside the generators.
    pub consumes: bool,
}

/// Sets up, lets `work` load rows, and finishes whatever came of it. `work` gets the session, the
/// run's folder and the core of the consumers' thread.
///
/// # Errors
/// When the cluster can't be used, or a signal came before the first row.
pub(crate) fn on_cluster(
    of: &Of<'_>,
    workload: &str,
    question: &str,
    with_floor: bool,
    stop: &Stop,
    work: impl FnOnce(&mut Session<'_>, &RunFolder, Option<usize>) -> Result<Option<String>>,
) -> Result<RunResult> {
    let progress = Progress::new(of.common.json, None);
    let out = &of.common.out;
    std::fs::create_dir_all(out).map_err(Error::file("create", out))?;
    let environment = Environment::collect(out);
    let frame = Frame::new(of.common, &environment, workload, question);
    let folder = RunFolder::create(out, &frame.name)?;
    folder.write_question(&frame.empty_result(), &frame.command)?;
    let (cores, consumers_core) = CorePlan::with_consumers(of.common.threads, of.consumes);
    let bench = runner::bench(&cores, stop);
    let work = |session: &mut Session<'_>| work(session, &folder, consumers_core);
    let measured = measure(of, &frame, (&cores, &bench, &progress), &folder, with_floor, work);
    let outcome = measured.unwrap_or_else(runner::Outcome::nothing);
    runner::finish(frame, outcome, environment, folder, Shown::of(of.common))
}

fn measure(
    of: &Of<'_>,
    frame: &Frame,
    (cores, bench, progress): (&CorePlan, &Bench, &Progress),
    folder: &RunFolder,
    with_floor: bool,
    work: impl FnOnce(&mut Session<'_>) -> Result<Option<String>>,
) -> Result<runner::Outcome> {
    let mut setup = Setup::connect(&of.target.namesrv, folder)?;
    if of.common.protocol == Protocol::Native {
        setup.ask_native()?;
    }
    let topic = of.target.topic.clone().unwrap_or_else(|| format!("loadgen-{:x}", frame.run_id));
    let common = frame.session_common(of.common, cores, topic, of.load.warmup);
    let mut session =
        Session::begin(bench, progress, &mut setup.cluster, common, of.common.queues)?;
    session.set_broker_pids(of.target.broker_pid.clone());
    if with_floor {
        let (protocol, window) = (of.common.protocol, of.load.duration);
        session.set_floor(runner::floor(cores, protocol, window, &folder.config())?);
    }
    let warmed = match of.load.steady {
        true => session.make_steady(shape_of(of.load).2, &SteadyWish::default()).map(|_| ()),
        false => Ok(()),
    };
    let (answer, ended) = match warmed.and_then(|()| work(&mut session)) {
        Ok(answer) => (answer, None),
        Err(error) => (None, Some(error)),
    };
    let outcome = setup.outcome(cores, session.rows, None, ended);
    Ok(runner::Outcome { answer, ..outcome })
}

/// What a closed loop reaches.
fn closed_rate(session: &mut Session<'_>, load: &LoadArgs) -> Result<f64> {
    let in_flight = load.in_flight.map_or(SATURATING_IN_FLIGHT, |depth| depth as usize);
    let (senders, duration) = (load.senders as usize, load.duration);
    let shape = Shape { senders, in_flight, mode: Mode::Closed, duration };
    let label = format!("{senders} senders × {in_flight} in flight");
    let row = session.load(&format!("closed-{senders}x{in_flight}"), &label, shape)?;
    if row.rate_per_s < 1.0 {
        return Err(Error::Usage(format!(
            "the closed loop had no answers, so there is no rate to sweep up to: {}",
            row.invalid.join("; ")
        )));
    }
    Ok(row.rate_per_s)
}

/// Rates from a step above zero up to `highest`.
fn steps_to(highest: f64, steps: u32) -> Vec<f64> {
    (1..=steps).map(|step| (highest * f64::from(step) / f64::from(steps)).max(1.0)).collect()
}

fn open_row<'s>(
    session: &'s mut Session<'_>,
    load: &LoadArgs,
    rate: f64,
    name: &str,
) -> Result<&'s Row> {
    let rate = if rate >= 100.0 { rate.round() } else { rate };
    let shape = Shape {
        senders: load.senders as usize,
        in_flight: load.in_flight.map_or(NO_DEPTH, |depth| depth as usize),
        mode: Mode::Open { rate, shape: load.shape },
        duration: load.duration,
    };
    let label = format!("{name} loop at {}/s", count(rate));
    session.load(&format!("{name}-{rate:.0}"), &label, shape)
}

struct Search<'s, 'b> {
    session: &'s mut Session<'b>,
    args: &'s FindMaxArgs,
    objective_us: f64,
    rows: u32,
    /// Why the newest rate that failed did.
    why: String,
}

impl Search<'_, '_> {
    /// Finds the rate and says it in a sentence.
    fn run(&mut self) -> Result<String> {
        let (mut held, mut failed) = (None, None);
        let mut rate = self.args.from;
        while failed.is_none() && self.rows < PROBES_MAX {
            if self.holds(rate, "probe")? {
                held = Some(rate);
                rate *= 2.0;
            } else {
                failed = Some(rate);
            }
        }
        let Some(mut held) = held else {
            let from = count(self.args.from);
            return Ok(format!(
                "none: {from}/s does not keep it ({}); try a lower --from",
                self.why
            ));
        };
        while let Some(high) = failed.filter(|high| high / held > 1.0 + self.args.within) {
            if self.rows >= PROBES_MAX {
                break;
            }
            let middle = (high * held).sqrt();
            if self.holds(middle, "probe")? { held = middle } else { failed = Some(middle) }
        }
        self.confirm(held)
    }

    fn confirm(&mut self, mut rate: f64) -> Result<String> {
        let limit = self.why.clone();
        let mut confirmed = 0;
        while confirmed < CONFIRMATIONS && self.rows < 2 * PROBES_MAX {
            if self.holds(rate, "confirm")? {
                confirmed += 1;
            } else {
                (rate, confirmed) = (rate * LOWERED, 0);
            }
        }
        let (found, objective) = (count(rate), time_us(self.objective_us));
        if confirmed < CONFIRMATIONS {
            return Ok(format!("none that holds twice: the times vary too much below {found}/s"));
        }
        Ok(format!("{found}/s keeps p99 within {objective}, confirmed twice; above it: {limit}"))
    }

    /// Whether a row at this rate is valid and keeps the objective.
    fn holds(&mut self, rate: f64, name: &str) -> Result<bool> {
        self.rows += 1;
        let name = format!("{name}-{:02}", self.rows);
        let row = open_row(self.session, &self.args.load, rate, &name)?;
        let p99_us = row.response.and_then(|response| response.p99_us);
        let why = match (row.invalid.first(), p99_us) {
            (Some(reason), _) => reason.clone(),
            (None, None) => "too few messages for a p99: a longer --duration".to_owned(),
            (None, Some(p99_us)) if p99_us > self.objective_us => {
                format!("p99 is {}", time_us(p99_us))
            }
            (None, Some(_)) => return Ok(true),
        };
        self.why = format!("{}/s: {why}", count(rate));
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_ends_at_the_highest_rate_and_begins_a_step_above_zero() {
        assert_eq!(steps_to(100.0, 4), [25.0, 50.0, 75.0, 100.0]);
    }
}
