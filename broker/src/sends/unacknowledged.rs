//! Sends that are stored and wait for the mark of their acknowledgement (`engine`'s table in
//! `marks.rs`: `flushed` under SYNC_FLUSH, `written` with `logBackend=mmap`).
//!
//! In the order of the log, so the first to be answered is always at the front. Pure; bounded in
//! number. A row allocates nothing when its message has a unique key of the usual length.

use crate::limits::PENDING_ANSWERS_MAX;
use engine::PhyOffset;
use std::collections::VecDeque;

/// Longest unique key kept in place: what clients make for an IPv6 host.
const KEY_BYTES: usize = 56;

/// A text kept in place when it is short.
#[derive(Debug)]
pub enum ShortText {
    /// Its bytes and their number.
    Here([u8; KEY_BYTES], u8),
    /// It was longer.
    Long(Box<str>),
}

impl ShortText {
    /// A copy of `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; KEY_BYTES];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Here(bytes, len)
            }
            _ => Self::Long(text.into()),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Here(bytes, len) => bytes
                .get(..usize::from(*len))
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
                .unwrap_or_default(),
            Self::Long(text) => text,
        }
    }
}

/// What a send's answer says of the stored message or batch.
#[derive(Debug)]
pub enum StoredAt {
    /// One message, at this log offset.
    One(i64),
    /// The ids of a batch, joined by commas.
    Batch(Box<str>),
}

/// One stored send. `C`: who gets the answer.
#[derive(Debug)]
pub struct Pending<C> {
    /// Who gets the answer.
    pub caller: C,
    /// Where its last record ends: the mark has to pass it.
    pub end: PhyOffset,
    /// When it was stored.
    pub since_ms: i64,
    /// The message ids.
    pub stored_at: StoredAt,
    /// Its queue.
    pub queue_id: i32,
    /// Its (first) place there.
    pub queue_offset: i64,
    /// The client's id, empty for none.
    pub unique_key: ShortText,
}

/// The stored sends of one shard that nobody has been told about.
#[derive(Debug)]
pub struct PendingAnswers<C> {
    queue: VecDeque<Pending<C>>,
}

impl<C> Default for PendingAnswers<C> {
    fn default() -> Self {
        Self { queue: VecDeque::new() }
    }
}

impl<C> PendingAnswers<C> {
    /// Whether no more sends may be stored until some are answered.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queue.len() >= PENDING_ANSWERS_MAX
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds the send that was stored last.
    pub fn push(&mut self, pending: Pending<C>) {
        debug_assert!(
            self.queue.back().is_none_or(|last| last.end < pending.end),
            "pending answers are in the order of the log"
        );
        self.queue.push_back(pending);
    }

    /// The oldest, if it ends at or below `acknowledged`.
    pub fn pop_acknowledged(&mut self, acknowledged: PhyOffset) -> Option<Pending<C>> {
        self.queue.pop_front_if(|first| first.end <= acknowledged)
    }

    /// The oldest, if it has waited for `limit_ms`.
    pub fn pop_overdue(&mut self, limit_ms: i64, now_ms: i64) -> Option<Pending<C>> {
        self.queue.pop_front_if(|first| now_ms.saturating_sub(first.since_ms) >= limit_ms)
    }

    /// The oldest.
    pub fn pop(&mut self) -> Option<Pending<C>> {
        self.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(end: u64, since_ms: i64) -> Pending<u32> {
        let unique_key = ShortText::new("key");
        Pending {
            caller: 1,
            end: PhyOffset(end),
            since_ms,
            stored_at: StoredAt::One(0),
            queue_id: 0,
            queue_offset: 0,
            unique_key,
        }
    }

    #[test]
    fn nobody_is_answered_before_the_mark_has_passed_the_end_of_the_message() {
        let mut answers = PendingAnswers::default();
        answers.push(pending(100, 0));
        answers.push(pending(200, 0));
        assert!(answers.pop_acknowledged(PhyOffset(99)).is_none());
        assert_eq!(answers.pop_acknowledged(PhyOffset(199)).unwrap().end, PhyOffset(100));
        assert!(answers.pop_acknowledged(PhyOffset(199)).is_none());
        assert!(answers.pop_acknowledged(PhyOffset(200)).is_some() && answers.is_empty());
    }

    #[test]
    fn only_those_that_waited_long_enough_are_overdue() {
        let mut answers = PendingAnswers::default();
        answers.push(pending(100, 1_000));
        answers.push(pending(200, 3_000));
        assert!(answers.pop_overdue(5_000, 5_999).is_none());
        assert_eq!(answers.pop_overdue(5_000, 6_000).unwrap().end, PhyOffset(100));
        assert!(answers.pop_overdue(5_000, 6_000).is_none());
    }

    #[test]
    fn keys_of_any_length_come_back() {
        for len in [0, 32, 56, 57, 300] {
            let text = "k".repeat(len);
            assert_eq!(ShortText::new(&text).as_str(), text);
        }
    }
}
