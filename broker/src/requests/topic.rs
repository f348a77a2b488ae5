//! Topics by request: UPDATE_AND_CREATE_TOPIC 17, DELETE_TOPIC_IN_BROKER 215, GET_ALL_TOPIC_CONFIG
//! 21, GET_TOPIC_CONFIG 351, GET_SYSTEM_TOPIC_LIST_FROM_BROKER 305.
//!
//! A shard is a broker without exception: what is created or deleted on one is created or deleted
//! there alone, as on one of many Apache masters.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::checked;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::limits::{QUEUES_PER_TOPIC_MAX, TOPICS_MAX};
use crate::reads::run as reads;
use crate::services::{lite, saving};
use crate::shard::Shard;
use netcore::Net;
use protocol::attributes::{self, AttributeError, Attributes};
use protocol::bodies::{TopicConfig, TopicList};
use protocol::codes::response;
use protocol::remoting::{CommandView, Ext};
use protocol::{json, names};

fn invalid(remark: impl Into<String>) -> Refusal {
    Refusal::new(response::INVALID_PARAMETER, remark)
}

/// Creates a topic or changes it.
pub(crate) fn update(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let name = command.ext.require("topic")?;
    names::check_topic(&name).map_err(|error| invalid(error.to_string()))?;
    refuse_system(shard, &name)?;
    let current = shard.tables.topics.get(&name).map(|topic| topic.config.attributes.clone());
    if current.is_none() && shard.tables.topics.len() >= TOPICS_MAX {
        return Err(Refusal::new(
            response::SYSTEM_ERROR,
            format!("the broker has {TOPICS_MAX} topics already"),
        ));
    }
    let config = requested(&command.ext, &name, current.as_ref())?;
    tracing::info!(
        "topic {name} created or changed at the request of {:?}: {} queues",
        net.peer(ticket.conn),
        config.write_queue_nums
    );
    let now_ms = shard.cx.now_ms();
    shard.tables.topics.put(config, now_ms);
    ticket.ok(net);
    Ok(Done::Answered)
}

fn refuse_system(shard: &Shard, name: &str) -> Result<(), Refusal> {
    if shard.cx.options.process.create.protect_system_topics && shard.tables.topics.is_system(name)
    {
        return Err(invalid(format!("The topic[{name}] is conflict with system topic.")));
    }
    Ok(())
}

fn requested(
    ext: &Ext<'_>,
    name: &str,
    current: Option<&Attributes>,
) -> Result<TopicConfig, Refusal> {
    let queues = |field: &'static str| {
        let count = ext.require_i32(field)?;
        if (0..=QUEUES_PER_TOPIC_MAX).contains(&count) {
            Ok(count)
        } else {
            Err(invalid(format!("{field} is {count}, 0 to {QUEUES_PER_TOPIC_MAX} are possible")))
        }
    };
    let filter_type = ext.get("topicFilterType").unwrap_or("SINGLE_TAG".into());
    if !matches!(&*filter_type, "SINGLE_TAG" | "MULTI_TAG") {
        return Err(invalid(format!(
            "topicFilterType is {filter_type}, SINGLE_TAG and MULTI_TAG are possible"
        )));
    }
    Ok(TopicConfig {
        attributes: changed_attributes(
            current,
            ext.get("attributes").as_deref().unwrap_or_default(),
        )?,
        order: ext.get_bool("order").unwrap_or_default(),
        perm: ext.require_i32("perm")?,
        read_queue_nums: queues("readQueueNums")?,
        topic_filter_type: filter_type.into_owned(),
        topic_name: name.to_owned(),
        topic_sys_flag: ext.get_i32("topicSysFlag")?.unwrap_or_default(),
        write_queue_nums: queues("writeQueueNums")?,
    })
}

/// The attributes of a topic after the changes that a request asks for; `current` is `None` when it
/// creates the topic. What can't be done is refused as Apache does (`AttributeUtil`).
fn changed_attributes(current: Option<&Attributes>, changes: &str) -> Result<Attributes, Refusal> {
    let refused = |error: AttributeError| Refusal::new(response::SYSTEM_ERROR, error.to_string());
    let changes = attributes::parse_changes(changes).map_err(refused)?;
    if changes.get("+message.type").is_some_and(|kind| kind == attributes::MIXED) {
        return Err(invalid("MIXED message type is not supported."));
    }
    let altered = attributes::alter(&attributes::TOPIC_ATTRIBUTES, current, &changes);
    let altered = altered.map_err(refused)?;
    for (key, value) in NOT_SERVED {
        if altered.get(key).is_some_and(|found| found == value) {
            let remark = format!("{key}={value}: such topics are not in this version of RingMQ");
            return Err(Refusal::new(response::SYSTEM_ERROR, remark));
        }
    }
    Ok(altered)
}

