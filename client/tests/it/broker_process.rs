//! A broker that a test owns: this test program again, which then is `mqbroker`. Killed when
//! dropped.

use client::{ClientConfig, ThreadClient};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long anything that should happen soon may take on a loaded machine.
pub const SOON: Duration = Duration::from_secs(30);

const ARGUMENTS: &str = "CLIENT_TEST_BROKER_ARGUMENTS";

/// Not a test of its own: the broker's program, when the environment says so.
#[test]
fn be_the_broker() {
    if let Ok(arguments) = std::env::var(ARGUMENTS) {
        broker::run(
            std::iter::once("mqbroker")
                .chain(arguments.split('\n'))
                .map(Into::into)
                .collect::<Vec<_>>(),
        );
    }
}

pub struct Broker {
    child: Child,
    pub port: u16,
    shards: u16,
    settings: Vec<String>,
    _claim: TcpListener,
    /// Last: removed when the process is gone.
    dir: tempfile::TempDir,
}

/// A block of ports for each broker, below the range that the kernel hands out. The listener claims
/// it, so that it stays this test's while its broker is down, also from other runs of this program.
fn claim_ports(shards: u16) -> (TcpListener, u16) {
    static NEXT_BLOCK: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let block = (u16::try_from(std::process::id() % 52).unwrap()
            + NEXT_BLOCK.fetch_add(1, Ordering::Relaxed))
            % 52;
        let port = 30_110 + block * 50;
        let Ok(claim) = TcpListener::bind(("127.0.0.1", port - 10)) else { continue };
        if (0..shards).all(|shard| free(port + 10 * shard) && free(port + 10 * shard - 2)) {
            return (claim, port);
        }
    }
}

impl Broker {
    /// Starts it and waits until every shard serves; `settings` are `key=value`.
    pub fn start(shards: u16, settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (claim, port) = claim_ports(shards);
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let child = spawn(dir.path(), port, shards, &settings);
        Self { child, port, shards, settings, _claim: claim, dir }
    }

    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn client(&self) -> ThreadClient {
        self.client_with(ClientConfig::default())
    }

    pub fn client_with(&self, config: ClientConfig) -> ThreadClient {
        ThreadClient::connect(&[&self.addr()], config).unwrap()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        assert!(
            Command::new("kill")
                .args(["-s", name, &self.child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    /// SIGSTOP, and waits until every thread stands still: the signal alone may be later than what
    /// is sent next.
    pub fn stand_still(&self) {
        self.signal("STOP");
        let tasks = format!("/proc/{}/task", self.child.id());
        let stands = |status: std::path::PathBuf| {
            std::fs::read_to_string(status)
                .unwrap()
                .lines()
                .any(|line| line.starts_with("State:") && line.contains("T (stopped)"))
        };
        eventually("every thread stands still", || {
            std::fs::read_dir(&tasks)
                .unwrap()
                .all(|task| stands(task.unwrap().path().join("status")))
        });
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same store and ports.
    pub fn restart(&mut self) {
        self.child = spawn(self.dir.path(), self.port, self.shards, &self.settings);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn spawn(dir: &std::path::Path, port: u16, shards: u16, settings: &[String]) -> Child {
    let store = format!("storePathRootDir={}", dir.join("store").display());
    let (port, count) = (format!("listenPort={port}"), format!("shardCount={shards}"));
    let own = [
        "brokerName=broker-a",
        "brokerIP1=127.0.0.1",
        "mappedFileSizeCommitLog=67108864",
        &store,
        &port,
        &count,
    ];
    let arguments: Vec<&str> = own
        .into_iter()
        .chain(settings.iter().map(String::as_str))
        .flat_map(|setting| ["--set", setting])
        .collect();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "broker_process::be_the_broker", "--nocapture"])
        .env(ARGUMENTS, arguments.join("\n"));
    command
        .env_remove("NAMESRV_ADDR")
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    for shard in 0..shards {
        assert!(
            lines.any(|line| line.contains("boot success")),
            "shard {shard} of {shards} did not start"
        );
    }
    std::thread::spawn(move || lines.for_each(drop)); // a full pipe would stop it
    child
}

/// Calls `done` until it says so.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
