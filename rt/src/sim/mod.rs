//! The simulated runtime: one thread, virtual time, seeded randomness, files in memory that a crash
//! can damage.
//!
//! # Fault model
//!
//! What can go wrong, and does, at [`Sim::crash`] (power cut):
//! - A write that was not followed by a completed [`File::sync_data`] issued after the write
//!   completed may be lost, kept, or torn: each file loses everything, keeps everything, keeps a
//!   prefix (cut at a 512-byte sector), or keeps any subset of sectors (reordered by the device).
//!   Sectors themselves are atomic.
//! - Lengths (set_len, allocate, growth by writing) survive as a prefix of their order in that
//!   file, independently of data: a file may have its new length and zeros in it.
//! - Names created or removed in a folder without a later [`Runtime::sync_dir`] of it survive as a
//!   prefix of their order.
//! - Writes in flight count as written and not synced.
//!
//! At [`Sim::kill`] (SIGKILL, the system lives) completed writes survive all; each write in flight
//! is done or not, or is done at any time of the next life (the device was slow). What waits for
//! such a write: the next allocation or cut of its file, as on Linux. A kill of that life too ends
//! it one way or the other.
//!
//! Kept memory ([`crate::kept`]) survives a kill and no power cut. What nobody had appended to in a
//! buffer over it holds anything then: the process may have been killed in the middle of an append.
//!
//! What happens always: every operation takes a random virtual time, ready tasks run in random
//! order, concurrent operations complete in random order. An O_DIRECT write that is not aligned is
//! refused, as the kernel would.
//!
//! What happens when a test asks for it ([`Sim::inject`]: by operation and path prefix, the next n
//! or each with a probability):
//! - EIO on a write: each of its sectors was written or not, independently; the caller cannot know.
//! - EIO on fdatasync of an O_DIRECT file: what it was to cover stays un-synced, as the device's
//!   cache. Of a file in the page cache, as on Linux: any part of it is durable, the rest never
//!   will be, reads go on showing it, and the next fdatasync succeeds without having done anything.
//!   A program that takes that success for durability loses data here, as it would on Linux.
//! - EIO on syncfs ([`crate::Filesystem::sync`]): the same happened to some of the files below its
//!   folder, and the next fdatasync of each of those fails, once. Of the others, and of names,
//!   nothing is durable by it.
//! - EIO on reads, allocations, creations, removals and folder syncs: the operation did nothing.
//! - EIO or EMFILE on opens, also on those within `read_file`, `replace_file`, `list_dir` and
//!   `sync_dir`: the operation did nothing.
//! - ENOSPC: a write left some of its first sectors behind, any other operation did nothing.
//! - Short reads: the device gives a part; the rest is asked for, and can fail, separately. What a
//!   caller of [`File::read_at`] sees is the whole or an error.
//! - A slow device: operations take up to so much longer. [`Sim::hold_writes`] stalls it
//!   altogether.
//!
//! ENOSPC ([`SimConfig::capacity_bytes`], [`Sim::set_capacity`]): blocks of 4 KiB are taken by
//! fallocate and by writing where none are; holes take none. Removing a file's last name gives them
//! back once nobody has it open. A write, allocation or `replace_file` that finds too few fails
//! with `StorageFull` and did nothing.
//!
//! Bits that rot: [`Sim::rot`] flips a random bit somewhere below a path, [`Sim::damage`] a byte at
//! a place; durably.
//!
//! The wall clock can jump ([`Sim::advance_wall`]): hours pass for who asks the time, not for
//! timers.
//!
//! What is not simulated: CPU time (running takes none), memory that runs out, a clock that goes
//! back, sectors that tear.
//!
//! Everything follows from the seed: the same seed gives the same run ([`Sim::digest`] shows it).

mod disk;
mod executor;
mod faults;
mod file;
mod kept;
mod random;

pub use disk::CrashReport;
pub use faults::{Fault, FaultCounts, FaultOp};
pub use file::{SimFile, SimFilesystem};
pub use kept::Refusal;

use crate::buf::AppendBuf;
use crate::convert::fits;
use crate::kept::{KeptError, KeptFile, KeptMemory, KeptShape};
use crate::runtime::{
    DirEntry, DiskSpace, File, FileWrite, MemoryRoom, OpenMode, Priority, Runtime,
};
use disk::Disk;
use executor::Executor;
use faults::Faults;
use kept::KeptFiles;
use random::Random;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// The wall clock of a simulation begins here (2023-11-14), in milliseconds since 1970.
pub const WALL_START_MS: i64 = 1_700_000_000_000;