/// Attributes that ask for another kind of queue: stored as a plain one, such a topic would not do
/// what it promises.
const NOT_SERVED: [(&str, &str); 2] = [("queue.type", "BatchCQ"), ("cleanup.policy", "COMPACTION")];

/// Deletes a topic: its settings, its queues, its offsets. A topic that does not exist is deleted
/// already. From here on nobody finds it; the answer waits until a crash can't bring it back.
pub(crate) fn delete(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let name = command.ext.require("topic")?.into_owned();
    if name.trim().is_empty() {
        return Err(invalid("The specified topic is blank."));
    }
    refuse_system(shard, &name)?;
    tracing::info!("topic {name} deleted by request");
    let now_ms = shard.cx.now_ms();
    let children = lite::forget_children(shard, &name);
    if shard.tables.topics.delete(&name, now_ms) {
        shard.tables.offsets.forget_topic(&name);
        shard.tables.pulled.forget_topic(&name);
        shard.services.pops.cursors.forget(|key| *key.topic == *name);
        shard.services.pops.buffer.forget(|key| *key.topic == *name);
        shard.sends.puts.forget_topic(&name);
    }
    // Also of a topic that is gone: an earlier deletion may not have reached the disk.
    let has_children = !children.is_empty();
    let of_children = shard.cx.store.delete_topics(children.clone());
    let deletion = shard.cx.store.delete_topic(&name);
    Ok(task(&shard.cx, |cx| async move {
        cx.with(|shard, net| {
            let gone = children.iter().map(|child| &**child).chain([name.as_str()]);
            gone.for_each(|topic| reads::topic_is_gone(shard, net, topic));
        });
        let failed = |what: String| Refusal {
            is_fault: true,
            ..Refusal::new(response::SYSTEM_ERROR, format!("delete topic {name}: {what}"))
        };
        if has_children && let Err(error) = of_children.await {
            return Err(failed(format!("its lite topics stay on disk: {error}; delete it again")));
        }
        if let Err(error) = deletion.await {
            return Err(failed(format!("its queues stay on disk: {error}; delete it again")));
        }
        if !saving::save_now(&cx).await {
            return Err(failed("its settings or offsets stay on disk: see the log".to_owned()));
        }
        Ok(Reply::ok())
    }))
}

/// All topics, as mqadmin and slaves ask for them.
pub(crate) fn all(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    _: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let count = checked::to_i64(shard.tables.topics.len());
    let body = json::to_fastjson(&shard.tables.topics.wrapper(None));
    ticket.answer(net, response::SUCCESS, None, |ext| ext.int("totalTopicNum", count), &body);
    Ok(Done::Answered)
}

/// One topic.
pub(crate) fn one(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let name = command.ext.require("topic")?;
    let Some(topic) = shard.tables.topics.get(&name) else {
        return Err(Refusal::new(
            response::TOPIC_NOT_EXIST,
            format!("No topic in this broker. topic: {name}"),
        ));
    };
    ticket.ok_body(net, &json::to_fastjson(&topic.config));
    Ok(Done::Answered)
}

/// The topics that are the broker's own.
pub(crate) fn system(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    _: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let list = TopicList { broker_addr: None, topic_list: shard.tables.topics.system_names() };
    ticket.ok_body(net, &json::to_fastjson(&list));
    Ok(Done::Answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_set_and_deleted_by_sign_and_checked() {
        let made = changed_attributes(None, "+message.type=FIFO").unwrap();
        assert_eq!(made.get("message.type").map(String::as_str), Some("FIFO"));
        let left = changed_attributes(Some(&made), "-message.type").unwrap();
        assert!(left.is_empty());
        let refused = |changes| changed_attributes(None, changes).unwrap_err().code;
        assert_eq!(refused("+message.type=MIXED"), response::INVALID_PARAMETER);
        for changes in ["a=b", "+unknown=1", "+message.type=NONSENSE", "+queue.type=BatchCQ"] {
            assert_eq!(refused(changes), response::SYSTEM_ERROR, "{changes}");
        }
    }
}
