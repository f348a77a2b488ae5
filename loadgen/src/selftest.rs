//! `loadgen selftest`: known stalls are put into a target, and have to be found.
//!
//! ```text
//!   target     stands still for 1 ms, 10 ms and 100 ms, each at a known time
//!   generator  an open loop; during a stall of length L the messages that are due wait
//!              L, L − 1/rate, L − 2/rate … 0
//!   found      the slice of time of the stall has a response time of L (0.95 L at least), and
//!              rate × (L − t) messages waited longer than t, for t = L/2
//! ```
//!
//! A generator that waits for answers would find one late message for each stall. The counts show
//! that all who waited are counted.

use crate::children::ChildProgram;
use crate::cli::analysis::SelftestArgs;
use crate::cores::CorePlan;
use crate::error::{Error, Result};
use crate::messages::{Messages, Sizes};
use crate::phase::run_load;
use crate::plan::{Load, Mode, QueuePlan};
use crate::progress::Progress;
use crate::report::folder::pretty;
use crate::report::text::time_us;
use crate::row::Row;
use crate::runner;
use crate::schedule::Shape;
use crate::signals::Stop;
use hdrhistogram::Histogram;
use protocol::checked::{fit, nanos};
use serde::Serialize;
use std::io::Write;
use std::time::Duration;

const WARMUP: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_millis(3_000);
/// When each stall begins, from the window's start, and how long it lasts. They lie in the middle
/// of slices of 100 ms.
const STALLS: [(Duration, Duration); 3] = [
    (Duration::from_millis(650), Duration::from_millis(1)),
    (Duration::from_millis(1_350), Duration::from_millis(10)),
    (Duration::from_millis(2_030), Duration::from_millis(100)),
];
/// A stall of which less is seen was not found.
const SEEN_MIN: f64 = 0.95;
/// Share of the messages that waited that has to be counted.
const COUNTED_MIN: f64 = 0.9;

/// One stall, and what was seen of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// When it began, seconds from the window's start.
    pub at_s: f64,
    /// Its length, µs.
    pub stall_us: f64,
    /// The largest response time of the slices that it lies in, µs.
    pub seen_us: f64,
    /// Messages that had to wait longer than half of it, over all stalls.
    pub waited_expected: f64,
    /// Messages that did.
    pub waited: u64,
    /// Whether it was found.
    pub found: bool,
}

/// What the self-test says.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Findings {
    /// Each stall.
    pub stalls: Vec<Finding>,
    /// The largest response time of a slice without a stall, µs: this machine's own noise.
    pub noise_us: f64,
    /// Why the generator can't tell: it was itself too late, or messages are missing.
    pub invalid: Vec<String>,
    /// Whether all were found.
    pub holds: bool,
}

/// Runs `selftest`.
///
/// # Errors
/// When the target can't be started, or a signal came.
pub(crate) fn selftest(args: &SelftestArgs, stop: &Stop) -> Result<Findings> {
    let logs = tempfile::tempdir().map_err(Error::file("make", "a temporary folder"))?;
    let cores = CorePlan::for_run(1);
    let mut target: Vec<String> = STALLS
        .iter()
        .map(|(at, length)| {
            let at = WARMUP + *at;
            format!("--stall={}us:{}us", at.as_micros(), length.as_micros())
        })
        .collect();
    target.extend(cores.broker.first().map(|core| format!("--core={core}")));
    let (_child, addr) = ChildProgram::start_announced("noop-target", &target, logs.path())?;
    let load = Load {
        topic: "selftest".into(),
        group: "loadgen_producer".into(),
        mode: Mode::Open { rate: args.rate, shape: Shape::Constant },
        senders: 4,
        messages: Messages { sizes: Sizes::Fixed(256), ..Messages::default() },
        warmup: WARMUP,
        duration: WINDOW,
        spin: cores.generators_alone(),
        ..Load::default()
    };
    let queue = QueuePlan { index: 0, broker: "noop".into(), addr, queue_id: 0 };
    let progress = Progress::new(args.json, None);
    let bench = runner::bench(&cores, stop);
    let phase = run_load(&bench, "selftest", "known stalls", &load, &[queue], 0, &progress)?;
    stop.check()?;
    let findings = judge(&phase.row, args.rate)?;
    let text = if args.json {
        String::from_utf8_lossy(&pretty(&findings)?).into_owned()
    } else {
        sentences(&findings)
    };
    let _nobody_reads = writeln!(std::io::stdout(), "{text}");
    Ok(findings)
}

