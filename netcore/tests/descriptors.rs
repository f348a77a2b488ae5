//! What connections leave behind. The only test of its program, because it counts the process's
//! descriptors.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "it/server.rs"]
#[expect(dead_code, reason = "this program needs less of the server than the other")]
mod server;

use server::{SOON, Server, read_frame, say};
use std::time::{Duration, Instant};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn ten_thousand_connections_opened_and_dropped_leave_nothing_behind() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    say(&mut stream, b"first");
    assert_eq!(read_frame(&mut stream), b"first");
    let before = open_descriptors();
    for _ in 0..100 {
        let streams: Vec<_> = (0..100).map(|_| server.connect()).collect();
        drop(streams);
    }
    (0..10_000).for_each(|_| drop(server.wait_for("close")));
    say(&mut stream, b"last");
    assert_eq!(read_frame(&mut stream), b"last");
    let started = Instant::now();
    while open_descriptors() > before {
        assert!(started.elapsed() < SOON, "{} descriptors, {before} before", open_descriptors());
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(stream);
    server.stop();
}
