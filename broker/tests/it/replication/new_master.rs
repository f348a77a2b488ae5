//! A slave whose master is replaced finds the new one by itself, and soon.

use super::pair::{Pair, code_of, end_of, info, logs_are_the_same, setup};
use crate::client::Client;
use crate::cluster::eventually;
use testkit::Broker;

/// A slave that finds its master sooner than the test gives up has asked in between.
const RARELY_REGISTERS: &str = "registerNameServerPeriod=60000";

/// A pair with one more slave, which has all of the log.
fn with_another_slave(settings: &[&str]) -> (Pair, Broker) {
    let pair = Pair::start(settings);
    let other = setup(&["brokerRole=SLAVE", "brokerId=2"], settings);
    let other = Broker::start(other.name_server(pair.name_server.addr));
    assert_eq!(pair.master_client().put("t", "", "of the first master").code, 0);
    let end = pair.slave_has_all();
    eventually("the other slave has the log", || end_of(other.addr()) == end);
    (pair, other)
}

fn promote(slave: &mut Broker) {
    slave.process.stop();
    slave.setup.add_settings(&["brokerRole=SYNC_MASTER", "brokerId=0"]);
    slave.restart();
}

/// Waits until the new master's sends are acknowledged by its slave.
fn is_followed_by(master: &mut Broker, slave: &mut Broker) {
    let mut client = Client::connect(master.addr());
    eventually("sends are acknowledged", || code_of(&mut client, "of the second") == 0);
    let end = end_of(master.addr());
    eventually("it has all", || end_of(slave.addr()) == end);
    assert_eq!(info(slave.addr())["haFollowsMaster"], "true");
    logs_are_the_same(master, slave, end);
}

#[test]
fn a_slave_follows_the_new_master_seconds_after_a_promotion() {
    let (mut pair, mut other) = with_another_slave(&[RARELY_REGISTERS]);
    pair.master.process.kill();
    promote(&mut pair.slave);
    is_followed_by(&mut pair.slave, &mut other);
}

#[test]
fn a_slave_leaves_a_master_that_stands_still_for_the_one_that_replaced_it() {
    let settings = [RARELY_REGISTERS, "haHousekeepingInterval=1000"];
    let (mut pair, mut other) = with_another_slave(&settings);
    pair.master.process.stand_still();
    promote(&mut pair.slave);
    is_followed_by(&mut pair.slave, &mut other);
}
