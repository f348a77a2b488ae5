//! Kept memory on a tmpfs of this machine.

use super::headroom::headroom_bytes;
use crate::kept::{Keeper, KeptError, KeptMemory, KeptShape, Left, Work};
use crate::mmap::SharedMemory;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, FlockOperation, Mode, OFlags, SeekFrom, fallocate,
    flock, fstat, fstatfs, linkat, open, openat, seek, unlink,
};
use rustix::io::Errno;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// f_type of a tmpfs (`TMPFS_MAGIC` in linux/magic.h).
const TMPFS_MAGIC: u64 = 0x0102_1994;
/// Room that is left to others when memory is taken for a file that stays.
const SPARE_BYTES: u64 = 32 << 20;

fn check_tmpfs(fd: impl AsFd) -> Result<(), KeptError> {
    let kind = fstatfs(fd).map_err(io::Error::from)?.f_type;
    if u64::try_from(kind) == Ok(TMPFS_MAGIC) { Ok(()) } else { Err(KeptError::NotTmpfs) }
}

fn lock(file: &File) -> Result<(), KeptError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(KeptError::Locked),
        other => Ok(other.map_err(io::Error::from)?),
    }
}

/// Refuses to take memory that would leave the machine, or the process's control group, without.
fn check_headroom(needed: usize) -> Result<(), KeptError> {
    let (needed, free) = ((needed as u64).saturating_add(SPARE_BYTES), headroom_bytes());
    if needed > free { Err(KeptError::NoRoom { needed, free }) } else { Ok(()) }
}

fn reserve(file: &File, offset: usize, bytes: usize) -> Result<(), KeptError> {
    check_headroom(bytes)?;
    match fallocate(file, FallocateFlags::empty(), offset as u64, bytes as u64) {
        Err(Errno::NOSPC) => {
            let space = rustix::fs::fstatvfs(file).map_err(io::Error::from)?;
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            Err(KeptError::NoRoom { needed: bytes as u64, free })
        }
        other => Ok(other.map_err(io::Error::from)?),
    }
}

/// A locked file without a name, of full length, what is reserved from the start reserved.
pub(super) fn make_file(folder: &Path, shape: KeptShape) -> Result<File, KeptError> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let folder = open(folder, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => KeptError::Missing,
        other => KeptError::Io(other.into()),
    })?;
    check_tmpfs(&folder)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = openat(&folder, ".", flags, Mode::RUSR | Mode::WUSR).map_err(io::Error::from)?;
    let file = File::from(file);
    lock(&file)?;
    file.set_len(shape.bytes() as u64)?;
    reserve(&file, 0, shape.reserved_bytes())?;
    Ok(file)
}

/// The file as memory of this core.
pub(super) fn mapped(file: File, shape: KeptShape) -> Result<KeptMemory, KeptError> {
    let memory = Rc::new(SharedMemory::map(&file, shape.bytes(), shape.head_bytes)?);
    let keeper = OnTmpfs { file: Arc::new(file), memory: memory.clone(), path: RefCell::default() };
    let keeper = Box::new(keeper);
    Ok(KeptMemory::new(memory, shape, keeper, false))
}

struct OnTmpfs {
    /// Its lock ends with it.
    file: Arc<File>,
    memory: Rc<SharedMemory>,
    path: RefCell<Option<PathBuf>>,
}

impl Keeper for OnTmpfs {
    fn reserve(&self, offset: usize, bytes: usize) -> Result<(), KeptError> {
        reserve(&self.file, offset, bytes)
    }

    fn release(&self, offset: usize, bytes: usize) {
        if let Err(error) = punch(&self.file, offset as u64, bytes as u64) {
            debug_assert!(false, "a tmpfs punches holes: {error}");
        }
    }

    fn reserving(&self, offset: usize, bytes: usize) -> Work {
        let (file, populate) = (self.file.clone(), self.memory.populating(offset, bytes));
        Box::new(move || {
            reserve(&file, offset, bytes)?;
            populate();
            Ok(())
        })
    }

    fn releasing(&self, offset: usize, bytes: usize) -> Work {
        let file = self.file.clone();
        Box::new(move || Ok(punch(&file, offset as u64, bytes as u64)?))
    }

