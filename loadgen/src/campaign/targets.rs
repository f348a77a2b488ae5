//! What a campaign measures, and what it is measured against. The targets stand as they were
//! written before any run; so do the expectations.

use crate::compare::metrics::Metric;
use crate::protocols::Protocol;

/// The other side of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// Apache RocketMQ with ASYNC_FLUSH: acknowledged messages survive a kill.
    ApacheAsync,
    /// Apache RocketMQ with SYNC_FLUSH.
    ApacheSync,
    /// rocketmq-rust, tuned, ASYNC_FLUSH.
    RocketmqRust,
    /// A target that only answers, alone on the broker's core.
    Echo,
}

/// What one row of a measurement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A closed loop.
    Closed {
        /// Connections.
        senders: usize,
        /// Requests in flight on each.
        in_flight: usize,
    },
    /// An open loop at half of the most that the other side reached at 16×8.
    HalfOfTheirs,
    /// Fills a backlog and reads it.
    Backlog,
    /// Clients are connected and do nothing.
    Idle,
}

/// One load, measured in blocks A B B A.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    /// Its folder.
    pub id: &'static str,
    /// The other side (A); RingMQ is B.
    pub against: Against,
    /// The load.
    pub work: Work,
    /// Protocol of both sides.
    pub protocol: Protocol,
    /// Broker and generator sleep at once when there is nothing to do: no spin window.
    pub sleeps: bool,
    /// What is expected, written before any run.
    pub expectation: &'static str,
}

/// The loads, in the order in which they are run.
pub(crate) const MEASUREMENTS: [Measurement; 17] = [
    remoting("async-1x1", Against::ApacheAsync, closed(1, 1), "3 to 3.5 times the rate"),
    remoting("async-64x1", Against::ApacheAsync, closed(64, 1), "6 to 7 times the rate"),
    remoting("async-16x8", Against::ApacheAsync, closed(16, 8), "8 to 9 times the rate"),
    Measurement {
        sleeps: true,
        ..remoting("async-1x1-asleep", Against::ApacheAsync, closed(1, 1), "p50 a third of theirs")
    },
    remoting("async-half", Against::ApacheAsync, Work::HalfOfTheirs, "p99 a tenth of theirs"),
    remoting("sync-16x1", Against::ApacheSync, closed(16, 1), "2.5 times the rate"),
    remoting("sync-64x1", Against::ApacheSync, closed(64, 1), "3 times the rate"),
    remoting("sync-16x8", Against::ApacheSync, closed(16, 8), "3 times the rate"),
    remoting("backlog", Against::ApacheAsync, Work::Backlog, "3 times the rate, CPU a third"),
    remoting("idle", Against::ApacheAsync, Work::Idle, "below 0.5 % of a core, memory 1/20"),
    remoting("echo-64x1", Against::Echo, closed(64, 1), "40 % of the echo's rate"),
    remoting("echo-16x8", Against::Echo, closed(16, 8), "20 % of the echo's rate"),
    Measurement {
        protocol: Protocol::Native,
        ..remoting("native-16x8", Against::Echo, closed(16, 8), "50 % of the echo's rate")
    },
    remoting("rust-1x1", Against::RocketmqRust, closed(1, 1), "2.5 times the rate"),
    remoting("rust-64x1", Against::RocketmqRust, closed(64, 1), "7 times the rate"),
    remoting("rust-16x8", Against::RocketmqRust, closed(16, 8), "15 times the rate"),
    remoting("rust-backlog", Against::RocketmqRust, Work::Backlog, "4 times the rate"),
];

const fn closed(senders: usize, in_flight: usize) -> Work {
    Work::Closed { senders, in_flight }
}

const fn remoting(
    id: &'static str,
    against: Against,
    work: Work,
    expectation: &'static str,
) -> Measurement {
    Measurement { id, against, work, protocol: Protocol::Remoting, sleeps: false, expectation }
}

/// What has to hold of a ratio B / A, or of B alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// At least so many times A's.
    AtLeast(f64),
    /// At most so many times A's.
    AtMost(f64),
    /// B alone, at most so much.
    AloneAtMost(f64),
}

/// A figure that a target is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// One that rows have.
    Of(Metric),
    /// CPU per message without the idle spin, where it is told apart.
    CpuWithoutSpin,
    /// Share of a core that an idle broker uses.
    IdleCpu,
    /// Resident memory.
    Resident,
}

