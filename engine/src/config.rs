//! What a store is built with. Facts of the store (file sizes) are checked against its files at
//! open.

use crate::delay_levels::DelayLevels;
use crate::error::OpenError;
use crate::index::Shape;
use crate::limits::{
    BLANK_HEAD_BYTES, BLOCK_BYTES, CHECKPOINT_BYTES, CHUNK_BYTES, CONSUMEQUEUE_OPEN_FILES_MAX,
    FEW_QUEUES_MAX, INDEX_FILE_BYTES_MAX, LIGHT_QUEUES_MAX, RECORD_OVERHEAD_BYTES,
    TAIL_RESERVED_BYTES,
};
use crate::number::exact;
use crate::retention::RetentionConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// When the log is made durable (`flushDiskType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlushPolicy {
    /// `ASYNC_FLUSH`: behind the answers, every `flush_interval_ms`.
    #[default]
    Async,
    /// `SYNC_FLUSH`: an answer waits until its message survives a power cut.
    Sync,
}

/// Whose records a log takes. It is kept in the store: see [`crate::Store::set_source`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogSource {
    /// Messages of this store's own producers: [`crate::Store::append`] and its siblings.
    #[default]
    Own,
    /// Another broker's log, byte for byte: [`crate::Store::append_raw`].
    Foreign,
}

/// How the log is written (`logBackend`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogBackend {
    /// O_DIRECT writes from the tail.
    #[default]
    Direct,
    /// Copies into the page cache by a helper thread, with the promise of RocketMQ's mapped files:
    /// what was copied survives the process. No file is mapped: a write that fails is an error,
    /// where a mapping would end the process.
    Mmap,
}

/// Where the memory of the log's tail is (`tailPath`). It matters to ASYNC_FLUSH on
/// [`LogBackend::Direct`], which answers from that memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailPlace {
    /// Nowhere but in the process. Answers do not wait for the log all the same: a killed process
    /// loses what it acknowledged and had not written.
    Private,
    /// In a file in this folder, on a tmpfs, which outlives the process: a killed one loses nothing
    /// that it acknowledged. Where there is no memory for it, answers wait until the message is
    /// written.
    Folder {
        /// The folder.
        path: PathBuf,
        /// The store does not open when the folder will not do at all: no tmpfs, no permission.
        is_required: bool,
    },
    /// There is no place that outlives the process: answers wait until the message is written.
    Nowhere {
        /// Why, and what helps.
        reason: String,
    },
}

