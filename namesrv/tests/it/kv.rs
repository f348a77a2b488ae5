//! Key-value configuration is on disk when it is acknowledged.

use crate::server::{Server, command};
use crate::wire::{Client, Requests, fields};
use protocol::codes::{request as code, response};
use std::fs;

const ENTRY: [(&str, &str); 3] =
    [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "T"), ("value", "broker-a:4")];

fn value(client: &mut Client) -> Option<String> {
    client.call(code::GET_KV_CONFIG, &ENTRY[..2]).ext.remove("value")
}

#[test]
fn an_acknowledged_entry_survives_a_kill_and_a_deleted_one_stays_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(
        Client::connect(server.addr).call(code::PUT_KV_CONFIG, &ENTRY).code,
        response::SUCCESS
    );
    assert_eq!(server.signal("KILL"), None);
    let server = Server::start(dir.path(), &[]);
    let mut client = Client::connect(server.addr);
    assert_eq!(value(&mut client).as_deref(), Some("broker-a:4"));
    let reply = client.register("broker-a", "h:1", &["T1", "T2"], &[]);
    assert_eq!(reply.body, br#"{"table":{"T":"broker-a:4"}}"#, "brokers get the order topics");
    assert_eq!(client.call(code::DELETE_KV_CONFIG, &ENTRY[..2]).code, response::SUCCESS);
    assert_eq!(server.signal("KILL"), None);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(value(&mut Client::connect(server.addr)), None);
}

#[test]
fn changes_that_come_together_are_each_answered_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = Client::connect(server.addr);
    let keys: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
    let put = |client: &mut Client, key: &str| {
        client.send(
            code::PUT_KV_CONFIG,
            0,
            fields(&[("namespace", "n"), ("key", key), ("value", "v")]),
            &[],
        )
    };
    let sent: Vec<i32> = keys.iter().map(|key| put(&mut client, key)).collect();
    let answered: Vec<i32> = sent.iter().map(|_| client.receive().opaque).collect();
    assert_eq!(answered, sent);
    let file = fs::read_to_string(dir.path().join("namesrv/kvConfig.json")).unwrap();
    assert!(keys.iter().all(|key| file.contains(&format!("\"{key}\":\"v\""))), "{file}");
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_to_whoever_changed_it() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody, root included, can make a folder there; that the file is missing is no reason not to
    // start.
    let server = Server::start(dir.path(), &["kvConfigPath=/proc/no/kvConfig.json"]);
    let mut client = Client::connect(server.addr);
    let reply = client.call(code::PUT_KV_CONFIG, &ENTRY);
    assert_eq!(reply.code, response::SYSTEM_ERROR);
    assert!(
        reply.remark.starts_with("in force, but not kept over a restart: /proc/no/kvConfig.json: "),
        "{}",
        reply.remark
    );
    assert_eq!(value(&mut client).as_deref(), Some("broker-a:4"));
}

#[test]
fn a_broken_file_stops_the_start_instead_of_being_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kvConfig.json");
    fs::write(&path, "{\"configTable\":{").unwrap();
    let kv_path = format!("kvConfigPath={}", path.display());
    let out = command(&["--set", "listenPort=0", "--set", &kv_path]).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains(&path.display().to_string()) && said.contains("Fix: "), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"configTable\":{");
}
