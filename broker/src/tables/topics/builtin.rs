//! The topics that exist from the start, as Apache RocketMQ 5.5.0 has them.

use crate::config::ShardOptions;
use protocol::bodies::{TopicConfig, perm};
use protocol::{names, pop};

/// Delay levels have one queue each.
const SCHEDULE_TOPIC_QUEUES: i32 = 18;
const BENCHMARK_TOPIC_QUEUES: i32 = 1_024;
/// `TopicConfig`'s default, which the cluster's topic keeps.
const CLUSTER_TOPIC_QUEUES: i32 = 16;

const READ_WRITE: i32 = perm::READ | perm::WRITE;

/// All of them.
pub(super) fn topics(options: &ShardOptions) -> Vec<TopicConfig> {
    let create = &options.process.create;
    let cluster = &options.process.cluster;
    let mut topics = vec![
        TopicConfig::new(names::SELF_TEST_TOPIC, 1, READ_WRITE),
        TopicConfig::new(names::BENCHMARK_TOPIC, BENCHMARK_TOPIC_QUEUES, READ_WRITE),
        TopicConfig::new(cluster, CLUSTER_TOPIC_QUEUES, inherited(create.cluster_topic)),
        TopicConfig::new(&options.broker, 1, inherited(create.broker_topic)),
        TopicConfig::new(names::OFFSET_MOVED_EVENT, 1, READ_WRITE),
        TopicConfig::new(names::SCHEDULE_TOPIC, SCHEDULE_TOPIC_QUEUES, READ_WRITE),
        TopicConfig::new(&format!("{cluster}_REPLY_TOPIC"), 1, READ_WRITE),
        TopicConfig::new(
            &pop::revive_topic(cluster),
            options.process.pop.revive_queues,
            READ_WRITE,
        ),
        TopicConfig::new(
            &format!("rmq_sys_SYNC_BROKER_MEMBER_{}", options.broker),
            1,
            perm::INHERIT,
        ),
        TopicConfig::new(names::TRANS_HALF_TOPIC, 1, READ_WRITE),
        TopicConfig::new(names::TRANS_OP_HALF_TOPIC, 1, READ_WRITE),
        TopicConfig::new(names::ROCKSDB_TRANS_HALF_TOPIC, 1, READ_WRITE),
        TopicConfig::new(names::ROCKSDB_TRANS_OP_HALF_TOPIC, 1, READ_WRITE),
        TopicConfig::new(names::TIMER_TOPIC, 1, READ_WRITE),
    ];
    if create.topics {
        topics.push(TopicConfig::new(
            names::AUTO_CREATE_TOPIC,
            create.topic_queues,
            inherited(true),
        ));
    }
    if let Some(trace) = &create.trace_topic {
        topics.push(TopicConfig::new(trace, 1, READ_WRITE));
    }
    topics
}

fn inherited(open: bool) -> i32 {
    if open { perm::INHERIT | READ_WRITE } else { perm::INHERIT }
}
