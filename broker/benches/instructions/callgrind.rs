//! One run of the real `mqbroker` under callgrind.

use super::Measured;
use super::profile::{self, Counts};
use crate::{client, servers};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Requests on their way at a time.
const IN_FLIGHT: usize = 16;
/// The longest idle spin there is.
const SPIN_MICROS: u32 = 1_000_000;

pub fn is_there() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Instructions of a run with so many requests, those of making the topic and of what the path
/// stores first included.
pub fn count(path: &Measured, requests: usize, keep: Option<PathBuf>) -> Counts {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let out = keep.unwrap_or_else(|| folder.path().join("callgrind"));
    let mut broker = Broker::start(folder.path(), &out, path.settings);
    client::make_topic(broker.addr);
    if path.stored_first > 0 {
        let frame = client::native_frame(0, path.stored_first, client::BODY_BYTES);
        exchange(&mut client::Peer::connect(broker.addr, client::Lane::Native, frame), 1);
    }
    let frames = (path.request)().repeat(IN_FLIGHT);
    let mut peer = client::Peer::connect(broker.addr, path.lane, frames);
    for _ in 0..requests / IN_FLIGHT {
        exchange(&mut peer, IN_FLIGHT);
    }
    broker.stop();
    profile::counts(&std::fs::read_to_string(&out).unwrap())
        .unwrap_or_else(|why| panic!("{}: {why}", out.display()))
}

fn exchange(peer: &mut client::Peer, answers: usize) {
    peer.send();
    peer.receive(answers);
    assert_eq!(peer.errors, 0, "every request is answered with SUCCESS");
}

struct Broker {
    addr: SocketAddr,
    child: Child,
}

impl Broker {
    fn start(folder: &Path, out: &Path, own_settings: &[&str]) -> Self {
        let port = servers::free_port();
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--fair-sched=yes"])
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
        let settings = settings.iter().map(String::as_str).chain(own_settings.iter().copied());
        settings.for_each(|setting| _ = command.args(["--set", setting]));
        let log = folder.join("log");
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        let mut broker = Self { addr: SocketAddr::from(([127, 0, 0, 1], port)), child };
        let started = Instant::now();
        while TcpStream::connect(broker.addr).is_err() {
            assert!(
                broker.child.try_wait().unwrap().is_none()
                    && started.elapsed() < Duration::from_secs(120),
                "mqbroker does not come up under valgrind: {}",
                std::fs::read_to_string(&log).unwrap()
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
