//! The rules by which topics come and go.

use super::*;
use crate::config::options;

fn topics(pairs: &[(&str, &str)]) -> Topics {
    Topics::new(&options(pairs).shard(0), 1_000)
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
    let version = topics.wrapper(None).data_version;
    assert_eq!((version.counter, version.timestamp), (2, 2_000));
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
    assert_eq!(after.load(before.for_file()), []);
    assert_eq!(after.get("mine").unwrap().config, before.get("mine").unwrap().config);
    assert_eq!(after.wrapper(None).data_version, before.wrapper(None).data_version);
    assert!(!after.take_unsaved() && before.take_unsaved() && !before.take_unsaved());
}

#[test]
fn automatic_creation_is_off_on_a_store_that_was_made_when_it_was_on() {
    let saved = topics(&[]).for_file();
    let mut off = topics(&[("autoCreateTopicEnable", "false")]);
    off.load(saved.clone());
    assert_eq!(
        off.create_for_send(&wanted("t", "TBW102", 4), 0).unwrap_err(),
        NotCreated::NotInherited
    );
    // As with Apache RocketMQ, a client may still name another topic that gives its settings.
    off.create_for_send(&wanted("u", "DefaultCluster", 4), 0).unwrap();
    let mut on_again = topics(&[]);
    on_again.load(off.for_file());
    on_again.create_for_send(&wanted("t", "TBW102", 4), 0).unwrap();
}

#[test]
fn topics_whose_names_are_not_allowed_stay_in_the_file_and_are_not_served() {
    let mut saved = topics(&[]).for_file();
    let strange = TopicConfig::new("../strange name", 70_000, 6);
    let long = TopicConfig::new(&format!("%RETRY%{}", "g".repeat(249)), 1, 6);
    for config in [&strange, &long] {
        saved.topic_config_table.insert(config.topic_name.clone(), config.clone());
    }
    let mut topics = topics(&[]);
    let not_served = topics.load(saved);
    let names: Vec<_> = not_served.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, [&long.topic_name, &strange.topic_name]);
    assert!(not_served[0].why.to_string().contains("255"), "{}", not_served[0].why);
    for config in [strange, long] {
        let name = config.topic_name.as_str();
        assert!(topics.get(name).is_none() && topics.is_not_served(name));
        assert!(!topics.delete(name, 1));
        assert!(!topics.wrapper(None).topic_config_table.contains_key(name));
        assert_eq!(topics.for_file().topic_config_table.get(name), Some(&config));
    }
}

#[test]
fn a_file_with_more_topics_than_requests_may_create_is_served_whole() {
    let mut saved = topics(&[]).for_file();
    for number in 0..TOPICS_MAX {
        let config = TopicConfig::new(&format!("t{number}"), 1, 6);
        saved.topic_config_table.insert(config.topic_name.clone(), config);
    }
    let count = saved.topic_config_table.len();
    let mut topics = topics(&[]);
    topics.load(saved);
    assert!(topics.len() == count && count > TOPICS_MAX);
    let new = TopicConfig::new("one-more", 1, 6);
    assert_eq!(topics.create_if_absent(new, 0).unwrap_err(), NotCreated::TooMany);
}

#[test]
fn the_system_topics_are_apaches_fixed_ones_and_the_brokers_own() {
    let names = topics(&[("autoCreateTopicEnable", "false")]).system_names();
    for name in [
        "TBW102",
        "RMQ_SYS_TRACE_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "rmq_sys_wheel_timer",
        "DefaultCluster",
        "b",
        "DefaultCluster_REPLY_TOPIC",
        "rmq_sys_REVIVE_LOG_DefaultCluster",
        "rmq_sys_SYNC_BROKER_MEMBER_b",
    ] {
        assert!(names.iter().any(|known| known == name), "{name} is missing in {names:?}");
    }
    assert!(names.is_sorted() && names.iter().all(|name| topics(&[]).is_system(name)));
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
