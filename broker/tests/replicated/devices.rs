//! A slave whose device fails its writes and fsyncs: the slave says so and acknowledges nothing
//! more, its master and the master's other clients go on, and nothing acknowledged is lost.
//!
//! Two devices of the tests' own, each a loop device under ext4. The short one has no journal: that
//! would make the whole file system read-only at the first error. The thin one needs it: without,
//! directories and extents that were flushed are lost with the blocks that found no place.
//!
//! | device | how it fails | the slave |
//! |---|---|---|
//! | thin | its image has holes, and the tmpfs below becomes full | `mmap`: fdatasync fails |
//! | short | its image is cut: the device ends early (EIO) | `direct`: a write fails |

use crate::disks::{SMALL, run};
use crate::load::Load;
use crate::networks::in_namespace;
use crate::pair::Pair;
use crate::stored::{Ledger, queue_of};
use protocol::headers::SendHeader;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use testkit::eventually;
use testkit::message::message;
use testkit::remoting::Client;

const DEVICE_BYTES: u64 = 256 << 20;
/// What the tmpfs below the thin device has room for.
const TMPFS: &str = "size=160m";
/// What is left of the short device: less than the file system's own tables.
const SHORT_BYTES: u64 = 1 << 20;
/// A file system on a device that can be made to fail.
struct Device {
    below: PathBuf,
    disk: PathBuf,
    has_journal: bool,
}

impl Device {
    /// Makes it, with `below` on a tmpfs; `None`, said loudly, where this host does not let it.
    fn mounted(dir: &Path, has_journal: bool, test: &str) -> Option<Self> {
        let device = Self { below: dir.join("below"), disk: dir.join("disk"), has_journal };
        std::fs::create_dir_all(&device.below).unwrap();
        std::fs::create_dir_all(&device.disk).unwrap();
        let below = device.below.display().to_string();
        let made = run("mount", &["-t", "tmpfs", "-o", TMPFS, "tmpfs", &below])
            .and_then(|()| device.make())
            .and_then(|()| device.mount());
        if let Err(why) = made {
            eprintln!("SKIPPED {test}: this host lets a test make no device: {why}");
            return None;
        }
        Some(device)
    }

    fn image(&self) -> PathBuf {
        self.below.join("image")
    }

    /// Makes a new file system.
    fn make(&self) -> Result<(), String> {
        let image = self.image();
        File::create(&image).unwrap().set_len(DEVICE_BYTES).unwrap();
        let image = image.display().to_string();
        let journal = if self.has_journal { "has_journal" } else { "^has_journal" };
        let options = ["-q", "-m", "0", "-b", "4096", "-O", journal, "-E", "nodiscard"];
        run("mkfs.ext4", &[&options[..], &[&image]].concat())
    }

    fn mount(&self) -> Result<(), String> {
        let (image, disk) = (self.image().display().to_string(), self.disk.display().to_string());
        run("mount", &["-o", "loop", &image, &disk])
    }

    /// Nobody has a file open any more. The page cache goes with it, as in a power cut.
    fn unmount(&self) {
        run("umount", &[&self.disk.display().to_string()]).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.below.join("filler")
    }

    /// Blocks that were never written have no place from now on.
    fn takes_no_new_block(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        let block = vec![0x5A; 65_536];
        while filler.write_all(&block).is_ok() {}
    }

