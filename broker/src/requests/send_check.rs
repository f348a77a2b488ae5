//! Whether a send may be stored, and where: RocketMQ's checks in RocketMQ's order.

use crate::answers::remoting::Refusal;
use crate::serve::control::Control;
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
const VERSION_WITH_MAX_RECONSUME: i32 = 121;
/// Unit flags of a topic.
const SYS_FLAG_UNIT: i32 = 1;
const SYS_FLAG_UNIT_SUB: i32 = 2;

/// Where a message goes.
pub(super) struct Target<'a> {
    /// The topic; another one than asked for when retries are used up.
    pub(super) topic: Cow<'a, str>,
    /// The queue.
    pub(super) queue_id: i32,
    /// How many queues the topic has for writing.
    pub(super) write_queues: i32,
    /// The message's system flag as stored.
    pub(super) sys_flag: i32,
}

/// Checks a send; creates its topic when that is missing and may be created.
pub(super) fn check<'a>(
    shard: &mut Shard,
    header: &SendHeader<'a>,
    version: i32,
    peer: SocketAddr,
) -> Result<Target<'a>, Refusal> {
    accepting(shard)?;
    let topic = match shard.topics.get(header.topic) {
        Some(topic) => topic,
        None => {
            create_missing(shard, header, peer)?;
            shard.topics.get(header.topic).ok_or_else(|| no_topic(header.topic))?
        }
    };
    let permission = shard.options.process.permission;
    if permission & perm::WRITE == 0 && topic.config.order {
        let host = &shard.options.process.network.advertised_host;
        return Err(Refusal::new(
            response::NO_PERMISSION,
            format!("the broker[{host}] sending message is forbidden"),
        ));
    }
    if !topic.accepts_sends {
        return Err(closed(header.topic));
    }
    let queue_id = choose_queue(shard, topic, header.queue_id, peer)?;
    let multi_tags = if topic.config.topic_filter_type == "MULTI_TAG" { MULTI_TAGS } else { 0 };
    let target = Target {
        topic: Cow::Borrowed(header.topic),
        queue_id,
        write_queues: topic.config.write_queue_nums,
        sys_flag: header.sys_flag | multi_tags,
    };
    if names::is_retry_topic(header.topic) {
        return retry_or_dead_letter(shard, header, version, target);
    }
    Ok(target)
}

fn accepting(shard: &Shard) -> Result<(), Refusal> {
    let from_ms = shard.options.process.serve.accept_sends_from_ms;
    if from_ms > 0 && shard.now_ms() < from_ms {
        return Err(Refusal::new(
            response::SYSTEM_ERROR,
            format!("broker unable to service, until {from_ms} ms since 1970"),
        ));
    }
    Ok(())
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
    let queues = u64::try_from(config.write_queue_nums).unwrap_or_default();
    let chosen =
        shard.core.random_u64().checked_rem(queues).and_then(|queue| i32::try_from(queue).ok());
    chosen.ok_or_else(|| {
        Refusal::new(
            response::SYSTEM_ERROR,
            format!("topic[{}] has no queue to write to", topic.name),
        )
    })
}

fn create_missing(
    shard: &mut Shard,
    header: &SendHeader<'_>,
    peer: SocketAddr,
) -> Result<(), Refusal> {
    names::check_topic(header.topic)
        .map_err(|error| Refusal::new(response::INVALID_PARAMETER, error.to_string()))?;
    if names::is_not_allowed_send(header.topic) {
        return Err(closed(header.topic));
    }
    let retry = names::is_retry_topic(header.topic);
    let sys_flag = match (header.unit_mode, retry) {
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
    let now_ms = shard.now_ms();
    let created = match shard.topics.create_for_send(&wanted, now_ms) {
        Err(NotCreated::NoDefaultTopic | NotCreated::NotInherited) if retry => {
            let config = TopicConfig::new(header.topic, 1, perm::READ | perm::WRITE);
            shard.topics.create_if_absent(config, now_ms)
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
            let control = Control::CreateTopic(topic.config.clone());
            shard.tell_siblings(&control);
            Ok(())
        }
        Err(error) => {
            shard.blame(
                Some(peer),
                &format_args!(
                    "sends to topic {}, which does not exist and is not created: {error}",
                    header.topic
                ),
            );
            Err(no_topic(header.topic))
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
    let now_ms = shard.now_ms();
    let name = header.topic.strip_prefix(names::RETRY_PREFIX).unwrap_or_default();
    let Some(group) = shard.groups.find_or_create(name, now_ms) else {
        return Err(Refusal::new(
            response::SUBSCRIPTION_GROUP_NOT_EXIST,
            format!("subscription group not exist, {name}"),
        ));
    };
    let client_max = header.max_reconsume_times.filter(|_| version >= VERSION_WITH_MAX_RECONSUME);
    let max = client_max.unwrap_or(group.config.retry_max_times);
    if header.reconsume_times <= max && !shard.locks.any_held(name, now_ms) {
        return Ok(target);
    }
    let dead_letters = names::dlq_topic(name);
    let config = TopicConfig::new(&dead_letters, 1, perm::READ | perm::WRITE);
    shard.topics.create_if_absent(config, now_ms).map_err(|error| {
        Refusal::new(response::SYSTEM_ERROR, format!("topic[{dead_letters}] not exist: {error}"))
    })?;
    Ok(Target { topic: Cow::Owned(dead_letters), queue_id: 0, write_queues: 1, ..target })
}

fn no_topic(topic: &str) -> Refusal {
    Refusal::new(
        response::TOPIC_NOT_EXIST,
        format!("topic[{topic}] not exist, apply first please!"),
    )
}

fn closed(topic: &str) -> Refusal {
    Refusal::new(
        response::NO_PERMISSION,
        format!("Sending message to topic[{topic}] is forbidden."),
    )
}