    fn name(&self, path: &Path) -> io::Result<()> {
        let unnamed = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        linkat(CWD, unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
        *self.path.borrow_mut() = Some(path.to_owned());
        Ok(())
    }

    fn remove(&self) -> io::Result<()> {
        match self.path.take() {
            Some(path) => Ok(unlink(path)?),
            None => Ok(()),
        }
    }
}

fn punch(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, flags, offset, bytes)?)
}

/// What a process left, locked.
pub(super) struct LeftOnTmpfs {
    file: File,
    path: PathBuf,
}

/// Opens and locks what a process left behind.
pub(super) fn open_left(path: &Path) -> Result<LeftOnTmpfs, KeptError> {
    let file = open_own(path)?;
    lock(&file)?;
    Ok(LeftOnTmpfs { file, path: path.to_owned() })
}

/// The first bytes of such a file, whoever has its lock.
pub(super) fn peek(path: &Path, len: usize) -> Result<Vec<u8>, KeptError> {
    Ok(read_up_to(&open_own(path)?, 0, len)?)
}

/// Opens without following a link, and only what this user made.
fn open_own(path: &Path) -> Result<File, KeptError> {
    // Not waiting for a pipe's other end.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => KeptError::Missing,
        Errno::LOOP => KeptError::Link,
        Errno::ISDIR => KeptError::NotAFile,
        other => KeptError::Io(other.into()),
    })?;
    let status = fstat(&file).map_err(io::Error::from)?;
    if !FileType::from_raw_mode(status.st_mode).is_file() {
        return Err(KeptError::NotAFile);
    }
    check_tmpfs(&file)?;
    let expected = rustix::process::geteuid().as_raw();
    if status.st_uid != expected {
        return Err(KeptError::Owner { found: status.st_uid, expected });
    }
    if status.st_mode & 0o077 != 0 {
        return Err(KeptError::Mode { mode: status.st_mode & 0o7777 });
    }
    if status.st_nlink != 1 {
        return Err(KeptError::Link);
    }
    Ok(File::from(file))
}

fn read_up_to(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

impl Left for LeftOnTmpfs {
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        read_up_to(&self.file, offset, len)
    }

    fn is_whole(&self, offset: u64, bytes: u64) -> io::Result<bool> {
        match seek(&self.file, SeekFrom::Hole(offset)) {
            Ok(hole) => Ok(hole >= offset + bytes),
            // Beyond the file's end.
            Err(Errno::NXIO) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn release(&self, offset: u64, bytes: u64) -> io::Result<()> {
        punch(&self.file, offset, bytes)
    }

    fn remove(&self) -> io::Result<()> {
        Ok(unlink(&self.path)?)
    }
}

/// The files of a folder by the end of their names.
pub(super) fn list(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        names.filter(|path| path.to_string_lossy().ends_with(suffix)).collect();
    found.sort();
    found
}

/// The inode of this process's mount namespace.
pub(super) fn mount_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/mnt").map_or(0, |namespace| namespace.ino())
}

/// Why nobody may rely on what a process leaves in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSurvivor {
    /// The process is in a container, whose /dev/shm may end with it.
    #[error("this process is in a container, and its /dev/shm may end with it")]
    Container,
    /// systemd removes what a user has in /dev/shm when the user's last session ends.
    #[error(
        "systemd removes what user {0} has in /dev/shm when the user logs out or the service \
            stops (RemoveIPC)"
    )]
    RemoveIpc(u32),
}

/// Users below this are the system's: logind's `RemoveIPC` leaves them alone, and
/// `systemd`'s `DynamicUser` takes none of them.
const SYSTEM_UIDS_END: u32 = 1000;
/// The inode of the first PID namespace (`PROC_PID_INIT_INO` in linux/proc_ns.h): of a process in
/// no container.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Whether what this process leaves in /dev/shm is there for the next one, as far as can be told
/// without being asked for that folder.
pub fn survives_here() -> Result<(), NoSurvivor> {
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    if namespace.is_ok_and(|link| link.to_string_lossy() != FIRST_PID_NAMESPACE) {
        return Err(NoSurvivor::Container);
    }
    let user = rustix::process::geteuid().as_raw();
    if user >= SYSTEM_UIDS_END && Path::new("/run/systemd/system").exists() {
        return Err(NoSurvivor::RemoveIpc(user));
    }
    Ok(())
}
