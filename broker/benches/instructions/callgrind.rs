//! One run of the real `mqbroker` under callgrind.

use crate::{client, servers};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Requests on their way at a time.
const IN_FLIGHT: usize = 16;
/// What callgrind switches its counting on for.
const COUNTED: [&str; 2] =
    ["*Shard as netcore::Handler>::on_frame*", "*Shard as netcore::Handler>::on_native_frame*"];
/// The longest idle spin there is.
const SPIN_MICROS: u32 = 1_000_000;

pub fn is_there() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Instructions of a run with so many requests, those of making the topic included.
pub fn count(lane: client::Lane, request: &[u8], messages: usize, keep: Option<PathBuf>) -> u64 {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let out = keep.unwrap_or_else(|| folder.path().join("callgrind"));
    let mut broker = Broker::start(folder.path(), &out);
    client::make_topic(broker.addr);
    let mut peer = client::Peer::connect(broker.addr, lane, request.repeat(IN_FLIGHT));
    for _ in 0..messages / IN_FLIGHT {
        peer.send();
        peer.receive(IN_FLIGHT);
    }
    assert_eq!(peer.errors, 0, "every request is answered with SUCCESS");
    broker.stop();
    total(&out)
}

/// The line `totals: N` (callgrind) or `summary: N`.
fn total(out: &Path) -> u64 {
    let text = std::fs::read_to_string(out).unwrap();
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    line.and_then(|number| number.trim().parse().ok())
        .unwrap_or_else(|| panic!("{}: no totals: callgrind counted nothing", out.display()))
}

struct Broker {
    addr: SocketAddr,
    child: Child,
}

impl Broker {
    fn start(folder: &Path, out: &Path) -> Self {
        let port = servers::free_port();
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--fair-sched=yes"])
            .args(COUNTED.map(|function| format!("--toggle-collect={function}")));
        command
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(env!("CARGO_BIN_EXE_mqbroker"));
        let settings = [
            format!("listenPort={port}"),
            format!("storePathRootDir={}", folder.join("store").display()),
            format!("idleSpinMicros={SPIN_MICROS}"),
            "bindAddress=127.0.0.1".into(),
            "brokerIP1=127.0.0.1".into(),
            "mappedFileSizeCommitLog=67108864".into(),
        ];
        settings.iter().for_each(|setting| _ = command.args(["--set", setting]));
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let broker = Self { addr: SocketAddr::from(([127, 0, 0, 1], port)), child };
        let started = Instant::now();
        while TcpStream::connect(broker.addr).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "mqbroker does not come up under valgrind"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        broker
    }

    fn stop(&mut self) {
        assert!(
            Command::new("kill")
                .args(["-TERM", &self.child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "mqbroker under valgrind: {ended}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _gone_already = (self.child.kill(), self.child.wait());
    }
}
