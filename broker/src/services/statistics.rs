//! What the broker did, second by second: rates for `mqadmin clusterList` and its like.
//!
//! One sample a second, of sums that only grow; a rate is the difference of two samples through the
//! time between them. Ten minutes are kept, as in Apache's `StoreStatsService`.

use super::state::Sample;
use crate::shard::Shard;
use crate::tables::pull_offsets::Counted;
use crate::tables::rates::{Rate, Window};
use netcore::Net;

/// The service: one more sample.
pub(crate) fn tick(shard: &mut Shard, _: &mut Net) {
    let sample = now(shard);
    shard.services.statistics.push(sample);
    let (puts, of_users) = shard.sends.puts.messages();
    let statistics = &mut shard.services.statistics;
    statistics.broker.set([puts, of_users, shard.reads.messages_out]);
    for window in statistics.clock.due(shard.cx.monotonic_ms()) {
        statistics.broker.sample(window);
        shard.sends.puts.sample(window);
        shard.tables.pulled.sample(window);
    }
}

/// What is known by one of Apache's names (`BrokerStatsManager`) and one of its keys: a rate for
/// each window. `None` where nothing was counted.
pub(crate) fn rates(shard: &Shard, name: &str, key: &str) -> Option<[Rate; 3]> {
    let clock = &shard.services.statistics.clock;
    let all = |rate: &dyn Fn(Window) -> Option<Rate>| {
        let [minute, hour, day] = Window::ALL.map(rate);
        Some([minute?, hour?, day?])
    };
    let broker = |which| {
        let sums = &shard.services.statistics.broker;
        let is_own = key == shard.cx.options.process.cluster.as_str();
        all(&|window| is_own.then(|| sums.rate(clock, window, which, None)))
    };
    let group = |counted| {
        let (topic, group) = key.split_once('@')?;
        all(&|window| shard.tables.pulled.rate((group, topic), counted, clock, window))
    };
    match name {
        "TOPIC_PUT_NUMS" => all(&|window| shard.sends.puts.nums(key, clock, window)),
        "TOPIC_PUT_SIZE" => all(&|window| shard.sends.puts.size(key, clock, window)),
        "GROUP_GET_NUMS" => group(Counted::Messages),
        "GROUP_GET_SIZE" => group(Counted::Bytes),
        "GROUP_GET_LATENCY" => group(Counted::LatencyMs),
        "SNDBCK_PUT_NUMS" => group(Counted::GivenBack),
        "BROKER_PUT_NUMS" => broker(0),
        "BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC" => broker(1),
        "BROKER_GET_NUMS" => broker(2),
        _ => None,
    }
}

/// Messages a second that a group got of a topic over the last minute.
pub(crate) fn got_a_second(shard: &Shard, group: &str, topic: &str) -> f64 {
    let (pulled, clock) = (&shard.tables.pulled, &shard.services.statistics.clock);
    let rate = pulled.rate((group, topic), Counted::Messages, clock, Window::Minute);
    rate.unwrap_or_default().per_second
}

/// Messages a second that were stored in a topic over the last minute.
pub(crate) fn put_a_second(shard: &Shard, topic: &str) -> f64 {
    let clock = &shard.services.statistics.clock;
    shard.sends.puts.nums(topic, clock, Window::Minute).unwrap_or_default().per_second
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
