//! Members and locks that nobody renewed.

use crate::requests::group;
use crate::shard::Shard;
use netcore::Net;

/// Forgets them; a consumer that fell silent leaves its groups, and the others share its queues.
pub(crate) fn expire(shard: &mut Shard, net: &mut Net) {
    let now_ms = shard.cx.now_ms();
    shard.tables.producers.expire(now_ms);
    shard.tables.locks.expire(now_ms);
    for (group, conn) in shard.tables.consumers.expired(now_ms) {
        group::leave(shard, net, &group, conn);
    }
}
