//! Topics by request: UPDATE_AND_CREATE_TOPIC 17, DELETE_TOPIC_IN_BROKER 215, GET_ALL_TOPIC_CONFIG
//! 21, GET_TOPIC_CONFIG 351, GET_SYSTEM_TOPIC_LIST_FROM_BROKER 305.
//!
//! A process presents one face: what is created or deleted on one shard is created or deleted on
//! all.

use crate::answers::remoting::{Caller, Refusal};
use crate::checked;
use crate::limits::{QUEUES_PER_TOPIC_MAX, TOPICS_MAX};
use crate::serve::control::Control;
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
pub(super) fn update(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let name = command.ext.require("topic")?;
    names::check_topic(&name).map_err(|error| invalid(error.to_string()))?;
    refuse_system(shard, &name)?;
    let current = shard.topics.get(&name).map(|topic| topic.config.attributes.clone());
    if current.is_none() && shard.topics.len() >= TOPICS_MAX {
        return Err(Refusal::new(
            response::SYSTEM_ERROR,
            format!("the broker has {TOPICS_MAX} topics already"),
        ));
    }
    let config = requested(&command.ext, &name, current.unwrap_or_default())?;
    tracing::info!(
        "topic {name} created or changed at the request of {:?}: {} queues",
        net.peer(caller.conn),
        config.write_queue_nums
    );
    let now_ms = shard.now_ms();
    if shard.topics.put(config.clone(), now_ms) {
        shard.tell_siblings(&Control::PutTopic(config));
    }
    caller.ok(net);
    Ok(())
}

fn refuse_system(shard: &Shard, name: &str) -> Result<(), Refusal> {
    if shard.options.process.create.protect_system_topics && shard.topics.is_system(name) {
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
pub(super) fn delete(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let name = command.ext.require("topic")?;
    if name.trim().is_empty() {
        return Err(invalid("The specified topic is blank."));
    }
    refuse_system(shard, &name)?;
    tracing::info!("topic {name} deleted at the request of {:?}", net.peer(caller.conn));
    delete_here(shard, net, &name);
    shard.tell_siblings(&Control::DeleteTopic(name.into_owned()));
    caller.ok(net);
    Ok(())
}

/// Deletes a topic on this shard alone. Its held pulls are told.
pub(crate) fn delete_here(shard: &mut Shard, net: &mut Net, name: &str) {
    let now_ms = shard.now_ms();
    if !shard.topics.delete(name, now_ms) {
        return;
    }
    shard.offsets.forget_topic(name);
    let mut held = vec![];
    shard.held.forget_topic(name, &mut held);
    shard.wake(net, &mut held);
    // The queues are forgotten here and now; only the files take time.
    let (deletion, name) = (shard.store.delete_topic(name), name.to_owned());
    shard.core.spawn(Priority::Background, async move {
        if let Err(error) = deletion.await {
            tracing::error!("the queues of the deleted topic {name} stay on disk: {error}");
        }
    });
}

/// All topics, as mqadmin and slaves ask for them.
pub(super) fn all(shard: &mut Shard, net: &mut Net, caller: Caller) -> Result<(), Refusal> {
    let count = checked::to_i64(shard.topics.len());
    let body = json::to_fastjson(&shard.topics.wrapper(None));
    caller.answer(net, response::SUCCESS, None, |ext| ext.int("totalTopicNum", count), &body);
    Ok(())
}

/// One topic.
pub(super) fn one(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let name = command.ext.require("topic")?;
    let Some(topic) = shard.topics.get(&name) else {
        return Err(Refusal::new(
            response::TOPIC_NOT_EXIST,
            format!("No topic in this broker. topic: {name}"),
        ));
    };
    caller.answer(net, response::SUCCESS, None, |_| {}, &json::to_fastjson(&topic.config));
    Ok(())
}

/// The topics that are the broker's own.
pub(super) fn system(shard: &mut Shard, net: &mut Net, caller: Caller) -> Result<(), Refusal> {
    let list = TopicList { broker_addr: None, topic_list: shard.topics.system_names() };
    caller.answer(net, response::SUCCESS, None, |_| {}, &json::to_fastjson(&list));
    Ok(())
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
