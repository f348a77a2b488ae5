//! What can go wrong in a store. Each error names the operation, the path, the offset, what was
//! expected and what was found; one at start-up says the fix as well.

use crate::offset::PhyOffset;
use std::io;
use std::path::{Path, PathBuf};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {path} at {offset}: {source}", path = path.display())]
pub struct FileError {
    /// What was tried.
    pub operation: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What the system said.
    pub source: io::Error,
}

/// Whether the disk, or what this user may have of it, is full.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl FileError {
    /// What `map_err` needs. The path is copied only when there is an error: the log's writer comes
    /// by with every write.
    pub(crate) fn at(
        operation: &'static str,
        path: &Path,
        offset: u64,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { operation, path: path.to_owned(), offset, source }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A configuration value that cannot work.
    #[error("{key} = {found}: expected {expected}")]
    Config {
        /// The key, by RocketMQ's name where it has one.
        key: &'static str,
        /// Its value.
        found: u64,
        /// What is accepted.
        expected: String,
    },
    /// Another process has the store.
    #[error("{path}: another process has this store open; stop it, or give this one another \
        storePathRootDir", path = path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error(
        "opening the store: {0}. Nothing was overwritten; see that the path is a file or folder \
            that this user may read and write, on a disk that works"
    )]
    File(#[from] FileError),
    /// What recovery found could not be written down.
    #[error("opening the store: {0}")]
    Store(#[from] StoreError),
    /// A file that is not of the configured size.
    #[error("{path}: {found} bytes, expected {expected}; set {key} to the size this store was \
        made with, or remove the file if it is not the store's", path = path.display())]
    FileSize {
        /// The file.
        path: PathBuf,
        /// The configured size.
        expected: u64,
        /// Its size.
        found: u64,
        /// The key that says the size.
        key: &'static str,
    },
    /// A log file is missing between two others.
    #[error("{path}: missing, though files before and after it are there; restore it, or move \
        the later files away to give up what they hold", path = path.display())]
    MissingFile {
        /// The missing file.
        path: PathBuf,
    },
    /// The end of the log is not there any more.
    #[error("{path}: {found} bytes, expected at least {expected}: the store was flushed \
        up to there; restore the file from a copy, or remove {manifest} to open the store \
        without what is lost", path = path.display(), manifest = manifest.display())]
    CutShort {
        /// The log file, missing when `found` is 0.
        path: PathBuf,
        /// Where in it the log ended.
        expected: u64,
        /// Its size.
        found: u64,
        /// The file that says so.
        manifest: PathBuf,
    },
    /// A newer program wrote this store.
    #[error("{path}: format version {found}, this program knows up to {known}; nothing was \
        changed: open the store with the newer program, or give this one another \
        storePathRootDir", path = path.display())]
    Newer {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version known.
        known: u32,
    },
    /// The end of the log that a killed process left in memory can't be taken over.
    #[error("{path}: {reason}. It has the end of this store's log, which its last process \
        acknowledged and had not written, so the store does not open without it. Mend that; or, \
        to give up what only this file has, write a line with a 0 alone into {abort}",
        path = path.display(), abort = abort.display())]
    Tail {
        /// The tail's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The file that names it.
        abort: PathBuf,
    },
    /// The folder that was asked for can't hold the tail.
    #[error("tailPath = {path}: {reason}; set it to a folder on a tmpfs that this user may write \
        to, /dev/shm for example, to nothing for memory that a killed process loses, or leave it \
        out", path = path.display())]
    TailPath {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file where a folder should be.
    #[error("{path}: expected a folder, found a file there or above it; move it away, or set \
        storePathRootDir to another place", path = path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// A record of many messages, which needs a kind of queue that is not here.
    #[error("{path} at {offset}: queue {queue} of topic {topic} goes from offset {expected} to \
        {found} with an inner batch: topics with queue.type=BatchCQ are not in this version",
        path = path.display())]
    QueueGap {
        /// The log file.
        path: PathBuf,
        /// Where in it the record is.
        offset: u64,
        /// Its topic.
        topic: String,
        /// Its queue.
        queue: i32,
        /// The queue offset that comes next.
        expected: i64,
        /// The record's queue offset.
        found: i64,
    },
}

