//! The hot read: a pull answered from memory, at once, without allocation; and what hot and cold
//! reads have in common.
//!
//! Statuses and `next_begin_offset` as RocketMQ's `DefaultMessageStore.getMessage` gives them:
//!
//! | case | status | next_begin_offset |
//! |---|---|---|
//! | no such queue | NoMatchedLogicQueue | 0 |
//! | queue without messages | NoMessageInQueue | 0 |
//! | offset < min | OffsetTooSmall | min |
//! | offset = max | OffsetOverflowOne | offset |
//! | offset > max | OffsetOverflowBadly | max |
//! | messages found | Found | last looked at + 1 |
//! | the filter takes none | NoMatchedMessage | last looked at + 1 |
//! | the record has left the log | MessageWasRemoving | next unit looked at |
//! | the queue's file lacks the unit | OffsetFoundNull | start of the queue's next file |
//!
//! A message is returned even when it alone is larger than the limit.

use super::read_origin::ReadOrigins;
use super::{Inner, Store};
use crate::consumequeue::table::{Found, QueueKey};
use crate::consumequeue::unit::Unit;
use crate::limits::FILTER_UNITS_MAX;
use crate::number::exact;
use crate::offset::QueueOffset;
use rt::{BufSlice, Runtime};
use std::fmt;
use std::rc::Rc;

/// Decides by what a record says, where the tag's code in the ConsumeQueue is not enough.
pub trait RecordFilter: fmt::Debug {
    /// Whether a read returns this record: the bytes of one record as they lie in the log.
    fn takes(&self, record: &[u8]) -> bool;
}

/// Which messages a read returns, by tag or by the whole record.
#[derive(Clone, Copy, Debug)]
pub enum TagFilter<'a> {
    /// Every message.
    All,
    /// Those whose tag has one of these hash codes.
    Codes(&'a [i32]),
    /// Those whose record this takes. Every record looked at is read.
    Records(&'a Rc<dyn RecordFilter>),
}

impl TagFilter<'_> {
    /// As RocketMQ compares: the low 32 bits of the ConsumeQueue's tags code.
    pub(super) fn takes(&self, tags_code: i64) -> bool {
        match self {
            Self::All | Self::Records(_) => true,
            Self::Codes(codes) => {
                codes.iter().any(|code| i64::from(*code) & 0xFFFF_FFFF == tags_code & 0xFFFF_FFFF)
            }
        }
    }

    /// What the ConsumeQueue leaves open.
    pub(super) fn takes_record(&self, record: &[u8]) -> bool {
        match self {
            Self::All | Self::Codes(_) => true,
            Self::Records(filter) => filter.takes(record),
        }
    }
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Its queue.
    pub queue_id: i32,
    /// From here on.
    pub offset: QueueOffset,
    /// At most so many messages.
    pub max_messages: usize,
    /// At most so many bytes, except that one message is always returned.
    pub max_bytes: usize,
    /// Only these.
    pub filter: TagFilter<'a>,
    /// `max_messages` and `max_bytes` alone count, not RocketMQ's `maxTransfer…` keys, which are
    /// made for its pulls.
    pub as_asked: bool,
}

/// A filter that owns what it has.
#[derive(Clone, Debug)]
pub enum OwnedTagFilter {
    /// Every message.
    All,
    /// Those whose tag has one of these hash codes.
    Codes(Box<[i32]>),
    /// Those whose record this takes.
    Records(Rc<dyn RecordFilter>),
}

/// A request that outlives the frame it came in.
#[derive(Clone, Debug)]
pub struct OwnedReadRequest {
    /// The topic.
    pub topic: Box<str>,
    /// Its queue.
    pub queue_id: i32,
    /// From here on.
    pub offset: QueueOffset,
    /// At most so many messages.
    pub max_messages: usize,
    /// At most so many bytes, except that one message is always returned.
    pub max_bytes: usize,
    /// Only these.
    pub filter: OwnedTagFilter,
    /// See [`ReadRequest::as_asked`].
    pub as_asked: bool,
}