/// A write that was in flight at a kill lands within this time.
const LATE_WRITE_NANOS_MAX: u64 = 5_000_000;

/// How a simulated machine is built.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Whether files can be opened with O_DIRECT.
    pub direct_io: bool,
    /// Longest time of one file operation, in nanoseconds of virtual time (the shortest is 1,000).
    pub io_nanos_max: u64,
    /// Size of the device; `None`: no limit.
    pub capacity_bytes: Option<u64>,
}

impl SimConfig {
    /// A machine with O_DIRECT whose operations take up to 200 µs.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, direct_io: true, io_nanos_max: 200_000, capacity_bytes: None }
    }
}

struct Machine {
    config: SimConfig,
    executor: Executor,
    latency: Random,
    randomness: Random,
    crash_randomness: Random,
    disk: RefCell<Disk>,
    kept: Rc<KeptFiles>,
    /// What the process before left in flight: (file, which).
    late_writes: RefCell<Vec<(usize, u64)>>,
    writes_held: Cell<bool>,
    faults: Faults,
    /// What the wall clock is ahead of the virtual one.
    wall_ahead_ms: Cell<i64>,
    /// What it says of its memory.
    memory_room: Cell<MemoryRoom>,
}

/// A simulated core. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Sim {
    machine: Rc<Machine>,
}

