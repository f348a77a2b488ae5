//! Whether a pull may read, and what it wants: RocketMQ's checks in RocketMQ's order.

use crate::answers::remoting::{Caller, Refusal};
use crate::reads::filter::Filter;
use crate::shard::Shard;
use crate::tables::consumers::{Model, is_tag_type};
use netcore::Net;
use protocol::bodies::perm;
use protocol::codes::{request, response};
use protocol::headers::PullHeader;
use protocol::sys_flag::pull::SUBSCRIPTION;
use std::rc::Rc;

/// Why a pull is forbidden, in the answer's field `forbiddenType`.
#[derive(Clone, Copy)]
enum Forbidden {
    Broker = 1,
    Group = 2,
    Topic = 3,
    Broadcasting = 4,
    Subscription = 5,
}

/// A pull that is not done.
pub(super) struct PullRefusal {
    refusal: Refusal,
    forbidden: Option<Forbidden>,
}

impl PullRefusal {
    pub(super) fn answer(&self, net: &mut Net, caller: Caller) {
        let ext = |ext: &mut protocol::remoting::ExtWriter<'_>| {
            if let Some(forbidden) = self.forbidden {
                ext.int("forbiddenType", forbidden as i32);
            }
        };
        caller.answer(net, self.refusal.code, Some(&self.refusal.remark), ext, &[]);
    }
}

impl From<Refusal> for PullRefusal {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, forbidden: None }
    }
}

fn forbidden(what: Forbidden, remark: String) -> PullRefusal {
    PullRefusal { refusal: Refusal::new(response::NO_PERMISSION, remark), forbidden: Some(what) }
}

/// What a pull that may read needs of the tables.
pub(super) struct Allowed {
    pub(super) group: Rc<str>,
    pub(super) group_sys_flag: i32,
    pub(super) topic: Rc<str>,
    pub(super) topic_sys_flag: i32,
    pub(super) filter: Filter,
}

/// Checks a pull; an unknown group comes into being.
pub(super) fn check(
    shard: &mut Shard,
    code: i32,
    header: &PullHeader<'_>,
) -> Result<Allowed, PullRefusal> {
    let process = &shard.options.process;
    if process.permission & perm::READ == 0 {
        return Err(forbidden(
            Forbidden::Broker,
            format!("the broker[{}] pulling message is forbidden", process.network.advertised_host),
        ));
    }
    if code == request::LITE_PULL_MESSAGE && !process.serve.pulls.lite {
        return Err(forbidden(
            Forbidden::Broker,
            format!(
                "the broker[{}] for lite pull consumer is forbidden",
                process.network.advertised_host
            ),
        ));
    }
    let (group, group_sys_flag, broadcast) = check_group(shard, header.consumer_group)?;
    let (topic, topic_sys_flag, queues) = check_topic(shard, header.topic)?;
    if header.queue_id < 0 || header.queue_id >= queues {
        let remark = format!(
            "queueId[{}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{queues}] \
                consumer group:[{group}]",
            header.queue_id
        );
        return Err(Refusal::new(response::INVALID_PARAMETER, remark).into());
    }
    let filter = if header.sys_flag & SUBSCRIPTION != 0 {
        carried_filter(header)?
    } else {
        heartbeat_filter(shard, header, broadcast)?
    };
    Ok(Allowed { group, group_sys_flag, topic, topic_sys_flag, filter })
}

/// The group's name, its system flag and whether it may broadcast.
pub(super) fn check_group(
    shard: &mut Shard,
    name: &str,
) -> Result<(Rc<str>, i32, bool), PullRefusal> {
    let now_ms = shard.now_ms();
    let Some(group) = shard.groups.find_or_create(name, now_ms) else {
        return Err(Refusal::new(
            response::SUBSCRIPTION_GROUP_NOT_EXIST,
            format!("subscription group [{name}] does not exist"),
        )
        .into());
    };
    if !group.config.consume_enable {
        return Err(forbidden(
            Forbidden::Group,
            format!("subscription group no permission, {name}"),
        ));
    }
    Ok((group.name.clone(), group.config.group_sys_flag, group.config.consume_broadcast_enable))
}

/// The topic's name, its system flag and its number of queues for reading.
pub(super) fn check_topic(shard: &Shard, name: &str) -> Result<(Rc<str>, i32, i32), PullRefusal> {
    let Some(topic) = shard.topics.get(name) else {
        return Err(Refusal::new(
            response::TOPIC_NOT_EXIST,
            format!("topic[{name}] not exist, apply first please!"),
        )
        .into());
    };
    if topic.config.perm & perm::READ == 0 {
        return Err(forbidden(
            Forbidden::Topic,
            format!("the topic[{name}] pulling message is forbidden"),
        ));
    }
    Ok((topic.name.clone(), topic.config.topic_sys_flag, topic.config.read_queue_nums))
}

/// The subscription that the request carries.
fn carried_filter(header: &PullHeader<'_>) -> Result<Filter, PullRefusal> {
    check_expression_type(header.expression_type)?;
    Filter::parse(header.subscription).map_err(|error| {
        Refusal::new(
            response::SUBSCRIPTION_PARSE_FAILED,
            format!("parse the consumer's subscription failed: {error}"),
        )
        .into()
    })
}

/// The subscription of the group's heartbeats.
fn heartbeat_filter(
    shard: &Shard,
    header: &PullHeader<'_>,
    broadcast: bool,
) -> Result<Filter, PullRefusal> {
    let name = header.consumer_group;
    let Some(group) = shard.consumers.get(name) else {
        return Err(Refusal::new(
            response::SUBSCRIPTION_NOT_EXIST,
            format!("the consumer's group info not exist: {name}"),
        )
        .into());
    };
    if !broadcast && group.model == Model::Broadcasting {
        return Err(forbidden(
            Forbidden::Broadcasting,
            format!("the consumer group[{name}] can not consume by broadcast way"),
        ));
    }
    if shard.groups.is_read_forbidden(name, header.topic) {
        return Err(forbidden(
            Forbidden::Subscription,
            format!("the consumer group[{name}] is forbidden for topic[{}]", header.topic),
        ));
    }
    let Some(subscription) = group.subscription(header.topic) else {
        return Err(Refusal::new(
            response::SUBSCRIPTION_NOT_EXIST,
            format!("the consumer's subscription not exist: {name} {}", header.topic),
        )
        .into());
    };
    if subscription.version < header.sub_version {
        return Err(Refusal::new(
            response::SUBSCRIPTION_NOT_LATEST,
            "the consumer's subscription not latest",
        )
        .into());
    }
    check_expression_type(subscription.expression_type.as_deref())?;
    Ok(subscription.filter.clone())
}

fn check_expression_type(expression_type: Option<&str>) -> Result<(), PullRefusal> {
    if is_tag_type(expression_type) {
        return Ok(());
    }
    let kind = expression_type.unwrap_or_default();
    Err(Refusal::new(
        response::SYSTEM_ERROR,
        format!("The broker does not support consumer to filter message by {kind}"),
    )
    .into())
}
