//! `loadgen selftest --compare`: does `compare` find what is there, and nothing else?
//!
//! ```text
//!   same     a broker and itself, blocks A B B A         a difference in at most 3 of 20
//!   slower   the same, but it stands still (SIGSTOP) for 5 % of the time of each B
//!                                                         found in at least 18 of 20, or the
//!                                                         comparison says that it could not have
//! ```
//!
//! How long it stood still is measured: a sleep is never exactly as long as it was asked for.

use crate::campaign::Stopped;
use crate::cli::analysis::SelftestArgs;
use crate::cli::{CommonArgs, Header, Spin};
use crate::compare::stats::{Estimate, Shown};
use crate::cores::CorePlan;
use crate::env::Environment;
use crate::error::{Error, Result};
use crate::messages::Sizes;
use crate::own_cluster::{BrokerWish, OwnCluster};
use crate::plan::Mode;
use crate::progress::{Progress, note};
use crate::protocols::Protocol;
use crate::report::folder::{RunFolder, pretty};
use crate::row::count_f64;
use crate::runner::{self, Frame};
use crate::session::{Session, Shape};
use crate::signals::Stop;
use serde::Serialize;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Of twenty comparisons of a broker with itself so many may show a difference.
const FALSE_OF_20: usize = 3;
/// Of twenty with a slower one so many have to show it.
const FOUND_OF_20: usize = 18;
/// The broker stands still once in this time.
const PERIOD: Duration = Duration::from_millis(20);
/// Senders of the closed loop.
const SENDERS: usize = 16;

/// One comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Compared {
    /// Whether B was slowed.
    pub is_slowed: bool,
    /// Share of B's time in which the broker stood still, measured.
    pub stood_still: f64,
    /// Rates of A and B in each block.
    pub pairs: Vec<(f64, f64)>,
    /// The rates of all rows in their order, A B B A in each block.
    pub rates_per_s: Vec<f64>,
    /// The ratio with its interval; `None` when a rate was 0.
    pub estimate: Option<Estimate>,
    /// Whether a difference was shown, and in the right direction where there is one.
    pub shows: bool,
}

/// What all comparisons together say.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    /// Each of them.
    pub comparisons: Vec<Compared>,
    /// A broker and itself: so many showed a difference.
    pub false_differences: usize,
    /// The slower one was found so often.
    pub found: usize,
    /// So many more said that they could not have shown it.
    pub could_not: usize,
    /// Whether it is as it should be.
    pub holds: bool,
}

/// Runs it.
///
/// # Errors
/// When the broker can't be started or stopped, or a signal came.
pub(crate) fn selftest(args: &SelftestArgs, stop: &Stop) -> Result<Outcome> {
    std::fs::create_dir_all(&args.out).map_err(Error::file("create", &args.out))?;
    let (environment, common) = (Environment::collect(&args.out), common(args));
    let question = "Does compare find a broker that is slower, and no difference to itself?";
    let frame = Frame::new(&common, &environment, "selftest-compare", question);
    let folder = RunFolder::create(&args.out, &frame.name)?;
    folder.write_question(&frame.empty_result(), &frame.command)?;
    folder.write("environment.json", &pretty(&environment)?)?;
    let store = tempfile::Builder::new()
        .prefix(".loadgen-store-")
        .tempdir_in(&args.out)
        .map_err(Error::file("make a temporary store in", &args.out))?;
    let cores = CorePlan::for_quick(1, 1);
    let wish = BrokerWish {
        flush_disk_type: "ASYNC_FLUSH",
        shards: 1,
        cores: cores.broker_list(),
        more: Vec::new(),
    };
    let own = OwnCluster::start(&wish, store.path(), &folder.config(), stop)?;
    let bench = runner::bench(&cores, stop);
    let (quiet, mut comparisons) = (Progress::new(true, None), Vec::new());
    let mut cluster = crate::cluster::Cluster::connect(&own.namesrv_addr)?;
    let topic = format!("loadgen-{:x}", frame.run_id);
    let of_session = frame.session_common(&common, &cores, topic, args.window / 4);
    let mut session = Session::begin(&bench, &quiet, &mut cluster, of_session, common.queues)?;
    let mut ended = Ok(());
    'all: for nth in 1..=args.times {
        for slow_by in [0.0, args.slow_by] {
            match compare(&mut session, own.broker_pid(), args, slow_by) {
                Ok(compared) => {
                    note(&line(nth, &compared));
                    comparisons.push(compared);
                }
                Err(error) => {
                    ended = Err(error);
                    break 'all;
                }
            }
            // Each is kept as soon as it is known.
            folder.write("comparisons.json", &pretty(&judge(comparisons.clone()))?)?;
        }
    }
    let _killed = own.stop();
    let outcome = judge(comparisons);
    ended?;
    let findings = sentence(&outcome);
    let text = if args.json {
        String::from_utf8_lossy(&pretty(&outcome)?).into_owned()
    } else {
        findings.clone()
    };
    let asked = (&frame.empty_result(), &frame.command);
    let end = folder.finish_findings(asked.0, asked.1, (&findings, outcome.holds))?;
    let _nobody_reads = writeln!(std::io::stdout(), "{text}\n{}", end.display());
    Ok(outcome)
}