/// Looks for every stall in the row.
fn judge(row: &Row, rate: f64) -> Result<Findings> {
    let recorder = row.recorder.as_ref();
    let recorder = recorder.ok_or_else(|| Error::Usage("the row has no histograms".into()))?;
    let width_nanos = recorder.buckets.width_nanos;
    let slices_of = |(at, length): (Duration, Duration)| {
        let first = nanos(at) / width_nanos;
        // The queue behind a stall drains in the slice after it at the latest.
        first..=nanos(at + length) / width_nanos + 1
    };
    let max_us = |slice: &Histogram<u32>| slice.max() as f64 / 1_000.0;
    let each = || recorder.buckets.each.iter().enumerate();
    let finding = |(at, length): (Duration, Duration)| {
        let slices = slices_of((at, length));
        let in_it = each().filter(|(index, _)| slices.contains(&fit::<u64, _>(*index)));
        let seen_us = in_it.map(|(_, slice)| max_us(slice)).fold(0.0, f64::max);
        let half = length / 2;
        let longer = |(_, other): &(Duration, Duration)| other.saturating_sub(half).as_secs_f64();
        let waited_expected = STALLS.iter().map(longer).sum::<f64>() * rate;
        let waited = recorder.response.iter_recorded().filter_map(|value| {
            let nanos_above = value.value_iterated_to() > nanos(half);
            nanos_above.then(|| value.count_at_value())
        });
        let waited: u64 = waited.sum();
        let stall_us = length.as_secs_f64() * 1e6;
        let counted = waited as f64 >= COUNTED_MIN * waited_expected.floor();
        let found = seen_us >= SEEN_MIN * stall_us && counted;
        Finding { at_s: at.as_secs_f64(), stall_us, seen_us, waited_expected, waited, found }
    };
    let stalls: Vec<Finding> = STALLS.into_iter().map(finding).collect();
    let quiet = each().filter(|(index, _)| {
        !STALLS.into_iter().any(|stall| slices_of(stall).contains(&fit::<u64, _>(*index)))
    });
    let noise_us = quiet.map(|(_, slice)| max_us(slice)).fold(0.0, f64::max);
    let holds = stalls.iter().all(|stall| stall.found);
    Ok(Findings { stalls, noise_us, invalid: row.invalid.clone(), holds })
}

fn sentences(findings: &Findings) -> String {
    let mut lines: Vec<String> = findings
        .stalls
        .iter()
        .map(|stall| {
            format!(
                "{}  stall of {} at {:.2} s: RT up to {}; {} messages waited longer than half of \
                 it, {:.0} had to",
                if stall.found { "FOUND    " } else { "NOT FOUND" },
                time_us(stall.stall_us),
                stall.at_s,
                time_us(stall.seen_us),
                stall.waited,
                stall.waited_expected
            )
        })
        .collect();
    lines.push(format!(
        "noise: without a stall RT went up to {}; shorter stalls of a broker can't be told from \
         this machine's own",
        time_us(findings.noise_us)
    ));
    lines.extend(findings.invalid.iter().map(|reason| format!("INVALID  {reason}")));
    let verdict = match (findings.holds, findings.invalid.is_empty()) {
        (true, _) => "selftest holds",
        (false, true) => "SELFTEST FAILED",
        (false, false) => "selftest INVALID: this machine is too busy to tell",
    };
    lines.push(verdict.to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::Protocol;
    use crate::recorder::Recorder;

    const RATE: f64 = 20_000.0;

    /// A target that stands still as planned, as a generator of this kind sees it.
    fn row(is_open: bool) -> Row {
        let mut recorder = Recorder::new(WINDOW, Protocol::Remoting);
        let (gap, mut next) = (50_000, 0u64);
        for nth in 0..60_000u64 {
            let due = nth * gap;
            // A closed loop sends the next message when the last was answered.
            if !is_open && due < next {
                continue;
            }
            let stall = STALLS
                .iter()
                .find(|(at, length)| (nanos(*at)..nanos(*at + *length)).contains(&due));
            let waited = stall.map_or(0, |(at, length)| nanos(*at + *length) - due);
            next = due + waited;
            recorder.answer(due, waited + 10_000, waited + 10_000);
        }
        Row { recorder: Some(recorder), ..Row::default() }
    }

    #[test]
    fn all_who_waited_are_counted_by_an_open_loop() {
        let findings = judge(&row(true), RATE).unwrap();
        assert!(findings.holds && findings.noise_us < 100.0, "{findings:?}");
    }

    #[test]
    fn a_generator_that_waits_with_the_target_fails_the_test() {
        let findings = judge(&row(false), RATE).unwrap();
        assert!(!findings.holds, "one late message for each stall is not enough: {findings:?}");
    }

    #[test]
    fn a_target_without_stalls_fails_the_test() {
        let mut recorder = Recorder::new(WINDOW, Protocol::Remoting);
        (0..60_000).for_each(|nth| recorder.answer(nth * 50_000, 10_000, 10_000));
        let findings = judge(&Row { recorder: Some(recorder), ..Row::default() }, RATE).unwrap();
        assert!(findings.stalls.iter().all(|stall| !stall.found));
    }
}
