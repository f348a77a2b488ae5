//! The simulated runtime: one thread, virtual time, seeded chance, files in memory that a crash can damage.
//!
//! # Fault model
//!
//! What can go wrong, and does, at [`Sim::crash`] (power cut):
//! - A write that was not followed by a completed [`File::sync_data`] issued after the write completed may be lost, kept,
//!   or torn: each file loses everything, keeps everything, keeps a prefix (cut at a 512-byte sector), or keeps any subset
//!   of sectors (reordered by the device). Sectors themselves are atomic.
//! - Lengths (set_len, allocate, growth by writing) survive as a prefix of their order in that file, independently of data:
//!   a file may have its new length and zeros in it.
//! - Names created or removed in a folder without a later [`Runtime::sync_dir`] of it survive as a prefix of their order.
//! - Writes in flight count as written and not synced.
//!
//! At [`Sim::kill`] (SIGKILL, the system lives) completed writes survive all; each write in flight is done or not.
//!
//! What happens always: every operation takes a random virtual time, ready tasks run in random order, concurrent operations
//! complete in random order. An O_DIRECT write that is not aligned is refused, as the kernel would.
//!
//! What is not simulated yet: EIO, ENOSPC, short reads, bits that rot, CPU time (running takes none).
//!
//! Everything follows from the seed: the same seed gives the same run ([`Sim::digest`] shows it).

mod disk;
mod executor;
mod random;

pub use disk::CrashReport;

use crate::buf::{AppendBuf, BufSlice};
use crate::runtime::{DIRECT_ALIGN, DirEntry, File, OpenMode, Runtime, Share};
use disk::Disk;
use executor::Executor;
use random::Random;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// The wall clock of a simulation begins here (2023-11-14), in milliseconds since 1970.
pub const WALL_START_MS: i64 = 1_700_000_000_000;

/// How a simulated machine is built.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Whether files can be opened with O_DIRECT.
    pub direct_io: bool,
    /// Longest time of one file operation, in nanoseconds of virtual time (the shortest is 1,000).
    pub io_nanos_max: u64,
}

impl SimConfig {
    /// A machine with O_DIRECT whose operations take up to 200 µs.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, direct_io: true, io_nanos_max: 200_000 }
    }
}

struct Machine {
    config: SimConfig,
    executor: Executor,
    latency: Random,
    chance: Random,
    crash_chance: Random,
    disk: RefCell<Disk>,
    writes_held: Cell<bool>,
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
        Self::build(config, Disk::default(), 0)
    }

    fn build(config: SimConfig, disk: Disk, now_nanos: u64) -> Self {
        let seed = config.seed;
        let machine = Machine {
            executor: Executor::new(seed, now_nanos),
            latency: Random::salted(seed, b"latency"),
            chance: Random::salted(seed, b"chance"),
            crash_chance: Random::salted(seed, b"crash"),
            disk: RefCell::new(disk),
            writes_held: Cell::new(false),
            config,
        };
        Self { machine: Rc::new(machine) }
    }

    /// Runs `main`, and with it every spawned task, until `main` is done. Panics, naming the seed, when nothing can
    /// run any more and no timer is set.
    pub fn block_on<T>(&self, main: impl Future<Output = T>) -> T {
        self.machine.executor.block_on(main)
    }

    /// Cuts the power. What survives is on the returned machine, whose clock goes on and whose seed follows from this one's.
    #[must_use]
    pub fn crash(&self) -> (Self, CrashReport) {
        let (disk, report) = self.machine.disk.borrow().after_power_cut(&self.machine.crash_chance);
        (self.restarted(disk), report)
    }

    /// Kills the process while the system lives.
    #[must_use]
    pub fn kill(&self) -> Self {
        let disk = self.machine.disk.borrow().after_kill(&self.machine.crash_chance);
        self.restarted(disk)
    }

    fn restarted(&self, disk: Disk) -> Self {
        self.machine.executor.drop_tasks();
        let seed = Random::salted(self.machine.config.seed, b"next life").next_u64();
        let config = SimConfig { seed, ..self.machine.config.clone() };
        Self::build(config, disk, self.now_nanos())
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

    /// Changes one byte of a file behind everybody's back, durably. Panics when the file is missing or shorter: a test
    /// that damages nothing proves nothing.
    pub fn damage(&self, path: &Path, offset: u64) {
        self.machine.disk.borrow_mut().flip_byte(path, offset);
    }

    async fn io_time(&self) {
        let most = self.machine.config.io_nanos_max.max(1001);
        let nanos = 1000 + self.machine.latency.below(most - 1000);
        self.sleep(Duration::from_nanos(nanos)).await;
    }
}

