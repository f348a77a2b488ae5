//! The traits between a core and everything above it. Engine and servers see time, randomness,
//! tasks and files only through these, so that the same code runs on a real core and in a
//! deterministic simulation.

use crate::buf::BufSlice;
use crate::convert::fits;
use crate::kept::{KeptError, KeptFile, KeptMemory, KeptShape};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which tasks of a core run first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// On the path of a client's answer.
    Foreground,
    /// Flushing derived files, persisting configuration: whatever nobody waits for.
    Background,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Read only, through the page cache.
    Read,
    /// Read and write through the page cache; created when missing.
    Buffered,
    /// Read and write with O_DIRECT; created when missing. Writes must be aligned to
    /// [`DIRECT_ALIGN`] in address, offset and length; reads may have any offset and length. Where
    /// the filesystem has no O_DIRECT the open fails with `ErrorKind::InvalidInput` and the caller
    /// decides whether `Buffered` will do.
    Direct,
    /// As `Buffered`, and a write never holds up the core's thread: another thread copies it into
    /// the page cache. What was copied survives a killed process. There is no mapping: an
    /// unreadable page or a full disk is an error of the write, a file that others cut short is
    /// written on, and nothing is SIGBUS.
    PageCache,
}

/// What O_DIRECT asks of address, offset and length, in bytes.
pub const DIRECT_ALIGN: usize = 4096;

/// The fdatasync of a durable write failed, not the write: nobody knows any more what survives.
#[derive(Debug)]
struct SyncFailed(io::Error);

impl std::fmt::Display for SyncFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fdatasync: {}", self.0)
    }
}

impl std::error::Error for SyncFailed {}

/// What [`File::write_both_durably_at`] returns when its fdatasync failed: of another kind than any
/// error of a write, so that nobody takes a full disk that fdatasync met for a write that can be
/// tried again.
pub(crate) fn sync_failed(source: io::Error) -> io::Error {
    io::Error::other(SyncFailed(source))
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The last component of its path.
    pub name: String,
    /// Its length in bytes (0 for a folder).
    pub bytes: u64,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// When it was last written to, in milliseconds since 1970 (0 for a folder).
    pub modified_ms: i64,
}

/// How full a file system is, for programs without privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Used and available bytes together; what is kept for the superuser counts as neither, as `df`
    /// counts.
    pub total_bytes: u64,
    /// Bytes that can still be written.
    pub available_bytes: u64,
}

impl DiskSpace {
    /// The used part, in hundredths: 0 to 100, rounded up, as `df` shows it.
    #[must_use]
    pub fn used_percent(&self) -> u64 {
        let used = u128::from(self.total_bytes.saturating_sub(self.available_bytes));
        let percent = (used * 100).div_ceil(u128::from(self.total_bytes.max(1)));
        fits(percent)
    }
}

/// How much memory a process could still take, and how hard memory is to come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRoom {
    /// Bytes until the machine, or a control group above the process, has no more. `u64::MAX` when
    /// nobody says.
    pub left_bytes: u64,
    /// The part of the last ten seconds, in thousandths, in which a task waited for memory (the
    /// kernel's pressure stall information, `some avg10`). 0 where the kernel doesn't say.
    pub stalled_permille: u32,
}

impl MemoryRoom {
    /// As much as anybody may want.
    pub const UNLIMITED: Self = Self { left_bytes: u64::MAX, stalled_permille: 0 };
}

