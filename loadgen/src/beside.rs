//! What runs beside a load: consumers that read meanwhile, and the log of its intervals.

use crate::clock::Clock;
use crate::cluster::{Caller, queue_offset};
use crate::consuming::{self, Backlog, Plan, Shared};
use crate::error::{Error, Result};
use crate::intervals::IntervalsWish;
use crate::live;
use crate::phase::{Bench, Phase, Watch, run_load_watched};
use crate::plan::{Load, QueuePlan};
use crate::progress::Progress;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

/// What a session wants beside each of its loads.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// Connections that consume; 0: none.
    pub consumers: usize,
    /// Core of the consumers' thread.
    pub core: Option<usize>,
    /// The log of intervals.
    pub intervals: Option<IntervalsWish>,
}

/// A load to run, and who runs it.
pub(crate) struct Run<'a> {
    /// Clock, cores, stop flag.
    pub bench: &'a Bench,
    /// The display.
    pub progress: &'a Progress,
    /// Name and label of the row.
    pub named: (&'a str, &'a str),
    /// The load.
    pub load: &'a Load,
    /// The topic's queues.
    pub queues: &'a [QueuePlan],
    /// Number of the first generator.
    pub first_generator: usize,
}

/// Runs a load with what is wanted beside it.
///
/// # Errors
/// When generators or consumers can't connect, or a signal came before the window.
pub(crate) fn run(run: &Run<'_>, beside: &Beside) -> Result<Phase> {
    let intervals = beside.intervals.clone();
    if beside.consumers == 0 {
        let watch = Watch { measured: Arc::default(), intervals, look: &mut |_| () };
        return senders(run, watch);
    }
    let plan = plan(run, beside)?;
    let (shared, clock) = (Shared::default(), run.bench.clock);
    let mut backlog = Backlog::default();
    let (phase, read) = std::thread::scope(|scope| {
        let (ready, is_ready) = channel();
        let (plan, shared) = (&plan, &shared);
        let reader = scope.spawn(move || {
            // When it can't connect, `ready` is dropped and nobody waits for it.
            consuming::read(plan, clock, shared, || _ = ready.send(()))
        });
        let phase = match is_ready.recv() {
            Ok(()) => watched(run, shared, &mut backlog, clock, intervals),
            Err(_) => Err(Error::Interrupted),
        };
        match &phase {
            Ok(phase) => tell_ends(shared, plan, phase),
            Err(_) => shared.give_up.store(true, Ordering::Relaxed),
        }
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        read.and_then(|read| Ok((phase?, read)))
    })?;
    let mut phase = phase;
    consuming::add_to(&mut phase.row, beside.consumers, read, backlog);
    Ok(phase)
}

fn senders(run: &Run<'_>, watch: Watch<'_>) -> Result<Phase> {
    run_load_watched(
        run.bench,
        run.named,
        run.load,
        run.queues,
        run.first_generator,
        run.progress,
        watch,
    )
}

fn watched(
    run: &Run<'_>,
    shared: &Shared,
    backlog: &mut Backlog,
    clock: Clock,
    intervals: Option<IntervalsWish>,
) -> Result<Phase> {
    let mut look =
        |reading: &live::Reading| backlog.look(shared, reading.stored, clock.now_nanos());
    senders(run, Watch { measured: Arc::clone(&shared.measured), intervals, look: &mut look })
}

/// Where the consumers begin: at the present ends of the queues.
fn plan(run: &Run<'_>, beside: &Beside) -> Result<Plan> {
    let starts = run.queues.iter().map(|queue| {
        run.bench.stop.check()?;
        let mut caller = Caller::connect("connect to broker", &queue.addr.to_string())?;
        let start = queue_offset(&mut caller, &run.load.topic, queue.queue_id, false)?;
        Ok((queue.clone(), start))
    });
    Ok(Plan {
        protocol: run.load.protocol,
        topic: run.load.topic.clone(),
        queues: starts.collect::<Result<_>>()?,
        consumers: beside.consumers,
        run_id: run.load.run_id,
        generators: run.first_generator + run.bench.cores.len(),
        core: beside.core,
        spin: run.load.spin && beside.core.is_some(),
    })
}

/// Up to there everything was acknowledged, so that it has to be read.
fn tell_ends(shared: &Shared, plan: &Plan, phase: &Phase) {
    let mut ends: Vec<u64> = plan.queues.iter().map(|(_, start)| *start).collect();
    phase.acks.iter().for_each(|table| table.raise_ends(&mut ends));
    let _told_once = shared.ends.set(ends);
}