fn common(args: &SelftestArgs) -> CommonArgs {
    CommonArgs {
        size: Sizes::Fixed(1024),
        batch: 1,
        tags: 0,
        keys: 0,
        property_bytes: 0,
        queue_skew: 0.0,
        burst: 100,
        queues: 8,
        threads: 1,
        spin: Spin::Auto,
        protocol: Protocol::Remoting,
        header: Header::Json,
        workload: None,
        out: args.out.clone(),
        expect: Some(
            "At most 3 of 20 comparisons of a broker with itself show a difference; at least 18 \
             of 20 find the slower one, or say that they could not."
                .into(),
        ),
        seed: None,
        json: true,
        no_floor: true,
    }
}

/// One comparison of `args.blocks` blocks.
fn compare(
    session: &mut Session<'_>,
    pid: u32,
    args: &SelftestArgs,
    slow_by: f64,
) -> Result<Compared> {
    let shape = Shape { senders: SENDERS, in_flight: 1, mode: Mode::Closed, duration: args.window };
    let (mut pairs, mut rates, mut stood_still) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.blocks {
        let mut of_block = [0.0; 4];
        for (place, rate) in of_block.iter_mut().enumerate() {
            let is_b = place == 1 || place == 2;
            let share = if is_b { slow_by } else { 0.0 };
            let (row_rate, still) = row(session, pid, shape, share)?;
            *rate = row_rate;
            stood_still.extend(is_b.then_some(still));
        }
        let [a1, b1, b2, a2] = of_block;
        pairs.push(((a1 + a2) / 2.0, (b1 + b2) / 2.0));
        rates.extend(of_block);
    }
    let estimate = Estimate::of(&pairs);
    let shown = estimate.map(|estimate| estimate.shown());
    let shows = match slow_by > 0.0 {
        true => shown == Some(Shown::Less),
        false => shown.is_some_and(|shown| shown != Shown::Nothing),
    };
    let stood_still = stood_still.iter().sum::<f64>() / count_f64(stood_still.len().max(1) as u64);
    let is_slowed = slow_by > 0.0;
    Ok(Compared { is_slowed, stood_still, pairs, rates_per_s: rates, estimate, shows })
}

/// A row's rate, and the share of its time in which the broker stood still.
fn row(session: &mut Session<'_>, pid: u32, shape: Shape, share: f64) -> Result<(f64, f64)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let slowing = scope.spawn(|| slow_down(pid, share, &over));
        let loaded = session.load("row", "comparison", shape).map(|row| row.rate_per_s);
        over.store(true, Ordering::Relaxed);
        session.rows.clear();
        let still = slowing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        loaded.map(|rate| (rate, still))
    })
}

