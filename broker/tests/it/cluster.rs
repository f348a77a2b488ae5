//! A cluster that a test owns: a name server and a broker process on free loopback ports, with a
//! store in a temporary folder. Killed when dropped; what they log is kept for the failure message.

use crate::client::Client;
use protocol::codes::request;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything that should happen soon may take on a loaded machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Calls `done` until it says so.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One running program.
pub struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
}

impl Process {
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = keep(child.stdout.take().unwrap());
        let log = keep(child.stderr.take().unwrap());
        Self { child, said, log }
    }

    /// What it has printed.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has printed `text` so many times.
    pub fn wait_for(&mut self, text: &str, times: usize) {
        let start = Instant::now();
        while self.said().matches(text).count() < times {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < SOON,
                "no {text:?} ({ended:?}); it said {}, log: {}",
                self.said(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let mut code = None;
        eventually("the process ends", || {
            let status = self.child.try_wait().unwrap();
            code = status.and_then(|status| status.code());
            status.is_some()
        });
        code
    }

    /// The most memory it had resident so far, in bytes.
    pub fn resident_bytes_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        kib.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Reads a stream to its end on a thread of its own.
fn keep(mut stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let kept = Arc::new(Mutex::new(String::new()));
    let to = kept.clone();
    std::thread::spawn(move || {
        let mut stream = BufReader::new(&mut stream);
        let mut line = Vec::new();
        while let Ok(1..) = stream.read_until(b'\n', &mut line) {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    kept
}

/// A program of the workspace, from the folder this test's own broker was built into.
fn program(name: &str) -> Command {
    let path = Path::new(env!("CARGO_BIN_EXE_mqbroker")).with_file_name(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build -p namesrv`, or test the whole workspace",
        path.display()
    );
    let mut command = Command::new(path);
    command.env_remove("NAMESRV_ADDR").env_remove("RUST_LOG");
    command
}

/// `mqbroker` with these arguments, run to its end.
pub fn run_broker(args: &[&str]) -> Output {
    program("mqbroker").args(args).stdin(Stdio::null()).output().unwrap()
}

/// A port whose neighbours for `shards` shards and their VIP ports are free as well: a block of its
/// own for each cluster of this program, below the range that the kernel hands out to connections,
/// so that tests side by side never meet.
fn free_ports(shards: u16) -> u16 {
    static NEXT_BLOCK: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| {
        TcpListener::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("0.0.0.0", port)).is_ok()
    };
    let first = u16::try_from(std::process::id() % 200).unwrap();
    loop {
        let block = (first + NEXT_BLOCK.fetch_add(1, Ordering::Relaxed)) % 200;
        let port = 20_010 + block * 50;
        if (0..shards).all(|shard| free(port + 10 * shard) && free(port + 10 * shard - 2)) {
            return port;
        }
    }
}

/// A name server and a broker.
pub struct Cluster {
    pub broker: Process,
    pub name_server: Process,
    pub name_server_addr: SocketAddr,
    pub shards: u16,
    pub port: u16,
    settings: Vec<String>,
    /// Last: fields are dropped in order, and a broker that still runs would put files into a
    /// folder being removed.
    pub dir: tempfile::TempDir,
}

impl Cluster {
    /// Starts both; `settings` are `key=value`. Returns when the broker serves and is registered.
    pub fn start(shards: u16, settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = program("mqnamesrv");
        let kv_path = format!("kvConfigPath={}", dir.path().join("kv.json").display());
        command.args([
            "--set",
            "listenPort=0",
            "--set",
            "bindAddress=127.0.0.1",
            "--set",
            &kv_path,
        ]);
        let mut name_server = Process::spawn(command);
        name_server.wait_for("boot success", 1);
        let said = name_server.said();
        let name_server_addr = said
            .lines()
            .find_map(|line| line.split_once("address "))
            .unwrap()
            .1
            .trim()
            .parse()
            .unwrap();
        let port = free_ports(shards);
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let broker = start_broker(dir.path(), name_server_addr, shards, port, &settings);
        Self { broker, name_server, name_server_addr, shards, port, settings, dir }
    }

    /// Starts the broker anew on the same ports and store, after it ended.
    pub fn restart_broker(&mut self) {
        self.broker = start_broker(
            self.dir.path(),
            self.name_server_addr,
            self.shards,
            self.port,
            &self.settings,
        );
    }

    /// Starts the broker, which is expected to refuse: its exit code and what it logged.
    pub fn refused_broker(&self) -> (Option<i32>, String) {
        self.refused(self.broker_command())
    }

    /// The same with a command of the test's own.
    pub fn refused(&self, command: Command) -> (Option<i32>, String) {
        let mut broker = Process::spawn(command);
        let code = broker.wait();
        // Its last words may still be on their way from the pipe.
        eventually("the reason", || broker.log().contains("mqbroker: "));
        (code, broker.log())
    }

    /// The command that starts the broker.
    pub fn broker_command(&self) -> Command {
        broker_command(
            self.dir.path(),
            self.name_server_addr,
            self.shards,
            self.port,
            &self.settings,
        )
    }

    /// The broker's store.
    pub fn store(&self) -> PathBuf {
        store_of(self.dir.path())
    }

    /// Where a shard listens.
    pub fn shard_addr(&self, shard: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port + 10 * shard))
    }

    /// A connection to a shard.
    pub fn client(&self, shard: u16) -> Client {
        Client::connect(self.shard_addr(shard))
    }

    /// The brokers that the name server names for a topic.
    pub fn brokers_of(&self, topic: &str) -> Vec<String> {
        let reply = Client::connect(self.name_server_addr)
            .call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)]);
        if reply.code != 0 {
            return vec![];
        }
        let route: protocol::bodies::TopicRouteData =
            protocol::json::from_lenient(&reply.body).unwrap();
        let mut brokers: Vec<_> =
            route.queue_datas.into_iter().map(|queues| queues.broker_name).collect();
        brokers.sort();
        brokers
    }
}

fn store_of(dir: &Path) -> PathBuf {
    dir.join("store")
}

fn broker_command(
    dir: &Path,
    name_server: SocketAddr,
    shards: u16,
    port: u16,
    settings: &[String],
) -> Command {
    let mut command = program("mqbroker");
    command.args(["-n", &name_server.to_string()]);
    let store = format!("storePathRootDir={}", store_of(dir).display());
    let (port, count) = (format!("listenPort={port}"), format!("shardCount={shards}"));
    // Files of 64 MiB: the broker reserves a whole file at once, and dozens of clusters run at the
    // same time.
    let own = [
        "brokerName=broker-a",
        "brokerIP1=127.0.0.1",
        "mappedFileSizeCommitLog=67108864",
        &store,
        &port,
        &count,
    ];
    for setting in own.into_iter().chain(settings.iter().map(String::as_str)) {
        command.args(["--set", setting]);
    }
    command
}

fn start_broker(
    dir: &Path,
    name_server: SocketAddr,
    shards: u16,
    port: u16,
    settings: &[String],
) -> Process {
    let mut broker = Process::spawn(broker_command(dir, name_server, shards, port, settings));
    broker.wait_for("boot success", shards.into());
    broker
}
