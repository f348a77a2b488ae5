//! Acknowledgements on their way into the log.
//!
//! Those of a turn are stored at its end and answered together, so each answer says that what it
//! acknowledges is as safe as a message that was sent.

use super::gather::{Ready, Waiting};
use super::spill;
use super::storing::{not_stored, not_timed, store, store_now, writer};
use crate::answers::remoting::Refusal;
use crate::desk::counts::us_of;
use crate::sends::put::Begun;
use crate::shard::{Cx, Shard};
use netcore::Net;
use protocol::bodies::CheckPoint;
use rt::{Priority, Runtime as _};

/// Stores what the turn has gathered, and answers it, now or when it is safe.
pub(crate) fn turn_ended(shard: &mut Shard, net: &mut Net) {
    if shard.services.pops.gathered.is_empty() {
        return;
    }
    let (acks, waiting) = shard.services.pops.gathered.take();
    let begun: Vec<_> = acks.iter().map(|ready| begin(shard, ready)).collect();
    let must_wait = begun.iter().any(|one| matches!(one, Ok(Begun::Waits(_))));
    if !must_wait {
        let stored: Vec<_> = begun.into_iter().map(|one| one.map(|_| ())).collect();
        answer(shard, net, &waiting, &stored);
        return;
    }
    let cx = shard.cx.clone();
    shard.cx.core.spawn(Priority::Foreground, async move {
        let mut stored = vec![];
        for one in begun {
            stored.push(end(&cx, one).await);
        }
        cx.with(|shard, net| answer(shard, net, &waiting, &stored));
    });
}

fn begin(shard: &mut Shard, ready: &Ready) -> Result<Begun, Refusal> {
    let topic = protocol::pop::revive_topic(&shard.cx.options.process.cluster);
    let record = writer(shard, &topic).ack(&ready.ack, ready.revive_queue, ready.due_ms);
    let record = record.map_err(|not| not_timed(shard, not))?;
    let begun = store_now(shard, &record)?;
    let messages = ready.ack.offsets.as_ref().map_or(1, Vec::len);
    shard.services.pops.counts.acknowledged += messages as u64;
    Ok(begun)
}

async fn end(cx: &Cx, begun: Result<Begun, Refusal>) -> Result<(), Refusal> {
    match begun? {
        Begun::Done(_) => Ok(()),
        Begun::Waits(wait) => match wait.await {
            Ok(_) => Ok(()),
            Err(error) => Err(not_stored(cx, &error)),
        },
    }
}

/// Answers each request by what became of its own records.
fn answer(shard: &mut Shard, net: &mut Net, waiting: &[Waiting], stored: &[Result<(), Refusal>]) {
    let now_us = us_of(shard.cx.core.now_nanos());
    for Waiting { ticket, records } in waiting {
        let failed = records.iter().find_map(|place| stored[place].as_ref().err());
        match failed {
            None => ticket.ok(net),
            Some(refusal) => ticket.refuse(net, refusal, None),
        }
        shard.desk.ended(ticket, failed.is_none(), now_us);
    }
}

/// Takes one, and completes when it is as safe as it will be.
pub(crate) async fn ack(cx: &Cx, ready: &Ready) -> Result<(), Refusal> {
    let offset = ready.ack.offset;
    let is_here = |shard: &mut Shard| ready.of().is_some_and(|of| spill::ack(shard, of, offset));
    if cx.with(|shard, _| is_here(shard)) {
        return Ok(());
    }
    let begun = cx.with(|shard, _| begin(shard, ready));
    end(cx, begun).await
}

/// Stores a checkpoint of one message, and completes when it is safe.
pub(crate) async fn check_point(
    cx: &Cx,
    point: &CheckPoint,
    revive_queue: i32,
) -> Result<(), Refusal> {
    let record = cx.with(|shard, _| {
        let topic = protocol::pop::revive_topic(&shard.cx.options.process.cluster);
        let record = writer(shard, &topic).check_point(point, revive_queue);
        record.map_err(|not| not_timed(shard, not))
    })?;
    store(cx, &record).await
}