impl Sim {
    /// An empty machine.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_config(SimConfig::with_seed(seed))
    }

    /// An empty machine built as `config` says.
    #[must_use]
    pub fn with_config(config: SimConfig) -> Self {
        let mut disk = Disk::default();
        disk.set_capacity(config.capacity_bytes);
        Self::build(config, disk, KeptFiles::default(), (0, 0))
    }

    fn build(
        config: SimConfig,
        disk: Disk,
        kept: KeptFiles,
        (now_nanos, wall_ahead_ms): (u64, i64),
    ) -> Self {
        let seed = config.seed;
        let machine = Machine {
            executor: Executor::new(seed, now_nanos),
            latency: Random::salted(seed, b"latency"),
            randomness: Random::salted(seed, b"chance"),
            crash_randomness: Random::salted(seed, b"crash"),
            disk: RefCell::new(disk),
            kept: Rc::new(kept),
            late_writes: RefCell::default(),
            writes_held: Cell::new(false),
            faults: Faults::new(seed),
            wall_ahead_ms: Cell::new(wall_ahead_ms),
            memory_room: Cell::new(MemoryRoom::UNLIMITED),
            config,
        };
        Self { machine: Rc::new(machine) }
    }

    /// Runs `main`, and with it every spawned task, until `main` is done. Panics, naming the seed,
    /// when nothing can run any more and no timer is set.
    pub fn block_on<T>(&self, main: impl Future<Output = T>) -> T {
        self.machine.executor.block_on(main)
    }

    /// Cuts the power. What survives is on the returned machine, whose clock goes on and whose seed
    /// follows from this one's.
    #[must_use]
    pub fn crash(&self) -> (Self, CrashReport) {
        let (disk, report) =
            self.machine.disk.borrow().after_power_cut(&self.machine.crash_randomness);
        (self.restarted(disk, KeptFiles::default()), report)
    }

    /// Kills the process while the system lives.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.kill_before_stores(0)
    }

    /// As [`Sim::kill`], a moment earlier: the last so many words of kept memory were not stored
    /// yet (at most 64 of a file are known).
    #[must_use]
    pub fn kill_before_stores(&self, missing: usize) -> Self {
        let randomness = &self.machine.crash_randomness;
        let disk = self.machine.disk.borrow().after_kill(randomness);
        let next = self.restarted(disk, self.machine.kept.after_kill(randomness, missing));
        next.land_late_writes();
        next
    }

    /// Lets the device get to what the killed process left in flight, at any time.
    fn land_late_writes(&self) {
        let late = self.machine.disk.borrow().late_writes();
        *self.machine.late_writes.borrow_mut() = late.clone();
        for (inode, seq) in late {
            let after = self.machine.crash_randomness.below(LATE_WRITE_NANOS_MAX);
            let sim = self.clone();
            self.spawn(Priority::Background, async move {
                sim.sleep(Duration::from_nanos(after)).await;
                sim.machine.disk.borrow_mut().land(inode, seq);
            });
        }
    }

    fn restarted(&self, disk: Disk, kept: KeptFiles) -> Self {
        self.machine.executor.drop_tasks();
        let seed = Random::salted(self.machine.config.seed, b"next life").next_u64();
        let config = SimConfig { seed, ..self.machine.config.clone() };
        Self::build(config, disk, kept, (self.now_nanos(), self.machine.wall_ahead_ms.get()))
    }

    /// Ends the process for good. Its tasks hold the machine and the machine holds them, so without
    /// this both stay in memory: a campaign of many seeds calls it at the end of each.
    pub fn end(&self) {
        self.machine.executor.drop_tasks();
    }

    /// From now on operations fail as `fault` says, until [`Sim::clear_faults`] or the end of this
    /// life: a restarted machine is a repaired one.
    pub fn inject(&self, fault: Fault) {
        self.machine.faults.add(fault);
    }

    /// The device works again. What faults did stays.
    pub fn clear_faults(&self) {
        self.machine.faults.clear();
    }

    /// How often faults struck in this life.
    #[must_use]
    pub fn fault_counts(&self) -> FaultCounts {
        self.machine.faults.counts()
    }

    /// Changes the size of the device; `None`: no limit. It may be smaller than what is used.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.machine.disk.borrow_mut().set_capacity(bytes);
    }

    /// Lets `duration` pass on the wall clock, at once.
    pub fn advance_wall(&self, duration: Duration) {
        let ms = fits::<i64, _>(duration.as_millis());
        self.machine.wall_ahead_ms.set(self.machine.wall_ahead_ms.get() + ms);
    }

    /// Sets the wall clock back by `duration`.
    pub fn set_back_wall(&self, duration: Duration) {
        let ms = fits::<i64, _>(duration.as_millis());
        self.machine.wall_ahead_ms.set(self.machine.wall_ahead_ms.get() - ms);
    }

    /// Flips one random bit of what was written below `under`, durably; says in which file and
    /// where. `None` when there is nothing.
    pub fn rot(&self, under: &Path) -> Option<(PathBuf, u64)> {
        self.machine.disk.borrow_mut().rot(under, self.machine.faults.randomness())
    }

    /// While held, no write completes: a device that stalls.
    pub fn hold_writes(&self, held: bool) {
        self.machine.writes_held.set(held);
    }

    /// A number that depends on everything that ran so far, in order.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.machine.executor.digest()
    }

    /// Changes one byte of a file behind everybody's back, durably. Panics when the file is missing
    /// or shorter: a test that damages nothing proves nothing.
    pub fn damage(&self, path: &Path, offset: u64) {
        self.machine.disk.borrow_mut().flip_byte(path, offset);
    }

    async fn io_time(&self) {
        let most = self.machine.config.io_nanos_max.max(1001);
        let nanos = 1000 + self.machine.latency.below(most - 1000);
        self.sleep(Duration::from_nanos(nanos)).await;
    }

    /// The time an operation takes, and whether it fails.
    async fn operation(&self, op: FaultOp, path: &Path) -> io::Result<()> {
        let longer = self.machine.faults.delay(op, path);
        self.io_time().await;
        if !longer.is_zero() {
            self.sleep(longer).await;
        }
        self.machine.faults.check(op, path)
    }

    async fn write_one(&self, write: FileWrite) -> io::Result<()> {
        let FileWrite { path, offset, bytes } = write;
        self.operation(FaultOp::Open, &path).await?;
        let inode = self.machine.disk.borrow_mut().open(&path, false)?;
        let file = SimFile::new(self, &path, inode, OpenMode::Buffered, None);
        file.write_at(offset, AppendBuf::copy_of(&bytes)).await
    }

    /// As [`Sim::operation`], of one that opens what it works on first.
    async fn operation_that_opens(&self, op: FaultOp, path: &Path) -> io::Result<()> {
        self.operation(op, path).await?;
        self.machine.faults.check(FaultOp::Open, path)
    }
}

impl Runtime for Sim {
    type File = SimFile;
    type Filesystem = SimFilesystem;

    fn now_nanos(&self) -> u64 {
        self.machine.executor.now_nanos()
    }

    fn wall_ms(&self) -> i64 {
        let since_start_ms = fits::<i64, _>(self.now_nanos() / 1_000_000);
        WALL_START_MS + since_start_ms + self.machine.wall_ahead_ms.get()
    }

    fn utc_offset_seconds(&self) -> i64 {
        0
    }

    fn random_u64(&self) -> u64 {
        self.machine.randomness.next_u64()
    }

