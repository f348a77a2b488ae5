//! Every limit of the instrument, each with the consequence of a wrong value.

use std::time::Duration;

/// Longest time in a histogram; longer times are counted as overflow. It exceeds every request
/// timeout.
pub(crate) const RECORDED_NANOS_MAX: u64 = 60_000_000_000;
/// Width of a bucket of the "over time" charts, as long as the phase has at most [`BUCKETS_MAX`] of
/// them.
pub(crate) const BUCKET_NANOS: u64 = 100_000_000;
/// More buckets than this make the chart unreadable and its histograms large (15 KiB each): buckets
/// grow instead.
pub(crate) const BUCKETS_MAX: usize = 600;
/// A request without an answer for so long is an error, as in RocketMQ's clients
/// (`sendMsgTimeout`).
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// How long after the last send answers are waited for: a request that got none by then counts as
/// missing.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);
/// Requests without an answer over all connections of a generator in an open loop. Reaching it
/// holds the schedule back, which shows as lag and makes the run INVALID; without it a stalled
/// broker would eat this host's memory.
pub(crate) const OPEN_IN_FLIGHT_MAX: usize = 65_536;
/// Smallest window of one connection: a stuck message must not stop a closed loop of small depth at
/// once.
pub(crate) const WINDOW_MIN: usize = 256;
/// Connections of one generator thread. The ring's tables and the windows are sized by it.
pub(crate) const SENDERS_MAX: usize = 4_096;
/// Requests in flight on one connection.
pub(crate) const IN_FLIGHT_MAX: usize = 8_192;
/// Messages in a request: what RingMQ's native protocol takes.
pub(crate) const BATCH_MAX: usize = 1_024;
/// Distinct tags: they have six digits.
pub(crate) const TAGS_MAX: usize = 999_999;
/// Bytes of the user property: with the others it fits the 32 KiB that properties may have.
pub(crate) const PROPERTY_BYTES_MAX: usize = 30_000;
/// Generator threads.
pub(crate) const THREADS_MAX: usize = 64;
/// Generator processes.
pub(crate) const GENERATORS_MAX: usize = 64;
/// Queues of a topic at one broker: what RingMQ allows, and far more than Apache's have. A route
/// with more is not believed.
pub(crate) const QUEUES_PER_BROKER_MAX: u32 = 65_536;
/// Largest payload: the broker's own limit (`maxMessageSize`).
pub(crate) const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest answer frame: RocketMQ's frame limit.
pub(crate) const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Messages asked for in one pull: Apache's cap for messages still in memory.
pub(crate) const PULL_MESSAGES: i32 = 32;
/// How long children may take until they answer.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long children may take to stop by themselves before they are killed. A broker that was sent
/// more than its index could follow indexes the rest before it ends: 8 s for 30 million messages.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// A name server or admin call without an answer for so long has failed.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages of a run whose place is kept for reading back, 8 bytes each: 1 GiB. Those beyond it are
/// read back and checked for damage and order only. Without a limit an hour at 500,000/s took 14
/// GB.
pub(crate) const ACKS_MAX: u64 = 1 << 27;
/// Share of planned sends that must be answered in the window (`achieved < 99.9 %` is INVALID).
pub(crate) const ACHIEVED_SHARE_MIN: f64 = 0.999;
/// How many usual response times after the window's end an answer still counts as achieved: the
/// messages due last are always on their way when it closes. More would let a growing backlog
/// count.
pub(crate) const LATE_RESPONSE_TIMES: f64 = 2.0;
/// Share of messages answered with an error above which a row is INVALID.
pub(crate) const ERROR_SHARE_MAX: f64 = 0.001;
/// Schedule lag as a share of the response time, at the same percentile, above which that
/// percentile is INVALID.
pub(crate) const LAG_SHARE_MAX: f64 = 0.10;
/// Share of its time a generator thread may work before the row is said to measure the generator.
pub(crate) const GENERATOR_BUSY_SHARE: f64 = 0.90;
/// Share of the no-op target's rate above which a row is said to measure the instrument.
pub(crate) const FLOOR_SHARE: f64 = 0.5;
/// Share of a closed loop's round trip that may be the generator's own before a note says so.
pub(crate) const GENERATOR_WAIT_SHARE: f64 = 0.05;

const _: () = assert!(IN_FLIGHT_MAX * 2 <= OPEN_IN_FLIGHT_MAX, "a window holds twice the depth");
const _: () = assert!(
    REQUEST_TIMEOUT.as_nanos() < DRAIN_TIMEOUT.as_nanos(),
    "every request times out, and is counted as unanswered, before the drain ends"
);
const _: () = assert!(REQUEST_TIMEOUT.as_nanos() < RECORDED_NANOS_MAX as u128);
