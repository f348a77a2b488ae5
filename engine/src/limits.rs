//! Every limit of the store, related by compile-time asserts. Reaching one is a normal outcome, not
//! a crash.

use rt::runtime::DIRECT_ALIGN;

/// What O_DIRECT writes: the log's partial last block is rewritten until it is full.
pub const BLOCK_BYTES: u64 = 4096;
const _: () = assert!(BLOCK_BYTES == DIRECT_ALIGN as u64);

/// One piece of the tail's memory. Smaller: more partial blocks copied from chunk to chunk; larger:
/// coarser eviction.
pub const CHUNK_BYTES: usize = 1024 * 1024;
const _: () = assert!(CHUNK_BYTES.is_multiple_of(DIRECT_ALIGN));

/// A tail that outlives the process may have so many times the slots that it began with: readers
/// keep some, and the log goes on in others. Beyond it appends wait for readers.
pub const TAIL_SLOTS_FACTOR: usize = 4;

/// So much of such a tail has its memory from the start to the end: what is not written yet must
/// not depend on what others take meanwhile. The rest is taken as it fills.
pub const TAIL_RESERVED_BYTES: usize = 64 * 1024 * 1024;

/// How often a tail that follows the machine's memory looks at it.
pub const BUDGET_LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// The same when the log does not grow and nothing could be given back.
pub const BUDGET_LOOK_AT_REST: std::time::Duration = std::time::Duration::from_millis(250);

/// What such a tail may take from one look to the next. More would be taken unseen.
pub const GROWTH_BYTES: usize = 64 * 1024 * 1024;

/// What such a tail leaves to everybody else: a quarter of what it may become, within these.
pub const CACHE_SPARE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// See [`CACHE_SPARE_BYTES_MIN`].
pub const CACHE_SPARE_BYTES_MAX: u64 = 256 * 1024 * 1024;
const _: () = assert!(CACHE_SPARE_BYTES_MIN <= CACHE_SPARE_BYTES_MAX);

/// From this part of the time on in which tasks wait for memory, in thousandths, it gives back.
pub const STALLED_PERMILLE_MAX: u32 = 100;

/// Memory is not reserved for so many times as long as it took to reserve the last chunk's. A
/// virtual machine may need a millisecond a MiB, on the shard's own core where there is no other.
pub const RESERVE_REST: u32 = 9;

/// So much is reserved ahead for a log that grows slowly.
pub const READY_BYTES_MIN: usize = 4 * 1024 * 1024;

/// Between two chunks that are given back: others may stop needing memory meanwhile.
pub const GIVE_BACK_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// Evicted chunks that readers still hold and that are looked at again when a chunk is needed.
pub const LENT_CHUNKS_MAX: usize = 8;

/// What a record may have beyond its body limit (RocketMQ: body limit + 64 KiB).
pub const RECORD_OVERHEAD_BYTES: usize = 64 * 1024;

/// Left free at the end of a log file: the blank's length and magic.
pub const BLANK_HEAD_BYTES: u64 = 8;

/// Largest single log write. Larger would delay `written`, and with it whoever waits for room in
/// the tail.
pub const WRITE_BYTES_MAX: u64 = 1024 * 1024;

/// So many log writes are in flight together, where answers don't wait for them: a device that gets
/// one at a time stands still between two (bench `append_disk`: four are enough).
pub const WRITES_TOGETHER_MAX: usize = 4;

/// Less than this waits for [`KEPT_GATHER`] before it is written, where the tail outlives the
/// process: a write of this size costs the device and the core least for each byte.
pub const KEPT_GATHER_BYTES: u64 = WRITE_BYTES_MAX;

/// How long a little waits for more where the tail outlives the process. A killed process loses
/// nothing by it; a power cut takes `flush_interval_ms` of messages, and this is small beside it.
pub const KEPT_GATHER: std::time::Duration = std::time::Duration::from_millis(2);

/// Less than this waits for [`PRIVATE_GATHER`] before it is written, where the tail is private and
/// answers don't wait for the write.
pub const PRIVATE_GATHER_BYTES: u64 = 64 * 1024;

/// How long a little waits for more where the tail is private. It is part of what a killed process
/// may lose under ASYNC_FLUSH.
pub const PRIVATE_GATHER: std::time::Duration = std::time::Duration::from_micros(200);

/// Turns of the core's loop that a write lets pass while each brings more, where answers wait for
/// it: what has arrived but is not read yet goes with this write instead of waiting for the next.
pub const GATHER_TURNS_MAX: usize = 8;

