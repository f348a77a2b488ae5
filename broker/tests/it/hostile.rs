//! Whatever a peer does costs its own connection only: the broker's memory stays bounded, the log
//! names the peer, and every other client is served on.

use crate::client::{Client, message, pull_from};
use crate::cluster::{Cluster, eventually};
use protocol::codes::request;
use protocol::headers::{PullHeader, SendHeader};
use std::io::Write;
use std::time::Duration;

/// Sends and pulls as a well-behaved client would, which must go on working.
struct Witness {
    client: Client,
    sent: i64,
}

impl Witness {
    fn of(cluster: &Cluster) -> Self {
        Self { client: cluster.client(0), sent: 0 }
    }

    fn is_served(&mut self) {
        self.client.put("Witness", "", "still here");
        let pulled = self.client.pull(&pull_from("Witness", self.sent));
        assert_eq!(pulled.messages()[0].text(), "still here");
        self.sent += 1;
    }
}

/// `length` and `header word` in front of `rest`, whatever they say.
fn frame(length: u32, header_word: u32, rest: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], &header_word.to_be_bytes(), rest].concat()
}

#[test]
fn broken_bytes_end_their_own_connection_and_the_log_names_the_peer() {
    let cluster = Cluster::start(1, &[]);
    let mut witness = Witness::of(&cluster);
    let cases = [
        ("garbage", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a TLS greeting", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        ("a length over the limit", frame((16 << 20) + 1, 10, b"{}")),
        ("a length over all limits", frame(0x01ff_ffff, 10, b"{}")),
        ("a length of nothing", frame(0, 10, b"{}")),
        ("a header longer than its frame", frame(16, 0x00ff_ffff, &[b'{'; 12])),
        ("an unknown way to serialize", frame(6, 0x0900_0002, b"{}")),
        ("invalid JSON", frame(14, 10, b"{\"code\":1")),
        ("JSON that is no object", frame(7, 3, b"[1]")),
        ("a binary header cut short", frame(12, 0x0100_0008, &[0; 8])),
        ("a binary header with a remark that lies", frame(25, 0x0100_0015, &[0x7f; 21])),
    ];
    for (what, bytes) in cases {
        let mut bad = cluster.client(0);
        let peer = bad.stream.local_addr().unwrap().to_string();
        bad.stream.write_all(&bytes).unwrap();
        bad.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(bad.is_closed(), "{what}");
        eventually(&format!("the log names the peer of {what}"), || {
            cluster.broker.log().contains(&peer)
        });
        witness.is_served();
    }
}

#[test]
fn half_a_frame_and_then_silence_of_many_peers_keeps_nobody_waiting() {
    let cluster = Cluster::start(1, &[]);
    let mut witness = Witness::of(&cluster);
    let mut announced = Vec::new();
    for _ in 0..300 {
        let mut silent = cluster.client(0);
        // 16 MiB announced, 7 bytes sent: memory follows what came, not what was announced.
        silent.stream.write_all(&frame(16 << 20, 100, b"{\"c")).unwrap();
        announced.push(silent);
    }
    (0..20).for_each(|_| witness.is_served());
    let resident = cluster.broker.resident_bytes_peak();
    assert!(resident < 512 << 20, "{resident} bytes resident: 300 × 16 MiB were only announced");
}

#[test]
fn ten_thousand_connections_opened_and_dropped_leave_nothing_behind() {
    let cluster = Cluster::start(1, &[]);
    let mut witness = Witness::of(&cluster);
    witness.is_served(); // its topic's files are open from now on
    let before = cluster.broker.descriptors();
    for round in 0..100 {
        let clients: Vec<_> = (0..100).map(|_| cluster.client(0)).collect();
        drop(clients);
        if round % 20 == 0 {
            witness.is_served();
        }
    }
    witness.is_served();
    let resident = cluster.broker.resident_bytes_peak();
    assert!(resident < 256 << 20, "{resident} bytes resident after 10,000 connections");
    eventually("as many descriptors are open as before, and a few of files", || {
        cluster.broker.descriptors() <= before + 20
    });
}

#[test]
fn a_peer_that_never_reads_its_answers_is_held_back_and_memory_stays_bounded() {
    let cluster = Cluster::start(1, &[]);
    let mut witness = Witness::of(&cluster);
    let mut client = cluster.client(0);
    let body = vec![b'x'; 1 << 20];
    (0..8).for_each(|_| assert_eq!(client.send_message(&message("Big"), &body).code, 0));
    let mut deaf = cluster.client(0);
    deaf.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    // Each pull is answered with at least one message of 1 MiB; none is read. 1 GiB of answers is
    // asked for.
    let pull = PullHeader { max_msg_nums: 1, ..pull_from("Big", 0) };
    let mut request = Vec::new();
    let head = protocol::remoting::CommandHead {
        code: request::PULL_MESSAGE,
        opaque: 1,
        ..Default::default()
    };
    protocol::remoting::write_command(&mut request, &head, |w| pull.write(w), &[]);
    for _ in 0..1024 {
        if deaf.stream.write_all(&request).is_err() {
            break;
        }
    }
    (0..20).for_each(|_| witness.is_served());
    let resident = cluster.broker.resident_bytes_peak();
    assert!(resident < 512 << 20, "{resident} bytes resident for answers that nobody reads");
}

#[test]
fn a_body_that_does_not_match_its_header_is_refused_and_stores_nothing() {
    let cluster = Cluster::start(1, &[]);
    let mut witness = Witness::of(&cluster);
    let mut client = cluster.client(0);
    client.put("T", "", "first");
    let batch = SendHeader { batch: true, ..message("T") };
    // A batch whose one message says that it is longer than the body.
    let lying: Vec<u8> = [&200_i32.to_be_bytes()[..], &[0; 12], &[0, 0, 0, 1, b'x', 0, 0]].concat();
    for body in [&b""[..], b"x", &lying] {
        let reply = client.send_message(&batch, body);
        assert!(reply.code != 0 && !reply.remark.is_empty(), "{reply:?}");
    }
    for code in [request::HEART_BEAT, request::LOCK_BATCH_MQ, request::UNLOCK_BATCH_MQ] {
        let reply = client.call_with(code, &[], b"[[[[[[[");
        assert!(reply.code != 0 && !reply.remark.is_empty(), "{code}: {reply:?}");
    }
    client.put("T", "", "second");
    let stored = client.pull(&pull_from("T", 0));
    assert_eq!(
        stored.messages().iter().map(|m| m.text().to_owned()).collect::<Vec<_>>(),
        ["first", "second"]
    );
    witness.is_served();
}