/// How one shard's store is built. RocketMQ's names in parentheses.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The store's folder (`storePathRootDir`, or `shard-k/` below it).
    pub root: PathBuf,
    /// Size of a log file (`mappedFileSizeCommitLog`): a fact of the store. A multiple of 4096.
    pub commitlog_file_bytes: u64,
    /// Units in a ConsumeQueue file (`mappedFileSizeConsumeQueue` / 20): a fact of the store.
    pub consumequeue_file_units: u32,
    /// Memory for the recent log (`tailCacheBytes`), at most; unwritten log never exceeds it.
    pub tail_bytes_max: usize,
    /// The tail takes up to `tail_bytes_max` only while the machine has memory to spare, and gives
    /// it back when it hasn't (`tailCacheBytes=auto`); what is not written is bounded by
    /// [`StoreConfig::tail_floor_bytes`] then.
    pub tail_follows_memory: bool,
    /// Memory of one piece of the tail.
    pub chunk_bytes: usize,
    /// Where that memory is (`tailPath`).
    pub tail_place: TailPlace,
    /// Largest message body (`maxMessageSize`).
    pub message_bytes_max: usize,
    /// Messages of one read served from memory (`maxTransferCountOnMessageInMemory`).
    pub hot_messages_max: usize,
    /// Bytes of one read served from memory (`maxTransferBytesOnMessageInMemory`).
    pub hot_bytes_max: usize,
    /// Messages of one read served from disk (`maxTransferCountOnMessageInDisk`).
    pub cold_messages_max: usize,
    /// Bytes of one read served from disk (`maxTransferBytesOnMessageInDisk`).
    pub cold_bytes_max: usize,
    /// What one disk read fetches, so that the next ones of a consumer catching up find it in
    /// memory.
    pub read_ahead_bytes: usize,
    /// Memory for what was read ahead.
    pub cold_cache_bytes_max: usize,
    /// When the log is made durable (`flushDiskType`).
    pub flush: FlushPolicy,
    /// How the log is written (`logBackend`).
    pub backend: LogBackend,
    /// Time between two fdatasyncs of the log under [`FlushPolicy::Async`]
    /// (`flushIntervalCommitLog`).
    pub flush_interval_ms: u64,
    /// Time between two writes of ConsumeQueue files (`flushIntervalConsumeQueue`).
    pub consumequeue_interval_ms: u64,
    /// Time between two checkpoints: what is scanned again after an unclean stop.
    pub checkpoint_interval_ms: u64,
    /// A checkpoint comes earlier when so many bytes were appended since the last.
    pub checkpoint_bytes: u64,
    /// ConsumeQueue files that stay open for reads; each is a descriptor. A write opens its file
    /// for as long as it takes.
    pub consumequeue_open_files_max: usize,
    /// Up to so many changed ConsumeQueues are written each interval, and synced one by one. More
    /// of them wait for the next checkpoint and are synced with their whole file system: a write
    /// costs the same for one unit as for a hundred, an fdatasync for one file as a syncfs for all.
    pub few_queues_max: usize,
    /// How long closing may finish what can be left to the next start: the index, the cutting and
    /// the making durable of ConsumeQueues. Messages are made durable however long it takes.
    pub close_deadline_ms: u64,
    /// How long messages are kept, and what a disk that fills up means.
    pub retention: RetentionConfig,
    /// Every record ends with a checksum over all of it (`enabledAppendPropCRC`): damage anywhere
    /// is then found, not only in bodies and where lengths and offsets give it away. Records that
    /// have one are checked whatever this says.
    pub append_property_crc: bool,
    /// How long each delay level delays (`messageDelayLevel`): decides when the messages of
    /// SCHEDULE_TOPIC_XXXX are due.
    pub delay_levels: DelayLevels,
    /// Whether messages that name light message queues go into them, and queues built anew from the
    /// log take in every one that records name (`enableLmq` and `enableMultiDispatch`). Those whose
    /// folders are there, or that the manifest lists, are taken in whatever this says.
    pub builds_light_queues: bool,
    /// How many light message queues appends may make (`maxLmqConsumeQueueNum`); those of a rebuild
    /// and of another broker's log are not counted against it.
    pub light_queues_max: usize,
    /// Whether messages are found by key (`messageIndexEnable`).
    pub index_enabled: bool,
    /// Slots of an index file (`maxHashSlotNum`): a fact of the store.
    pub index_slots: u32,
    /// Entries of an index file (`maxIndexNum`): a fact of the store.
    pub index_entries: u32,
    /// Messages one query by key returns (`maxMsgsNumBatch`).
    pub query_messages_max: usize,
    /// What the `abort` file holds.
    pub process_id: u32,
}

