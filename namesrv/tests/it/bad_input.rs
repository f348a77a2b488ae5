//! Whoever speaks nonsense loses its own connection, and nobody else notices.

use crate::server::{Server, eventually};
use crate::wire::{Client, Requests};
use protocol::codes::request as code;
use std::io::Write;

/// Sends bytes on a connection of their own, expects it to be closed, and the log to name the peer.
fn closed_after(server: &Server, bytes: &[u8]) {
    let mut client = Client::connect(server.addr);
    let peer = client.stream.local_addr().unwrap().to_string();
    // The server may close before all is written: that is what is tested.
    let _ = client.stream.write_all(bytes);
    assert!(client.is_closed(), "{bytes:?}");
    eventually("the log names the peer", || server.log().contains(&peer));
}

#[test]
fn frames_that_lie_cost_their_own_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut broker = Client::connect(server.addr);
    broker.register("broker-a", "h:1", &["T1", "T2"], &[]);
    let mut half = Client::connect(server.addr);
    half.stream.write_all(&[0, 0, 0, 100, 0, 0]).unwrap();

    // A header longer than its frame.
    closed_after(&server, &[0, 0, 0, 8, 0, 0, 0, 200, 1, 2, 3, 4]);
    closed_after(&server, &[0, 0, 0, 8, 9, 0, 0, 4, 1, 2, 3, 4]); // serialize type 9
    closed_after(&server, b"\x00\x00\x00\x0c\x00\x00\x00\x08{\"code\":"); // JSON that ends early
    closed_after(&server, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]); // longer than any frame
    closed_after(&server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");

    assert!(broker.route("T1").is_some(), "the others are served");
    assert!(Client::connect(server.addr).route("T1").is_some());
}

#[test]
fn an_unknown_code_and_a_body_that_does_not_match_are_answered_and_the_connection_lives() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = Client::connect(server.addr);
    let reply = client.call(31_999, &[]);
    assert_eq!((reply.code, reply.remark.as_str()), (3, " request type 31999 not supported"));
    let ext = [("brokerName", "a"), ("brokerAddr", "h:1"), ("clusterName", "c"), ("brokerId", "0")];
    let reply = client.call_with(code::REGISTER_BROKER, &ext, b"\xff\xfe not JSON");
    assert_eq!(reply.code, 1);
    assert!(reply.remark.contains("RegisterBrokerBody"), "{}", reply.remark);
    assert!(client.route("T").is_none(), "and it goes on");
}

#[test]
fn many_connections_that_register_and_drop_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    for n in 0..300 {
        let mut broker = Client::connect(server.addr);
        broker.register(&format!("b{n}"), &format!("h:{n}"), &["T1", "T2"], &[]);
    }
    let mut client = Client::connect(server.addr);
    eventually("all brokers are gone", || client.route("T1").is_none());
    let info = String::from_utf8(client.call(code::GET_BROKER_CLUSTER_INFO, &[]).body).unwrap();
    assert_eq!(info, r#"{"brokerAddrTable":{},"clusterAddrTable":{}}"#);
}
