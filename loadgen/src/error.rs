//! What can go wrong outside the measured traffic: each names the operation, the peer or path, and
//! the fix.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An error that ends a run before or between its phases.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder operation failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A network operation failed.
    #[error("cannot {operation} {peer}: {source}. Is it running, and reachable from here?")]
    Peer {
        /// What was tried.
        operation: &'static str,
        /// With whom.
        peer: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A peer answered, but not with success.
    #[error("{peer} answered {operation} with code {code}: {remark}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// Of whom.
        peer: SocketAddr,
        /// RocketMQ's response code.
        code: i32,
        /// Its explanation.
        remark: String,
    },
    /// A peer answered something that cannot be read.
    #[error("{peer} answered {operation} with something unreadable: {what}")]
    Unreadable {
        /// What was asked.
        operation: &'static str,
        /// Of whom.
        peer: String,
        /// What was wrong with the answer.
        what: String,
    },
    /// A child process did not come up.
    #[error("{program} did not {expected} within {waited_s} s{hint}")]
    Child {
        /// Which program.
        program: &'static str,
        /// What it was expected to do.
        expected: &'static str,
        /// How long it had.
        waited_s: u64,
        /// How it ended and the end of its log.
        hint: String,
    },
    /// The ring of a generator failed.
    #[error("io_uring of the generator: cannot {operation}: {source}. {}", RING_FIX)]
    Ring {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// What was asked for cannot be done.
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
