//! Whether a send may be stored, and where: RocketMQ's checks in RocketMQ's order.

use crate::answers::remoting::Refusal;
use crate::sends::errors::Gone;
use crate::shard::Shard;
use crate::tables::topics::{NotCreated, Topic, WantedTopic};
use protocol::bodies::{TopicConfig, perm};
use protocol::codes::response;
use protocol::headers::SendHeader;
use protocol::names;
use protocol::sys_flag::MULTI_TAGS;
use rt::Runtime as _;
use std::borrow::Cow;
use std::net::SocketAddr;

/// Clients from 3.4.9 on say how often a message may be retried.
pub(super) const VERSION_WITH_MAX_RECONSUME: i32 = 121;
/// Unit flags of a topic.
const SYS_FLAG_UNIT: i32 = 1;
pub(super) const SYS_FLAG_UNIT_SUB: i32 = 2;

/// Where a message goes.
pub(super) struct Target<'a> {
    /// The topic; another one than asked for when retries are used up.
    pub(super) topic: Cow<'a, str>,
    /// The queue.
    pub(super) queue_id: i32,
    /// The queue that the answer names: of a dead letter still the one that was asked for.
    pub(super) answered_queue_id: i32,
    /// How many queues the topic has for writing.
    pub(super) write_queues: i32,
    /// The message's system flag as stored.
    pub(super) sys_flag: i32,
    /// Its retries are used up.
    pub(super) is_dead_letter: bool,
}

/// Checks a send; creates its topic when that is missing and may be created.
pub(super) fn check<'a>(
    shard: &mut Shard,
    header: &SendHeader<'a>,
    version: i32,
    peer: SocketAddr,
) -> Result<Target<'a>, Refusal> {
    accepting(shard)?;
    let no_topic = || Gone::Topic { topic: header.topic.to_owned() }.refusal();
    let topic = match shard.tables.topics.get(header.topic) {
        Some(topic) => topic,
        None => {
            create_missing(shard, header, peer)?;
            shard.tables.topics.get(header.topic).ok_or_else(no_topic)?
        }
    };
    let permission = shard.cx.options.process.permission;
    if permission & perm::WRITE == 0 && topic.config.order {
        return Err(broker_closed(shard));
    }
    if !topic.accepts_sends {
        return Err(Gone::Closed { topic: header.topic.to_owned() }.refusal());
    }
    let queue_id = choose_queue(shard, topic, header.queue_id, peer)?;
    let is_multi_tag = topic.config.topic_filter_type == "MULTI_TAG";
    let target = Target {
        topic: Cow::Borrowed(header.topic),
        queue_id,
        answered_queue_id: queue_id,
        write_queues: topic.config.write_queue_nums,
        sys_flag: header.sys_flag | if is_multi_tag { MULTI_TAGS } else { 0 },
        is_dead_letter: false,
    };
    if names::is_retry_topic(header.topic) {
        return retry_or_dead_letter(shard, header, version, target);
    }
    Ok(target)
}

fn accepting(shard: &Shard) -> Result<(), Refusal> {
    let from_ms = shard.cx.options.process.serve.accept_sends_from_ms;
    if from_ms > 0 && shard.cx.now_ms() < from_ms {
        let remark = format!("broker unable to service, until {from_ms} ms since 1970");
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    }
    Ok(())
}

/// NO_PERMISSION of the whole broker, in Apache's words.
pub(super) fn broker_closed(shard: &Shard) -> Refusal {
    let host = &shard.cx.options.process.network.advertised_host;
    let remark = format!("the broker[{host}] sending message is forbidden");
    Refusal::new(response::NO_PERMISSION, remark)
}

fn choose_queue(
    shard: &Shard,
    topic: &Topic,
    asked: i32,
    peer: SocketAddr,
) -> Result<i32, Refusal> {
    let config = &topic.config;
    if asked >= config.write_queue_nums.max(config.read_queue_nums) {
        let remark = format!(
            "request queueId[{asked}] is illegal, topic[{}] writeQueueNums:[{}] \
             readQueueNums:[{}] Producer: {peer}",
            topic.name, config.write_queue_nums, config.read_queue_nums
        );
        return Err(Refusal::new(response::INVALID_PARAMETER, remark));
    }
    if asked >= 0 {
        return Ok(asked);
    }
    let queues = u64::from(config.write_queue_nums.unsigned_abs());
    let Some(chosen) = shard.cx.core.random_u64().checked_rem(queues) else {
        let remark = format!("topic[{}] has no queue to write to", topic.name);
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    };
    Ok(i32::try_from(chosen).expect("a queue id is below the number of queues"))
}