impl Figure {
    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Of(metric) => metric.name(),
            Self::CpuWithoutSpin => "CPU/msg without idle spin",
            Self::IdleCpu => "CPU when idle",
            Self::Resident => "resident memory",
        }
    }

    /// Whether a machine that is shared can't show it.
    pub(crate) fn is_tail(self) -> bool {
        matches!(self, Self::Of(Metric::P99 | Metric::P999))
    }
}

/// One target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// What it is about.
    pub what: &'static str,
    /// What measures it.
    pub measured_by: MeasuredBy,
}

/// Where a target's figure comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MeasuredBy {
    /// The blocks of a measurement.
    Blocks(&'static str, Figure, Bound),
    /// The rounds of a benchmark: the figure's name in its lines, and what it is.
    Bench(&'static str, &'static str, Bound),
    /// Nothing, and why.
    Nothing(&'static str),
}

const fn target(id: &'static str, what: &'static str, figure: Figure, bound: Bound) -> Target {
    Target { what, measured_by: MeasuredBy::Blocks(id, figure, bound) }
}

const fn bench(
    figure: &'static str,
    what: &'static str,
    name: &'static str,
    bound: Bound,
) -> Target {
    Target { what, measured_by: MeasuredBy::Bench(figure, name, bound) }
}

const fn without(what: &'static str, why: &'static str) -> Target {
    Target { what, measured_by: MeasuredBy::Nothing(why) }
}

const RATE: Figure = Figure::Of(Metric::Rate);
const P50: Figure = Figure::Of(Metric::P50);
const CPU: Figure = Figure::CpuWithoutSpin;
use Bound::{AloneAtMost, AtLeast, AtMost};

/// All targets, as they stand.
#[rustfmt::skip] // A table: one target, one line.
pub(crate) const TARGETS: [Target; 52] = [
    target("async-1x1", "ASYNC_FLUSH 1×1: rate, Apache", RATE, AtLeast(4.0)),
    target("async-64x1", "ASYNC_FLUSH 64×1: rate, Apache", RATE, AtLeast(6.0)),
    target("async-16x8", "ASYNC_FLUSH 16×8: rate, Apache", RATE, AtLeast(12.0)),
    target("async-1x1", "ASYNC_FLUSH 1×1: CPU, Apache", CPU, AtMost(0.1)),
    target("async-64x1", "ASYNC_FLUSH 64×1: CPU, Apache", CPU, AtMost(0.125)),
    target("async-16x8", "ASYNC_FLUSH 16×8: CPU, Apache", CPU, AtMost(0.05)),
    target("echo-64x1", "remoting 64×1: rate, bare echo", RATE, AtLeast(0.6)),
    target("echo-16x8", "remoting 16×8: rate, bare echo", RATE, AtLeast(0.45)),
    target("native-16x8", "native 16×8: rate, bare echo", RATE, AtLeast(0.75)),
    bench("redis-64x1", "64×1: rate, Redis AOF everysec", "rate", AtLeast(1.5)),
    target("async-1x1", "1×1: RT p50 with a spin window, Apache", P50, AtMost(1.0 / 6.0)),
    target("async-1x1-asleep", "1×1: RT p50 asleep, Apache", P50, AtMost(0.5)),
    target("async-half", "half of Apache's rate: p99, Apache", Figure::Of(Metric::P99), AtMost(0.25)),
    target("async-half", "half of Apache's rate: p99.9, Apache", Figure::Of(Metric::P999), AtMost(0.25)),
    without("no send waits for what runs beside it: p99.9 ≤ 1.5×", "a tail: needs isolated hardware"),
    target("sync-16x1", "SYNC_FLUSH 16×1: rate, Apache", RATE, AtLeast(4.0)),
    target("sync-64x1", "SYNC_FLUSH 64×1: rate, Apache", RATE, AtLeast(4.0)),
    target("sync-16x8", "SYNC_FLUSH 16×8: rate, Apache", RATE, AtLeast(4.0)),
    bench("sync-bound-16x1", "SYNC_FLUSH 16×1: N / (R + 1.5 F)", "rate", AtLeast(0.85)),
    bench("sync-bound-64x1", "SYNC_FLUSH 64×1: N / (R + 1.5 F)", "rate", AtLeast(0.85)),
    bench("sync-bound-16x8", "SYNC_FLUSH 16×8: N / (R + 1.5 F)", "rate", AtLeast(0.85)),
    without("sync replication, 64 senders: ≤ 10 % of the rate", "three pinned roles (master, slave, generator) need three cores; two share them in `loadgen replication-cost`"),
    without("sync replication: p50 + ≤ 1.5 RTT", "three pinned roles need three cores"),
    without("sync replication: cost below Apache's", "three pinned roles need three cores"),
    without("hot consume: ≥ 3×, Apache", "three pinned roles (broker, senders, consumers) need three cores"),
    target("backlog", "backlog in memory: rate, Apache", RATE, AtLeast(3.0)),
    bench("cold-together-32", "backlog on disk: the lesser of sequential O_DIRECT and memory", "rate", AtLeast(0.8)),
    bench("pop-batch-rate", "POP, acknowledged together, Apache", "rate", AtLeast(3.0)),
    bench("pop-batch-cpu", "POP, acknowledged together, Apache", "CPU/msg until all is judged", AtMost(0.25)),
    bench("pop-each-rate", "POP, acknowledged one by one, Apache", "rate", AtLeast(3.0)),
    bench("pop-each-cpu", "POP, acknowledged one by one, Apache", "CPU/msg until all is judged", AtMost(0.25)),
    bench("delayed-rate", "delayed messages, Apache", "rate of sends", AtLeast(3.0)),
    bench("delayed-cpu", "delayed messages, Apache", "CPU/msg until it has come", AtMost(0.25)),
    bench("transactions-rate", "transactional messages, Apache", "rate", AtLeast(3.0)),
    bench("transactions-cpu", "transactional messages, Apache", "CPU/msg", AtMost(0.25)),
    target("rust-1x1", "1×1: rate, rocketmq-rust tuned", RATE, AtLeast(4.0)),
    target("rust-64x1", "64×1: rate, rocketmq-rust tuned", RATE, AtLeast(4.0)),
    target("rust-16x8", "16×8: rate, rocketmq-rust tuned", RATE, AtLeast(4.0)),
    target("rust-backlog", "backlog: rate, rocketmq-rust tuned", RATE, AtLeast(4.0)),
    bench("append-64k", "sequential writes of 64 KiB, the best bare O_DIRECT", "rate", AtLeast(0.9)),
    target("idle", "idle CPU with clients attached ≤ 0.5 %", Figure::IdleCpu, AloneAtMost(0.005)),
    bench("names-routes", "name server, 1,000 brokers, 100,000 topics: routes, Apache", "rate", AtLeast(10.0)),
    bench("names-registration", "name server: a broker's registration, Apache", "CPU", AtMost(0.1)),
    bench("names-memory", "name server: memory, Apache", "resident memory", AtMost(0.2)),
    target("idle", "resident memory idle, Apache", Figure::Resident, AtMost(0.125)),
    target("async-16x8", "resident memory loaded, with the cache, Apache", Figure::Resident, AtMost(0.1)),
    without("memory bounded under attack", "the broker's tests of hostile peers show it"),
    bench("start-10-gib", "start after a crash, 10 GiB, Apache", "seconds to the first message", AtMost(0.2)),
    bench("start-10000-queues", "start after a crash, 10,000 queues", "seconds", AloneAtMost(1.0)),
    without("CPU per message from 1 shard to N: flat within 10 %", "two shards and a generator need three cores"),
    target("async-1x1", "1×1: CPU with the idle spin, Apache", Figure::Of(Metric::Cpu), AtMost(0.1)),
    target("backlog", "backlog in memory: CPU, Apache", CPU, AtMost(0.25)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_measurement_or_a_reason_and_every_measurement_a_target() {
        let ids: Vec<&str> = MEASUREMENTS.iter().map(|it| it.id).collect();
        let blocks = |it: &Target| match it.measured_by {
            MeasuredBy::Blocks(id, ..) => Some(id),
            MeasuredBy::Bench(..) | MeasuredBy::Nothing(_) => None,
        };
        let used: Vec<&str> = TARGETS.iter().filter_map(blocks).collect();
        assert!(used.iter().all(|id| ids.contains(id)), "{used:?}");
        assert!(ids.iter().all(|id| used.contains(id)), "{ids:?}");
        let mut sorted = ids.clone();
        sorted.dedup();
        assert_eq!(sorted.len(), MEASUREMENTS.len());
        assert!(MEASUREMENTS.iter().all(|it| !it.expectation.is_empty()));
    }
}
