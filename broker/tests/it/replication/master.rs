//! A master and slaves that the test plays: what they get, and what they may say.

use super::wire::{Slave, Transfer, log_of};
use crate::client::Client;
use crate::cluster::{Cluster, eventually};
use protocol::codes::request;
use std::time::Duration;
use testkit::SOON;

const BATCH: usize = 32 * 1024;

/// Sends messages of a KiB; where the log ends afterwards.
fn send(client: &mut Client, count: usize) -> u64 {
    let body = "x".repeat(1_024);
    for _ in 0..count {
        assert_eq!(client.put("t", "", &body).code, 0);
    }
    end_of(client)
}

fn end_of(client: &mut Client) -> u64 {
    let info = client.call(request::GET_BROKER_RUNTIME_INFO, &[]);
    let table: protocol::bodies::KvTable = protocol::json::from_lenient(&info.body).unwrap();
    table.table["commitLogMaxOffset"].parse().unwrap()
}

#[test]
fn slaves_get_the_log_byte_for_byte_from_where_they_are() {
    let mut cluster = Cluster::start(1, &[]);
    let addr = cluster.shard_addr(0);
    let mut client = cluster.client(0);
    let end = send(&mut client, 300);
    let (mut empty, mut behind) = (Slave::of(addr), Slave::of(addr));
    empty.report(0);
    behind.report(777);
    let mut all = empty.take(0, end, BATCH);
    assert_eq!(behind.take(777, end, BATCH), all[777..], "also from the middle of a record");
    for slave in [&mut empty, &mut behind] {
        slave.report(end.cast_signed());
    }
    let grown = send(&mut client, 50);
    let rest = empty.take(end, grown, BATCH);
    assert_eq!(behind.take(end, grown, BATCH), rest);
    all.extend(rest);
    // Nothing of it is in memory after a restart.
    cluster.broker.stop();
    assert_eq!(all, log_of(&cluster.store(), 0, grown), "what the files have");
    cluster.restart_broker();
    let mut late = Slave::of(addr);
    late.report(1);
    assert_eq!(late.take(1, grown, BATCH), all[1..], "from the files");
    eventually("it is told", || cluster.broker.log().contains("a slave follows"));
}

#[test]
fn a_slave_that_takes_nothing_keeps_neither_senders_nor_other_slaves() {
    let cluster = Cluster::start(1, &["haTransferBatchSize=65536"]);
    let mut client = cluster.client(0);
    let (mut stuck, mut other) =
        (Slave::of(cluster.shard_addr(0)), Slave::of(cluster.shard_addr(0)));
    stuck.report(0);
    other.report(0);
    let body = "y".repeat(512 * 1_024);
    let sent = 40;
    for _ in 0..sent {
        assert_eq!(client.put("t", "", &body).code, 0);
    }
    let end = end_of(&mut client);
    assert!(end > sent * 512 * 1_024);
    let log = other.take(0, end, 65_536);
    assert_eq!(stuck.take(0, end, 65_536), log, "it gets all of it when it takes it");
}

#[test]
fn what_no_slave_can_say_is_refused_by_name_and_costs_nobody_else() {
    let cluster = Cluster::start(1, &[]);
    let addr = cluster.shard_addr(0);
    let mut client = cluster.client(0);
    let end = send(&mut client, 20).cast_signed();
    let mut good = Slave::of(addr);
    good.report(0);
    good.take(0, end.cast_unsigned(), BATCH);
    let garbage = i64::from_be_bytes(*b"GET / HT");
    let handshake = 0xFFFF_FFFF_i64;
    for (reports, reason) in [
        (vec![-1], "expected 0 or more".to_owned()),
        (vec![end + 1], format!("it is ahead: it reports log offset {} ", end + 1)),
        (vec![garbage], format!("reports log offset {garbage} and this log ends at {end}")),
        (vec![handshake], format!("reports log offset {handshake} and this log ends at {end}")),
        (vec![end, end - 1], format!("it goes back: it reports log offset {} ", end - 1)),
        (vec![end, end + 8], format!("was sent nothing behind {end}")),
    ] {
        let mut slave = Slave::of(addr);
        for report in &reports {
            slave.report(*report);
        }
        assert!(slave.is_closed_within(SOON), "{reports:?}");
        eventually(&reason, || cluster.broker.log().contains(&reason));
    }
    // Half a report says nothing; a flood of true ones is a slave that has much to say.
    let mut half = Slave::of(addr);
    half.say(&[0; 4]);
    let mut flood = Slave::of(addr);
    flood.try_to_say(&end.to_be_bytes().repeat(200_000));
    assert_eq!(client.put("t", "", "still here").code, 0);
    let grown = end_of(&mut client);
    good.take(end.cast_unsigned(), grown, BATCH);
    half.say(&[0; 4]);
    half.take(0, grown, BATCH);
}

#[test]
fn who_has_nothing_to_say_says_that_and_who_is_silent_is_given_up() {
    let settings = ["haSendHeartbeatInterval=50", "haHousekeepingInterval=1500"];
    let cluster = Cluster::start(1, &settings);
    let end = send(&mut cluster.client(0), 3);
    let mut slave = Slave::of(cluster.shard_addr(0));
    slave.report(end.cast_signed());
    for _ in 0..3 {
        assert_eq!(slave.next(), Transfer { offset: end, bytes: vec![] });
    }
    assert!(slave.is_closed_within(SOON));
    let reason = "it said nothing for 1500 ms (haHousekeepingInterval)";
    eventually(reason, || cluster.broker.log().contains(reason));
    let mut one_that_says_nothing = Slave::of(cluster.shard_addr(0));
    assert!(one_that_says_nothing.is_closed_within(SOON));
}

#[test]
fn one_slave_more_than_may_be_is_refused() {
    let cluster = Cluster::start(1, &[]);
    let mut slaves: Vec<Slave> = (0..16).map(|_| Slave::of(cluster.shard_addr(0))).collect();
    for slave in &mut slaves {
        slave.report(0);
    }
    let mut more = Slave::of(cluster.shard_addr(0));
    assert!(more.is_closed_within(SOON));
    eventually("the reason", || cluster.broker.log().contains("at most 16 slaves"));
    assert!(!slaves[0].is_closed_within(Duration::from_millis(200)));
}
