//! A name server process that a test owns.

use crate::{Process, Program};
use std::net::SocketAddr;
use std::path::Path;

/// What it prints in front of its address.
const GREETING: &str = "The Name Server boot success. serializeType=JSON, address ";

/// A name server on a free port of loopback.
pub struct NameServer {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl NameServer {
    /// Starts one with its key-value file in `dir` and these `key=value` settings.
    pub fn start(program: &Program, dir: &Path, settings: &[&str]) -> Self {
        let kv_path = format!("kvConfigPath={}", dir.join("namesrv/kvConfig.json").display());
        let own = ["listenPort=0", "bindAddress=127.0.0.1", &kv_path];
        let all = own.iter().chain(settings);
        let arguments: Vec<String> =
            all.flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]).collect();
        let mut process = Process::spawn(program.command(&[], &arguments));
        process.wait_for(GREETING, 1);
        let said = process.said();
        let addr = said.lines().find_map(|line| line.strip_prefix(GREETING)?.trim().parse().ok());
        let addr = addr.unwrap_or_else(|| panic!("it said {said:?}"));
        Self { process, addr }
    }
}
