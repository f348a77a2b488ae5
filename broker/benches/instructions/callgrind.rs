//! One run of the real `mqbroker` under callgrind.

use super::Measured;
use super::profile::{self, Counts};
use crate::client;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::{BrokerSetup, Program};

/// Requests on their way at a time.
const IN_FLIGHT: usize = 16;
/// Messages of one frame of those that are stored first.
const FILLED_IN_ONE: usize = 128;
/// The longest idle spin there is.
const SPIN_MICROS: u32 = 1_000_000;

pub(crate) fn is_there() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Instructions of a run with so many requests, those of making the topic and of the messages that
/// are stored first included.
pub(crate) fn count(
    path: &Measured,
    requests: usize,
    stored_first: usize,
    keep: Option<PathBuf>,
) -> Counts {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let out = keep.unwrap_or_else(|| folder.path().join("callgrind"));
    let setup = setup(folder.path(), &out, path.settings);
    let mut broker = setup.start();
    let addr = setup.shard_addr(0);
    client::make_topic(addr);
    let mut left = stored_first;
    while left > 0 {
        let messages = left.min(FILLED_IN_ONE);
        let frame = client::native_frame(0, messages, client::BODY_BYTES);
        exchange(&mut client::Peer::connect(addr, client::Lane::Native, frame), 1);
        left -= messages;
    }
    let frames = (path.request)().repeat(IN_FLIGHT);
    let mut peer = client::Peer::connect(addr, path.lane, frames);
    for _ in 0..requests / IN_FLIGHT {
        exchange(&mut peer, IN_FLIGHT);
    }
    assert_eq!(broker.stop(), Some(0), "mqbroker under valgrind: {}", broker.log());
    let short = requests <= super::SMOKE[1];
    profile::counts(&std::fs::read_to_string(&out).unwrap(), short)
        .unwrap_or_else(|why| panic!("{}: {why}", out.display()))
}

fn exchange(peer: &mut client::Peer, answers: usize) {
    peer.send();
    peer.receive(answers);
    assert_eq!(peer.errors, 0, "every request is answered with SUCCESS");
}

/// A broker under callgrind that writes to `out` when it ends.
fn setup(folder: &Path, out: &Path, settings: &[&str]) -> BrokerSetup {
    let out = format!("--callgrind-out-file={}", out.display());
    BrokerSetup::new(Program::at(env!("CARGO_BIN_EXE_mqbroker")), 1)
        .through(["valgrind", "--tool=callgrind", "--fair-sched=yes", &out])
        .store_in(folder.join("store"))
        .settings([format!("idleSpinMicros={SPIN_MICROS}"), "bindAddress=127.0.0.1".into()])
        .settings(settings)
        .start_limit(Duration::from_secs(600))
}
