//! Storing the records of the revive topic, and what is said when they can't be.

use super::records::{ReviveRecord, Writer};
use crate::answers::remoting::Refusal;
use crate::sends::errors::PutError;
use crate::sends::message::Message;
use crate::sends::put::{self, Begun};
use crate::sends::timer::NotTimed;
use crate::shard::{Cx, Shard};
use engine::PhyOffset;
use protocol::codes::response;
use protocol::names::TIMER_TOPIC;

/// Whether so many times `timersPendingMax` records wait already.
pub(crate) fn check_room(shard: &Shard, times: usize) -> Result<(), Refusal> {
    let (timers, max) = (&shard.services.timers, shard.cx.options.process.timers.pending_max);
    let end = shard.cx.store.queue_range(TIMER_TOPIC, 0).unwrap_or_default().max_offset.0;
    let not_taken_up = usize::try_from(end - timers.next()).unwrap_or(0);
    if timers.waiting().saturating_add(not_taken_up) < max.saturating_mul(times) {
        return Ok(());
    }
    let remark = format!(
        "[OVERLOAD]checkpoints and acknowledgements wait as timers, of which there are {times} \
         times {max} (timersPendingMax)"
    );
    Err(Refusal::new(response::SYSTEM_BUSY, remark))
}

/// Writes records of the revive topic, which is `topic`.
pub(super) fn writer<'a>(shard: &'a Shard, topic: &'a str) -> Writer<'a> {
    let options = &shard.cx.options;
    let (timers, host) = (&options.process.timers, options.store_host);
    Writer { topic, timers, host, now_ms: shard.cx.now_ms() }
}

pub(super) fn not_timed(shard: &Shard, not: NotTimed) -> Refusal {
    let (code, remark) = not.code_and_remark(&shard.cx.options.process.timers);
    Refusal::new(code, remark)
}

/// Appends a record at once: where it ends; `None` when there is no room.
pub(super) fn append_now(
    shard: &mut Shard,
    record: &ReviveRecord,
) -> Result<Option<PhyOffset>, Refusal> {
    let properties = [record.properties()];
    let draft = record.draft(&properties);
    match put::append_now(shard, &Message::One(&draft)) {
        Ok(appended) => Ok(appended.map(|appended| appended.end())),
        Err(error) => Err(not_stored(&shard.cx, &error)),
    }
}

/// Appends a record: where it ends.
pub(super) async fn append(cx: &Cx, record: &ReviveRecord) -> Result<PhyOffset, Refusal> {
    let properties = [record.properties()];
    let draft = record.draft(&properties);
    match put::append(cx, &Message::One(&draft)).await {
        Ok(appended) => Ok(appended.end()),
        Err(error) => Err(not_stored(cx, &error)),
    }
}

/// Why nothing is handed out: what has no checkpoint would be lost with its consumer.
pub(super) fn not_stored(cx: &Cx, error: &PutError) -> Refusal {
    let code = match error {
        PutError::Busy { .. } | PutError::BacklogFull => response::SYSTEM_BUSY,
        _ => response::SYSTEM_ERROR,
    };
    let broker = &cx.options.broker;
    Refusal::new(code, format!("the broker[{broker}] can't store what POP needs: {error}"))
}

/// Stores a record, which is acknowledged at once or later.
pub(super) fn store_now(shard: &mut Shard, record: &ReviveRecord) -> Result<Begun, Refusal> {
    let properties = [record.properties()];
    let draft = record.draft(&properties);
    put::begin(shard, &Message::One(&draft)).map_err(|error| not_stored(&shard.cx, &error))
}

/// Stores a record, and completes when it is acknowledged.
pub(super) async fn store(cx: &Cx, record: &ReviveRecord) -> Result<(), Refusal> {
    let properties = [record.properties()];
    let draft = record.draft(&properties);
    match put::put(cx, &Message::One(&draft)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(not_stored(cx, &error)),
    }
}
