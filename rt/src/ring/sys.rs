//! The few system calls beside the ring and its sockets: eventfd, file locks, the limit of open
//! files, disk space, local time.

use crate::runtime::DiskSpace;
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A counter that the kernel or another thread signals.
#[derive(Clone)]
pub(crate) struct EventFd(std::sync::Arc<OwnedFd>);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed; the result is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, owned by nobody else.
        Ok(Self(std::sync::Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    pub(crate) fn signal(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: writes 8 bytes from a live array. The only failure (a full counter) already means
        // "signalled".
        let _written = unsafe { libc::write(self.raw(), one.as_ptr().cast(), one.len()) };
    }

    /// The same descriptor as a glommio file, so that its executor can sleep on a read of it.
    pub(crate) fn as_glommio_file(&self) -> io::Result<glommio::io::BufferedFile> {
        let fd = std::os::fd::IntoRawFd::into_raw_fd(self.duplicate()?);
        // SAFETY: a fresh descriptor whose ownership passes to the file, which closes it.
        Ok(unsafe { glommio::io::BufferedFile::from_raw_fd(fd) })
    }
}

/// An exclusive lock on byte 0 of `fd`, as Java's `FileChannel.tryLock(0, 1, false)` takes it, so
/// that Apache RocketMQ and RingMQ exclude each other. It ends with the last descriptor of this
/// open file, also after a crash.
pub(crate) fn lock_exclusively(fd: &OwnedFd) -> io::Result<()> {
    let lock = libc::flock { l_type: F_WRLCK, l_whence: SEEK_SET, l_start: 0, l_len: 1, l_pid: 0 };
    // SAFETY: the kernel only reads the struct during the call.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    match result {
        0 => Ok(()),
        _ => {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EACCES) => {
                    Err(io::Error::new(io::ErrorKind::WouldBlock, error))
                }
                _ => Err(error),
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "1 and 0 fit any integer; libc declares the field narrower than the constant"
)]
const F_WRLCK: libc::c_short = libc::F_WRLCK as libc::c_short;
#[expect(
    clippy::cast_possible_truncation,
    reason = "0 fits any integer; libc declares the field narrower than the constant"
)]
const SEEK_SET: libc::c_short = libc::SEEK_SET as libc::c_short;

/// How many files, sockets included, this process may have open (RLIMIT_NOFILE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimit {
    /// The limit before [`raise_file_limit`].
    pub before: u64,
    /// The limit in force now.
    pub now: u64,
}

impl std::fmt::Display for FileLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { before, now } = self;
        match before == now {
            true => write!(f, "{now} open files"),
            false => write!(f, "{now} open files (raised from {before})"),
        }
    }
}

/// Raises the number of files that this process may have open to the most that the system lets it
/// have: the soft limit becomes the hard one. A program calls it once, before it starts its cores.
///
/// # Errors
/// The kernel refuses to tell or to change the limit. The limit is then what it was.
pub fn raise_file_limit() -> io::Result<FileLimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the struct during the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel only reads the struct during the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(FileLimit { before, now: limit.rlim_cur })
}

/// How full the file system with `path` is (statvfs).
pub(crate) fn disk_space(path: &Path) -> io::Result<DiskSpace> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends in a zero byte; the kernel fills the struct when it answers 0.
    if unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: filled, as the answer was 0.
    let found = unsafe { found.assume_init() };
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(DiskSpace {
        total_bytes: bytes(used.saturating_add(found.f_bavail)),
        available_bytes: bytes(found.f_bavail),
    })
}

/// What local time is ahead of UTC at `unix_seconds`; 0 when the system cannot say.
pub(crate) fn utc_offset_seconds(unix_seconds: i64) -> i64 {
    let mut local = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: reads the number, fills the struct; null means that it did not.
    if unsafe { libc::localtime_r(&raw const unix_seconds, local.as_mut_ptr()) }.is_null() {
        return 0;
    }
    // SAFETY: filled, as the answer was not null.
    unsafe { local.assume_init() }.tm_gmtoff
}