/// Why an open store stopped working.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The log can't be written on for lack of space.
    #[error("no disk space for the log from {log_at} on; free space and it goes on by itself")]
    DiskFull {
        /// Where the log would go on: the beginning of its next file, or in a file that was made
        /// without space for all of it.
        log_at: PhyOffset,
    },
    /// The log can't be written on because its file can't be made or opened.
    #[error("the log can't go on at {log_at}: {reason}; once that is mended it goes on by itself")]
    LogBlocked {
        /// Where the log would go on.
        log_at: PhyOffset,
        /// The failure.
        reason: String,
    },
    /// Closing took as long as it may: the rest is left to the next start.
    #[error("closing took as long as it may; the next start does the rest")]
    ClosingTimeIsUp,
    /// The store was poisoned by an earlier failure.
    #[error("the store stopped accepting writes: {reason}; free or repair the disk, then restart")]
    Poisoned {
        /// The failure.
        reason: String,
    },
    /// A place that the log does not have.
    #[error("log offset {found}: expected one of {begin} to {end}, where the log begins and ends")]
    OutOfLog {
        /// The place.
        found: PhyOffset,
        /// The log's beginning.
        begin: PhyOffset,
        /// Its end.
        end: PhyOffset,
    },
    /// A place where no record begins.
    #[error(
        "log offset {at}: expected the beginning of a record or of a file's blank, found {found}"
    )]
    NoBoundary {
        /// The place.
        at: PhyOffset,
        /// What lies there.
        found: String,
    },
    /// A log can begin elsewhere only while it is empty, and only at a file's beginning.
    #[error(
        "a log that is {begin} to {end} would begin at {found}: expected an empty log, and a \
            multiple of the file size {file_bytes} that is not before its beginning"
    )]
    Begin {
        /// Where it would begin.
        found: PhyOffset,
        /// Where it begins.
        begin: PhyOffset,
        /// Where it ends.
        end: PhyOffset,
        /// `mappedFileSizeCommitLog`.
        file_bytes: u64,
    },
    /// The store is closing or closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a message was not appended. Nothing of it is in the log then.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AppendError {
    /// The device is behind, or the log is being cut: wait for [`crate::Store::wait_writable`] and
    /// try again.
    #[error(
        "the device is {unwritten_bytes} bytes behind, tailCacheBytes is reached, or the log is \
            being cut"
    )]
    TailFull {
        /// Appended and not written yet.
        unwritten_bytes: u64,
    },
    /// The record is larger than a record may be.
    #[error("record of {found} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size.
        found: usize,
        /// `maxMessageSize` + 64 KiB.
        limit: usize,
    },
    /// The record cannot be encoded: topic or properties too long.
    #[error("the record cannot be encoded: {0}")]
    Record(#[from] protocol::record::RecordError),
    /// The queue id is not one.
    #[error("queue id {found}: expected 0 to {limit}")]
    QueueId {
        /// What was asked for.
        found: i32,
        /// The highest accepted.
        limit: i32,
    },
    /// The topic can't be a folder's name.
    #[error("a topic must be 1 to 255 bytes without / and zero bytes, and neither . nor ..")]
    TopicName,
    /// The store checks whole records and this one leaves no room for the checksum.
    #[error(
        "enabledAppendPropCRC is set and the record does not end with the property __CRC32# and \
            ten digits, which the broker fills in"
    )]
    NoCrcProperty,
    /// The message names more light message queues than one may.
    #[error("a message of {found} light message queues, the limit is {limit}")]
    ManyLightQueues {
        /// How many it names.
        found: usize,
        /// How many it may.
        limit: usize,
    },
    /// There are as many light message queues as may be made.
    #[error("the store has {limit} light message queues already (maxLmqConsumeQueueNum)")]
    LightQueuesFull {
        /// How many.
        limit: usize,
    },
    /// A batch with no message in it.
    #[error("a batch without messages")]
    EmptyBatch,
    /// The queue's file can't be written and so many messages of such queues wait for theirs that
    /// no more are taken. Other queues go on.
    #[error(
        "queue {queue_id} of topic {topic} takes no more messages: {reason}; repair the file or \
            the disk and it goes on by itself"
    )]
    QueueStuck {
        /// The topic.
        topic: String,
        /// The queue.
        queue_id: i32,
        /// The failure.
        reason: String,
    },
    /// There is no space for more of the log.
    #[error("no disk space for the log from {log_at} on; free space and it goes on by itself")]
    DiskFull {
        /// Where the log would go on: the beginning of its next file, or in a file that was made
        /// without space for all of it.
        log_at: PhyOffset,
    },
    /// The log's next file can't be made, or the current one not be opened.
    #[error("the log can't go on at {log_at}: {reason}; once that is mended it goes on by itself")]
    LogBlocked {
        /// Where the log would go on.
        log_at: PhyOffset,
        /// The failure.
        reason: String,
    },
    /// So little space is left that it is kept for what was taken already.
    #[error(
        "the disk is {used_percent} % full, more than diskSpaceWarningLevelRatio allows; free \
            space and it goes on by itself once no more than {resumes_percent} % are used"
    )]
    DiskNearlyFull {
        /// How full it is.
        used_percent: u64,
        /// When messages are taken again.
        resumes_percent: u64,
    },
    /// The store takes another broker's records, and none of its own producers.
    #[error(
        "this store is a copy of another broker's log; send to that one, or make this one the \
            master"
    )]
    Foreign,
    /// The store was poisoned: it takes nothing more until it is restarted.
    #[error("the store stopped accepting writes: {reason}; free or repair the disk, then restart")]
    Poisoned {
        /// The failure.
        reason: String,
    },
    /// The store is closing or closed.
    #[error("the store is closed")]
    Closed,
}

