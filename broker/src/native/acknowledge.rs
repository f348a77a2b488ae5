//! Acknowledgements of stored frames, once the mark that the configuration promises has passed
//! them.

use super::produce;
use crate::answers::native::NativeRefusal;
use crate::shard::Shard;
use netcore::Net;
use protocol::native::ErrorCode;
use rt::Runtime as _;

/// Answers every frame that is acknowledged by now; with a poisoned store, all that wait: they
/// never will be.
pub(crate) fn answer_acknowledged(shard: &mut Shard, net: &mut Net) {
    if shard.native.is_empty() {
        return;
    }
    let acknowledged = shard.store.acknowledged();
    let passed_nanos = shard.core.now_nanos();
    let mut placed = std::mem::take(&mut shard.native.placed);
    while let Some(frame) = shard.native.pop_if(|frame| frame.end <= acknowledged, &mut placed) {
        produce::answer(shard, net, &frame, Some(passed_nanos), false, &placed);
    }
    if let Some(reason) = shard.store.poisoned() {
        let refusal = NativeRefusal::new(
            ErrorCode::NotWritable,
            format!(
                "the messages were not made durable: {reason}; free or repair the disk, then \
                    restart"
            ),
        );
        while let Some(frame) = shard.native.pop_if(|_| true, &mut placed) {
            frame.caller.refuse(net, &refusal);
        }
    }
    shard.native.placed = placed;
}

/// Answers frames whose flush takes longer than `syncFlushTimeout`: stored, not known to be
/// durable.
pub(crate) fn answer_overdue(shard: &mut Shard, net: &mut Net, now_ms: i64) {
    let limit_ms = shard.options.process.serve.sync_flush_timeout_ms;
    let mut placed = std::mem::take(&mut shard.native.placed);
    while let Some(frame) = shard
        .native
        .pop_if(|frame| now_ms.saturating_sub(frame.store_timestamp_ms) >= limit_ms, &mut placed)
    {
        produce::answer(shard, net, &frame, None, true, &placed);
    }
    shard.native.placed = placed;
}
