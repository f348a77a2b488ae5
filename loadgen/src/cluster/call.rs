//! A blocking connection for one request at a time.

use crate::error::{Error, Result};
use crate::limits::{CALL_TIMEOUT, FRAME_BYTES_MAX};
use protocol::remoting::{CommandHead, CommandView, ExtWriter, SerializeType, write_command};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

/// A connection for control requests.
#[derive(Debug)]
pub(crate) struct Caller {
    stream: TcpStream,
    addr: SocketAddr,
    opaque: i32,
}

impl Caller {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// When the name does not resolve or nobody listens.
    pub(crate) fn connect(operation: &'static str, peer: &str) -> Result<Self> {
        let named = |source| Error::Peer { operation, peer: peer.to_owned(), source };
        let addr = peer.to_socket_addrs().map_err(named)?.next();
        let addr = addr
            .ok_or_else(|| named(io::Error::new(ErrorKind::NotFound, "the name has no address")))?;
        let stream = TcpStream::connect_timeout(&addr, CALL_TIMEOUT).map_err(named)?;
        let ready =
            stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(CALL_TIMEOUT)));
        ready.and_then(|()| stream.set_write_timeout(Some(CALL_TIMEOUT))).map_err(named)?;
        Ok(Self { stream, addr, opaque: 0 })
    }

    /// The peer's address.
    #[must_use]
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    /// When the connection fails; a refusal is in the reply's code.
    pub(crate) fn call(
        &mut self,
        operation: &'static str,
        code: i32,
        ext: impl FnOnce(&mut ExtWriter<'_>),
        body: &[u8],
    ) -> Result<Reply> {
        self.opaque += 1;
        let head = CommandHead {
            serialize: SerializeType::Json,
            code,
            opaque: self.opaque,
            flag: 0,
            remark: None,
        };
        let mut frame = Vec::new();
        write_command(&mut frame, &head, ext, body);
        let peer = self.addr;
        self.stream.write_all(&frame).map_err(Error::peer(operation, peer))?;
        loop {
            let reply =
                Reply { frame: self.read_frame().map_err(Error::peer(operation, peer))?, peer };
            let view = reply.view()?;
            if view.is_response() && view.opaque == self.opaque {
                return Ok(reply);
            }
        }
    }

    fn read_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("frame of {length} bytes: this is not a RocketMQ remoting port"),
            ));
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    frame: Vec<u8>,
    peer: SocketAddr,
}

impl Reply {
    /// The answer as a command.
    ///
    /// # Errors
    /// When the frame is no remoting command.
    pub(crate) fn view(&self) -> Result<CommandView<'_>> {
        CommandView::parse(&self.frame)
            .map_err(|error| self.unreadable("a request", &error.to_string()))
    }

    /// RocketMQ's response code.
    ///
    /// # Errors
    /// When the answer can't be read.
    pub(crate) fn code(&self) -> Result<i32> {
        self.view().map(|view| view.code)
    }

    /// The same reply, or an error when the answer is not success.
    ///
    /// # Errors
    /// When the peer answered another code.
    pub(crate) fn success(self, operation: &'static str) -> Result<Self> {
        let view = self.view()?;
        if view.code == 0 {
            return Ok(self);
        }
        let remark = view.remark().unwrap_or_default().into_owned();
        Err(Error::Refused { operation, peer: self.peer, code: view.code, remark })
    }

    /// An error about this answer.
    #[must_use]
    pub(crate) fn unreadable(&self, operation: &'static str, what: &str) -> Error {
        Error::Unreadable { operation, peer: self.peer.to_string(), what: what.to_owned() }
    }
}
