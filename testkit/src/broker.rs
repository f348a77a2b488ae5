//! A broker process that a test owns.

use crate::{Ports, Process, Program, SOON};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How a broker is started: with its own ports and its own store in a temporary folder.
///
/// A whole log file is reserved at once, and tests run dozens of brokers: files are of 64 MiB
/// unless a setting says otherwise.
pub struct BrokerSetup {
    program: Program,
    through: Vec<String>,
    environment: Vec<(String, String)>,
    settings: Vec<String>,
    words: Vec<String>,
    name_server: Option<SocketAddr>,
    shards: u16,
    ports: Ports,
    start_limit: Duration,
    store: PathBuf,
    /// Last: fields are dropped in order, and a broker that still runs would put files into a
    /// folder being removed.
    dir: tempfile::TempDir,
}

impl BrokerSetup {
    /// A broker of so many shards. Binds to loopback only.
    pub fn new(program: Program, shards: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            program,
            through: vec![],
            environment: vec![],
            settings: vec![],
            words: vec![],
            name_server: None,
            shards,
            ports: Ports::claim(shards),
            start_limit: SOON,
            store: dir.path().join("store"),
            dir,
        }
    }

    /// Adds settings, each `key=value`.
    #[must_use]
    pub fn settings<S: AsRef<str>>(mut self, settings: impl IntoIterator<Item = S>) -> Self {
        self.settings.extend(settings.into_iter().map(|setting| setting.as_ref().to_owned()));
        self
    }

    /// Adds settings to a broker that is started again; a later setting of a key wins.
    pub fn add_settings(&mut self, settings: &[&str]) {
        self.settings.extend(settings.iter().map(|setting| (*setting).to_owned()));
    }

    /// Adds options to the command line of a broker that is started again.
    pub fn add_arguments(&mut self, words: &[&str]) {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// Registers at a name server.
    #[must_use]
    pub fn name_server(mut self, addr: SocketAddr) -> Self {
        self.name_server = Some(addr);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it by another program that gets the broker's command line behind these words:
    /// `["valgrind", "--tool=callgrind"]`.
    #[must_use]
    pub fn through<S: AsRef<str>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.through.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Starts it with a limit on open files, as `prlimit` takes it: `1024:` is a soft limit, which
    /// it may raise itself, `1024:1024` one that it may not.
    #[must_use]
    pub fn limit_of_files(self, limit: &str) -> Self {
        let limit = format!("--nofile={limit}");
        self.through(["prlimit", &limit])
    }

    /// Keeps its store in this folder, which the caller removes.
    #[must_use]
    pub fn store_in(mut self, folder: PathBuf) -> Self {
        self.store = folder;
        self
    }

    /// How long it may take to greet; [`SOON`] unless this is called.
    #[must_use]
    pub fn start_limit(mut self, limit: Duration) -> Self {
        self.start_limit = limit;
        self
    }

    /// The arguments that the broker gets.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![];
        if let Some(addr) = self.name_server {
            arguments.extend(["-n".to_owned(), addr.to_string()]);
        }
        let own = [
            "brokerName=broker-a".to_owned(),
            "brokerIP1=127.0.0.1".to_owned(),
            "mappedFileSizeCommitLog=67108864".to_owned(),
            format!("storePathRootDir={}", self.store().display()),
            format!("listenPort={}", self.ports.first()),
            format!("shardCount={}", self.shards),
        ];
        let all = own.into_iter().chain(self.settings.iter().cloned());
        arguments.extend(all.flat_map(|setting| ["--set".to_owned(), setting]));
        arguments.extend(self.words.iter().cloned());
        arguments
    }

    /// The whole command.
    pub fn command(&self) -> Command {
        let mut command = self.program.command(&self.through, &self.arguments());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it, and returns once every shard has greeted.
    pub fn start(&self) -> Process {
        let mut process = Process::spawn(self.command());
        process.wait_for_within("boot success", self.shards.into(), self.start_limit);
        process
    }

    /// How many shards it has.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// `listenPort`.
    pub fn port(&self) -> u16 {
        self.ports.first()
    }

    /// Where a shard listens.
    pub fn shard_addr(&self, shard: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.of_shard(shard)))
    }

    /// The folder that is removed at the end.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The broker's store.
    pub fn store(&self) -> PathBuf {
        self.store.clone()
    }
}

/// A broker that runs, and what starts it again.
pub struct Broker {
    /// The process.
    pub process: Process,
    /// How it was started. After the process: it is dropped last.
    pub setup: BrokerSetup,
}

impl Broker {
    /// Starts it.
    pub fn start(setup: BrokerSetup) -> Self {
        Self { process: setup.start(), setup }
    }

    /// Starts it again on the same store and ports, after it ended.
    pub fn restart(&mut self) {
        self.process = self.setup.start();
    }

    /// Where shard 0 listens.
    pub fn addr(&self) -> SocketAddr {
        self.setup.shard_addr(0)
    }
}
