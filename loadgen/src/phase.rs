//! Runs one load on its generator threads and makes a row of the result.

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::gate::StartGate;
use crate::generator::{self, Outcome};
use crate::integrity::AckTable;
use crate::intervals::IntervalsWish;
use crate::live::{Live, Measured, Reading};
use crate::plan::{Load, Part, QueuePlan, deal_senders};
use crate::progress::Progress;
use crate::recorder::Recorder;
use crate::row::Row;
use crate::signals::Stop;
use crate::verdict;
use protocol::checked::fit;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What all phases of a run share.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The run's clock.
    pub clock: Clock,
    /// Set by Ctrl-C.
    pub stop: Stop,
    /// Cores of the generator threads, one each; `None` leaves a thread to the scheduler.
    pub cores: Vec<Option<usize>>,
}

/// A finished load.
#[derive(Debug)]
pub struct Phase {
    /// Its row.
    pub row: Row,
    /// Where messages were acknowledged, one table per generator thread, in the order of their
    /// numbers.
    pub acks: Vec<AckTable>,
}

/// How often the display is renewed.
const DISPLAY_EVERY: Duration = Duration::from_millis(100);

/// Runs `load` against `queues`. `first_generator` numbers the acknowledgement tables.
///
/// # Errors
/// When a generator can't connect, or a signal came before the measured window. After a signal in
/// the window the row has what was measured by then, and says so.
pub fn run_load(
    bench: &Bench,
    name: &str,
    label: &str,
    load: &Load,
    queues: &[QueuePlan],
    first_generator: usize,
    progress: &Progress,
) -> Result<Phase> {
    let watch = Watch { measured: Arc::default(), intervals: None, look: &mut |_| () };
    run_load_watched(bench, (name, label), load, queues, first_generator, progress, watch)
}

/// What looks at a load from beside while it runs.
pub(crate) struct Watch<'a> {
    /// Told when the measured window is.
    pub measured: Arc<Measured>,
    /// Gets the response times of intervals.
    pub intervals: Option<IntervalsWish>,
    /// Called with the sum of the live counters, ten times a second.
    pub look: &'a mut dyn FnMut(&Reading),
}

/// As [`run_load`], watched.
///
/// # Errors
/// As [`run_load`].
pub(crate) fn run_load_watched(
    bench: &Bench,
    (name, label): (&str, &str),
    load: &Load,
    queues: &[QueuePlan],
    first_generator: usize,
    progress: &Progress,
    watch: Watch<'_>,
) -> Result<Phase> {
    bench.stop.check()?;
    let (mut parts, gate) = make_parts(bench, load, queues, first_generator);
    for part in &mut parts {
        part.measured = Arc::clone(&watch.measured);
        part.intervals.clone_from(&watch.intervals);
    }
    // The channel of intervals ends with the last generator.
    drop(watch.intervals);
    let lives: Vec<Arc<Live>> = parts.iter().map(|_| Arc::default()).collect();
    let mut threads = Vec::with_capacity(parts.len());
    for (part, live) in parts.into_iter().zip(&lives) {
        let started = start_thread(part, bench.clock, Arc::clone(live));
        threads.push(started.inspect_err(|_| gate.give_up())?);
    }
    let shown = progress.phase(label, load.warmup + load.duration).counted_after(load.warmup);
    while threads.iter().any(|thread| !thread.is_finished()) {
        std::thread::sleep(DISPLAY_EVERY);
        let reading = sum(&lives);
        shown.update(&reading);
        (watch.look)(&reading);
    }
    shown.finish();
    let mut outcomes = Vec::with_capacity(threads.len());
    for thread in threads {
        outcomes.push(thread.join().unwrap_or_else(|_| {
            Err(Error::Usage("a generator thread panicked: see above".into()))
        }));
    }
    // A thread that did not start because another could not has no error of its own.
    let outcomes = outcomes.into_iter().collect::<Result<Vec<Option<Outcome>>>>()?;
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    if outcomes.iter().all(|outcome| outcome.measured.is_zero()) {
        bench.stop.check()?;
    }
    Ok(into_phase(name, label, load, queues.len(), outcomes))
}

