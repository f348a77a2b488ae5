//! Members and locks that nobody renewed.

use crate::shard::Shard;
use netcore::Net;

/// Forgets the locks and closes the connections of silent members, as Apache does: the others of
/// their groups share the queues when the connection is gone.
pub(crate) fn expire(shard: &mut Shard, net: &mut Net) {
    let now_ms = shard.cx.now_ms();
    let tables = &mut shard.tables;
    tables.locks.expire(now_ms);
    for conn in tables.consumers.expired(now_ms).chain(tables.producers.expired(now_ms)) {
        net.close(conn, "a member of a group sent no heartbeat for two minutes");
    }
}