/// Highest queue id: the table of a topic is indexed by it, so a hostile id must not size an
/// allocation.
pub const QUEUE_ID_MAX: i32 = 65_535;

/// So much appended since the last checkpoint brings the next one, however short the time: a start
/// after a crash scans it again, at about 1 GB a second.
pub const CHECKPOINT_BYTES: u64 = 512 * 1024 * 1024;

/// ConsumeQueue units in memory that no file has yet: beyond it appends wait (24 bytes each, 96
/// MiB).
pub const UNPERSISTED_UNITS_MAX: usize = 4_000_000;

/// From here on they are written at once and without pauses (24 MB).
pub const UNPERSISTED_UNITS_WAKE: usize = 1_000_000;
const _: () = assert!(UNPERSISTED_UNITS_WAKE < UNPERSISTED_UNITS_MAX);

/// ConsumeQueue units in memory of queues whose files can't be written (24 MB): beyond it messages
/// to these queues are refused, and to no others.
pub const STUCK_UNITS_MAX: usize = 1_000_000;

/// Such queues that the log names one by one after a round; the others are only counted: on a full
/// disk it is all of them.
pub const STUCK_QUEUES_NAMED_MAX: usize = 16;

/// A recovery scan writes ConsumeQueues when it has so many units in memory: writing them for each
/// 100,000 would cost a start with 10,000 queues seconds. The rest is written after the start.
pub const SCANNED_UNITS_MAX: usize = UNPERSISTED_UNITS_MAX / 2;

/// See [`crate::StoreConfig::few_queues_max`]. A sync of the whole file system makes others' pages
/// durable too: not worth it for a few.
pub const FEW_QUEUES_MAX: usize = 256;

/// Queues whose files one job of a helper thread writes (some 0.3 ms).
pub const PERSIST_QUEUES: usize = 32;

/// Between two such jobs while nobody waits for them. With less of a pause the threads of the
/// kernel and of the file system take the core's CPU for milliseconds on a small machine.
pub const PERSIST_PAUSE: std::time::Duration = std::time::Duration::from_millis(2);

/// How often a wait for the file system looks whether the store's time to close is up.
pub const STOP_LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// ConsumeQueues whose files are made at the same time. The kernel's threads that do it are as few
/// as four for each CPU, and the log's flush needs one of them.
pub const PERSISTS_AT_ONCE: usize = 4;

/// ConsumeQueue files synced at the same time: the journal takes their commits together. See
/// [`PERSISTS_AT_ONCE`] for why so few.
pub const SYNCS_AT_ONCE: usize = 4;

/// Queues that a walk over all of them looks at before others get their turn (some 50 us).
pub const QUEUES_AT_ONCE: usize = 256;

/// Time that a walk over all queues leaves to others between two pieces. A sleep, because a task
/// that only yields is the next one again while nothing else on the core is ready.
pub const PIECE_PAUSE: std::time::Duration = std::time::Duration::from_micros(20);

/// ConsumeQueues whose files are cut, then synced, together.
pub const CUTS_AT_ONCE: usize = 16;

/// ConsumeQueue units that one job of a helper thread writes, for all of its queues (1 MiB, some
/// 0.1 ms of encoding). Beside a full core such a job takes up to 20 ms, whatever it writes: with a
/// twentieth of this one queue reached 180,000 units a second, and the log ran away from it.
pub const PERSIST_JOB_UNITS_MAX: usize = 52_416;

/// ConsumeQueue units in one write of a file that is made for them.
pub const PERSIST_UNITS_MAX: usize = 3276;

/// Open ConsumeQueue files kept unless the configuration says otherwise: 10,000 queues must not
/// need 10,000 descriptors.
pub const CONSUMEQUEUE_OPEN_FILES_MAX: usize = 256;

/// Open CommitLog files kept.
pub const COMMITLOG_OPEN_FILES_MAX: usize = 64;

/// Arrivals remembered between two drains; beyond it they are merged to one for each queue.
pub const ARRIVALS_MAX: usize = 65_536;

/// Queues whose files are looked at or cut at the same time when a store is opened: each is a few
/// small operations that mostly wait.
pub const OPENING_QUEUES_AT_ONCE: usize = 32;

/// One read of the recovery scan.
pub const SCAN_READ_BYTES: usize = 1024 * 1024;

/// Reads of the recovery scan on their way at once: fewer and the device idles while records are
/// checked.
pub const SCAN_READS_AHEAD: usize = 4;

