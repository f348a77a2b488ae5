//! Real processes: children end with their parent, errors say what to do.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn loadgen() -> Command {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
}

#[test]
fn a_child_ends_when_its_parents_pipe_closes() {
    let mut child = loadgen().args(["noop-target", "--exit-with-parent"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut addr = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut addr).unwrap();
    assert!(addr.trim().parse::<std::net::SocketAddr>().is_ok(), "{addr:?}");
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(3), "the child outlived its parent's pipe");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nobody_listening_is_an_error_that_names_the_peer_and_leaves_nothing() {
    let out = tempfile::tempdir().unwrap();
    let ended = loadgen().args(["run", "--namesrv", "127.0.0.1:1", "--duration", "1", "--out"]).arg(out.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1));
    assert!(said.contains("cannot connect to name server 127.0.0.1:1") && said.contains("Is it running"), "{said}");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn wrong_arguments_are_status_2() {
    assert_eq!(loadgen().args(["run"]).output().unwrap().status.code(), Some(2));
}
