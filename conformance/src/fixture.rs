//! `conformance fixture`: a small store written by Apache RocketMQ 5.5.0, packed, with the list of
//! what is in it.
//!
//! ```text
//!   store.tar.gz   the broker's storePathRootDir after SIGTERM
//!   expected.txt   for each message:
//!                    message TOPIC QUEUE QUEUE_OFFSET OFFSET_MSG_ID UNIQUE_KEY KEY LENGTH BODY
//!                    (x's at the body's end are left out)
//!                  for each offset:
//!                    offset GROUP TOPIC QUEUE OFFSET
//! ```

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::artifacts::Artifacts;
use crate::cluster::Cluster;
use crate::dialogue;
use crate::options::{Against, Options};
use crate::ports::Ports;
use crate::prerequisites;
use crate::process::{Interrupt, Stop};
use crate::run::java_program;
use crate::target::{Config, Target};

const CLIENT: &str = "5.5.0";

/// Makes both files anew; true when the store was written and read back.
pub(crate) fn run(options: &Options, into: &Path) -> Result<bool, Stop> {
    let interrupt = Interrupt::install()?;
    prerequisites::none(&prerequisites::missing_for_java())?;
    let artifacts = Artifacts::locate(options.bin_dir.as_deref())?;
    artifacts.fetch_apache()?;
    artifacts.build_programs(CLIENT)?;
    let dir = tempfile::tempdir().map_err(Stop::while_doing("creating a temporary folder"))?;
    let target = Target {
        against: Against::Apache,
        artifacts: &artifacts,
        dir: dir.path().to_path_buf(),
        serialize: None,
    };
    let cluster = Cluster::start(target, Ports::free()?, Config::FixtureFiles, &interrupt)?;
    let mut command = java_program(&artifacts, CLIENT, dir.path());
    command.args([
        "ringmq.conformance.Main",
        "fixture",
        &cluster.ports().namesrv_addr("127.0.0.1"),
        "fixture",
    ]);
    let verdict = dialogue::hold(command, "fixture", dir.path(), &interrupt, |what, _| {
        Err(Stop::Cannot(what.to_owned()))
    })?;
    if let Some(why) = verdict.failure {
        return Err(Stop::Cannot(why));
    }
    let store = cluster.finish()?;
    fs::create_dir_all(into).map_err(Stop::while_doing(format!("creating {}", into.display())))?;
    let list = into.join("expected.txt");
    fs::write(&list, verdict.notes.join("\n") + "\n")
        .map_err(Stop::while_doing(format!("writing {}", list.display())))?;
    pack(&store, &into.join("store.tar.gz"))?;
    println!("{} lines in {}", verdict.notes.len(), list.display());
    Ok(true)
}

fn pack(store: &Path, into: &Path) -> Result<(), Stop> {
    let mut tar = Command::new("tar");
    // RocksDB's options name the folder they were used in, and Apache writes them anew.
    tar.args([
        "--exclude=./rocksdbstore/OPTIONS-*",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "-czf",
    ])
    .arg(into)
    .arg("-C")
    .arg(store)
    .arg(".");
    let status = tar.status().map_err(Stop::while_doing("starting tar"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Stop::Cannot(format!("packing {}: {status}", store.display())))
    }
}