/// Messages that may be missing between two records of a queue; a larger gap is a damaged queue
/// offset.
pub const MISSING_UNITS_MAX: usize = 1_000_000;
const _: () = assert!(MISSING_UNITS_MAX < UNPERSISTED_UNITS_MAX);

/// Log that is searched for the message of a damaged ConsumeQueue unit.
pub const REPAIR_SCAN_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Places of damage that reads have reported: a consumer that asks again must not fill the log.
/// Beyond it they are forgotten and may be said once more.
pub const REPORTED_DAMAGE_MAX: usize = 4096;

/// Windows of `read_ahead_bytes` that are read ahead of a consumer catching up: fewer and the
/// device idles while records are handed out.
pub const READ_AHEAD_WINDOWS: usize = 4;

/// ConsumeQueue units read from a file at once, for the next reads of the same consumer (12 KiB in
/// memory).
pub const UNITS_READ_AHEAD: usize = 512;

/// Such runs of units kept.
pub const UNIT_RUNS_MAX: usize = 64;

/// ConsumeQueue units that one read looks at when the filter matches nothing (RocketMQ's
/// maxFilterMessageSize / 20).
pub const FILTER_UNITS_MAX: usize = 800;

/// Bytes of records that one read from disk looks at for a filter that decides by records; one
/// record is always looked at. Each is checked, which is the core's time.
pub const FILTER_BYTES_MAX: usize = 1 << 20;

/// Pieces a message's properties may come in, for a batch (its own pieces and the batch's).
pub const PROPERTY_PIECES_MAX: usize = 8;

/// Light message queues that appends may make, where no key says less. One takes about 300 bytes.
pub const LIGHT_QUEUES_MAX: usize = 1_000_000;

/// Light message queues that one message may name.
pub const LIGHT_QUEUES_OF_ONE_MAX: usize = 128;

/// How far zeros are written ahead of the log under SYNC_FLUSH.
pub const ZEROS_AHEAD_BYTES: u64 = 4 * 1024 * 1024;

/// Zeros in one write: larger would stand longer in the way of a flush, smaller would cost more of
/// them.
pub const ZEROS_STEP_BYTES: u64 = 1024 * 1024;
const _: () =
    assert!(ZEROS_STEP_BYTES <= ZEROS_AHEAD_BYTES && ZEROS_STEP_BYTES.is_multiple_of(BLOCK_BYTES));

/// Log writes of this size and more (a smoothed mean) get no zeros ahead of them: the device writes
/// every byte twice, which by then costs more than the journal commits and the kernel workers that
/// the zeros save.
pub const ZEROS_WRITE_BYTES_MAX: u64 = 256 * 1024;
/// Index entries in memory that no file has yet (20 bytes each, 1.3 MB): then they are written.
pub const INDEX_PENDING_ENTRIES_MAX: usize = 65_536;

/// Records whose keys the append has handed to the index and that are not entered yet (24 bytes
/// each, 384 KiB). Those beyond it the index reads from the log.
pub const INDEX_HANDED_RECORDS_MAX: usize = 16_384;

/// From here on they are entered at once: at half, because more come meanwhile.
pub const INDEX_HANDED_WAKE: usize = INDEX_HANDED_RECORDS_MAX / 2;

/// Hashes of their keys (4 bytes each, 256 KiB): a message mostly has two or three.
pub const INDEX_HANDED_KEYS_MAX: usize = 65_536;

/// Such records that are entered before other tasks get their turn (some 0.1 ms).
pub const INDEX_RECORDS_AT_ONCE: usize = 512;

/// Slots and entries an index file may have: its length must fit Java's int, as RocketMQ maps it
/// whole.
pub const INDEX_FILE_BYTES_MAX: u64 = i32::MAX as u64;

/// One read of the log for the index, and what is indexed before other tasks get their turn.
pub const INDEX_READ_BYTES: usize = 256 * 1024;

/// A query that finds the index this much behind the log does not wait for it.
pub const INDEX_CATCH_UP_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Between two rounds of the index while messages come.
pub const INDEX_INTERVAL: std::time::Duration = std::time::Duration::from_millis(10);

/// Entries of a file read at once when the next one looked for is near.
pub const INDEX_WINDOW_ENTRIES: u32 = 512;

/// Bytes one query returns, unless its only message is larger: clients refuse frames above 16 MiB.
pub const QUERY_BYTES_MAX: usize = 15 * 1024 * 1024;
