//! How far transactions are done, in the table of consumer offsets, where Apache has it too.

use super::progress::Frontier;
use crate::sends::half::QUEUE_ID;
use crate::shard::Shard;
use protocol::names::{TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC};

/// The consumer group under which Apache saves it.
const GROUP: &str = "CID_RMQ_SYS_TRANS";

/// What the table has of one of the two queues.
pub(super) fn saved(shard: &mut Shard, topic: &str) -> Option<i64> {
    shard.tables.offsets.query(GROUP, topic, QUEUE_ID)
}

/// Puts it there, if the table has something else.
pub(super) fn save(shard: &mut Shard, frontier: Frontier) {
    let now_ms = shard.cx.now_ms();
    for (topic, offset) in [(TRANS_HALF_TOPIC, frontier.half), (TRANS_OP_HALF_TOPIC, frontier.op)] {
        if saved(shard, topic).unwrap_or(0) != offset {
            shard.tables.offsets.commit(GROUP, topic, QUEUE_ID, offset, now_ms);
        }
    }
}
