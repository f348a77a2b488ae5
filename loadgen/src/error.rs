//! Errors outside the measured traffic. Each names the operation, the peer or path, and the fix.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An error that ends a run before or between its phases.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder operation failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    File {
        /// The operation.
        operation: &'static str,
        /// The path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A network operation failed.
    #[error("cannot {operation} {peer}: {source}. Is it running, and reachable from here?")]
    Peer {
        /// The operation.
        operation: &'static str,
        /// The peer.
        peer: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A peer answered, but not with success.
    #[error("{peer} answered {operation} with code {code}: {remark}")]
    Refused {
        /// The request.
        operation: &'static str,
        /// The peer.
        peer: SocketAddr,
        /// RocketMQ's response code.
        code: i32,
        /// The peer's explanation.
        remark: String,
    },
    /// A peer answered something that cannot be read.
    #[error("{peer} answered {operation} with something unreadable: {what}")]
    Unreadable {
        /// The request.
        operation: &'static str,
        /// The peer.
        peer: String,
        /// The fault of the answer.
        what: String,
    },
    /// A child process did not come up.
    #[error("{program} did not {expected} within {waited_s} s{hint}")]
    Child {
        /// The program.
        program: &'static str,
        /// The action that was expected.
        expected: &'static str,
        /// The time that it had.
        waited_s: u64,
        /// Its exit status and the end of its log.
        hint: String,
    },
    /// The ring of a generator failed.
    #[error("io_uring of the generator: cannot {operation}: {source}. {}", RING_FIX)]
    Ring {
        /// The operation.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The command line asks for something that cannot be done.
    #[error("{0}")]
    Usage(String),
    /// Somebody pressed Ctrl-C, or sent SIGTERM.
    #[error("interrupted: children stopped, temporary store removed")]
    Interrupted,
}

const RING_FIX: &str = "It needs Linux 6.1 or newer with kernel.io_uring_disabled = 0, and a \
    container's seccomp profile must let io_uring through";

impl Error {
    /// For `map_err` on file operations.
    pub fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { operation, path, source }
    }

    /// For `map_err` on network operations.
    pub fn peer(operation: &'static str, peer: impl ToString) -> impl FnOnce(io::Error) -> Self {
        let peer = peer.to_string();
        move |source| Self::Peer { operation, peer, source }
    }
}

/// Result with this crate's [`enum@Error`].
pub(crate) type Result<T> = std::result::Result<T, Error>;
