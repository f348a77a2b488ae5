//! A slave follows its master, whichever of both is stopped or killed, and serves what it may.

use super::pair::{Pair, code_of, end_of, info, log_of, logs_are_the_same, messages, setup, texts};
use crate::client::{Client, long_pull_from, message, pull_from};
use crate::cluster::{eventually, program};
use std::time::Duration;
use testkit::{Broker, NameServer};

fn put(client: &mut Client, from: usize, count: usize) {
    let filling = "z".repeat(900);
    for nth in from..from + count {
        assert_eq!(client.put("t", "tag", &format!("{nth} {filling}")).code, 0);
    }
}

#[test]
fn a_slave_follows_byte_for_byte_through_stops_and_kills_of_both() {
    let mut pair = Pair::start(&[]);
    let mut client = pair.master_client();
    put(&mut client, 0, 100);
    pair.slave_has_all();
    pair.slave.process.kill();
    put(&mut client, 100, 100);
    pair.slave.restart();
    pair.slave_has_all();
    pair.slave.process.stop();
    put(&mut client, 200, 50);
    pair.slave.restart();
    pair.slave_has_all();
    pair.master.process.kill();
    eventually("the slave notices", || info(pair.slave.addr())["haFollowsMaster"] == "false");
    pair.master.restart();
    pair.slave_follows();
    put(&mut pair.master_client(), 250, 50);
    let end = pair.slave_has_all();
    let brokers = pair.brokers_of("t");
    assert_eq!(brokers[&0], pair.master.addr().to_string());
    assert_eq!(brokers[&1], pair.slave.addr().to_string());
    logs_are_the_same(&mut pair.master, &mut pair.slave, end);
}

#[test]
fn a_slave_that_comes_late_gets_a_log_of_several_files_from_its_beginning() {
    let small = ["mappedFileSizeCommitLog=1048576", "maxMessageSize=65536"];
    let master = setup(&["brokerRole=ASYNC_MASTER"], &small);
    let name_server = NameServer::start(&program("mqnamesrv"), master.dir(), &[]);
    let mut master = Broker::start(master.name_server(name_server.addr));
    let mut client = Client::connect(master.addr());
    let body = "k".repeat(60_000);
    for _ in 0..80 {
        assert_eq!(client.put("t", "", &body).code, 0);
    }
    // What it sends comes from the files.
    master.process.stop();
    master.restart();
    let slave = setup(&["brokerRole=SLAVE", "brokerId=3"], &small);
    let mut pair =
        Pair { slave: Broker::start(slave.name_server(name_server.addr)), master, name_server };
    let end = pair.slave_has_all();
    assert!(end > 4 << 20, "{end}");
    put(&mut pair.master_client(), 0, 10);
    let end = pair.slave_has_all();
    logs_are_the_same(&mut pair.master, &mut pair.slave, end);
}

#[test]
fn a_slave_takes_no_messages_and_is_read_only_when_it_may_be() {
    let mut pair = Pair::start(&[]);
    put(&mut pair.master_client(), 0, 3);
    pair.slave_has_all();
    let mut client = pair.slave_client();
    let refused = client.send_message(&message("t"), b"not here");
    assert_eq!(refused.code, 2, "SYSTEM_BUSY: senders go on to another broker");
    assert!(refused.remark.contains("slave"));
    assert_eq!(client.pull(&pull_from("t", 0)).code, 2);
    assert_eq!(client.call(37, &[]).code, 11, "the end of a transaction");
    pair.slave.process.stop();
    pair.slave.setup.add_settings(&["slaveReadEnable=true"]);
    pair.slave.restart();
    pair.slave_follows();
    let mut client = pair.slave_client();
    eventually("topics are there", || client.pull(&pull_from("t", 0)).code == 0);
    assert_eq!(messages(&mut client, "t").len(), 3);
    // With its master there, who finds nothing is sent to it; without, it waits.
    let at_end = client.pull(&long_pull_from("t", 3, 30_000));
    assert_eq!((at_end.code, at_end.number("suggestWhichBrokerId")), (20, 0));
    pair.master.process.kill();
    eventually("the slave notices", || info(pair.slave.addr())["haFollowsMaster"] == "false");
    client.start_pull(&long_pull_from("t", 3, 60_000));
    assert!(client.receive_within(Duration::from_millis(700)).is_none(), "the pull waits");
    assert_eq!(texts(&messages(&mut pair.slave_client(), "t")).len(), 3, "reads go on");
}

