//! Sockets: made, asked, read from and written to without waiting.

use crate::convert::fits;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockRef, TcpKeepalive, Type};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

/// Where `tcpi_bytes_acked` lies in `struct tcp_info` (include/uapi/linux/tcp.h; the libc crate's
/// struct ends before it), and how much of the struct is asked for.
const BYTES_ACKED_AT: usize = 120;
const TCP_INFO_BYTES: usize = BYTES_ACKED_AT + 8;

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

    /// Says to the peer that nothing more will be sent, after what was sent already. Receiving goes
    /// on.
    pub fn shutdown_write(&self) {
        // ENOTCONN only says that there is nothing left to end.
        let _ended = SockRef::from(&self.0.as_fd()).shutdown(Shutdown::Write);
    }

    /// Sends small answers at once (TCP_NODELAY).
    pub fn set_nodelay(&self) -> io::Result<()> {
        SockRef::from(&self.0.as_fd()).set_tcp_nodelay(true)
    }

    /// Has the kernel ask a silent peer after `silence` whether it is still there, then every
    /// `interval`, and fail the connection when it does not answer (SO_KEEPALIVE).
    pub fn set_keepalive(&self, silence: Duration, interval: Duration) -> io::Result<()> {
        let keepalive = TcpKeepalive::new().with_time(silence).with_interval(interval);
        SockRef::from(&self.0.as_fd()).set_tcp_keepalive(&keepalive)
    }

    /// Bytes that the peer's system has acknowledged since the connection began. The number grows
    /// exactly while the peer takes what is sent to it (`tcpi_bytes_acked` of TCP_INFO).
    pub fn acknowledged_bytes(&self) -> io::Result<u64> {
        let mut info = [0_u8; TCP_INFO_BYTES];
        let mut len = fits::<libc::socklen_t, usize>(info.len());
        // SAFETY: the kernel writes at most `len` bytes into the array, during the call.
        let result = unsafe {
            libc::getsockopt(
                self.raw(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        let field = info.get(BYTES_ACKED_AT..).and_then(<[u8]>::first_chunk);
        match field.filter(|_| len as usize >= TCP_INFO_BYTES) {
            Some(bytes) => Ok(u64::from_ne_bytes(*bytes)),
            None => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("TCP_INFO has {len} bytes here, {TCP_INFO_BYTES} are needed: Linux 4.1"),
            )),
        }
    }

    /// The other end. An IPv4 peer of an IPv6 listener is an IPv4 address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        addr(SockRef::from(&self.0.as_fd()).peer_addr()?)
    }

    /// This end, in the same form as [`Socket::peer_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        addr(SockRef::from(&self.0.as_fd()).local_addr()?)
    }
}

/// Takes what has arrived, without waiting. 0 is the peer's end.
///
/// This and [`send_now`] make their system call in place: libc's functions are points of
/// cancellation, and what they do for that before and after each call costs 2 % of a core at one
/// message a call.
pub(super) fn receive_now(socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
    let (got, _) = rustix::net::recv(&*socket.0, into, RecvFlags::DONTWAIT)?;
    Ok(got)
}

/// Gives the kernel what it takes without waiting.
pub(super) fn send_now(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(rustix::net::send(&*socket.0, bytes, flags)?)
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

/// `::ffff:1.2.3.4` is how an IPv6 socket names an IPv4 peer. Hosts of messages, clients' ids and
/// addresses in configuration name it as 1.2.3.4.
fn addr(addr: socket2::SockAddr) -> io::Result<SocketAddr> {
    let found = addr
        .as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an internet address"))?;
    Ok(SocketAddr::new(found.ip().to_canonical(), found.port()))
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
