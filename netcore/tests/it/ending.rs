//! How connections begin and end, and what of them is left.

use crate::server::{SOON, Server, read_frame, read_some, say, write_frame};
use netcore::{Framing, Listener};
use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn silence_is_ended() {
    let server = Server::start(|config| config.idle_timeout = Duration::from_millis(500));
    let mut stream = server.connect();
    assert_eq!(read_some(&mut stream, &mut [0; 1]).unwrap(), 0);
    server.wait_for("close silent");
    server.stop();
}

#[test]
fn what_is_queued_goes_out_before_a_close() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    say(&mut stream, b"close after this");
    assert_eq!(read_frame(&mut stream), b"close after this");
    assert_eq!(read_some(&mut stream, &mut [0; 1]).unwrap(), 0);
    server.wait_for("close asked");
    server.stop();
}

/// A socket that is closed with unread input resets the connection, and the kernel throws away what
/// the peer has not received yet.
#[test]
fn the_last_answer_arrives_although_the_peer_goes_on_talking() {
    const ANSWER_BYTES: usize = 300_000;
    let server = Server::start(|_| ());
    let mut stream = server.connect_with_small_buffer();
    let mut said = Vec::new();
    write_frame(&mut said, format!("answer with {ANSWER_BYTES}").as_bytes());
    write_frame(&mut said, b"close after this");
    stream.write_all(&said).unwrap();
    let mut more = Vec::new();
    write_frame(&mut more, &[5; 50_000]);
    stream.write_all(&more).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    stream.write_all(&more).unwrap();
    assert_eq!(read_frame(&mut stream).len(), ANSWER_BYTES);
    assert_eq!(read_frame(&mut stream), b"close after this");
    assert_eq!(read_some(&mut stream, &mut [0; 1]).unwrap(), 0, "a plain end");
    drop(stream);
    server.wait_for("close asked");
    server.stop();
}

#[test]
fn a_peer_that_does_not_close_after_its_last_answer_is_closed() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    say(&mut stream, b"close after this");
    let started = Instant::now();
    while stream.write_all(&[0]).is_ok() {
        assert!(started.elapsed() < SOON, "it is read from for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    server.wait_for("close asked");
    server.stop();
}

#[test]
fn a_connection_beyond_the_limit_is_refused_and_the_others_stay() {
    let server = Server::start(|config| config.connections_max = 2);
    let mut admitted = [server.connect(), server.connect()];
    (0..2).for_each(|_| drop(server.wait_for("open")));
    for _ in 0..100 {
        let mut refused = server.connect();
        assert_eq!(read_some(&mut refused, &mut [0]).unwrap(), 0, "a plain end");
    }
    for stream in &mut admitted {
        say(stream, b"still here");
        assert_eq!(read_frame(stream), b"still here");
    }
    let [first, second] = admitted;
    drop(first);
    server.wait_for("close");
    let mut next = server.connect();
    say(&mut next, b"room again");
    assert_eq!(read_frame(&mut next), b"room again");
    drop(second);
    server.stop();
}

#[test]
fn an_ipv4_peer_of_an_ipv6_listener_is_an_ipv4_address() {
    if let Err(error) = std::net::TcpListener::bind("[::]:0") {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "only a host without IPv6 may refuse");
        return;
    }
    let server = Server::start(|config| config.listen[0].addr = "[::]:0".parse().unwrap());
    let mut stream = TcpStream::connect(("127.0.0.1", server.addr.port())).unwrap();
    say(&mut stream, b"hello");
    assert_eq!(read_frame(&mut stream), b"hello");
    let opened = server.wait_for("open");
    assert!(opened.contains(&format!("of {}", stream.local_addr().unwrap())), "{opened}");
    server.stop();
}

#[test]
fn the_kernel_asks_silent_peers_whether_they_are_there() {
    let server = Server::start(|_| ());
    let stream = server.connect();
    server.wait_for("open");
    let ours = format!(":{:04X}", server.addr.port());
    let theirs = format!(":{:04X}", stream.local_addr().unwrap().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let line = table.lines().map(fields).find(|f| f[1].ends_with(&ours) && f[2].ends_with(&theirs));
    assert!(line.as_ref().is_some_and(|f| f[5].starts_with("02:")), "no timer: {line:?}");
    server.stop();
}

#[test]
fn a_listener_speaks_what_its_framing_allows() {
    let server = Server::start(|config| {
        let addr = config.listen[0].addr;
        config.listen = vec![Listener { addr, framing: Framing::Native }];
    });
    let mut remoting = server.connect();
    say(&mut remoting, b"hello");
    assert!(!matches!(read_some(&mut remoting, &mut [0]), Ok(1..)));
    server.wait_for("first byte 0x00");
    let mut native = server.connect();
    let frame = [&netcore::frame::NATIVE_MAGIC[..], &16_u32.to_le_bytes(), &[0; 8]].concat();
    native.write_all(&frame).unwrap();
    assert!(!matches!(read_some(&mut native, &mut [0]), Ok(1..)));
    server.wait_for("the native protocol is not served here");
    server.stop();
}
