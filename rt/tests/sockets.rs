//! The ring's receiving and sending against plain blocking sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rt::AppendBuf;
use rt::ring::{Event, ReceiveEnd, Ring, RingConfig, SendQueue, Socket, Wait};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

const WAIT: Wait = Wait::AtMost(Duration::from_millis(100));

/// The peer's end, and ours.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (peer, listener.accept().unwrap().0)
}

fn ring(receive_buf_bytes: usize) -> Ring {
    Ring::new(&RingConfig { receive_buf_bytes, ..RingConfig::default() }).unwrap()
}

fn socket(stream: TcpStream) -> Socket {
    Socket::new(OwnedFd::from(stream))
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect()
}

/// Turns until `done` says so. The bound is on turns that find nothing, so only a ring that hangs
/// fails here.
fn turn_until(ring: &mut Ring, sink: &mut dyn FnMut(Event<'_>) -> bool) {
    let (mut done, mut idle) = (false, 0);
    while !done {
        let found = ring.turn(WAIT, &mut |event| done |= sink(event)).unwrap();
        idle = if found == 0 { idle + 1 } else { 0 };
        assert!(idle < 200, "nothing came for 20 s");
    }
}

#[test]
fn all_that_a_peer_sent_before_it_closed_arrives_and_then_its_end() {
    for buf_bytes in [1, 7, 64, 65_536] {
        for sent in [0, 1, 6, 7, 8, 63, 64, 65, 128, 1000] {
            let (mut peer, ours) = pair();
            peer.write_all(&pattern(sent)).unwrap();
            drop(peer); // bytes and end are there before the first look
            let mut ring = ring(buf_bytes);
            ring.receive(1, &socket(ours));
            let (mut got, mut ends) = (Vec::new(), 0);
            turn_until(&mut ring, &mut |event| {
                match event {
                    Event::Received { token: 1, data } => got.extend_from_slice(data),
                    Event::ReceiveEnded { token: 1, why: ReceiveEnd::Peer } => ends += 1,
                    _ => panic!("{sent} bytes through a buffer of {buf_bytes}: another event"),
                }
                ends == 1
            });
            assert!(got == pattern(sent), "{sent} bytes through a buffer of {buf_bytes}");
            assert_eq!(ring.turn(Wait::No, &mut |_| panic!("an event after the end")).unwrap(), 0);
            assert_eq!(ring.in_flight(), 0, "the poll is over");
        }
    }
}

#[test]
fn a_peer_with_much_to_say_leaves_the_others_their_turn() {
    let ((mut loud, loud_ours), (mut quiet, quiet_ours)) = (pair(), pair());
    loud.write_all(&pattern(100_000)).unwrap();
    quiet.write_all(b"me too").unwrap();
    [&loud_ours, &quiet_ours]
        .iter()
        .for_each(|ours| assert_eq!(ours.peek(&mut [0]).unwrap(), 1, "it has arrived"));
    let mut ring = ring(64);
    ring.receive(1, &socket(loud_ours));
    ring.receive(2, &socket(quiet_ours));
    let mut loud_reads = 0;
    turn_until(&mut ring, &mut |event| {
        let Event::Received { token, data } = event else { panic!("another event") };
        assert!(data.len() <= 64);
        loud_reads += u32::from(token == 1);
        token == 2
    });
    assert!(loud_reads <= 33, "{loud_reads} reads of the one peer before the first of the other");
}

#[test]
fn a_turn_ends_although_a_peer_could_go_on_for_ever() {
    let (mut peer, ours) = pair();
    peer.write_all(&pattern(200_000)).unwrap();
    let mut ring = ring(1024);
    ring.receive(1, &socket(ours));
    let (mut got, mut turns) = (Vec::new(), 0);
    while got.len() < 200_000 {
        let before = got.len();
        ring.turn(WAIT, &mut |event| {
            if let Event::Received { data, .. } = event {
                got.extend_from_slice(data);
            }
        })
        .unwrap();
        assert!(got.len() - before <= 33 * 1024, "{} bytes in one turn", got.len() - before);
        turns += 1;
        assert!(turns < 10_000, "it hangs after {} bytes", got.len());
    }
    assert!(got == pattern(200_000));
}

#[test]
fn a_receive_that_is_stopped_and_begun_again_loses_nothing() {
    let (mut peer, ours) = pair();
    peer.write_all(&pattern(50_000)).unwrap();
    let (mut ring, ours) = (ring(100), socket(ours));
    ring.receive(1, &ours);
    let (mut got, mut stops) = (Vec::new(), 0);
    while got.len() < 50_000 {
        let (before, mut stopped) = (got.len(), false);
        ring.stop_receiving(1);
        turn_until(&mut ring, &mut |event| {
            match event {
                Event::Received { data, .. } => got.extend_from_slice(data),
                Event::ReceiveEnded { why: ReceiveEnd::Stopped, .. } => stopped = true,
                _ => panic!("another event"),
            }
            stopped
        });
        stops += 1;
        assert_eq!(got.len(), before, "stopped means that nothing is read any more");
        ring.receive(1, &ours);
        turn_until(&mut ring, &mut |event| match event {
            Event::Received { data, .. } => {
                got.extend_from_slice(data);
                true
            }
            _ => panic!("another event"),
        });
    }
    assert!(got == pattern(50_000) && stops > 3);
}

#[test]
fn a_send_that_the_socket_cannot_take_at_once_goes_out_whole_and_in_order() {
    let (mut peer, ours) = pair();
    let (mut ring, ours) = (ring(1024), socket(ours));
    let log = AppendBuf::copy_of(&pattern(6_000_000));
    let mut queue = SendQueue::default();
    queue.bytes().extend_from_slice(&pattern(3_000_000));
    queue.slice(log.part(0..5_999_999));
    queue.bytes().extend_from_slice(b"end");
    let want = [&pattern(3_000_000)[..], &pattern(6_000_000)[..5_999_999], b"end"].concat();
    ring.send(1, &ours, queue);
    let mut told = 0;
    ring.turn(Wait::No, &mut |_| told += 1).unwrap();
    assert_eq!(told, 0, "9 MB do not fit a socket that nobody reads");
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; want.len()];
        peer.read_exact(&mut got).unwrap();
        assert!(got == want);
    });
    turn_until(&mut ring, &mut |event| {
        matches!(event, Event::Sent { token: 1, result: Ok(()), .. })
    });
    reader.join().unwrap();
}

#[test]
fn a_send_that_fits_is_told_in_the_next_turn_and_one_to_a_closed_socket_fails() {
    let (mut peer, ours) = pair();
    let (mut ring, ours) = (ring(1024), socket(ours));
    let said = |text: &[u8]| {
        let mut queue = SendQueue::default();
        queue.bytes().extend_from_slice(text);
        queue
    };
    ring.send(1, &ours, said(b"hello"));
    assert!(ring.has_work(), "a core must not sleep on what it has not told");
    let mut got = [0; 5];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello", "it left before the turn");
    turn_until(&mut ring, &mut |event| {
        matches!(event, Event::Sent { token: 1, result: Ok(()), .. })
    });
    ring.shut(&ours);
    ring.send(2, &ours, said(b"too late"));
    turn_until(&mut ring, &mut |event| {
        matches!(event, Event::Sent { token: 2, result: Err(_), .. })
    });
}