/// One write into a file that is there: [`Runtime::write_each`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWrite {
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// One core: its clock, its randomness, its tasks and its files. Cloning gives another handle to
/// the same core.
pub trait Runtime: Clone + 'static {
    /// An open file of this core.
    type File: File;
    /// The file system with a folder.
    type Filesystem: Filesystem;

    /// Monotonic nanoseconds since an arbitrary start; never goes back.
    fn now_nanos(&self) -> u64;
    /// Milliseconds since 1970, as RocketMQ stores them.
    fn wall_ms(&self) -> i64;
    /// By how many seconds local time is ahead of UTC now. RocketMQ's `deleteWhen` and the names of
    /// its index files are in local time.
    fn utc_offset_seconds(&self) -> i64;
    /// A random number; from the seed in a simulation.
    fn random_u64(&self) -> u64;
    /// Starts a task on this core. It runs until it ends or the core stops.
    fn spawn(&self, priority: Priority, task: impl Future<Output = ()> + 'static);
    /// Completes after at least `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> impl Future<Output = io::Result<Self::File>>;
    /// Makes a folder and its parents; no error when it is there.
    fn create_dir_all(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
    /// The entries of a folder, sorted by name.
    fn list_dir(&self, path: &Path) -> impl Future<Output = io::Result<Vec<DirEntry>>>;
    /// The whole content of a small file (configuration).
    fn read_file(&self, path: &Path) -> impl Future<Output = io::Result<Vec<u8>>>;
    /// Replaces a small file so that a crash leaves the old or the new content, never a part:
    /// writes beside it, syncs, renames over it, syncs the folder. With `keep_backup` the old
    /// content stays beside it under the name plus `.bak`.
    fn replace_file(
        &self,
        path: &Path,
        content: Vec<u8>,
        keep_backup: bool,
    ) -> impl Future<Output = io::Result<()>>;
    /// Removes a file; an error when it is missing.
    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
    /// Removes a folder with all in it; no error when it is missing.
    fn remove_dir_all(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
    /// Makes renames, creations and removals in this folder survive a crash.
    fn sync_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
    /// Writes into files that are there, each opened for as long as that takes, through the page
    /// cache: for many files and a little for each. The outcome of each, in their order; a file
    /// that is missing is an error of kind `NotFound`. Not durable before a sync.
    fn write_each(&self, writes: Vec<FileWrite>) -> impl Future<Output = Vec<io::Result<()>>>;
    /// The file system with this folder, to be synced as a whole.
    fn open_filesystem(&self, folder: &Path) -> impl Future<Output = io::Result<Self::Filesystem>>;
    /// How full the file system with `path` is.
    fn disk_space(&self, path: &Path) -> impl Future<Output = io::Result<DiskSpace>>;
    /// Takes an exclusive lock on a file, made when missing, for as long as the returned file lives
    /// (also across processes; a crash frees it). `ErrorKind::WouldBlock` when another process has
    /// it.
    fn lock_file(&self, path: &Path) -> impl Future<Output = io::Result<Self::File>>;

    /// Makes memory that outlives the process ([`crate::kept`]) on the tmpfs that `folder` is on.
    /// It has no name yet, and is locked until its process ends.
    fn make_kept(
        &self,
        folder: &Path,
        shape: KeptShape,
    ) -> impl Future<Output = Result<KeptMemory, KeptError>>;
    /// Reserves the memory of up to `slots` free slots, off the core; fewer when there is no room.
    fn reserve_ahead(&self, memory: &KeptMemory, slots: usize) -> impl Future<Output = ()>;
    /// Gives back the memory of free slots that was not reserved from the start, off the core.
    fn release_free(&self, memory: &KeptMemory) -> impl Future<Output = ()>;
    /// Opens and locks what a process left behind. Refuses what this user did not make alone, and
    /// what a living process has.
    fn open_kept(&self, path: &Path) -> impl Future<Output = Result<KeptFile, KeptError>>;
    /// The first `len` bytes of what a process left or still has, fewer when it has fewer. Takes no
    /// lock, so it keeps nobody from [`Runtime::open_kept`]; refuses what that refuses otherwise.
    fn peek_kept(
        &self,
        path: &Path,
        len: usize,
    ) -> impl Future<Output = Result<Vec<u8>, KeptError>>;
    /// The files in `folder` whose names end with `suffix`, sorted; none when it can't be read.
    fn list_kept(&self, folder: &Path, suffix: &str) -> impl Future<Output = Vec<PathBuf>>;
    /// How much memory there is to be had now. A few small files of the kernel's are read, off the
    /// core.
    fn memory_room(&self) -> impl Future<Output = MemoryRoom>;
    /// Says in whose eyes paths mean what they mean here: processes with different numbers may see
    /// different files under one path (containers). 0: nobody knows.
    fn namespace(&self) -> u64;
}

/// A file system, seen from one folder: everything below that folder must be on it.
pub trait Filesystem: Clone + 'static {
    /// syncfs: what was written to files below the folder before the call survives a power cut, and
    /// so do their names. One device flush for all of them, however many they are; what others
    /// wrote to the file system goes with it.
    ///
    /// An error says that of some files something may never become durable, and not of which: the
    /// next [`File::sync_data`] of such a file fails.
    fn sync(&self) -> impl Future<Output = io::Result<()>>;
}

/// An open file. Cloning gives another handle; the last one closes it.
#[expect(clippy::len_without_is_empty, reason = "an empty file is nothing anybody asks for")]
pub trait File: Clone + 'static {
    /// Reads up to `len` bytes from `offset`: fewer only at the end of the file. A device that
    /// stops in the middle is asked for the rest, and is an error when it does not give it.
    fn read_at(&self, offset: u64, len: usize) -> impl Future<Output = io::Result<BufSlice>>;
    /// Writes all of `data` at `offset`. Not durable before [`File::sync_data`].
    fn write_at(&self, offset: u64, data: BufSlice) -> impl Future<Output = io::Result<()>>;
    /// Writes `first` at `offset` and `second` right behind it (either may be empty). Not durable
    /// before [`File::sync_data`]; a crash may leave any part of it.
    fn write_both_at(
        &self,
        offset: u64,
        first: BufSlice,
        second: BufSlice,
    ) -> impl Future<Output = io::Result<()>> {
        async move {
            let behind = offset + first.len() as u64;
            if !first.is_empty() {
                self.write_at(offset, first).await?;
            }
            if second.is_empty() { Ok(()) } else { self.write_at(behind, second).await }
        }
    }
    /// [`File::write_both_at`], and when it completes both pieces survive a power cut. Says nothing
    /// of earlier writes. A write that found no space is an error of kind `StorageFull` or
    /// `QuotaExceeded` and may be tried again; an fdatasync that failed is of neither kind,
    /// whatever its reason.
    fn write_both_durably_at(
        &self,
        offset: u64,
        first: BufSlice,
        second: BufSlice,
    ) -> impl Future<Output = io::Result<()>> {
        async move {
            self.write_both_at(offset, first, second).await?;
            self.sync_data().await.map_err(sync_failed)
        }
    }
    /// fdatasync: what was written before the call survives a power cut.
    fn sync_data(&self) -> impl Future<Output = io::Result<()>>;
    /// Reserves space (fallocate) and extends the file to `offset + len`.
    fn allocate(&self, offset: u64, len: u64) -> impl Future<Output = io::Result<()>>;
    /// Cuts or extends (with a hole) to `len` bytes.
    fn set_len(&self, len: u64) -> impl Future<Output = io::Result<()>>;
    /// The length in bytes.
    fn len(&self) -> impl Future<Output = io::Result<u64>>;
}