impl Runtime for Sim {
    type File = SimFile;

    fn now_nanos(&self) -> u64 {
        self.machine.executor.now_nanos()
    }

    fn wall_ms(&self) -> i64 {
        let since_start_ms = i64::try_from(self.now_nanos() / 1_000_000).unwrap_or(i64::MAX / 2);
        WALL_START_MS + since_start_ms
    }

    fn random_u64(&self) -> u64 {
        self.machine.chance.next_u64()
    }

    fn spawn(&self, _share: Share, task: impl Future<Output = ()> + 'static) {
        self.machine.executor.spawn(Box::pin(task));
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        self.machine.executor.sleep(duration)
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<SimFile> {
        self.io_time().await;
        if mode == OpenMode::Direct && !self.machine.config.direct_io {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this filesystem has no O_DIRECT"));
        }
        let inode = self.machine.disk.borrow_mut().open(path, mode != OpenMode::Read)?;
        Ok(SimFile { sim: self.clone(), inode, mode, _lock: None })
    }

    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.io_time().await;
        self.machine.disk.borrow_mut().create_dir_all(path)
    }

    async fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.io_time().await;
        self.machine.disk.borrow().list_dir(path)
    }

    async fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.io_time().await;
        self.machine.disk.borrow().read_all(path)
    }

    async fn replace_file(&self, path: &Path, content: Vec<u8>, keep_backup: bool) -> io::Result<()> {
        self.io_time().await;
        self.machine.disk.borrow_mut().replace(path, &content, keep_backup)
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.io_time().await;
        self.machine.disk.borrow_mut().remove_file(path)
    }

    async fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.io_time().await;
        self.machine.disk.borrow_mut().remove_dir_all(path);
        Ok(())
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let upto = self.machine.disk.borrow().name_ops();
        self.io_time().await;
        self.machine.disk.borrow_mut().sync_dir(path, upto)
    }

    async fn lock_file(&self, path: &Path) -> io::Result<SimFile> {
        self.io_time().await;
        let mut disk = self.machine.disk.borrow_mut();
        let inode = disk.open(path, true)?;
        disk.lock(path)?;
        let lock = LockGuard { sim: self.clone(), path: path.to_owned() };
        Ok(SimFile { sim: self.clone(), inode, mode: OpenMode::Buffered, _lock: Some(Rc::new(lock)) })
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

/// An open file of a [`Sim`].
#[derive(Clone)]
pub struct SimFile {
    sim: Sim,
    inode: usize,
    mode: OpenMode,
    _lock: Option<Rc<LockGuard>>,
}

impl SimFile {
    fn disk(&self) -> &RefCell<Disk> {
        &self.sim.machine.disk
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.mode == OpenMode::Read {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "opened to read only"));
        }
        Ok(())
    }

    fn check_aligned(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let align = DIRECT_ALIGN as u64;
        let aligned = offset.is_multiple_of(align) && data.len().is_multiple_of(DIRECT_ALIGN) && data.as_ptr().addr().is_multiple_of(DIRECT_ALIGN);
        if self.mode == OpenMode::Direct && !aligned {
            let what = format!("O_DIRECT write of {} bytes at {offset}: not aligned to {align}", data.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        Ok(())
    }
}

impl File for SimFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<BufSlice> {
        self.sim.io_time().await;
        let bytes = self.disk().borrow().read(self.inode, offset, len);
        Ok(AppendBuf::copy_of(&bytes))
    }

    async fn write_at(&self, offset: u64, data: BufSlice) -> io::Result<()> {
        self.check_writable()?;
        self.check_aligned(offset, &data)?;
        let op = self.disk().borrow_mut().begin_write(self.inode, offset, &data);
        self.sim.io_time().await;
        while self.sim.machine.writes_held.get() {
            self.sim.sleep(Duration::from_micros(100)).await;
        }
        self.disk().borrow_mut().end_op(self.inode, op);
        Ok(())
    }

    async fn sync_data(&self) -> io::Result<()> {
        let upto = self.disk().borrow().done_ops(self.inode);
        self.sim.io_time().await;
        self.disk().borrow_mut().sync(self.inode, &upto);
        Ok(())
    }

    async fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.sim.io_time().await;
        let mut disk = self.disk().borrow_mut();
        let wanted = disk.len(self.inode).max(offset + len);
        disk.set_len(self.inode, wanted);
        Ok(())
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.sim.io_time().await;
        self.disk().borrow_mut().set_len(self.inode, len);
        Ok(())
    }

    async fn len(&self) -> io::Result<u64> {
        self.sim.io_time().await;
        Ok(self.disk().borrow().len(self.inode))
    }
}

#[cfg(test)]
mod tests;
