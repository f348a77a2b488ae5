//! What the broker did, second by second: rates for `mqadmin clusterList` and its like.
//!
//! One sample a second, of sums that only grow; a rate is the difference of two samples through the
//! time between them. Ten minutes are kept, as in Apache's `StoreStatsService`.

use super::state::Sample;
use crate::shard::Shard;
use netcore::Net;

/// The service: one more sample.
pub(crate) fn tick(shard: &mut Shard, _: &mut Net) {
    let sample = now(shard);
    shard.services.statistics.push(sample);
}

/// The sums at this moment.
pub(crate) fn now(shard: &Shard) -> Sample {
    let (reads, counts) = (&shard.reads, shard.cx.store.write_counts());
    let timers = shard.services.timers.counts.get();
    Sample {
        at_nanos: rt::Runtime::now_nanos(&shard.cx.core),
        put: counts.messages,
        found: reads.found,
        missed: reads.missed,
        transferred: reads.messages_out,
        timers_taken_up: timers.taken_up,
        timers_delivered: timers.delivered,
    }
}
