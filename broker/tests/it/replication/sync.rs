//! What a SYNC_MASTER waits for, with slaves that the test plays.

use super::pair::{code_of, end_of, info, messages};
use super::wire::Slave;
use crate::client::{Client, message};
use crate::cluster::{Cluster, eventually};
use protocol::codes::request;
use protocol::headers::SendHeader;
use std::time::{Duration, Instant};

const SYNC: &str = "brokerRole=SYNC_MASTER";
const FLUSH: [&str; 2] = ["flushDiskType=ASYNC_FLUSH", "flushDiskType=SYNC_FLUSH"];

/// Sends without waiting for the answer.
fn begin_put(client: &mut Client, text: &str) -> i32 {
    let header = message("t");
    client.send(request::SEND_MESSAGE_V2, 0, |w| header.write_v2(w), text.as_bytes())
}

#[test]
fn without_a_number_of_replicas_a_send_waits_for_a_slave_that_is_there() {
    for flush in FLUSH {
        let cluster = Cluster::start(1, &[SYNC, flush]);
        let mut client = cluster.client(0);
        assert_eq!(code_of(&mut client, "alone"), 11, "SLAVE_NOT_AVAILABLE, and stored");
        let mut slave = Slave::of(cluster.shard_addr(0));
        let end = end_of(cluster.shard_addr(0));
        slave.report(end.cast_signed());
        eventually("it follows", || info(cluster.shard_addr(0))["haSlaves"] == "1");
        let opaque = begin_put(&mut client, "together");
        let transfer = slave.next();
        assert_eq!(transfer.offset, end);
        assert!(client.receive_within(Duration::from_millis(300)).is_none(), "it waits");
        slave.report((end + transfer.bytes.len() as u64 - 1).cast_signed());
        assert!(client.receive_within(Duration::from_millis(300)).is_none(), "a byte is missing");
        slave.report((end + transfer.bytes.len() as u64).cast_signed());
        assert_eq!(client.answer_to(opaque).code, 0, "{flush}");
        drop(slave);
        eventually("it is gone", || info(cluster.shard_addr(0))["haSlaves"] == "0");
        assert_eq!(code_of(&mut client, "alone again"), 11);
        let stored = messages(&mut client, "t");
        assert_eq!(stored.len(), 3, "all of them are stored, and seen");
        let info = info(cluster.shard_addr(0));
        assert_eq!([&info["haSendsReplicated"], &info["haSendsWithoutSlave"]], ["1", "2"]);
    }
}

#[test]
fn with_a_number_of_replicas_so_many_are_waited_for_be_they_there_or_not() {
    for flush in FLUSH {
        let settings = [SYNC, flush, "inSyncReplicas=3", "slaveTimeout=400"];
        let cluster = Cluster::start(1, &settings);
        let mut client = cluster.client(0);
        let began = Instant::now();
        assert_eq!(code_of(&mut client, "nobody"), 12, "FLUSH_SLAVE_TIMEOUT, stored");
        assert!(began.elapsed() >= Duration::from_millis(400));
        let mut slaves = [Slave::of(cluster.shard_addr(0)), Slave::of(cluster.shard_addr(0))];
        let end = end_of(cluster.shard_addr(0));
        slaves.iter_mut().for_each(|slave| slave.report(end.cast_signed()));
        eventually("they follow", || info(cluster.shard_addr(0))["haSlaves"] == "2");
        let opaque = begin_put(&mut client, "one of two");
        let upto = end + slaves[0].next().bytes.len() as u64;
        slaves[0].report(upto.cast_signed());
        assert_eq!(client.answer_to(opaque).code, 12);
        slaves[1].next();
        let opaque = begin_put(&mut client, "both");
        for slave in &mut slaves {
            let upto = upto + slave.next().bytes.len() as u64;
            slave.report(upto.cast_signed());
        }
        assert_eq!(client.answer_to(opaque).code, 0, "{flush}");
        assert_eq!(messages(&mut client, "t").len(), 3);
        assert_eq!(info(cluster.shard_addr(0))["haSendsNotReplicatedInTime"], "2");
    }
}

#[test]
fn one_replica_and_a_message_that_does_not_want_it_wait_for_nobody() {
    let cluster = Cluster::start(1, &[SYNC, "inSyncReplicas=1"]);
    assert_eq!(cluster.client(0).put("t", "", "as Apache by default").code, 0);
    let cluster = Cluster::start(1, &[SYNC]);
    let header = SendHeader { properties: "WAIT\u{1}false", ..message("t") };
    assert_eq!(cluster.client(0).send_message(&header, b"does not wait").code, 0);
    assert!(cluster.broker.said().contains("SYNC_MASTER (sends wait for a slave, as"));
}

#[test]
fn a_slave_that_is_too_far_behind_is_none() {
    let cluster = Cluster::start(1, &[SYNC, "haMaxGapNotInSync=4096", "slaveTimeout=300"]);
    let mut client = cluster.client(0);
    assert_eq!(code_of(&mut client, &"x".repeat(5_000)), 11);
    let mut slave = Slave::of(cluster.shard_addr(0));
    slave.report(0);
    eventually("it follows", || info(cluster.shard_addr(0))["haSlaves"] == "1");
    assert_eq!(code_of(&mut client, "it lacks 5,000 bytes"), 11);
    let end = end_of(cluster.shard_addr(0));
    slave.take(0, end, 32 * 1024);
    slave.report(end.cast_signed());
    eventually("it is near", || info(cluster.shard_addr(0))["haSlave0Offset"] == end.to_string());
    assert_eq!(code_of(&mut client, "it has all but this"), 12, "it is waited for");
}
