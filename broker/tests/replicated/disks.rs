//! A slave whose disk is full, or refuses a write: its master goes on, nothing is acknowledged
//! that the slave has not, and the slave catches up once its disk takes bytes again.
//!
//! A failing write is a limit on the size of files (RLIMIT_FSIZE), set while the slave runs.
//! Devices that fail, fsyncs too, are in [`crate::devices`].

use crate::load::Load;
use crate::networks::in_namespace;
use crate::pair::Pair;
use crate::stored::Ledger;
use protocol::headers::SendHeader;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::eventually;
use testkit::message::message;
use testkit::remoting::Client;

/// Small files, so that a little load needs a new one.
pub(crate) const SMALL: [&str; 3] =
    ["mappedFileSizeCommitLog=4194304", "maxMessageSize=65536", "tailCacheBytes=8388608"];
const DISK_MIB: u64 = 256;
/// More than a slave without a disk has room for: its memory, and the file that is there.
const LOAD_BYTES: usize = 32 << 20;
const BODY_BYTES: usize = 60_000;

/// Runs a program; what it complained about.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// A file system of so many MiB at `path`; false, said loudly, where none can be made.
fn mounted(image: &Path, path: &Path, test: &str) -> bool {
    File::create(image).unwrap().set_len(DISK_MIB << 20).unwrap();
    std::fs::create_dir_all(path).unwrap();
    let (image, path) = (image.display().to_string(), path.display().to_string());
    let made = run("mkfs.ext4", &["-q", "-m", "0", &image])
        .and_then(|()| run("mount", &["-o", "loop", &image, &path]));
    if let Err(why) = &made {
        eprintln!("SKIPPED {test}: this host lets a test mount no file system: {why}");
    }
    made.is_ok()
}

/// Takes all that is left of the disk.
fn fill(path: &Path) {
    let mut filler = File::create(path.join("filler")).unwrap();
    let block = vec![0x5A; 65_536];
    while filler.write_all(&block).is_ok() {}
    let _full = filler.sync_all();
}

/// Makes the master's log grow by [`LOAD_BYTES`] with messages that wait for no slave.
fn grow(pair: &Pair) {
    let mut client = Client::connect(pair.master.addr());
    let body = vec![b'g'; BODY_BYTES];
    let header = SendHeader { properties: "WAIT\u{1}false", ..message("growth") };
    for _ in 0..LOAD_BYTES / BODY_BYTES {
        // 2: its own small memory is full for a moment, on a slow machine.
        eventually("the master goes on", || {
            let code = client.send_message(&header, &body).code;
            assert!([0, 2].contains(&code), "{code}");
            code == 0
        });
    }
}

/// The slave has ended, or stands still far behind: the fault has been felt.
fn is_held_up(pair: &mut Pair) -> bool {
    if !pair.slave.broker.process.is_running() {
        return true;
    }
    let before = pair.slave.log_end();
    std::thread::sleep(Duration::from_millis(500));
    let behind = pair.master.log_end().saturating_sub(before);
    pair.slave.log_end() == before && behind > 1 << 20
}

/// The slave, started again when it has ended, has everything; promoted it has what was
/// acknowledged.
fn recovers(mut pair: Pair, mut load: Load) {
    if pair.slave.broker.process.is_running() {
        pair.slave.broker.process.stop();
    }
    pair.slave.broker.restart();
    pair.slave_follows();
    let before = load.acknowledged();
    eventually("sends are acknowledged again", || load.acknowledged() > before + 50);
    load.stop();
    let mut ledger = Ledger::default();
    ledger.add(load.take());
    pair.promote(true);
    let faults = ledger.faults(pair.master.addr());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    eprintln!("{} acknowledged, other answers {:?}", ledger.len(), ledger.others);
    assert!(ledger.others.keys().all(|code| [11, 12, 14, 2].contains(code)), "{:?}", ledger.others);
}

#[test]
fn a_slave_whose_disk_is_full_costs_no_acknowledged_message() {
    const NAME: &str = "disks::a_slave_whose_disk_is_full_costs_no_acknowledged_message";
    in_namespace(NAME, || {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        if !mounted(&dir.path().join("image"), &disk, NAME) {
            return;
        }
        {
            let store = format!("storePathRootDir={}", disk.join("store").display());
            let mut pair = Pair::start_with(&SMALL, &[&store]);
            let load = Load::start(pair.master.addr(), 3);
            eventually("sends are acknowledged", || load.acknowledged() > 100);
            fill(&disk);
            grow(&pair);
            assert!(is_held_up(&mut pair), "the disk was not full");
            std::fs::remove_file(disk.join("filler")).unwrap();
            recovers(pair, load);
        }
        let _gone = run("umount", &["-l", &disk.display().to_string()]);
    });
}

#[test]
fn a_slave_whose_disk_refuses_a_write_costs_no_acknowledged_message() {
    const NAME: &str = "disks::a_slave_whose_disk_refuses_a_write_costs_no_acknowledged_message";
    in_namespace(NAME, || {
        let mut pair = Pair::start_with(&SMALL, &[]);
        let load = Load::start(pair.master.addr(), 3);
        eventually("sends are acknowledged", || load.acknowledged() > 100);
        let pid = pair.slave.broker.process.id().to_string();
        // Whole blocks: the write that crosses it comes back short, the rest of it is refused.
        run("prlimit", &["--pid", &pid, "--fsize=200704:"]).unwrap();
        grow(&pair);
        assert!(is_held_up(&mut pair), "no write was refused");
        recovers(pair, load);
    });
}
