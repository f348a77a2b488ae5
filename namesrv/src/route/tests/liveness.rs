//! How brokers leave, and what leaves with them.

use super::super::{HEARTBEAT_TIMEOUT_MS, RouteOptions};
use super::{Registration, Table, broker, version};

fn two_brokers() -> Table {
    let mut table = Table::new(RouteOptions::default());
    table.register(broker("a", 0, "h:1"), 1, 0).unwrap();
    table.register(broker("b", 0, "h:2"), 2, 0).unwrap();
    table
}

#[test]
fn a_silent_broker_expires_after_its_timeout_and_not_before() {
    let mut table = two_brokers();
    table
        .register(Registration { heartbeat_timeout_ms: Some(500), ..broker("q", 0, "h:3") }, 3, 0)
        .unwrap();
    assert!(table.expire(500).is_empty());
    let gone = table.expire(501);
    assert_eq!(
        gone.iter().map(|e| (e.addr.as_str(), e.conn, e.silent_ms)).collect::<Vec<_>>(),
        [("h:3", 3, 501)]
    );
    assert!(table.heartbeat("c", "h:2", 1000));
    assert!(table.expire(HEARTBEAT_TIMEOUT_MS).is_empty());
    assert_eq!(table.expire(HEARTBEAT_TIMEOUT_MS + 1)[0].addr, "h:1");
    assert_eq!(table.route("T1").unwrap().queue_datas.len(), 1);
    table.check();
}

#[test]
fn a_heartbeat_of_an_unknown_broker_makes_nobody_known() {
    let mut table = two_brokers();
    assert!(!table.heartbeat("c", "h:9", 1));
    assert!(!table.heartbeat("other", "h:1", 1));
    assert_eq!(table.live_brokers(), 2);
}

#[test]
fn a_lost_connection_takes_down_every_broker_registered_on_it() {
    let mut table = two_brokers();
    table.register(broker("a-s1", 0, "h:11"), 1, 0).unwrap();
    assert_eq!(table.connection_lost(1), ["h:1", "h:11"]);
    assert_eq!(table.cluster_info().broker_addr_table.keys().collect::<Vec<_>>(), ["b"]);
    assert!(table.connection_lost(1).is_empty());
    table.check();
}

#[test]
fn an_old_connection_of_a_broker_that_came_back_on_a_new_one_does_not_matter() {
    let mut table = two_brokers();
    table.register(broker("a", 0, "h:1"), 9, 5).unwrap();
    assert!(table.connection_lost(1).is_empty());
    assert_eq!(table.live_brokers(), 2);
}

#[test]
fn the_last_address_takes_name_cluster_and_topics_with_it() {
    let mut table = two_brokers();
    table.register(broker("a", 1, "h:1s"), 3, 0).unwrap();
    table.unregister("a", "h:1");
    assert_eq!(table.addr_of("a", 0), None);
    assert_eq!(table.route("T1").unwrap().queue_datas.len(), 2, "a slave is left: its topics stay");
    table.unregister("a", "h:1s");
    assert_eq!(table.route("T1").unwrap().queue_datas.len(), 1);
    table.unregister("b", "h:1s");
    assert!(table.route("T1").is_some(), "not its address: nothing happens");
    table.unregister("b", "h:2");
    assert!(table.route("T1").is_none() && table.cluster_info().cluster_addr_table.is_empty());
    table.check();
}

#[test]
fn versions_are_known_while_a_broker_lives() {
    let mut table = two_brokers();
    assert!(!table.version_changed("c", "h:1", &version(0, 1)));
    assert!(table.version_changed("c", "h:1", &version(0, 2)));
    assert!(table.version_changed("c", "h:9", &version(0, 1)));
    table.unregister("a", "h:1");
    assert_eq!(table.known_version("c", "h:1"), None);
}

#[test]
fn a_stand_in_is_read_only_and_shown_as_master_until_the_master_is_back() {
    let options = RouteOptions { support_acting_master: true, ..RouteOptions::default() };
    let mut table = Table::new(options);
    let acting = |r: Registration| Registration { enable_acting_master: Some(true), ..r };
    table.register(acting(broker("a", 0, "h:1")), 1, 0).unwrap();
    table.register(acting(broker("a", 2, "h:2")), 2, 0).unwrap();
    table.unregister("a", "h:1");
    assert_eq!(table.perm("T1", "a"), Some(4), "nobody sends to a stand-in");
    assert_eq!(
        table.route("T1").unwrap().broker_datas[0]
            .broker_addrs
            .clone()
            .into_owned()
            .into_iter()
            .collect::<Vec<_>>(),
        [(0, "h:2".to_owned())]
    );
    assert_eq!(table.addr_of("a", 2).as_deref(), Some("h:2"), "it keeps its id");
    table.register(acting(broker("a", 0, "h:1")), 3, 0).unwrap();
    assert_eq!(table.perm("T1", "a"), Some(6));
    table.check();
}
