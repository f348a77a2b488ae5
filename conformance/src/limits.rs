//! Bounds on waiting. All generous: they tell a hang from work on a busy machine, they measure
//! nothing.

use std::time::Duration;

/// A server must accept connections and be registered within this time of its start: a JVM on a
/// shared core is slow, and so is allocating a first log file of 1 GiB (the seed's configuration)
/// on a busy disk: over 60 s were seen.
pub(crate) const START_MAX: Duration = Duration::from_secs(120);
/// A server told to end (SIGTERM) is killed after this time.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(30);
/// One scenario, restarts included. Above the sum of a program's own limits in practice; a pass
/// takes 2 to 40 s, `drop-in` with its seven changes of brokers three minutes on a busy machine.
pub(crate) const SCENARIO_MAX: Duration = Duration::from_secs(600);
/// One command of Apache's `mqadmin`, the start of its JVM included.
pub(crate) const MQADMIN_MAX: Duration = Duration::from_secs(60);
/// One answer of a name server.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Fixed ports of a cluster that has just been killed are free again within this time.
pub(crate) const PORTS_BACK_MAX: Duration = Duration::from_secs(5);
/// How often conditions and the interrupt flag are looked at.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// The seed's consumer must print its messages within this time.
pub(crate) const SEED_RECEIVE_MAX: Duration = Duration::from_secs(60);
/// Time given to a message that must not come a second time.
pub(crate) const SEED_SETTLE: Duration = Duration::from_millis(1_500);
/// Lines of each log shown when something failed.
pub(crate) const LOG_TAIL_LINES: usize = 25;
/// No frame of these conversations is longer; a longer one means that the recorder lost step.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;
/// A program in another language must answer an order within this time; a send against a dead
/// broker is tried again by the client for up to half a minute.
pub(crate) const PROGRAM_EVENT_MAX: Duration = Duration::from_secs(120);
/// A program that was told to end is killed after this time: some clients wait for a long poll.
pub(crate) const PROGRAM_END_MAX: Duration = Duration::from_secs(5);
/// What a program must receive, it receives within this time. Clients look for new topics every
/// 30 s and share queues anew every 20 s; after a restart they need both.
pub(crate) const PROGRAM_RECEIVE_MAX: Duration = Duration::from_secs(150);
/// Time given to messages that must not come.
pub(crate) const PROGRAM_SETTLE: Duration = Duration::from_millis(1_500);
/// A topic just made is known to both name servers within this time.
pub(crate) const ROUTE_MAX: Duration = Duration::from_secs(40);
/// Clients of other languages must send again within this time of the broker's return.
pub(crate) const SEND_AGAIN_MAX: Duration = Duration::from_secs(150);
/// A broker that calls itself busy takes a message within this time.
pub(crate) const BUSY_MAX: Duration = Duration::from_secs(30);
/// Between two attempts at a busy broker.
pub(crate) const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// A slave has its master's log, after it was started or its master was: Apache's dials every 5 s,
/// and registers up to 30 s after a start.
pub(crate) const REPLICATED_MAX: Duration = Duration::from_secs(90);
/// A slave has its master's tables: Apache's asks a minute after its start, then every minute.
pub(crate) const TABLES_MAX: Duration = Duration::from_secs(150);
/// `migrate.sh` has made RingMQ's broker the master: it starts `mqadmin`, a JVM, a dozen times.
pub(crate) const MIGRATED_MAX: Duration = Duration::from_secs(300);
