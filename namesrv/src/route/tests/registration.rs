//! Who may register, and whose topics count.

use super::super::RouteOptions;
use super::super::register::RegisterError;
use super::{MASTER_ID, Registration, Table, broker, queues, version};
use crate::limits;

fn table() -> Table {
    Table::new(RouteOptions::default())
}

fn one_topic(name: &str, id: i64, addr: &str, topic: &str, counter: i64) -> Registration {
    Registration {
        topics: vec![(topic.into(), queues(1))],
        version: version(0, counter),
        ..broker(name, id, addr)
    }
}

#[test]
fn a_registered_broker_is_in_routes_clusters_and_lists() {
    let mut table = table();
    table.register(broker("a", MASTER_ID, "h:1"), 7, 0).unwrap();
    table.check();
    let route = table.route("T2").unwrap();
    assert_eq!(route.queue_datas[0].write_queue_nums, 8);
    assert_eq!(route.broker_datas[0].broker_addrs[&0], "h:1");
    assert_eq!(table.cluster_info().cluster_addr_table["c"].iter().collect::<Vec<_>>(), ["a"]);
    assert_eq!(table.all_topics(), ["T1", "T2"]);
    assert_eq!(table.topics_of_cluster("c"), ["T1", "T2"]);
    assert_eq!(
        table.system_topics(),
        (vec!["a".to_owned(), "c".to_owned()], Some("h:1".to_owned()))
    );
}

#[test]
fn one_topic_from_an_unknown_broker_is_refused_and_leaves_nothing() {
    let mut table = table();
    let refused = table.register(one_topic("a", 0, "h:1", "T", 1), 1, 0);
    assert_eq!(refused, Err(RegisterError::UpdateBeforeRegistration));
    assert_eq!(table.cluster_info().broker_addr_table.len() + table.live_brokers(), 0);
    table.register(broker("a", 0, "h:1"), 1, 0).unwrap();
    table.register(one_topic("a", 0, "h:1", "T", 2), 1, 0).unwrap();
    assert_eq!(table.all_topics(), ["T", "T1", "T2"]);
    table.check();
}

#[test]
fn topics_are_taken_when_the_version_changed_or_they_are_unknown() {
    let mut table = table();
    table.register(broker("a", 0, "h:1"), 1, 0).unwrap();
    let mut again = broker("a", 0, "h:1");
    again.topics =
        vec![("T1".into(), queues(99)), ("T2".into(), queues(8)), ("T3".into(), queues(3))];
    table.register(again.clone(), 1, 0).unwrap();
    assert_eq!(
        table.route("T1").unwrap().queue_datas[0].read_queue_nums,
        4,
        "same version: the known topic stays"
    );
    assert!(table.route("T3").is_some(), "same version: an unknown topic is taken");
    again.version = version(0, 2);
    table.register(again, 1, 0).unwrap();
    assert_eq!(table.route("T1").unwrap().queue_datas[0].read_queue_nums, 99);
}

#[test]
fn a_slaves_topics_do_not_count_and_it_learns_its_master() {
    let mut table = table();
    let slave = Registration {
        topics: vec![("S1".into(), queues(1)), ("S2".into(), queues(1))],
        ..broker("a", 1, "h:2")
    };
    assert_eq!(table.register(slave.clone(), 2, 0).unwrap().master_addr, None);
    table.register(broker("a", 0, "h:1"), 1, 0).unwrap();
    let answer = table.register(slave, 2, 0).unwrap();
    assert_eq!(
        (answer.master_addr.as_deref(), answer.ha_addr.as_deref()),
        (Some("h:1"), Some("h:1-ha"))
    );
    assert_eq!(table.all_topics(), ["T1", "T2"]);
    assert_eq!(table.route("T1").unwrap().broker_datas[0].broker_addrs.len(), 2);
    table.check();
}

#[test]
fn a_promoted_slave_is_no_slave_any_more() {
    let mut table = table();
    table.register(broker("a", 1, "h:2"), 2, 0).unwrap();
    table.register(broker("a", 0, "h:2"), 2, 0).unwrap();
    assert_eq!(table.member_addrs("a").into_iter().collect::<Vec<_>>(), [(0, "h:2".to_owned())]);
    table.check();
}

#[test]
fn of_two_addresses_with_one_id_the_newer_state_version_stays() {
    let mut table = table();
    table.register(Registration { version: version(5, 1), ..broker("a", 0, "h:1") }, 1, 0).unwrap();
    let answer = table
        .register(Registration { version: version(4, 9), ..broker("a", 0, "h:2") }, 2, 0)
        .unwrap();
    assert_eq!(answer.conflict_with.as_deref(), Some("h:1"));
    assert_eq!(table.addr_of("a", 0).as_deref(), Some("h:1"));
    let answer = table
        .register(Registration { version: version(5, 1), ..broker("a", 0, "h:3") }, 3, 0)
        .unwrap();
    assert_eq!(answer.conflict_with, None);
    assert_eq!(table.addr_of("a", 0).as_deref(), Some("h:3"));
    assert_eq!(table.live_brokers(), 1, "the address that lost its id is not alive");
    table.check();
}

#[test]
fn an_address_that_comes_back_under_another_name_leaves_the_old_one() {
    let mut table = table();
    table.register(broker("a", 0, "h:1"), 1, 0).unwrap();
    table.register(Registration { topics: Vec::new(), ..broker("b", 0, "h:1") }, 1, 0).unwrap();
    assert!(table.route("T1").is_none());
    assert_eq!(table.cluster_info().broker_addr_table.keys().collect::<Vec<_>>(), ["b"]);
    table.register(Registration { cluster: "d".into(), ..broker("b", 0, "h:1") }, 1, 0).unwrap();
    assert_eq!(table.cluster_info().cluster_addr_table.keys().collect::<Vec<_>>(), ["d"]);
    table.check();
}

#[test]
fn missing_topics_stay_unless_the_option_removes_them() {
    for (delete, expected) in [(false, vec!["T1", "T2", "T3"]), (true, vec!["T1", "T3"])] {
        let options = RouteOptions {
            delete_topic_with_broker_registration: delete,
            ..RouteOptions::default()
        };
        let mut table = Table::new(options);
        table.register(broker("a", 0, "h:1"), 1, 0).unwrap();
        let topics = vec![("T1".into(), queues(1)), ("T3".into(), queues(1))];
        table
            .register(
                Registration { topics, version: version(0, 2), ..broker("a", 0, "h:1") },
                1,
                0,
            )
            .unwrap();
        assert_eq!(table.all_topics(), expected);
        table.check();
    }
}

#[test]
fn reaching_a_limit_refuses_the_whole_registration() {
    let mut table = table();
    let long = "x".repeat(limits::NAME_BYTES_MAX + 1);
    let error = table.register(broker(&long, 0, "h:1"), 1, 0).unwrap_err();
    assert_eq!(error.to_string(), "broker name: 513, at most 512");
    let replicas = i64::try_from(limits::REPLICAS_MAX).unwrap();
    for id in 0..replicas {
        table.register(broker("a", id, &format!("h:{id}")), 1, 0).unwrap();
    }
    let error = table.register(broker("a", replicas, "h:9999"), 1, 0).unwrap_err();
    assert_eq!(error.to_string(), "replicas of a broker: 65, at most 64");
    table.topic_queues = limits::TOPIC_QUEUES_MAX;
    let error = table.register(broker("b", 0, "h:1"), 1, 0).unwrap_err();
    assert!(error.to_string().starts_with("topics over all brokers: "), "{error}");
}
