//! A name server process that a test owns.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
pub(crate) use testkit::eventually;
use testkit::{NameServer, Process, Program};

pub(crate) struct Server {
    process: Process,
    pub addr: SocketAddr,
}

fn program() -> Program {
    Program::at(env!("CARGO_BIN_EXE_mqnamesrv"))
}

/// `mqnamesrv` with these arguments and no environment that could change it.
pub(crate) fn command(args: &[&str]) -> Command {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let mut command = program().command(&[], &args);
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

impl Server {
    /// Starts one with its key-value file in `dir` and these `KEY=VALUE` settings.
    pub(crate) fn start(dir: &Path, settings: &[&str]) -> Self {
        let NameServer { process, addr } = NameServer::start(&program(), dir, settings);
        Self { process, addr }
    }

    /// Starts one with its key-value file in `dir`, allowed only so many open files: the soft
    /// limit, and the hard one.
    pub(crate) fn start_with_files(dir: &Path, soft: u64, hard: u64) -> Self {
        let through = ["prlimit".to_owned(), format!("--nofile={soft}:{hard}")];
        let started = NameServer::start_through(&through, &program(), dir, &[]);
        let NameServer { mut process, addr } = started;
        process.wait_for("for connections", 1);
        Self { process, addr }
    }

    /// What it has printed.
    pub(crate) fn said(&self) -> String {
        self.process.said()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Sends a signal by its name and waits for the end; returns the exit code.
    pub(crate) fn signal(mut self, name: &str) -> Option<i32> {
        self.process.signal(name);
        self.process.wait()
    }
}
