//! Whether a group may read a topic's queue: asked when a read comes and again when it is woken.

use super::read::Brokers;
use crate::answers::native::NativeRefusal;
use crate::answers::remoting::{Forbidden, Refusal};
use crate::tables::groups::SubscriptionGroups;
use crate::tables::topics::Topics;
use protocol::bodies::perm;
use protocol::codes::response;
use protocol::native::ErrorCode;
use std::rc::Rc;

/// Why a read is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotAllowed {
    /// There is no such group, and it is not created: there may be too many already.
    NoGroup { group: String, too_many: bool },
    /// The group may not consume.
    GroupClosed { group: String },
    /// There is no such topic.
    NoTopic { topic: String },
    /// The topic may not be read.
    TopicClosed { topic: String },
    /// The topic has no such queue.
    NoQueue { topic: String, queue_id: i32, queues: i32, group: String },
}

impl NotAllowed {
    /// In RocketMQ's codes and Apache's words.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::NoGroup { group, too_many } => Refusal::new(
                response::SUBSCRIPTION_GROUP_NOT_EXIST,
                format!(
                    "subscription group [{group}] does not exist{}",
                    if *too_many { ", the broker has groupsMax groups already" } else { "" }
                ),
            ),
            Self::GroupClosed { group } => Refusal::forbidden(
                Forbidden::Group,
                format!("subscription group no permission, {group}"),
            ),
            Self::NoTopic { topic } => Refusal::new(
                response::TOPIC_NOT_EXIST,
                format!("topic[{topic}] not exist, apply first please!"),
            ),
            Self::TopicClosed { topic } => Refusal::forbidden(
                Forbidden::Topic,
                format!("the topic[{topic}] pulling message is forbidden"),
            ),
            Self::NoQueue { topic, queue_id, queues, group } => Refusal::new(
                response::INVALID_PARAMETER,
                format!(
                    "queueId[{queue_id}] is illegal, topic:[{topic}] \
                     topicConfig.readQueueNums:[{queues}] consumer group:[{group}]"
                ),
            ),
        }
    }

    /// In native codes.
    pub(crate) fn native_refusal(&self) -> NativeRefusal {
        let (code, reason) = match self {
            Self::NoGroup { group, too_many } => (
                ErrorCode::Request,
                format!(
                    "consumer group {group:?} does not exist and is not created{}",
                    if *too_many { ", the broker has groupsMax groups already" } else { "" }
                ),
            ),
            Self::GroupClosed { group } => {
                (ErrorCode::Permission, format!("consumer group {group:?} may not consume"))
            }
            Self::NoTopic { topic } => {
                (ErrorCode::Topic, format!("topic {topic:?} does not exist"))
            }
            Self::TopicClosed { topic } => {
                (ErrorCode::Permission, format!("topic {topic} may not be read"))
            }
            Self::NoQueue { topic, queue_id, queues, .. } => (
                ErrorCode::Queue,
                format!("queue {queue_id} of topic {topic}: it has {queues} for reading, from 0"),
            ),
        };
        NativeRefusal::new(code, reason)
    }
}

/// A group that may consume.
#[derive(Debug)]
pub(crate) struct AllowedGroup {
    /// Its name, shared with its table.
    pub(crate) name: Rc<str>,
    /// Its system flag.
    pub(crate) sys_flag: i32,
    /// Whether its consumers may broadcast.
    pub(crate) may_broadcast: bool,
    /// Which brokers its settings send it to.
    pub(crate) brokers: Brokers,
}

/// A topic that may be read.
#[derive(Debug)]
pub(crate) struct AllowedTopic {
    /// Its name, shared with its table.
    pub(crate) name: Rc<str>,
    /// Its system flag.
    pub(crate) sys_flag: i32,
    /// How many queues it has for reading.
    queues: i32,
}

/// A group that may consume; an unknown one comes into being where that is allowed.
pub(crate) fn group(
    groups: &mut SubscriptionGroups,
    name: &str,
    now_ms: i64,
) -> Result<AllowedGroup, NotAllowed> {
    let Some(group) = groups.find_or_create(name, now_ms) else {
        let too_many = groups.is_full();
        return Err(NotAllowed::NoGroup { group: name.to_owned(), too_many });
    };
    if !group.config.consume_enable {
        return Err(NotAllowed::GroupClosed { group: name.to_owned() });
    }
    Ok(AllowedGroup {
        name: group.name.clone(),
        sys_flag: group.config.group_sys_flag,
        may_broadcast: group.config.consume_broadcast_enable,
        brokers: Brokers {
            near: group.config.broker_id,
            far: group.config.which_broker_when_consume_slowly,
        },
    })
}

/// A topic that may be read.
pub(crate) fn topic(topics: &Topics, name: &str) -> Result<AllowedTopic, NotAllowed> {
    let Some(topic) = topics.get(name) else {
        return Err(NotAllowed::NoTopic { topic: name.to_owned() });
    };
    if topic.config.perm & perm::READ == 0 {
        return Err(NotAllowed::TopicClosed { topic: name.to_owned() });
    }
    Ok(AllowedTopic {
        name: topic.name.clone(),
        sys_flag: topic.config.topic_sys_flag,
        queues: topic.config.read_queue_nums,
    })
}

impl AllowedTopic {
    /// Whether it has this queue for reading.
    pub(crate) fn queue(&self, queue_id: i32, group: &str) -> Result<(), NotAllowed> {
        if (0..self.queues).contains(&queue_id) {
            return Ok(());
        }
        Err(NotAllowed::NoQueue {
            topic: self.name.to_string(),
            queue_id,
            queues: self.queues,
            group: group.to_owned(),
        })
    }
}