    fn spawn(&self, _priority: Priority, task: impl Future<Output = ()> + 'static) {
        self.machine.executor.spawn(Box::pin(task));
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        self.machine.executor.sleep(duration)
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<SimFile> {
        self.operation(FaultOp::Open, path).await?;
        if mode == OpenMode::Direct && !self.machine.config.direct_io {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "this filesystem has no O_DIRECT",
            ));
        }
        let inode = self.machine.disk.borrow_mut().open(path, mode != OpenMode::Read)?;
        self.machine.disk.borrow_mut().touch_new(inode, self.wall_ms());
        Ok(SimFile::new(self, path, inode, mode, None))
    }

    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.operation(FaultOp::Name, path).await?;
        self.machine.disk.borrow_mut().create_dir_all(path)
    }

    async fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.operation_that_opens(FaultOp::Read, path).await?;
        self.machine.disk.borrow().list_dir(path)
    }

    async fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.operation_that_opens(FaultOp::Read, path).await?;
        self.machine.disk.borrow().read_all(path)
    }

    async fn replace_file(
        &self,
        path: &Path,
        content: Vec<u8>,
        keep_backup: bool,
    ) -> io::Result<()> {
        self.operation_that_opens(FaultOp::Write, path).await?;
        let replaced =
            self.machine.disk.borrow_mut().replace(path, &content, keep_backup, self.wall_ms());
        self.machine.faults.note_space(replaced)
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.operation(FaultOp::Name, path).await?;
        self.machine.disk.borrow_mut().remove_file(path)
    }

    async fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.operation(FaultOp::Name, path).await?;
        self.machine.disk.borrow_mut().remove_dir_all(path);
        Ok(())
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let upto = self.machine.disk.borrow().name_ops();
        self.operation_that_opens(FaultOp::Sync, path).await?;
        self.machine.disk.borrow_mut().sync_dir(path, upto)
    }

    async fn write_each(&self, writes: Vec<FileWrite>) -> Vec<io::Result<()>> {
        let mut outcomes = Vec::new();
        for write in writes {
            outcomes.push(self.write_one(write).await);
        }
        outcomes
    }

    async fn open_filesystem(&self, folder: &Path) -> io::Result<SimFilesystem> {
        self.operation(FaultOp::Open, folder).await?;
        Ok(SimFilesystem { sim: self.clone(), folder: folder.to_owned() })
    }

    async fn disk_space(&self, _path: &Path) -> io::Result<DiskSpace> {
        self.io_time().await;
        Ok(self.machine.disk.borrow().space())
    }

    async fn lock_file(&self, path: &Path) -> io::Result<SimFile> {
        self.operation(FaultOp::Open, path).await?;
        let inode = self.machine.disk.borrow_mut().open(path, true)?;
        self.machine.disk.borrow_mut().lock(path)?;
        Ok(SimFile::new(
            self,
            path,
            inode,
            OpenMode::Buffered,
            Some(LockGuard { sim: self.clone(), path: path.to_owned() }),
        ))
    }

    async fn make_kept(&self, _folder: &Path, shape: KeptShape) -> Result<KeptMemory, KeptError> {
        self.make_kept_memory(shape).await
    }

    async fn reserve_ahead(&self, memory: &KeptMemory, slots: usize) {
        for _ in 0..slots {
            let Some(claim) = memory.claim_empty() else { return };
            self.io_time().await;
            if claim.reserving()().is_err() {
                return;
            }
            claim.finish(true);
        }
    }

    async fn release_free(&self, memory: &KeptMemory) {
        while let Some(claim) = memory.claim_ready() {
            self.io_time().await;
            if claim.releasing()().is_err() {
                return;
            }
            claim.finish(false);
        }
    }

    async fn open_kept(&self, path: &Path) -> Result<KeptFile, KeptError> {
        self.open_kept_file(path).await
    }

    async fn peek_kept(&self, path: &Path, len: usize) -> Result<Vec<u8>, KeptError> {
        self.peek_kept_file(path, len).await
    }

    async fn list_kept(&self, folder: &Path, suffix: &str) -> Vec<PathBuf> {
        self.list_kept_files(folder, suffix).await
    }

    async fn memory_room(&self) -> MemoryRoom {
        self.io_time().await;
        self.machine.memory_room.get()
    }

    fn namespace(&self) -> u64 {
        1
    }
}

struct LockGuard {
    sim: Sim,
    path: PathBuf,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.sim.machine.disk.borrow_mut().unlock(&self.path);
    }
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;