fn make_parts(
    bench: &Bench,
    load: &Load,
    queues: &[QueuePlan],
    first_generator: usize,
) -> (Vec<Part>, Arc<StartGate>) {
    let threads = bench.cores.len().min(load.senders).max(1);
    let gate = StartGate::new(threads);
    let load = Arc::new(load.clone());
    let senders = deal_senders(queues, load.senders);
    let part = |index: usize| Part {
        load: Arc::clone(&load),
        index: fit(index),
        parts: fit(threads),
        generator: fit(first_generator + index),
        senders: senders.iter().skip(index).step_by(threads).cloned().collect(),
        core: bench.cores.get(index).copied().flatten(),
        gate: Arc::clone(&gate),
        measured: Arc::default(),
        intervals: None,
        stop: bench.stop.clone(),
    };
    ((0..threads).map(part).collect(), gate)
}

fn start_thread(
    part: Part,
    clock: Clock,
    live: Arc<Live>,
) -> Result<JoinHandle<Result<Option<Outcome>>>> {
    let name = format!("generator-{}", part.index);
    let run = move || {
        if let Some(core) = part.core {
            core_affinity::set_for_current(core_affinity::CoreId { id: core });
        }
        generator::run(&part, clock, &live)
    };
    Builder::new().name(name).spawn(run).map_err(Error::peer("start", "a generator thread"))
}

fn sum(lives: &[Arc<Live>]) -> Reading {
    let readings = lives.iter().map(|live| live.read());
    readings.fold(Reading::default(), |all, one| Reading {
        done: all.done + one.done,
        stored: all.stored + one.stored,
        errors: all.errors + one.errors,
        refused: all.refused + one.refused,
        // Of several threads the slowest is shown: a display, not a result.
        p50_nanos: all.p50_nanos.max(one.p50_nanos),
        p99_nanos: all.p99_nanos.max(one.p99_nanos),
        sum_nanos: all.sum_nanos + one.sum_nanos,
        measured: all.measured + one.measured,
        max_nanos: all.max_nanos.max(one.max_nanos),
    })
}

fn into_phase(
    name: &str,
    label: &str,
    load: &Load,
    queues: usize,
    outcomes: Vec<Outcome>,
) -> Phase {
    let planned = load.duration;
    let mut recorder = Recorder::new(planned, load.protocol).with_warmup(load.warmup);
    let (mut acks, mut shares, mut busy_shares) = (Vec::new(), Vec::new(), Vec::new());
    let (mut lost_connections, mut unsent, mut hit_limit) = (0, 0, false);
    let interrupted = outcomes.iter().any(|outcome| outcome.interrupted);
    let measured = outcomes.iter().map(|outcome| outcome.measured).max().unwrap_or_default();
    for outcome in outcomes {
        recorder.merge(&outcome.recorder);
        lost_connections += outcome.lost_connections;
        unsent += outcome.unsent;
        hit_limit |= outcome.hit_in_flight_limit;
        shares.push(outcome.cpu_share);
        busy_shares.push(outcome.busy_share);
        acks.push(outcome.acks);
    }
    let load = &Load { duration: measured, ..load.clone() };
    let mut row = Row::of_load(name, label, load, recorder);
    row.lost_connections = lost_connections;
    if let Some(facts) = &mut row.load {
        facts.threads = busy_shares.len();
        facts.window_s = planned.as_secs_f64();
        facts.queues = queues;
    }
    row.planned = row.sent + unsent;
    row.generator_cpu_share = shares;
    row.generator_busy_share = busy_shares;
    assert_eq!(
        row.sent,
        row.acknowledged + row.failed + row.unanswered,
        "a message sent has one outcome"
    );
    row.late_percentiles = verdict::late_percentiles(&row);
    row.invalid = verdict::invalid_reasons(&row, hit_limit);
    if interrupted {
        let (measured_s, planned_s) = (measured.as_secs_f64(), planned.as_secs_f64());
        let reason = format!("interrupted after {measured_s:.1} of {planned_s:.1} s");
        row.invalid.insert(0, reason);
    }
    row.notes = verdict::notes(&row);
    Phase { row, acks }
}
