//! A name server among many connections and few open files.

use crate::server::{Server, eventually};
use crate::wire::{Client, Requests as _};
use protocol::codes::request;
use std::io::Read as _;
use std::net::TcpStream;

fn put(client: &mut Client, value: &str) -> i32 {
    let ext = [("namespace", "n"), ("key", "k"), ("value", value)];
    client.call(request::PUT_KV_CONFIG, &ext).code
}

#[test]
fn the_limit_of_open_files_is_raised_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with_files(dir.path(), 300, 1_000);
    let expected = "1000 open files (raised from 300), at most 500 of them for connections";
    assert!(server.said().contains(expected), "{}", server.said());
    // More than the soft limit are served.
    let mut clients: Vec<_> = (0..400).map(|_| Client::connect(server.addr)).collect();
    assert!(clients.iter_mut().all(|client| client.route("T").is_none()));
}

#[test]
fn connections_leave_descriptors_for_files() {
    rt::ring::raise_file_limit().unwrap(); // 1,500 of this process are needed
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with_files(dir.path(), 1_024, 1_024);
    let mut early = Client::connect(server.addr);
    assert!(early.route("T").is_none());
    let peers: Vec<_> = (0..1_500).map(|_| TcpStream::connect(server.addr).unwrap()).collect();
    let is_refused = |mut peer: &TcpStream| {
        peer.set_read_timeout(Some(std::time::Duration::from_millis(1))).unwrap();
        matches!(peer.read(&mut [0]), Ok(0))
    };
    eventually("all but 511 of the 1,500 are refused", || {
        peers.iter().filter(|peer| is_refused(peer)).count() == 1_500 - 511
    });
    // A changed value is acknowledged once its file is written: that takes descriptors.
    assert_eq!(put(&mut early, "v"), 0, "{}", server.log());
    eventually("one line tells of the refusals", || {
        server.log().contains("connections were refused: as many as allowed are open")
    });
    let lines = server.log().lines().filter(|line| line.contains("refused")).count();
    assert!(lines < 5, "{lines} lines for the refused connections");
    drop(peers);
    eventually("there is room again", || {
        let late = TcpStream::connect(server.addr).unwrap();
        !is_refused(&late)
    });
    assert!(early.route("T").is_none());
}