impl ReadRequest<'_> {
    /// The same request, owned.
    #[must_use]
    pub fn to_owned(&self) -> OwnedReadRequest {
        let filter = match self.filter {
            TagFilter::All => OwnedTagFilter::All,
            TagFilter::Codes(codes) => OwnedTagFilter::Codes(codes.into()),
            TagFilter::Records(filter) => OwnedTagFilter::Records(filter.clone()),
        };
        OwnedReadRequest {
            topic: self.topic.into(),
            queue_id: self.queue_id,
            offset: self.offset,
            max_messages: self.max_messages,
            max_bytes: self.max_bytes,
            filter,
            as_asked: self.as_asked,
        }
    }
}

impl OwnedReadRequest {
    /// The same request, borrowed.
    #[must_use]
    pub fn as_request(&self) -> ReadRequest<'_> {
        let filter = match &self.filter {
            OwnedTagFilter::All => TagFilter::All,
            OwnedTagFilter::Codes(codes) => TagFilter::Codes(codes),
            OwnedTagFilter::Records(filter) => TagFilter::Records(filter),
        };
        ReadRequest {
            topic: &self.topic,
            queue_id: self.queue_id,
            offset: self.offset,
            max_messages: self.max_messages,
            max_bytes: self.max_bytes,
            filter,
            as_asked: self.as_asked,
        }
    }
}

/// How a read ended. See the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    /// Messages are in the answer.
    Found,
    /// None of those looked at passes the filter.
    NoMatchedMessage,
    /// The record has left the log.
    MessageWasRemoving,
    /// The queue's file lacks the unit.
    OffsetFoundNull,
    /// Past the end by more than one.
    OffsetOverflowBadly,
    /// At the end: the next message will have this offset.
    OffsetOverflowOne,
    /// Before the first message.
    OffsetTooSmall,
    /// No such queue.
    NoMatchedLogicQueue,
    /// The queue has no message.
    NoMessageInQueue,
    /// Hot reads only: the disk must be asked, see [`Store::read_cold`].
    Cold,
}

impl ReadStatus {
    /// RocketMQ's name for it, as answers carry it in their remark. A cold read is none of
    /// RocketMQ's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "FOUND",
            Self::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            Self::MessageWasRemoving => "MESSAGE_WAS_REMOVING",
            Self::OffsetFoundNull => "OFFSET_FOUND_NULL",
            Self::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            Self::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            Self::OffsetTooSmall => "OFFSET_TOO_SMALL",
            Self::NoMatchedLogicQueue => "NO_MATCHED_LOGIC_QUEUE",
            Self::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
            Self::Cold => "COLD",
        }
    }
}

/// A queue's messages: `min_offset..max_offset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueRange {
    /// The first message.
    pub min_offset: QueueOffset,
    /// One past the last.
    pub max_offset: QueueOffset,
}

/// What a hot read found. Reused from read to read, so that reading allocates nothing.
#[derive(Debug, Default)]
pub struct ReadSlices {
    /// The records, adjacent ones joined.
    pub slices: Vec<BufSlice>,
    /// How many messages.
    pub messages: usize,
    /// How many bytes.
    pub bytes: usize,
    /// Where they were.
    pub origins: ReadOrigins,
    /// Where the consumer goes on.
    pub next_begin_offset: QueueOffset,
    /// The queue's range at the time.
    pub range: QueueRange,
}

impl ReadSlices {
    /// Forgets the last read, keeps its memory.
    pub fn clear(&mut self) {
        self.slices.clear();
        (self.messages, self.bytes) = (0, 0);
        (self.next_begin_offset, self.range, self.origins) = Default::default();
    }

    fn push(&mut self, record: BufSlice, is_written: bool) {
        self.messages += 1;
        self.bytes += record.len();
        self.origins.add_from_tail(record.len(), is_written);
        push_joined(&mut self.slices, record);
    }
}

/// Adds a slice, as one with the last where they are adjacent.
pub(super) fn push_joined(slices: &mut Vec<BufSlice>, next: BufSlice) {
    match slices.last_mut().and_then(|last| last.joined(&next).map(|joined| (last, joined))) {
        Some((last, joined)) => *last = joined,
        None => slices.push(next),
    }
}