#[test]
fn a_slave_with_other_messages_at_the_same_offsets_is_refused_and_acknowledges_nothing() {
    let mut pair = Pair::start(&[]);
    put(&mut pair.master_client(), 0, 30);
    let end = pair.slave_has_all();
    pair.slave.process.stop();
    pair.master.process.stop();
    let role = ["brokerRole=SYNC_MASTER", "slaveTimeout=300"];
    let other = Broker::start(setup(&role, &[]).name_server(pair.name_server.addr));
    let mut client = Client::connect(other.addr());
    for nth in 0..60 {
        let text = format!("{nth} of another master {}", "a".repeat(900));
        assert_eq!(code_of(&mut client, &text), 11);
    }
    assert!(end_of(other.addr()) > end);
    pair.slave.restart();
    let reason = "log has other bytes than this one";
    eventually(reason, || pair.slave.process.log().contains(reason));
    assert_ne!(code_of(&mut client, "not acknowledged"), 0);
    assert_eq!(end_of(pair.slave.addr()), end, "nothing of it is touched");
}

#[test]
fn a_slave_of_a_slave_and_one_of_other_shards_are_refused_by_name() {
    let pair = Pair::start(&[]);
    let address = format!("haMasterAddress=127.0.0.1:{}", pair.slave.setup.port() + 1);
    let chained = setup(&["brokerRole=SLAVE", "brokerId=2", &address], &[]);
    let chained = Broker::start(chained);
    let reason = "a slave that dialled a slave";
    eventually(reason, || pair.slave.process.log().contains(reason));
    drop(chained);
    let role = ["brokerRole=SLAVE", "brokerId=2", "shardCount=2"];
    let other = setup(&role, &[]).name_server(pair.name_server.addr);
    let other = Broker::start(other);
    for name in ["broker-a-s0", "broker-a-s1"] {
        let reason = format!("no name server knows a master of {name}");
        eventually(&reason, || other.process.log().contains(&reason));
    }
    assert!(other.process.log().contains("shardCount of its master"));
}

#[test]
fn several_slaves_and_one_that_keeps_to_its_disk_follow() {
    let mut pair = Pair::start(&[]);
    let role = ["brokerRole=SLAVE", "brokerId=2", "slaveAckPolicy=disk"];
    let other = setup(&role, &[]).name_server(pair.name_server.addr);
    let mut other = Broker::start(other);
    put(&mut pair.master_client(), 0, 60);
    let end = pair.slave_has_all();
    eventually("both are told of", || {
        let info = info(pair.master.addr());
        let offsets = ["haSlave0Offset", "haSlave1Offset"].map(|key| info.get(key).cloned());
        offsets == [Some(end.to_string()), Some(end.to_string())]
    });
    logs_are_the_same(&mut pair.master, &mut other, end);
    pair.slave.process.stop();
    assert!(log_of(&pair.slave, end) == log_of(&other, end), "the logs differ");
}

#[test]
fn a_group_that_reads_from_disk_is_sent_to_the_slave_and_comes_back_at_its_end() {
    let mut pair = Pair::start(&["slaveReadEnable=true"]);
    put(&mut pair.master_client(), 0, 50);
    pair.slave_has_all();
    let mut slave = pair.slave_client();
    eventually("topics are there", || slave.pull(&pull_from("t", 0)).code == 0);
    pair.master.process.stop();
    pair.master.restart();
    pair.slave_follows();
    let from_disk = pair.master_client().pull(&pull_from("t", 0));
    assert_eq!((from_disk.code, from_disk.number("suggestWhichBrokerId")), (0, 1));
    assert_eq!(messages(&mut slave, "t").len(), 50);
    let at_end = slave.pull(&pull_from("t", 50));
    assert_eq!((at_end.code, at_end.number("suggestWhichBrokerId")), (20, 0));
    put(&mut pair.master_client(), 50, 1);
    let from_memory = pair.master_client().pull(&pull_from("t", 50));
    assert_eq!((from_memory.code, from_memory.number("suggestWhichBrokerId")), (0, 0));
}

#[test]
fn a_slave_finds_its_master_by_a_name() {
    let master = Broker::start(setup(&["brokerRole=ASYNC_MASTER"], &[]));
    put(&mut Client::connect(master.addr()), 0, 20);
    let address = format!("haMasterAddress=localhost:{}", master.setup.port() + 1);
    let slave = Broker::start(setup(&["brokerRole=SLAVE", "brokerId=1", &address], &[]));
    let end = end_of(master.addr());
    eventually("it has the log", || end_of(slave.addr()) == end);
}
