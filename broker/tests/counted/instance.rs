//! One broker in this process at a time: the ledger is of the process.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static TURN: Mutex<()> = Mutex::new(());

/// The ledger's only user until it is dropped.
pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Broker {
    port: u16,
    flush: &'static str,
    thread: std::thread::JoinHandle<()>,
    _store: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Broker {
    pub fn start(flush: &'static str) -> Self {
        let turn = turn();
        let store = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = [
            format!("listenPort={port}"),
            format!("storePathRootDir={}", store.path().display()),
            format!("flushDiskType={flush}"),
            "brokerIP1=127.0.0.1".into(),
            "mappedFileSizeCommitLog=268435456".into(),
            "tailCacheBytes=33554432".into(),
        ];
        let args = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
        let args: Vec<String> = std::iter::once("mqbroker".to_owned()).chain(args).collect();
        let thread = std::thread::spawn(move || _ = broker::run(args.into_iter().map(Into::into)));
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "the broker does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { port, flush, thread, _store: store, _turn: turn }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn policy(&self) -> &'static str {
        self.flush
    }

    /// As an operator stops it: the broker takes SIGTERM for the whole process.
    pub fn stop(self) {
        let pid = std::process::id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.thread.join().unwrap();
    }
}