fn create_missing(
    shard: &mut Shard,
    header: &SendHeader<'_>,
    peer: SocketAddr,
) -> Result<(), Refusal> {
    names::check_topic(header.topic)
        .map_err(|error| Refusal::new(response::INVALID_PARAMETER, error.to_string()))?;
    if names::is_not_allowed_send(header.topic) {
        return Err(Gone::Closed { topic: header.topic.to_owned() }.refusal());
    }
    let is_retry = names::is_retry_topic(header.topic);
    let sys_flag = match (header.unit_mode, is_retry) {
        (false, _) => 0,
        (true, true) => SYS_FLAG_UNIT_SUB,
        (true, false) => SYS_FLAG_UNIT,
    };
    let wanted = WantedTopic {
        name: header.topic,
        default_topic: header.default_topic,
        queues: header.default_topic_queue_nums,
        sys_flag,
    };
    let now_ms = shard.cx.now_ms();
    let created = match shard.tables.topics.create_for_send(&wanted, now_ms) {
        Err(NotCreated::NoDefaultTopic | NotCreated::NotInherited) if is_retry => {
            let config = TopicConfig::new(header.topic, 1, perm::READ | perm::WRITE);
            shard.tables.topics.create_if_absent(config, now_ms)
        }
        other => other,
    };
    match created {
        Ok(topic) => {
            tracing::info!(
                "topic {} created with {} queues for the producer at {peer}",
                topic.name,
                topic.config.write_queue_nums
            );
            Ok(())
        }
        Err(error) => {
            let what = format_args!(
                "sends to topic {}, which does not exist and is not created: {error}",
                header.topic
            );
            shard.peers.log.blame(Some(peer), now_ms, &what);
            Err(Gone::Topic { topic: header.topic.to_owned() }.refusal())
        }
    }
}

/// A retried message whose retries are used up, or whose group consumes in order, goes to the
/// group's dead letters.
fn retry_or_dead_letter<'a>(
    shard: &mut Shard,
    header: &SendHeader<'a>,
    version: i32,
    target: Target<'a>,
) -> Result<Target<'a>, Refusal> {
    let now_ms = shard.cx.now_ms();
    let name = header.topic.strip_prefix(names::RETRY_PREFIX).unwrap_or_default();
    let Some(group) = shard.tables.groups.find_or_create(name, now_ms) else {
        return Err(no_group(name));
    };
    let client_max = header.max_reconsume_times.filter(|_| version >= VERSION_WITH_MAX_RECONSUME);
    let max = client_max.unwrap_or(group.config.retry_max_times);
    if header.reconsume_times <= max && !shard.tables.locks.any_held(name, now_ms) {
        return Ok(target);
    }
    let topic = dead_letters(shard, name)?;
    Ok(Target {
        topic: Cow::Owned(topic),
        queue_id: 0,
        write_queues: 1,
        is_dead_letter: true,
        ..target
    })
}

/// SUBSCRIPTION_GROUP_NOT_EXIST of a send-back, in Apache's words.
pub(super) fn no_group(name: &str) -> Refusal {
    let remark = format!(
        "subscription group not exist, {name} See \
         https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
    );
    Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
}

/// The name of a group's dead letters, which exist afterwards.
pub(super) fn dead_letters(shard: &mut Shard, group: &str) -> Result<String, Refusal> {
    let name = names::dlq_topic(group);
    let config = TopicConfig::new(&name, 1, perm::READ | perm::WRITE);
    let now_ms = shard.cx.now_ms();
    match shard.tables.topics.create_if_absent(config, now_ms) {
        Ok(_) => Ok(name),
        Err(error) => {
            let remark = format!("topic[{name}] not exist: {error}");
            Err(Refusal::new(response::SYSTEM_ERROR, remark))
        }
    }
}
