//! The rules by which topics come and go.

use super::*;
use crate::config::{KEYS, Options};
use protocol::config_file::{Properties, Settings};

fn topics(pairs: &[(&str, &str)]) -> Topics {
    let mut properties = Properties::default();
    for (key, value) in [("brokerName", "b"), ("brokerIP1", "10.0.0.1"), ("storePathRootDir", "/s")]
        .iter()
        .chain(pairs)
    {
        properties.set(key, value, "test");
    }
    let options = Options::from_settings(&Settings::resolve(&KEYS, &properties).unwrap()).unwrap();
    Topics::new(&options.shard(0), 1_000)
}

fn wanted<'a>(name: &'a str, default_topic: &'a str, queues: i32) -> WantedTopic<'a> {
    WantedTopic { name, default_topic, queues, sys_flag: 0 }
}

#[test]
fn a_broker_starts_with_rocketmqs_topics() {
    let topics = topics(&[]);
    let table: Vec<_> = ["TBW102", "BenchmarkTest", "DefaultCluster", "b", "SCHEDULE_TOPIC_XXXX"]
        .map(|name| {
            topics.get(name).map(|topic| {
                (topic.config.write_queue_nums, topic.config.perm, topic.accepts_sends)
            })
        })
        .into();
    assert_eq!(
        table,
        [
            Some((8, 7, true)),
            Some((1_024, 6, true)),
            Some((16, 7, true)),
            Some((1, 7, true)),
            Some((18, 6, false))
        ]
    );
    assert!(
        topics.is_system("DefaultCluster_REPLY_TOPIC")
            && topics.is_system("rmq_sys_anything")
            && !topics.is_system("T")
    );
    assert!(topics.get("RMQ_SYS_TRACE_TOPIC").is_none());
}

#[test]
fn a_send_creates_a_topic_with_the_smaller_number_of_queues() {
    let mut topics = topics(&[]);
    let few = topics.create_for_send(&wanted("few", "TBW102", 4), 2_000).unwrap();
    assert_eq!(
        (few.config.read_queue_nums, few.config.write_queue_nums, few.config.perm),
        (4, 4, 6)
    );
    assert_eq!(
        topics
            .create_for_send(&wanted("many", "TBW102", 100), 2_000)
            .unwrap()
            .config
            .write_queue_nums,
        8
    );
    assert_eq!(
        topics.take_changed().iter().map(|name| &**name).collect::<Vec<_>>(),
        ["few", "many"]
    );
    assert_eq!((topics.version().counter, topics.version().timestamp), (2, 2_000));
}

#[test]
fn without_a_topic_to_inherit_from_nothing_is_created() {
    let mut off = topics(&[("autoCreateTopicEnable", "false")]);
    assert_eq!(
        off.create_for_send(&wanted("t", "TBW102", 4), 0).unwrap_err(),
        NotCreated::NoDefaultTopic
    );
    let mut on = topics(&[]);
    assert_eq!(
        on.create_for_send(&wanted("t", "SELF_TEST_TOPIC", 4), 0).unwrap_err(),
        NotCreated::NotInherited
    );
    assert_eq!(
        on.create_for_send(&wanted("t", "mine", 4), 0).unwrap_err(),
        NotCreated::NoDefaultTopic
    );
}

#[test]
fn what_was_saved_is_there_after_a_restart() {
    let mut before = topics(&[]);
    before.put(TopicConfig::new("mine", 3, 6), 5_000);
    assert!(!before.put(TopicConfig::new("mine", 3, 6), 6_000), "nothing changed");
    before.delete("SELF_TEST_TOPIC", 7_000);
    let mut after = topics(&[]);
    after.load(before.wrapper(None));
    assert_eq!(after.get("mine").unwrap().config, before.get("mine").unwrap().config);
    assert_eq!(after.version(), before.version());
    assert!(!after.take_unsaved() && before.take_unsaved() && !before.take_unsaved());
}

#[test]
fn a_name_servers_order_topics_are_marked_once() {
    let mut topics = topics(&[]);
    topics.put(TopicConfig::new("mine", 3, 6), 0);
    topics.take_changed();
    topics.mark_ordered(["mine", "unknown"].into_iter(), 1);
    topics.mark_ordered(["mine"].into_iter(), 2);
    assert!(topics.get("mine").unwrap().config.order);
    assert_eq!(topics.take_changed().len(), 1);
}