/// How much one read returns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Budget {
    /// What was asked for, within the configured limits if they count.
    pub(super) fn of(request: &ReadRequest<'_>, messages_max: usize, bytes_max: usize) -> Self {
        let (messages_max, bytes_max) =
            if request.as_asked { (usize::MAX, usize::MAX) } else { (messages_max, bytes_max) };
        Self {
            messages: request.max_messages.min(messages_max),
            bytes: request.max_bytes.min(bytes_max),
        }
    }

    /// Whether a record of `size` still goes with `messages` of `bytes` together. The first always
    /// does.
    pub(super) fn takes(self, messages: usize, bytes: usize, size: usize) -> bool {
        messages == 0 || (messages < self.messages && bytes + size <= self.bytes)
    }
}

/// Units one read looks at while it finds nothing.
pub(super) fn units_looked_at_max(max_messages: usize) -> usize {
    FILTER_UNITS_MAX.max(max_messages)
}

/// What the range alone decides: `None` when there is something to look at.
pub(super) fn status_by_range(
    offset: QueueOffset,
    range: QueueRange,
) -> Option<(ReadStatus, QueueOffset)> {
    if range.max_offset.0 == 0 {
        return Some((ReadStatus::NoMessageInQueue, QueueOffset(0)));
    }
    if offset < range.min_offset {
        return Some((ReadStatus::OffsetTooSmall, range.min_offset));
    }
    match offset.cmp(&range.max_offset) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some((ReadStatus::OffsetOverflowOne, offset)),
        std::cmp::Ordering::Greater => Some((ReadStatus::OffsetOverflowBadly, range.max_offset)),
    }
}

/// Whether a hot read goes on after a unit.
enum Step {
    On,
    Full,
    Cold,
}

impl<R: Runtime> Store<R> {
    /// The range of a queue's messages; `None` when there is no such queue.
    #[must_use]
    pub fn queue_range(&self, topic: &str, queue_id: i32) -> Option<QueueRange> {
        let key = self.inner.derived.queues.table.borrow().key(topic, queue_id)?;
        self.inner.range(key)
    }

    /// Calls `each` for every queue there is: its topic, its id and its range.
    pub fn for_each_queue(&self, mut each: impl FnMut(&str, i32, QueueRange)) {
        for (_, queue) in self.inner.derived.queues.table.borrow().iter() {
            each(
                &queue.topic,
                queue.queue_id,
                QueueRange { min_offset: queue.min, max_offset: queue.visible },
            );
        }
    }

    /// How many topics have queues, light message queues among them.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.inner.derived.queues.table.borrow().topics().len()
    }

    /// Calls `each` for every topic that has queues.
    pub fn for_each_topic(&self, each: impl FnMut(&str)) {
        self.inner.derived.queues.table.borrow().topics().for_each(each);
    }

    /// Reads what memory has. [`ReadStatus::Cold`] when the first message wanted is not in memory:
    /// then nothing was read.
    pub fn read(&self, request: &ReadRequest<'_>, out: &mut ReadSlices) -> ReadStatus {
        out.clear();
        let key = self.inner.derived.queues.table.borrow().key(request.topic, request.queue_id);
        let Some((key, range)) = key.and_then(|key| Some((key, self.inner.range(key)?))) else {
            return ReadStatus::NoMatchedLogicQueue;
        };
        out.range = range;
        if let Some((status, next)) = status_by_range(request.offset, range) {
            out.next_begin_offset = next;
            return status;
        }
        self.inner.read_units(key, request, out)
    }

    /// Whether the message at `offset` is in memory (or there is none there): what RocketMQ calls
    /// "in memory" when a new group without offsets starts.
    #[must_use]
    pub fn is_hot(&self, topic: &str, queue_id: i32, offset: QueueOffset) -> bool {
        let table = self.inner.derived.queues.table.borrow();
        let queue = table.key(topic, queue_id).and_then(|key| table.get(key));
        let unit = queue
            .filter(|queue| offset >= queue.min && offset < queue.visible)
            .map(|queue| queue.unit(offset));
        match unit {
            None => true,
            Some(Found::Memory(unit)) => unit.at.0 >= self.inner.writing.tail.borrow().begin(),
            Some(Found::File) => false,
        }
    }
}

