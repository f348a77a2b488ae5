//! A read that passed its checks: what is needed to run it, now or when it is woken.

use super::filter::Filter;
use crate::answers::ticket::Ticket;
use engine::{OwnedReadRequest, QueueOffset, ReadRequest};
use std::rc::Rc;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Read {
    /// Who gets the answer.
    pub(crate) ticket: Ticket,
    /// What distinguishes the two protocols.
    pub(crate) asked: Asked,
    /// The topic's name, shared with its table.
    pub(crate) topic: Rc<str>,
    /// The queue.
    pub(crate) queue_id: i32,
    /// From this queue offset on.
    pub(crate) offset: i64,
    /// At most so many messages.
    pub(crate) messages_max: usize,
    /// At most so many bytes, except that one message is always returned.
    pub(crate) bytes_max: usize,
    /// Which messages.
    pub(crate) filter: Filter,
    /// How long it may wait for a message, in milliseconds; `None`: not at all.
    pub(crate) poll_ms: Option<i64>,
}

/// Which broker of a name a group is told to read from next (`suggestWhichBrokerId`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Brokers {
    /// As long as it reads what is in memory: the group's `brokerId`.
    pub(crate) near: i64,
    /// When it reads what is on disk only: its `whichBrokerWhenConsumeSlowly`.
    pub(crate) far: i64,
}

impl Brokers {
    /// Always the master.
    pub(crate) const MASTER: Self = Self { near: 0, far: 0 };
}

/// The part of a read that one protocol alone has.
#[derive(Debug)]
pub(crate) enum Asked {
    /// RocketMQ's PULL_MESSAGE or LITE_PULL_MESSAGE.
    Pull {
        /// The consumer group.
        group: Rc<str>,
        /// Its system flag, as the answer tells it.
        group_sys_flag: i32,
        /// The topic's.
        topic_sys_flag: i32,
        /// Where the group is to go on.
        brokers: Brokers,
    },
    /// A native Fetch.
    Fetch,
}

impl Read {
    /// For a read of what is in memory.
    pub(crate) fn request(&self) -> ReadRequest<'_> {
        ReadRequest {
            topic: &self.topic,
            queue_id: self.queue_id,
            offset: QueueOffset(self.offset),
            max_messages: self.messages_max,
            max_bytes: self.bytes_max,
            filter: self.filter.as_tag_filter(),
            as_asked: matches!(self.asked, Asked::Fetch),
        }
    }

    /// For a read from disk, which outlives the turn.
    pub(crate) fn owned_request(&self) -> OwnedReadRequest {
        self.request().to_owned()
    }
}
