//! One broker in this process at a time: the ledger is of the process.

use std::net::TcpStream;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use testkit::{BrokerSetup, Program, eventually};

static TURN: Mutex<()> = Mutex::new(());

/// The ledger's only user until it is dropped.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Broker {
    flush: &'static str,
    thread: std::thread::JoinHandle<()>,
    setup: BrokerSetup,
    _store: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Broker {
    pub(crate) fn start(flush: &'static str) -> Self {
        let turn = turn();
        let store = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let setup = BrokerSetup::new(Program::at(env!("CARGO_BIN_EXE_mqbroker")), 1)
            .store_in(store.path().to_owned())
            .settings([
                "mappedFileSizeCommitLog=268435456",
                "tailCacheBytes=33554432",
                "waitTimeMillsInSendQueue=10000",
            ])
            .settings([format!("flushDiskType={flush}")]);
        let args: Vec<_> = std::iter::once("mqbroker".into())
            .chain(setup.arguments().into_iter().map(Into::into))
            .collect();
        let thread = std::thread::spawn(move || _ = broker::run(args));
        eventually("the broker comes up", || TcpStream::connect(setup.shard_addr(0)).is_ok());
        Self { flush, thread, setup, _store: store, _turn: turn }
    }

    pub(crate) fn port(&self) -> u16 {
        self.setup.port()
    }

    pub(crate) fn policy(&self) -> &'static str {
        self.flush
    }

    /// As an operator stops it: the broker takes SIGTERM for the whole process.
    pub(crate) fn stop(self) {
        let pid = std::process::id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.thread.join().unwrap();
    }
}