impl<R: Runtime> Inner<R> {
    pub(super) fn range(&self, key: QueueKey) -> Option<QueueRange> {
        let table = self.derived.queues.table.borrow();
        table.get(key).map(|queue| QueueRange { min_offset: queue.min, max_offset: queue.visible })
    }

    fn read_units(
        &self,
        key: QueueKey,
        request: &ReadRequest<'_>,
        out: &mut ReadSlices,
    ) -> ReadStatus {
        let table = self.derived.queues.table.borrow();
        let Some(queue) = table.get(key) else { return ReadStatus::NoMatchedLogicQueue };
        let budget =
            Budget::of(request, self.env.config.hot_messages_max, self.env.config.hot_bytes_max);
        let end = request.offset.plus(units_looked_at_max(request.max_messages)).min(queue.visible);
        let mut at = request.offset;
        while at < end {
            let step = match queue.unit(at) {
                Found::File => Step::Cold,
                Found::Memory(unit) => self.read_unit(&unit, request, budget, out),
            };
            match step {
                Step::On => at = at.plus(1),
                Step::Full => break,
                // Looking at filtered units in memory may end at a record that is not: the cold
                // read begins anew.
                Step::Cold if out.messages == 0 => {
                    out.next_begin_offset = request.offset;
                    return ReadStatus::Cold;
                }
                Step::Cold => break,
            }
        }
        out.next_begin_offset = at;
        if out.messages > 0 { ReadStatus::Found } else { ReadStatus::NoMatchedMessage }
    }

    fn read_unit(
        &self,
        unit: &Unit,
        request: &ReadRequest<'_>,
        budget: Budget,
        out: &mut ReadSlices,
    ) -> Step {
        if out.messages >= budget.messages.max(1) {
            return Step::Full;
        }
        if !request.filter.takes(unit.tags_code) {
            return Step::On;
        }
        let size = exact(unit.size);
        let needs_record = matches!(request.filter, TagFilter::Records(_));
        if !needs_record && !budget.takes(out.messages, out.bytes, size) {
            return Step::Full;
        }
        let is_written = unit.end() <= self.watermarks.written().0;
        match self.writing.tail.borrow().slice(unit.at.0, size) {
            None => Step::Cold,
            Some(record) if needs_record => decide(record, is_written, request, budget, out),
            Some(record) => {
                out.push(record, is_written);
                Step::On
            }
        }
    }
}

/// A record counts when the filter takes it. Apart from the reads by tag, whose instructions for
/// each message are counted.
#[inline(never)]
fn decide(
    record: BufSlice,
    is_written: bool,
    request: &ReadRequest<'_>,
    budget: Budget,
    out: &mut ReadSlices,
) -> Step {
    if !request.filter.takes_record(&record) {
        return Step::On;
    }
    if !budget.takes(out.messages, out.bytes, record.len()) {
        return Step::Full;
    }
    out.push(record, is_written);
    Step::On
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_code_matches_whatever_its_sign_extension() {
        let filter = TagFilter::Codes(&[-5]);
        assert!(filter.takes(-5) && filter.takes(0xFFFF_FFFB) && !filter.takes(5));
    }

    #[test]
    fn the_range_decides_these() {
        let range =
            |min, max| QueueRange { min_offset: QueueOffset(min), max_offset: QueueOffset(max) };
        let table = [
            (0, range(0, 0), Some((ReadStatus::NoMessageInQueue, 0))),
            (7, range(0, 0), Some((ReadStatus::NoMessageInQueue, 0))),
            (-1, range(0, 5), Some((ReadStatus::OffsetTooSmall, 0))),
            (2, range(3, 5), Some((ReadStatus::OffsetTooSmall, 3))),
            (5, range(3, 5), Some((ReadStatus::OffsetOverflowOne, 5))),
            (6, range(3, 5), Some((ReadStatus::OffsetOverflowBadly, 5))),
            (4, range(3, 5), None),
        ];
        for (offset, range, expected) in table {
            let expected = expected.map(|(status, next)| (status, QueueOffset(next)));
            assert_eq!(
                status_by_range(QueueOffset(offset), range),
                expected,
                "{offset} in {range:?}"
            );
        }
    }
}
