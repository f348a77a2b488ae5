//! The ring against the kernel's deferred work.

use super::*;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

/// The peer's end and ours.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (peer, listener.accept().unwrap().0)
}

/// 60 sockets become readable and are empty again before the ring looks: 60 items of deferred work
/// without a completion. One socket with bytes stands behind them.
#[test]
fn nothing_is_left_behind_stale_work_when_a_core_goes_to_sleep() {
    const STALE: u64 = 60;
    let mut ring = Ring::new(&RingConfig::default()).unwrap();
    let mut pairs: Vec<_> = (0..=STALE).map(|_| pair()).collect();
    for (token, (_, ours)) in (0..).zip(&pairs) {
        let socket = Socket::new(OwnedFd::from(ours.try_clone().unwrap()));
        ring.receive(token, &socket);
    }
    while ring.turn(Wait::No, &mut |_| ()).unwrap() > 0 || ring.has_queued {}
    for (nth, (peer, ours)) in (0..).zip(&mut pairs) {
        peer.write_all(b"x").unwrap();
        if nth < STALE {
            // Woken twice, a poll looks for itself when it runs, and finds nothing.
            peer.write_all(b"x").unwrap();
            ours.read_exact(&mut [0; 2]).unwrap();
        }
    }
    let mut got = Vec::new();
    let mut sink = |event: Event<'_>| match event {
        Event::Received { token, data } => got.push((token, data.len())),
        _ => panic!("another event"),
    };
    // As the driver does: turns until there is nothing, then a last turn with the eventfd on.
    while ring.turn(Wait::No, &mut sink).unwrap() > 0 || ring.has_work() || {
        ring.run_deferred().unwrap();
        ring.turn(Wait::No, &mut sink).unwrap() > 0 || ring.has_work()
    } {}
    assert_eq!(got, [(STALE, 1)], "bytes are there, and the core sleeps");
}