impl StoreConfig {
    /// RocketMQ's defaults for a store at `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            commitlog_file_bytes: 1024 * 1024 * 1024,
            consumequeue_file_units: 300_000,
            tail_bytes_max: 64 * 1024 * 1024,
            tail_follows_memory: false,
            chunk_bytes: CHUNK_BYTES,
            tail_place: TailPlace::Private,
            message_bytes_max: 4 * 1024 * 1024,
            hot_messages_max: 32,
            hot_bytes_max: 256 * 1024,
            cold_messages_max: 8,
            cold_bytes_max: 64 * 1024,
            read_ahead_bytes: 1024 * 1024,
            cold_cache_bytes_max: 16 * 1024 * 1024,
            flush: FlushPolicy::Async,
            backend: LogBackend::Direct,
            flush_interval_ms: 500,
            consumequeue_interval_ms: 1000,
            checkpoint_interval_ms: 10_000,
            checkpoint_bytes: CHECKPOINT_BYTES,
            consumequeue_open_files_max: CONSUMEQUEUE_OPEN_FILES_MAX,
            few_queues_max: FEW_QUEUES_MAX,
            close_deadline_ms: 30_000,
            retention: RetentionConfig::default(),
            append_property_crc: false,
            delay_levels: DelayLevels::default(),
            builds_light_queues: false,
            light_queues_max: LIGHT_QUEUES_MAX,
            index_enabled: true,
            index_slots: 5_000_000,
            index_entries: 20_000_000,
            query_messages_max: 64,
            process_id: std::process::id(),
        }
    }

    /// Largest record, and largest sum of a batch's records.
    #[must_use]
    pub fn record_bytes_max(&self) -> usize {
        self.message_bytes_max + RECORD_OVERHEAD_BYTES
    }

    /// The most that [`crate::Store::append_raw`] takes at once: a record, or the longest blank.
    #[must_use]
    pub fn raw_bytes_max(&self) -> usize {
        self.record_bytes_max() + exact::<_, usize>(BLANK_HEAD_BYTES)
    }

    /// Least `tail_bytes_max`: the chunk being filled and the next must fit, each as large as the
    /// largest record asks.
    #[must_use]
    pub fn tail_bytes_min(&self) -> usize {
        let block: usize = exact(BLOCK_BYTES);
        2 * self.chunk_bytes.max(self.record_bytes_max() + 2 * block)
    }

    /// What a tail that follows the machine's memory never gives back.
    #[must_use]
    pub fn tail_floor_bytes(&self) -> usize {
        TAIL_RESERVED_BYTES.max(self.tail_bytes_min()).min(self.tail_bytes_max)
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let wrong = |key: &'static str, found: u64, expected: String| {
            Err(OpenError::Config { key, found, expected })
        };
        let record_max = self.record_bytes_max() as u64;
        if !self.commitlog_file_bytes.is_multiple_of(BLOCK_BYTES)
            || self.commitlog_file_bytes < record_max + 2 * BLOCK_BYTES
        {
            let expected = format!(
                "a multiple of {BLOCK_BYTES}, at least maxMessageSize + 64 KiB + 8 KiB = {}",
                record_max + 2 * BLOCK_BYTES
            );
            return wrong("mappedFileSizeCommitLog", self.commitlog_file_bytes, expected);
        }
        if self.consumequeue_file_units == 0 {
            return wrong("mappedFileSizeConsumeQueue", 0, "at least 1 unit".to_owned());
        }
        let index = Shape { slots: self.index_slots, entries: self.index_entries };
        if index.slots == 0 || index.entries < 2 || index.file_bytes() > INDEX_FILE_BYTES_MAX {
            let expected = format!(
                "at least 1 slot (maxHashSlotNum) and 2 entries, 4 and 20 bytes \
                    each, at most {INDEX_FILE_BYTES_MAX} together"
            );
            return wrong("maxIndexNum", u64::from(self.index_entries), expected);
        }
        if self.chunk_bytes == 0 || !(self.chunk_bytes as u64).is_multiple_of(BLOCK_BYTES) {
            return wrong(
                "chunk_bytes",
                self.chunk_bytes as u64,
                format!("a multiple of {BLOCK_BYTES}"),
            );
        }
        if self.tail_bytes_max < self.tail_bytes_min() {
            return wrong(
                "tailCacheBytes",
                self.tail_bytes_max as u64,
                format!("at least {}", self.tail_bytes_min()),
            );
        }
        Ok(())
    }
}