    /// The other way round of [`Device::takes_no_new_block`].
    fn takes_blocks_again(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    /// Nothing behind its first part can be read or written from now on.
    fn is_cut_short(&self) {
        let image = self.image();
        let found = Command::new("losetup").args(["-n", "-O", "NAME", "-j"]).arg(&image).output();
        let name = String::from_utf8(found.unwrap().stdout).unwrap();
        OpenOptions::new().write(true).open(&image).unwrap().set_len(SHORT_BYTES).unwrap();
        run("losetup", &["--set-capacity", name.trim()]).unwrap();
    }

    /// The setting for a store on it.
    fn store(&self) -> String {
        format!("storePathRootDir={}", self.disk.join("store").display())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        for path in [&self.disk, &self.below] {
            let _gone = run("umount", &["-l", &path.display().to_string()]);
        }
    }
}

/// The slave has said what failed, that its store takes no more, and that it does not follow.
fn slave_says_so(pair: &mut Pair) {
    for text in ["the store stops accepting writes", "does not follow its master"] {
        eventually(text, || pair.slave.broker.process.log().contains(text));
    }
    assert!(pair.slave.broker.process.is_running(), "{}", pair.slave.broker.process.log());
    eventually("it stays away", || pair.slave.info()["haFollowsMaster"] == "false");
}

/// Sends are answered by `slaveTimeout`, others at once, and reads are served; the slave counts
/// for nothing.
fn master_carries_on(pair: &Pair) {
    eventually("the slave is none", || pair.master.info()["haSlaves"] == "0");
    let replicated = |pair: &Pair| pair.master.info()["haReplicatedOffset"].clone();
    let before = replicated(pair);
    let mut client = Client::connect(pair.master.addr());
    let mut longest = std::time::Duration::ZERO;
    for nth in 0..5 {
        let began = Instant::now();
        let code = client.send_message(&message("beside"), format!("{nth}").as_bytes()).code;
        assert_eq!(code, 12, "FLUSH_SLAVE_TIMEOUT: stored, and not acknowledged");
        longest = longest.max(began.elapsed());
        let alone = SendHeader { properties: "WAIT\u{1}false", ..message("beside") };
        assert_eq!(client.send_message(&alone, b"waits for no slave").code, 0);
    }
    eprintln!("answered 12 (slaveTimeout=400) after {longest:?} at most");
    eventually("reads are served", || queue_of(pair.master.addr(), "beside", 0).len() == 10);
    assert_eq!(replicated(pair), before, "the slave acknowledges nothing");
}

/// Everything acknowledged is at the master.
fn nothing_is_lost(ledger: &Ledger, pair: &Pair) {
    let faults = ledger.faults(pair.master.addr());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    eprintln!("{} acknowledged, other answers {:?}", ledger.len(), ledger.others);
}

#[test]
fn what_a_slave_acknowledged_from_its_disk_outlives_a_failing_fsync() {
    const NAME: &str = "devices::what_a_slave_acknowledged_from_its_disk_outlives_a_failing_fsync";
    in_namespace(NAME, || {
        let dir = tempfile::tempdir().unwrap();
        let Some(device) = Device::mounted(dir.path(), true, NAME) else { return };
        let (store, backend) = (device.store(), "logBackend=mmap");
        let of_slave = [&*store, backend, "slaveAckPolicy=disk", "flushIntervalCommitLog=20"];
        let mut pair = Pair::start_with(&SMALL, &of_slave);
        let mut load = Load::start(pair.master.addr(), 3);
        eventually("sends are acknowledged", || load.acknowledged() > 200);
        device.takes_no_new_block();
        slave_says_so(&mut pair);
        let log = pair.slave.broker.process.log();
        assert!(log.contains("fdatasync"), "{log}");
        master_carries_on(&pair);
        load.stop();
        let mut ledger = Ledger::default();
        ledger.add(load.take());
        // The master is gone for good, and the slave has what its device has.
        pair.master.broker.process.kill();
        pair.slave.broker.process.kill();
        device.unmount();
        device.takes_blocks_again();
        device.mount().unwrap();
        pair.promote(true);
        nothing_is_lost(&ledger, &pair);
        pair.old_master_follows();
        pair.slave.broker.process.kill();
        pair.master.broker.process.kill();
    });
}

#[test]
fn a_master_goes_on_without_a_slave_whose_device_fails_and_with_a_new_device() {
    const NAME: &str =
        "devices::a_master_goes_on_without_a_slave_whose_device_fails_and_with_a_new_device";
    in_namespace(NAME, || {
        let dir = tempfile::tempdir().unwrap();
        let Some(device) = Device::mounted(dir.path(), false, NAME) else { return };
        let mut pair = Pair::start_with(&SMALL, &[&device.store(), "logBackend=direct"]);
        let mut load = Load::start(pair.master.addr(), 3);
        eventually("sends are acknowledged", || load.acknowledged() > 200);
        device.is_cut_short();
        slave_says_so(&mut pair);
        let log = pair.slave.broker.process.log();
        assert!(log.contains("Input/output error"), "{log}");
        master_carries_on(&pair);
        // Nobody is promoted: the master is started again, and has it all.
        pair.master.broker.process.kill();
        pair.master.broker.restart();
        let mut ledger = Ledger::default();
        ledger.add(load.take());
        nothing_is_lost(&ledger, &pair);
        // A new device takes the place of the old one, and the slave begins anew.
        pair.slave.broker.process.kill();
        device.unmount();
        device.make().unwrap();
        device.mount().unwrap();
        pair.slave.broker.restart();
        pair.slave_follows();
        let before = load.acknowledged();
        eventually("sends are acknowledged again", || load.acknowledged() > before + 50);
        load.stop();
        ledger.add(load.take());
        pair.promote(true);
        nothing_is_lost(&ledger, &pair);
        pair.master.broker.process.kill();
    });
}
