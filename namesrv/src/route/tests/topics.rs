//! What administrators change by hand, and lists by unit.

use super::super::{RouteOptions, UnitFilter};
use super::{Queues, Registration, Table, broker, queues, version};

fn two_clusters() -> Table {
    let mut table = Table::new(RouteOptions::default());
    table.register(broker("a", 0, "h:1"), 1, 0).unwrap();
    table.register(Registration { cluster: "d".into(), ..broker("b", 0, "h:2") }, 2, 0).unwrap();
    table
}

#[test]
fn write_permission_goes_for_one_broker_and_comes_back_by_hand_or_with_a_changed_registration() {
    let mut table = two_clusters();
    assert_eq!(table.wipe_write_perm("a"), 2);
    assert_eq!((table.perm("T1", "a"), table.perm("T1", "b")), (Some(4), Some(6)));
    table.register(broker("a", 0, "h:1"), 1, 0).unwrap();
    assert_eq!(table.perm("T1", "a"), Some(4), "an unchanged registration keeps it");
    assert_eq!(table.add_write_perm("a"), 2);
    assert_eq!(table.perm("T1", "a"), Some(6));
    table.wipe_write_perm("a");
    table.register(Registration { version: version(0, 2), ..broker("a", 0, "h:1") }, 1, 0).unwrap();
    assert_eq!(table.perm("T1", "a"), Some(6));
    assert_eq!((table.wipe_write_perm("nobody"), table.add_write_perm("nobody")), (0, 0));
}

#[test]
fn a_topic_is_deleted_everywhere_or_in_one_cluster() {
    let mut table = two_clusters();
    assert_eq!(table.delete_topic("T1", Some("d")), 1);
    assert_eq!(table.perm("T1", "b"), None);
    assert!(table.perm("T1", "a").is_some());
    assert_eq!(table.delete_topic("T1", Some("nowhere")), 0);
    assert_eq!(table.delete_topic("T2", None), 2);
    assert_eq!(table.delete_topic("T2", None), 0);
    assert_eq!(table.all_topics(), ["T1"]);
    assert_eq!(table.delete_topic("T1", Some("c")), 1);
    assert!(table.all_topics().is_empty());
    table.check();
}

#[test]
fn a_topic_can_be_registered_by_hand_on_known_brokers_only() {
    let mut table = two_clusters();
    assert!(!table.register_topic("M", &[("a".into(), queues(1)), ("ghost".into(), queues(1))]));
    assert!(table.route("M").is_none());
    assert!(table.register_topic("M", &[("a".into(), queues(1)), ("b".into(), queues(2))]));
    assert_eq!(table.route("M").unwrap().queue_datas.len(), 2);
    table.check();
}

#[test]
fn unit_lists_follow_the_two_flags() {
    let mut table = two_clusters();
    for (topic, sys_flag) in [("u", 1), ("s", 2), ("us", 3)] {
        table.register_topic(topic, &[("a".into(), Queues { sys_flag, ..queues(1) })]);
    }
    assert_eq!(table.unit_topics(UnitFilter::Unit), ["u", "us"]);
    assert_eq!(table.unit_topics(UnitFilter::UnitSub), ["s", "us"]);
    assert_eq!(table.unit_topics(UnitFilter::UnitSubOnly), ["s"]);
}
