//! Logs that have parted: a slave, or an old master that comes back as one, is cut to what both
//! have, and follows.

use super::pair::{Pair, end_of, info, logs_are_the_same, setup};
use crate::client::Client;
use crate::cluster::eventually;
use std::fs;
use std::path::Path;
use testkit::Broker;

fn put(client: &mut Client, what: &str, count: usize) {
    for nth in 0..count {
        assert_eq!(client.put("t", "", &format!("{nth} {what} {}", "p".repeat(900))).code, 0);
    }
}

fn epochs(broker: &Broker) -> Vec<String> {
    let file = broker.setup.store().join("epochFileCheckpoint");
    fs::read_to_string(file).unwrap().lines().skip(2).map(str::to_owned).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn each_life_of_a_master_is_an_epoch_on_its_disk_and_its_slaves() {
    let mut pair = Pair::start(&[]);
    put(&mut pair.master_client(), "first life", 10);
    let first = pair.slave_has_all();
    pair.master.process.kill();
    pair.master.restart();
    pair.slave_follows();
    put(&mut pair.master_client(), "second life", 10);
    let second = pair.slave_has_all();
    let lives = ["1-0".to_owned(), format!("2-{first}")];
    assert_eq!((epochs(&pair.master), epochs(&pair.slave)), (lives.to_vec(), lives.to_vec()));
    pair.master.process.kill();
    pair.slave.process.stop();
    pair.slave.setup.add_settings(&["brokerRole=ASYNC_MASTER"]);
    pair.slave.restart();
    assert_eq!(epochs(&pair.slave)[2], format!("1024-{second}"), "a promotion leaps");
    let topics = pair.slave.setup.store().join("config/topics.json");
    eventually("name servers are told of it, for it is the topics' version", || {
        fs::read_to_string(&topics).is_ok_and(|text| text.contains("\"stateVersion\":1024"))
    });
}

#[test]
fn an_old_master_that_comes_back_as_a_slave_is_cut_to_what_both_have_and_follows() {
    let mut pair = Pair::start(&[]);
    put(&mut pair.master_client(), "both have", 30);
    let common = pair.slave_has_all();
    pair.slave.process.kill();
    put(&mut pair.master_client(), "the old master alone has", 25);
    let old_end = end_of(pair.master.addr());
    pair.master.process.kill();
    pair.slave.setup.add_settings(&["brokerRole=SYNC_MASTER", "inSyncReplicas=1"]);
    pair.slave.restart();
    put(&mut pair.slave_client(), "the new master has", 60);
    pair.master.setup.add_settings(&["brokerRole=SLAVE", "brokerId=2"]);
    pair.master.restart();
    let reason = format!("this log is cut from {old_end} to {common}, where it parts");
    eventually(&reason, || pair.master.process.log().contains(&reason));
    let end = end_of(pair.slave.addr());
    eventually("it has the log", || end_of(pair.master.addr()) == end);
    eventually("it is counted", || {
        info(pair.slave.addr()).get("haSlave0Offset").is_some_and(|at| *at == end.to_string())
    });
    assert_eq!(epochs(&pair.master), epochs(&pair.slave));
    logs_are_the_same(&mut pair.master, &mut pair.slave, end);
}

#[test]
fn a_slave_of_a_master_that_lost_its_end_and_wrote_another_is_cut_and_follows() {
    let mut pair = Pair::start(&["mappedFileSizeCommitLog=1048576", "maxMessageSize=65536"]);
    put(&mut pair.master_client(), "both have", 1_500);
    let common = pair.slave_has_all();
    pair.master.process.stop();
    let (store, kept) = (pair.master.setup.store(), pair.master.setup.dir().join("kept"));
    copy(&store, &kept);
    pair.master.restart();
    pair.slave_follows();
    put(&mut pair.master_client(), "the slave has", 700);
    let end = pair.slave_has_all();
    pair.slave.process.stop();
    pair.master.process.kill();
    fs::remove_dir_all(&store).unwrap();
    copy(&kept, &store);
    // Its next life has the number of the one that was lost: bytes have to tell.
    pair.master.restart();
    put(&mut pair.master_client(), "written instead", 900);
    pair.slave.restart();
    let reason = format!("this log is cut from {end} to {common}, where it parts");
    eventually(&reason, || pair.slave.process.log().contains(&reason));
    let end = pair.slave_has_all();
    logs_are_the_same(&mut pair.master, &mut pair.slave, end);
}

#[test]
fn a_slave_that_has_nothing_in_common_is_rebuilt_by_a_command_and_keeps_what_it_had_aside() {
    let mut pair = Pair::start(&[]);
    put(&mut pair.master_client(), "of the first master", 30);
    let end = pair.slave_has_all();
    pair.slave.process.stop();
    pair.master.process.stop();
    let other = setup(&["brokerRole=ASYNC_MASTER"], &[]).name_server(pair.name_server.addr);
    let mut other = Broker::start(other);
    put(&mut Client::connect(other.addr()), "of another one", 60);
    pair.slave.restart();
    let reason = format!("not one record of this log, which is [0, {end}), is in the master's");
    eventually(&reason, || pair.slave.process.log().contains(&reason));
    assert!(pair.slave.process.log().contains("--rebuild-slave"));
    assert_eq!(end_of(pair.slave.addr()), end, "nothing of it is touched");
    pair.slave.process.stop();
    pair.slave.setup.add_arguments(&["--rebuild-slave"]);
    pair.slave.restart();
    let end = end_of(other.addr());
    eventually("it has the other's log", || end_of(pair.slave.addr()) == end);
    logs_are_the_same(&mut other, &mut pair.slave, end);
    let aside = fs::read_dir(pair.slave.setup.store()).unwrap().map(Result::unwrap);
    let aside: Vec<_> = aside
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("replaced-"))
        .collect();
    assert_eq!(aside.len(), 1);
    assert!(aside[0].path().join("commitlog/00000000000000000000").exists());
}

