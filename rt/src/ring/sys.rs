//! The few system calls around the ring: sockets, eventfd, file locks, limits, disk space, local
//! time.

use crate::runtime::DiskSpace;
use socket2::{Domain, Protocol, SockRef, Type};
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

/// A socket. Closed when its owner and every operation in flight have let go of it.
#[derive(Clone)]
pub struct Socket(Rc<OwnedFd>);

impl Socket {
    /// Wraps a socket made elsewhere.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self(Rc::new(fd))
    }

    pub(super) fn from_accept(fd: RawFd) -> Self {
        // SAFETY: the completion of an accept hands us a new descriptor that nobody else owns.
        Self::new(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(super) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(super) fn shutdown(&self) {
        // ENOTCONN only says that there is nothing left to end.
        let _ended = SockRef::from(&self.0.as_fd()).shutdown(Shutdown::Both);
    }

    /// Sends small answers at once (TCP_NODELAY).
    pub fn set_nodelay(&self) -> io::Result<()> {
        SockRef::from(&self.0.as_fd()).set_tcp_nodelay(true)
    }

    /// The other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        addr(SockRef::from(&self.0.as_fd()).peer_addr()?)
    }

    /// This end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        addr(SockRef::from(&self.0.as_fd()).local_addr()?)
    }
}

/// Takes what has arrived, without waiting. 0 is the peer's end.
pub(super) fn receive_now(socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most the slice's length into the slice, during the call.
    let got = unsafe {
        libc::recv(socket.raw(), into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT)
    };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Gives the kernel what it takes without waiting.
pub(super) fn send_now(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads the slice during the call.
    let sent = unsafe {
        libc::send(
            socket.raw(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Gives the kernel what it takes of several pieces without waiting.
///
/// # Safety
/// `header` and the pieces it names are live.
pub(super) unsafe fn send_message_now(
    socket: &Socket,
    header: *const libc::msghdr,
) -> io::Result<usize> {
    // SAFETY: the caller's promise; the kernel only reads, during the call.
    let sent =
        unsafe { libc::sendmsg(socket.raw(), header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn addr(addr: socket2::SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an internet address"))
}

/// A listening TCP socket with SO_REUSEADDR, as RocketMQ sets it.
pub fn listen_socket(addr: SocketAddr, backlog: i32) -> io::Result<Socket> {
    let socket = tcp(addr)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    Ok(Socket::new(socket.into()))
}

/// An unconnected TCP socket for [`super::Ring::connect`].
pub fn connect_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = tcp(addr)?;
    socket.set_tcp_nodelay(true)?;
    Ok(Socket::new(socket.into()))
}

fn tcp(addr: SocketAddr) -> io::Result<socket2::Socket> {
    // Blocking on purpose: io_uring waits by itself and only O_NONBLOCK would make it give up with
    // EAGAIN.
    socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))
}

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

/// Raises this process's limit of open files to what the system lets it have; returns the limit now
/// in force.
pub fn raise_fd_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the struct during the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel only reads the struct during the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
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
