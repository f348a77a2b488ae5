//! Messages that go into light message queues (`%LMQ%…`) besides their own queue: their places
//! there become part of the record, so that a rebuild finds them.
//!
//! ```text
//!   INNER_MULTI_DISPATCH      %LMQ%$parent$a,%LMQ%b     said by the sender, or by the broker for it
//!   INNER_MULTI_QUEUE_OFFSET  7,0                       filled in here: the ends of the two queues
//! ```
//!
//! As RocketMQ's `LmqDispatch.wrapLmqDispatch`. The second property stands behind all others (there
//! a Java map decides), and what a sender says of it counts for nothing. Records that arrive in
//! stored layout keep the properties they have ([`super::append_records`]), and so do batches, as
//! in RocketMQ.

use super::append::{Appended, encoded_len};
use super::{Inner, Store};
use crate::consumequeue::dispatch::{LMQ_QUEUE_ID, is_indexed, is_lmq};
use crate::consumequeue::table::QueueTable;
use crate::error::AppendError;
use crate::limits::LIGHT_QUEUES_OF_ONE_MAX;
use crate::paths::is_folder_name;
use protocol::names::{is_dlq_topic, is_retry_topic, is_system_topic};
use protocol::properties::{self, NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR, names};
use protocol::record::RecordDraft;
use rt::Runtime;
use std::collections::HashMap;
use std::io::Write as _;

/// Where light message queues go on behind messages that are not appended yet.
pub(super) type Ahead = HashMap<String, i64>;

impl<R: Runtime> Store<R> {
    /// How many light message queues there are.
    #[must_use]
    pub fn light_queues(&self) -> usize {
        self.inner.derived.queues.table.borrow().light_queues()
    }
}

impl<R: Runtime> Inner<R> {
    /// Whether a message is to go into light message queues: the store makes them, and it names
    /// some. Half messages and those that wait for their time name them for later.
    #[inline]
    pub(super) fn names_light_queues(&self, draft: &RecordDraft<'_>) -> bool {
        self.env.config.builds_light_queues && is_named(draft)
    }

    /// Stores one message that names light message queues.
    #[cold]
    pub(super) fn append_light(&self, draft: &RecordDraft<'_>) -> Result<Appended, AppendError> {
        let mut text = self.writing.light_properties.take();
        let appended = self.write_places(draft, &mut Ahead::new(), &mut text).and_then(|()| {
            let draft = RecordDraft { properties: &[&text], ..*draft };
            let has_crc = self.env.config.append_property_crc || draft.needs_crc();
            let bytes = encoded_len(&draft, has_crc)?;
            self.check_size(bytes)?;
            let queue = self.queue_for(&draft)?;
            self.make_room(bytes, QueueTable::a_full_queue)?;
            Ok(self.put(queue, &draft, (bytes, has_crc), self.store_time_ms()))
        });
        *self.writing.light_properties.borrow_mut() = text;
        if appended.is_ok() {
            self.writing.append_ended();
        }
        appended
    }

    /// The properties of a message with its places in the light message queues that it names.
    /// `ahead` has those that messages before it take.
    pub(super) fn write_places(
        &self,
        draft: &RecordDraft<'_>,
        ahead: &mut Ahead,
        out: &mut Vec<u8>,
    ) -> Result<(), AppendError> {
        out.clear();
        let joined = draft.properties.concat();
        let entries = properties::entries(&joined).filter(|entry| !entry.is_empty());
        for entry in entries.filter(|entry| !is_places(entry)) {
            out.extend_from_slice(entry);
            out.push(PROPERTY_SEPARATOR);
        }
        let Some(list) = properties::get(&joined, names::INNER_MULTI_DISPATCH) else {
            return Ok(());
        };
        let list = list.trim_end_matches(',');
        let found = list.split(',').count();
        if found > LIGHT_QUEUES_OF_ONE_MAX {
            return Err(AppendError::ManyLightQueues { found, limit: LIGHT_QUEUES_OF_ONE_MAX });
        }
        let is_light = |name: &&str| is_lmq(name) && is_folder_name(name);
        out.extend_from_slice(names::INNER_MULTI_QUEUE_OFFSET.as_bytes());
        out.push(NAME_VALUE_SEPARATOR);
        for (nth, name) in list.split(',').enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            if is_light(&name) {
                let _infallible = write!(out, "{}", self.place_in(name, ahead)?);
            }
        }
        out.push(PROPERTY_SEPARATOR);
        for name in list.split(',').filter(is_light) {
            let next = self.place_in(name, ahead)? + 1;
            ahead.insert(name.to_owned(), next);
        }
        Ok(())
    }

    /// Where the next message of a light message queue lies.
    fn place_in(&self, name: &str, ahead: &Ahead) -> Result<i64, AppendError> {
        if let Some(next) = ahead.get(name) {
            return Ok(*next);
        }
        let table = self.derived.queues.table.borrow();
        if let Some(queue) = table.key(name, LMQ_QUEUE_ID).and_then(|key| table.get(key)) {
            return Ok(queue.next.0);
        }
        let limit = self.env.config.light_queues_max;
        let new = ahead.values().filter(|next| **next <= 1).count();
        if table.light_queues() + new >= limit {
            return Err(AppendError::LightQueuesFull { limit });
        }
        Ok(0)
    }
}

fn is_named(draft: &RecordDraft<'_>) -> bool {
    let name = names::INNER_MULTI_DISPATCH.as_bytes();
    let is_said = |piece: &&[u8]| {
        properties::entries(piece).any(|entry| {
            entry.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&NAME_VALUE_SEPARATOR))
        })
    };
    draft.properties.iter().any(is_said)
        && is_indexed(draft.sys_flag)
        && !is_retry_topic(draft.topic)
        && !is_dlq_topic(draft.topic)
        && !is_system_topic(draft.topic)
}

/// Whether a property is the list of places.
fn is_places(entry: &[u8]) -> bool {
    let rest = entry.strip_prefix(names::INNER_MULTI_QUEUE_OFFSET.as_bytes());
    rest.is_some_and(|rest| rest.first() == Some(&NAME_VALUE_SEPARATOR))
}
