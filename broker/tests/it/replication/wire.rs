//! A slave that a test plays: it dials a master's port for slaves and says what the test wants.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::SOON;

/// One transfer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

pub(super) struct Slave {
    stream: TcpStream,
}

impl Slave {
    /// Connects to the port for slaves of the broker at `addr`.
    pub(super) fn of(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect((addr.ip(), addr.port() + 1)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    pub(super) fn report(&mut self, offset: i64) {
        self.say(&offset.to_be_bytes());
    }

    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Says as much of it as the other end takes before it closes.
    pub(super) fn try_to_say(&mut self, bytes: &[u8]) {
        let _refused = self.stream.write_all(bytes);
    }

    pub(super) fn next(&mut self) -> Transfer {
        let mut head = [0; 12];
        self.stream.read_exact(&mut head).unwrap();
        let offset = u64::from_be_bytes(head[..8].try_into().unwrap());
        let size = u32::from_be_bytes(head[8..].try_into().unwrap());
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        self.stream.read_exact(&mut bytes).unwrap();
        Transfer { offset, bytes }
    }

    /// The log from `from` on, until it ends at `upto`. Each transfer goes on where the one before
    /// ended, and none is longer than `longest`.
    pub(super) fn take(&mut self, from: u64, upto: u64, longest: usize) -> Vec<u8> {
        let mut log = vec![];
        while from + (log.len() as u64) < upto {
            let Transfer { offset, bytes } = self.next();
            assert_eq!(offset, from + log.len() as u64, "transfers go on where the last ended");
            assert!(bytes.len() <= longest, "{} bytes at once", bytes.len());
            log.extend(bytes);
        }
        log
    }

    /// Whether the other end closes; what it still sends is dropped.
    pub(super) fn is_closed_within(&mut self, limit: Duration) -> bool {
        let begin = Instant::now();
        self.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut rest = [0; 4_096];
        while begin.elapsed() < limit {
            match self.stream.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return true,
                },
            }
        }
        false
    }
}

/// `[from, upto)` of the log of one file below a store.
pub(super) fn log_of(store: &Path, from: u64, upto: u64) -> Vec<u8> {
    let file = File::open(store.join("commitlog/00000000000000000000")).unwrap();
    let mut bytes = vec![0; usize::try_from(upto - from).unwrap()];
    file.read_exact_at(&mut bytes, from).unwrap();
    bytes
}
