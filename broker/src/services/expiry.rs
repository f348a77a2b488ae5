//! Members and locks that nobody renewed.

use crate::shard::Shard;
use netcore::Net;

/// Forgets the locks and closes the connections of members without a heartbeat for
/// `channelExpiredTimeout`, as Apache does: the others of their groups share the queues when the
/// connection is gone.
pub(crate) fn expire(shard: &mut Shard, net: &mut Net) {
    let now_ms = shard.cx.now_ms();
    let tables = &mut shard.tables;
    tables.locks.expire(now_ms);
    let before_ms = now_ms.saturating_sub(shard.cx.options.process.serve.member_silent_ms_max);
    let consumers = tables.consumers.silent_since(before_ms);
    for conn in consumers.chain(tables.producers.silent_since(before_ms)) {
        net.close(conn, "a member of a group sent no heartbeat for channelExpiredTimeout");
    }
}
