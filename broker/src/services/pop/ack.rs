//! Acknowledgements, and other invisible times: records that the revive topic merges
//! (`AckMessageProcessor`, `ChangeInvisibleTimeProcessor`).

use super::storing::{not_timed, store, writer};
use crate::answers::remoting::Refusal;
use crate::shard::Cx;
use protocol::bodies::{AckMessage, CheckPoint};

/// Stores an acknowledgement, and completes when it is safe.
pub(crate) async fn ack(
    cx: &Cx,
    ack: &AckMessage,
    revive_queue: i32,
    due_ms: i64,
) -> Result<(), Refusal> {
    let record = cx.with(|shard, _| {
        let topic = protocol::pop::revive_topic(&shard.cx.options.process.cluster);
        let record = writer(shard, &topic).ack(ack, revive_queue, due_ms);
        record.map_err(|not| not_timed(shard, not))
    })?;
    store(cx, &record).await?;
    let messages = ack.offsets.as_ref().map_or(1, Vec::len);
    cx.with(|shard, _| {
        let messages = u64::try_from(messages).expect("a usize fits a u64");
        shard.services.pops.counts.acknowledged += messages;
    });
    Ok(())
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