/// Lets a process stand still for a share of the time; gives the share that it did.
fn slow_down(pid: u32, share: f64, over: &AtomicBool) -> Result<f64> {
    if share <= 0.0 {
        return Ok(0.0);
    }
    let (start, mut still) = (Instant::now(), Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        // What one pause was too long is taken from the next.
        let pause = (start.elapsed() + PERIOD).mul_f64(share).saturating_sub(still);
        if !pause.is_zero() {
            let begun = Instant::now();
            let stopped = Stopped::new(pid)?;
            std::thread::sleep(pause.min(PERIOD));
            drop(stopped);
            still += begun.elapsed();
        }
        std::thread::sleep(PERIOD.mul_f64(1.0 - share));
    }
    Ok(still.as_secs_f64() / start.elapsed().as_secs_f64().max(1e-9))
}

fn judge(comparisons: Vec<Compared>) -> Outcome {
    let (slowed, same): (Vec<&Compared>, Vec<&Compared>) =
        comparisons.iter().partition(|one| one.is_slowed);
    let false_differences = same.iter().filter(|one| one.shows).count();
    let found = slowed.iter().filter(|one| one.shows).count();
    let could_not = slowed
        .iter()
        .filter(|one| !one.shows && one.estimate.is_none_or(|it| it.detectable > one.stood_still));
    let could_not = could_not.count();
    let holds = !slowed.is_empty()
        && false_differences * 20 <= FALSE_OF_20 * same.len()
        && (found + could_not) * 20 >= FOUND_OF_20 * slowed.len();
    Outcome { false_differences, found, could_not, holds, comparisons }
}

fn line(nth: u32, compared: &Compared) -> String {
    let kind = match compared.is_slowed {
        true => format!("B slowed by {:.1} %", compared.stood_still * 100.0),
        false => "B is A".to_owned(),
    };
    let ratio = compared.estimate.map_or_else(
        || "no interval".to_owned(),
        |it| format!("B / A {:.3} ({:.3} – {:.3})", it.ratio, it.low, it.high),
    );
    let shows = if compared.shows { "a difference" } else { "no difference shown" };
    format!("  {nth}: {kind}: {ratio}: {shows}")
}

fn sentence(outcome: &Outcome) -> String {
    let of = outcome.comparisons.iter().filter(|one| one.is_slowed).count();
    format!(
        "a broker and itself: a difference in {} of {} (at most {FALSE_OF_20} of 20)\n\
         a slower broker: found in {} of {of}, {} more said that they could not have shown it (at \
         least {FOUND_OF_20} of 20 together)\n{}",
        outcome.false_differences,
        outcome.comparisons.len() - of,
        outcome.found,
        outcome.could_not,
        if outcome.holds { "selftest --compare holds" } else { "SELFTEST --compare FAILED" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(is_slowed: bool, shows: bool, detectable: f64) -> Compared {
        let estimate =
            Estimate::of(&[(1.0, 1.0), (1.0, 1.01)]).map(|it| Estimate { detectable, ..it });
        let (pairs, rates_per_s) = (Vec::new(), Vec::new());
        Compared { is_slowed, stood_still: 0.05, pairs, rates_per_s, estimate, shows }
    }

    #[test]
    fn false_alarms_and_silence_fail_it_and_a_stated_limit_does_not() {
        let all = |differ: usize, found: usize, detectable: f64| {
            let same = (0..20).map(|nth| one(false, nth < differ, 0.01));
            let slowed = (0..20).map(|nth| one(true, nth < found, detectable));
            judge(same.chain(slowed).collect()).holds
        };
        assert!(all(3, 18, 0.01));
        assert!(!all(4, 20, 0.01), "a difference where there is none");
        assert!(!all(0, 17, 0.01), "it could have shown 1 % and did not show 5 %");
        assert!(all(0, 0, 0.08), "it said that it could not");
        assert!(!judge(Vec::new()).holds, "nothing was compared");
    }
}
