//! Topics by request: UPDATE_AND_CREATE_TOPIC 17, DELETE_TOPIC_IN_BROKER 215, GET_ALL_TOPIC_CONFIG
//! 21, GET_TOPIC_CONFIG 351, GET_SYSTEM_TOPIC_LIST_FROM_BROKER 305.
//!
//! A shard is a broker without exception: what is created or deleted on one is created or deleted
//! there alone, as on one of many Apache masters.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::checked;
use crate::limits::{QUEUES_PER_TOPIC_MAX, TOPICS_MAX};
use crate::reads::run as reads;
use crate::shard::Shard;
use netcore::Net;
use protocol::bodies::{TopicConfig, TopicList};
use protocol::codes::response;
use protocol::remoting::{CommandView, Ext};
use protocol::{json, names};
use rt::{Priority, Runtime as _};
use std::collections::BTreeMap;

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
    let config = requested(&command.ext, &name, current.unwrap_or_default())?;
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
    attributes: BTreeMap<String, String>,
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
            attributes,
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

/// Applies `+key=value,-key` to the attributes of a topic.
fn changed_attributes(
    mut attributes: BTreeMap<String, String>,
    changes: &str,
) -> Result<BTreeMap<String, String>, Refusal> {
    for change in changes.split(',').map(str::trim).filter(|change| !change.is_empty()) {
        let set = change.strip_prefix('+').and_then(|change| change.split_once('='));
        match (set, change.strip_prefix('-')) {
            (Some(("message.type", "MIXED")), _) => {
                return Err(invalid("MIXED message type is not supported."));
            }
            (Some((key, value)), _) => _ = attributes.insert(key.to_owned(), value.to_owned()),
            (None, Some(key)) => _ = attributes.remove(key),
            (None, None) => {
                return Err(Refusal::new(
                    response::SYSTEM_ERROR,
                    format!("attribute change {change:?} is neither +key=value nor -key"),
                ));
            }
        }
    }
    Ok(attributes)
}

/// Deletes a topic: its settings, its queues, its offsets. A topic that does not exist is deleted
/// already.
pub(crate) fn delete(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let name = command.ext.require("topic")?;
    if name.trim().is_empty() {
        return Err(invalid("The specified topic is blank."));
    }
    refuse_system(shard, &name)?;
    tracing::info!("topic {name} deleted at the request of {:?}", net.peer(ticket.conn));
    forget(shard, net, &name);
    ticket.ok(net);
    Ok(Done::Answered)
}

fn forget(shard: &mut Shard, net: &mut Net, name: &str) {
    let now_ms = shard.cx.now_ms();
    if !shard.tables.topics.delete(name, now_ms) {
        return;
    }
    shard.tables.offsets.forget_topic(name);
    reads::topic_is_gone(shard, net, name);
    // The queues are forgotten here and now; only the files take time.
    let (deletion, name) = (shard.cx.store.delete_topic(name), name.to_owned());
    shard.cx.core.spawn(Priority::Background, async move {
        if let Err(error) = deletion.await {
            tracing::error!("the queues of the deleted topic {name} stay on disk: {error}");
        }
    });
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
    fn attributes_are_set_and_deleted_by_sign() {
        let before =
            BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let after = changed_attributes(before, "+message.type=FIFO, -a").unwrap();
        assert_eq!(
            after.into_iter().collect::<Vec<_>>(),
            [("b".to_owned(), "2".to_owned()), ("message.type".to_owned(), "FIFO".to_owned())]
        );
        assert_eq!(
            changed_attributes(BTreeMap::new(), "+message.type=MIXED").unwrap_err().code,
            response::INVALID_PARAMETER
        );
        assert_eq!(
            changed_attributes(BTreeMap::new(), "a=b").unwrap_err().code,
            response::SYSTEM_ERROR
        );
    }
}
