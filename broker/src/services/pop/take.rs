//! A pop from its request to its answer: it walks through its queues at once, as a pull reads; what
//! has to wait on the way goes on as a task.
//!
//! ```text
//!   walk ─► all checkpoints acknowledged ─► the answer: slices of the log
//!   nothing found ─► waits for a message, and does it all again
//! ```

use super::answer::{self, Outcome};
use super::sources;
use super::storing::{append, check_room, not_stored};
use super::walk::{Step, Walk, Wanted};
use crate::answers::remoting::Refusal;
use crate::reads::pop_ask::{PopAsk, PopKind};
use crate::sends::put;
use crate::shard::{Cx, Shard};
use engine::{OwnedReadRequest, PhyOffset, ReadSlices, ReadStatus};
use netcore::Net;
use rt::{Priority, Runtime as _};

/// What a pop waits for before it goes on.
enum Waits {
    /// A step of its walk.
    Step(Step),
    /// Its last checkpoint, which ends here, is not acknowledged.
    Acknowledgement(PhyOffset),
}

/// Runs a pop that passed its checks, or that was woken.
pub(crate) fn begin(shard: &mut Shard, net: &mut Net, ask: PopAsk) {
    let PopKind::Pop { messages_max, invisible_ms, begins_at_end } = ask.kind else {
        let has_message = sources::has_message(shard, &ask);
        answer::finish(shard, net, ask, Outcome::Notified { has_message }, false);
        return;
    };
    let wanted = Wanted { messages_max, invisible_ms, begins_at_end };
    let mut walk = Walk::new(shard, ask, wanted);
    let stopped = check_room(shard, 1).and_then(|()| walk.go_on(shard));
    match waits_for(shard, &walk, stopped) {
        Ok(None) => finish(shard, net, walk, Ok(()), false),
        Err(refusal) => finish(shard, net, walk, Err(refusal), false),
        Ok(Some(waits)) => {
            let cx = shard.cx.clone();
            shard.cx.core.spawn(Priority::Foreground, run(cx, walk, waits));
        }
    }
}

/// What a walk that stopped waits for; `None` when the pop can be answered. What it has taken
/// before something failed is under checkpoints and is handed out.
fn waits_for(
    shard: &Shard,
    walk: &Walk,
    stopped: Result<Step, Refusal>,
) -> Result<Option<Waits>, Refusal> {
    match stopped {
        Ok(Step::Done) => {}
        Ok(step) => return Ok(Some(Waits::Step(step))),
        Err(_) if walk.taken.messages > 0 => {}
        Err(refusal) => return Err(refusal),
    }
    let unacknowledged = walk.taken.end.filter(|end| *end > shard.cx.store.acknowledged());
    Ok(unacknowledged.map(Waits::Acknowledgement))
}

async fn run(cx: Cx, mut walk: Walk, waits: Waits) {
    let seen = cx.store.visible();
    let outcome = wait(&cx, &mut walk, waits).await;
    let is_news = cx.store.visible() != seen;
    cx.with(|shard, net| finish(shard, net, walk, outcome, is_news));
}

async fn wait(cx: &Cx, walk: &mut Walk, mut waits: Waits) -> Result<(), Refusal> {
    loop {
        let stopped = match waits {
            Waits::Step(step) => after(cx, walk, step).await,
            Waits::Acknowledgement(end) => {
                return put::passed(cx, end).await.map_err(|error| not_stored(cx, &error));
            }
        };
        match cx.with(|shard, _| waits_for(shard, walk, stopped))? {
            Some(next) => waits = next,
            None => return Ok(()),
        }
    }
}

/// Does what a step waits for, and walks on.
async fn after(cx: &Cx, walk: &mut Walk, step: Step) -> Result<Step, Refusal> {
    match step {
        Step::Done => {}
        Step::Cold(request) => {
            let (status, found) = read_cold(cx, request).await?;
            if let Some(step) = cx.with(|shard, _| walk.read(shard, status, found))? {
                return Ok(step);
            }
        }
        Step::Full(record) => {
            let end = append(cx, &record).await?;
            cx.with(|shard, _| walk.stored(shard, end));
        }
    }
    cx.with(|shard, _| walk.go_on(shard))
}

async fn read_cold(
    cx: &Cx,
    request: OwnedReadRequest,
) -> Result<(ReadStatus, ReadSlices), Refusal> {
    let Some(_place) = cx.with(|shard, _| shard.reads.admission.try_take()) else {
        // What is left there is popped later.
        return Ok((ReadStatus::NoMessageInQueue, ReadSlices::default()));
    };
    let cold = cx.store.read_cold(request).await?;
    Ok((cold.status, cold.into()))
}

/// Answers, or lets it wait; runs it once more when a message came while it waited in vain.
fn finish(
    shard: &mut Shard,
    net: &mut Net,
    mut walk: Walk,
    outcome: Result<(), Refusal>,
    is_news: bool,
) {
    walk.give_back(shard);
    let Walk { ask, taken, .. } = walk;
    let outcome = match outcome {
        Ok(()) => Outcome::Popped(taken),
        Err(refusal) => Outcome::Refused(refusal),
    };
    if let Some(again) = answer::finish(shard, net, ask, outcome, is_news) {
        begin(shard, net, again);
    }
}