/// Why bytes of another broker's log were not appended. Nothing of them is in the store then.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RawError {
    /// The store takes its own producers' messages: see [`crate::Store::set_source`].
    #[error("this store takes messages of its own producers; make it a copy first")]
    NotForeign,
    /// The bytes do not go where the log ends.
    #[error("bytes for log offset {at}; expected those for {end}, where the log ends")]
    NotAtEnd {
        /// Where they should go.
        at: PhyOffset,
        /// The end of the log.
        end: PhyOffset,
    },
    /// More than one call takes.
    #[error("{found} bytes at once, at most {limit} are taken; give them in pieces")]
    TooLarge {
        /// How many there are.
        found: usize,
        /// `StoreConfig::raw_bytes_max`.
        limit: usize,
    },
    /// What lies there is neither a whole record nor the whole blank of a file's end.
    #[error("at log offset {at}: expected a whole record or a file's blank, found {found}")]
    Record {
        /// Where.
        at: PhyOffset,
        /// What is wrong with it.
        found: String,
    },
    /// The topic can't be a folder's name.
    #[error(
        "at log offset {at}: topic {topic:?}; expected a folder's name of 1 to 255 bytes without \
            / and NUL"
    )]
    Topic {
        /// Where its record lies.
        at: PhyOffset,
        /// The topic.
        topic: String,
    },
    /// The queue id is not one.
    #[error("at log offset {at}: queue id {found}; expected 0 to {limit}")]
    QueueId {
        /// Where its record lies.
        at: PhyOffset,
        /// The queue id.
        found: i32,
        /// The highest accepted.
        limit: i32,
    },
    /// The record does not go on from its queue: the topic began anew at the master, or too many
    /// messages are missing. Deleting the topic here ([`crate::Store::delete_topic`]) lets the
    /// queue begin where the record says.
    #[error(
        "at log offset {at}: message {found} of queue {queue_id} of topic {topic}; expected \
            {expected}, or up to {gap_max} more; delete the topic if it began anew"
    )]
    QueueOffset {
        /// Where the record lies.
        at: PhyOffset,
        /// Its topic.
        topic: String,
        /// Its queue.
        queue_id: i32,
        /// The queue's next offset.
        expected: i64,
        /// The record's.
        found: i64,
        /// Places without message that are made at once.
        gap_max: usize,
    },
    /// As for any append: [`AppendError::TailFull`] means waiting.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Why a read failed. Other reads go on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Readers hold so much memory that this read gets none: try again when some of them have
    /// taken their answers.
    #[error(
        "a read from disk needs {wanted_bytes} bytes of memory; readers hold {used_bytes} of \
            {limit_bytes}"
    )]
    TooMuchMemory {
        /// What the read needs.
        wanted_bytes: usize,
        /// What is charged to the shard's account.
        used_bytes: usize,
        /// The account's limit.
        limit_bytes: usize,
    },
}
