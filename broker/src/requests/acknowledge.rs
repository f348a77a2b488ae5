//! Answers to stored sends, once the mark that the configuration promises has passed them.

use super::send;
use crate::answers::remoting::{Caller, Refusal};
use crate::sends::unacknowledged::{Pending, StoredAt};
use crate::shard::Shard;
use netcore::Net;
use protocol::codes::response;
use protocol::headers::SendResponseHeader;
use protocol::ids::OffsetMsgId;

/// Answers every send that is acknowledged by now; with a poisoned store, all that wait: they never
/// will be.
pub(crate) fn answer_acknowledged(shard: &mut Shard, net: &mut Net) {
    let acknowledged = shard.store.acknowledged();
    while let Some(pending) = shard.pending.pop_acknowledged(acknowledged) {
        answer(shard, net, &pending, response::SUCCESS);
    }
    if shard.pending.is_empty() {
        return;
    }
    if let Some(reason) = shard.store.poisoned() {
        let remark = format!(
            "the message was not made durable: {reason}; free or repair the disk, then restart"
        );
        while let Some(pending) = shard.pending.pop() {
            send::refuse(
                shard,
                net,
                pending.caller,
                &Refusal::new(response::SERVICE_NOT_AVAILABLE, remark.clone()),
            );
        }
    }
}

/// Answers sends whose flush takes longer than `syncFlushTimeout` with FLUSH_DISK_TIMEOUT: stored,
/// not known to be durable.
pub(crate) fn answer_overdue(shard: &mut Shard, net: &mut Net, now_ms: i64) {
    let limit_ms = shard.options.process.serve.sync_flush_timeout_ms;
    while let Some(pending) = shard.pending.pop_overdue(limit_ms, now_ms) {
        answer(shard, net, &pending, response::FLUSH_DISK_TIMEOUT);
    }
}

fn answer(shard: &mut Shard, net: &mut Net, pending: &Pending<Caller>, code: i32) {
    let mut text = std::mem::take(&mut shard.text);
    text.clear();
    match &pending.stored_at {
        StoredAt::One(physical_offset) => {
            OffsetMsgId { store_host: shard.options.store_host, physical_offset: *physical_offset }
                .write(&mut text)
        }
        StoredAt::Batch(ids) => text.push_str(ids),
    }
    let header = SendResponseHeader {
        msg_id: &text,
        queue_id: pending.queue_id,
        queue_offset: pending.queue_offset,
        transaction_id: Some(pending.unique_key.as_str()).filter(|key| !key.is_empty()),
    };
    send::answer_stored(shard, net, pending.caller, code, &header);
    shard.text = text;
}