#[test]
fn a_masters_store_is_never_put_aside() {
    let mut broker = Broker::start(setup(&["brokerRole=ASYNC_MASTER"], &[]));
    put(&mut Client::connect(broker.addr()), "there", 3);
    broker.process.stop();
    let mut command = broker.setup.command();
    let outcome = command.arg("--rebuild-slave").output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr);
    assert!(!outcome.status.success() && said.contains("brokerRole=SLAVE"), "{said}");
    broker.restart();
    assert!(end_of(broker.addr()) > 0);
}

#[test]
fn of_two_masters_with_one_name_the_later_epoch_stays_and_the_other_says_so() {
    let mut pair = Pair::start(&[]);
    put(&mut pair.master_client(), "both have", 5);
    pair.slave_has_all();
    pair.slave.process.stop();
    pair.slave.setup.add_settings(&["brokerRole=ASYNC_MASTER"]);
    pair.slave.restart();
    let new = pair.slave.addr().to_string();
    eventually("the new master is known", || pair.brokers_of("t").get(&0) == Some(&new));
    // The old one goes on, and is started again and again, as nobody told it.
    for _ in 0..2 {
        pair.master.process.stop();
        pair.master.restart();
        let reason = format!("keeps {new} as the master of broker-a, whose epoch is later");
        eventually(&reason, || pair.master.process.log().contains(&reason));
        assert_eq!(pair.brokers_of("t")[&0], new);
    }
}

#[test]
fn a_slave_of_another_cluster_is_refused_by_its_names() {
    let mut pair = Pair::start(&[]);
    put(&mut pair.master_client(), "there", 5);
    pair.slave_has_all();
    pair.slave.process.stop();
    pair.slave.setup.add_settings(&["brokerClusterName=AnotherCluster"]);
    pair.slave.restart();
    let reason = "it is DefaultCluster/broker-a and this is a slave of AnotherCluster/broker-a";
    eventually(reason, || pair.slave.process.log().contains(reason));
    assert_eq!(info(pair.slave.addr())["haFollowsMaster"], "false");
}
