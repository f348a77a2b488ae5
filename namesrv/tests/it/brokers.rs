//! Brokers come, stay and go; clients see it.

use crate::server::{Server, eventually};
use crate::wire::{Client, Requests, fields};
use protocol::codes::{request as code, response};
use protocol::remoting::SerializeType;
use std::time::Duration;

#[test]
fn a_registered_topic_is_found_by_clients_of_both_header_formats() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let (mut broker, mut client) = (Client::connect(server.addr), Client::connect(server.addr));
    assert_eq!(
        broker.register("broker-a", "10.0.0.1:10911", &["T1", "T2"], &[]).code,
        response::SUCCESS
    );
    for serialize in [SerializeType::Json, SerializeType::RocketMq] {
        client.serialize = serialize;
        let route = client.route("T1").unwrap();
        assert_eq!(route.broker_datas[0].broker_addrs[&0], "10.0.0.1:10911");
        assert_eq!(route.queue_datas[0].write_queue_nums, 4);
        assert_eq!(
            client.call(code::GET_ROUTEINFO_BY_TOPIC, &[("topic", "T9")]).code,
            response::TOPIC_NOT_EXIST
        );
    }
}

#[test]
fn a_silent_broker_expires_and_a_beating_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["scanNotActiveBrokerInterval=20"]);
    let (mut silent, mut beating, mut client) =
        (Client::connect(server.addr), Client::connect(server.addr), Client::connect(server.addr));
    // Long enough that a slow machine's pause between two beats does not count as silence.
    let timeout = [("heartbeatTimeoutMillis", "1500")];
    silent.register("silent", "h:1", &["T1", "T2"], &timeout);
    beating.register("beating", "h:2", &["T1", "T2"], &timeout);
    assert_eq!(client.route("T1").unwrap().queue_datas.len(), 2);
    eventually("the silent broker is out of the route", || {
        let beat = beating.call(
            code::BROKER_HEARTBEAT,
            &[("clusterName", "c"), ("brokerAddr", "h:2"), ("brokerName", "beating")],
        );
        assert_eq!(beat.code, response::SUCCESS);
        std::thread::sleep(Duration::from_millis(20));
        client.route("T1").unwrap().queue_datas.len() == 1
    });
    assert_eq!(client.route("T1").unwrap().queue_datas[0].broker_name, "beating");
    assert!(silent.is_closed(), "its connection is closed, so that it notices");
    eventually("the log says so", || server.log().contains("broker expired"));
}

#[test]
fn a_lost_connection_removes_its_broker_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = Client::connect(server.addr);
    let mut broker = Client::connect(server.addr);
    broker.register("broker-a", "h:1", &["T1", "T2"], &[]);
    assert!(client.route("T1").is_some());
    drop(broker);
    eventually("the broker is gone with its connection", || client.route("T1").is_none());
    assert_eq!(
        client.call(code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[]).body,
        br#"{"topicList":[]}"#
    );
}

#[test]
fn unregistering_and_write_permission_show_in_routes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = Client::connect(server.addr);
    client.register("broker-a", "h:1", &["T1", "T2"], &[]);
    let broker = [("brokerName", "broker-a")];
    assert_eq!(client.call(code::WIPE_WRITE_PERM_OF_BROKER, &broker).ext["wipeTopicCount"], "2");
    assert_eq!(client.route("T1").unwrap().queue_datas[0].perm, 4);
    assert_eq!(client.call(code::ADD_WRITE_PERM_OF_BROKER, &broker).ext["addTopicCount"], "2");
    assert_eq!(client.route("T1").unwrap().queue_datas[0].perm, 6);
    let gone = [
        ("brokerName", "broker-a"),
        ("brokerAddr", "h:1"),
        ("clusterName", "c"),
        ("brokerId", "0"),
    ];
    assert_eq!(client.call(code::UNREGISTER_BROKER, &gone).code, response::SUCCESS);
    assert!(client.route("T1").is_none());
}

#[test]
fn pipelined_requests_are_answered_one_each_and_one_ways_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = Client::connect(server.addr);
    client.register("broker-a", "h:1", &["T1", "T2"], &[]);
    let sent: Vec<i32> = (0..500)
        .map(|_| {
            client.oneway(
                code::WIPE_WRITE_PERM_OF_BROKER,
                fields(&[("brokerName", "broker-a")]),
                &[],
            );
            client.send(code::GET_ROUTEINFO_BY_TOPIC, 0, fields(&[("topic", "T1")]), &[])
        })
        .collect();
    let answered: Vec<i32> = sent.iter().map(|_| client.receive().opaque).collect();
    assert_eq!(answered, sent);
    assert_eq!(client.route("T1").unwrap().queue_datas[0].perm, 4, "the one-ways were done");
}
