//! What became visible since the broker last asked: wakes held pulls in the same turn of the loop.
//!
//! ```text
//!   append ──acknowledged at once──────────────────────────► arrivals ──drain──► held pulls
//!      └─────waits for `written` or `flushed`──► hidden ──────┘
//! ```

use super::{Inner, Store};
use crate::consumequeue::table::QueueKey;
use crate::limits::ARRIVALS_MAX;
use crate::offset::QueueOffset;
use rt::Runtime;
use std::collections::VecDeque;

/// A message that became visible, or several of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its queue.
    pub queue_id: i32,
    /// The queue's end: its offset + 1.
    pub max_offset: QueueOffset,
    /// Its tag; `None` when several messages were merged: whoever waits must look.
    pub tags_code: Option<i64>,
}

#[derive(Clone, Copy)]
struct Entry {
    queue: QueueKey,
    max_offset: QueueOffset,
    tags_code: Option<i64>,
}

/// Bounded: when nobody drains, the entries of a queue are merged to one.
#[derive(Default)]
pub(super) struct Arrivals {
    entries: Vec<Entry>,
    /// The other half of a swap, so that draining allocates nothing.
    draining: Vec<Entry>,
    merge_at: usize,
}

impl Arrivals {
    pub(super) fn push(&mut self, queue: QueueKey, max_offset: QueueOffset, tags_code: i64) {
        if self.entries.len() >= self.merge_at.max(ARRIVALS_MAX) {
            self.merge();
        }
        self.entries.push(Entry { queue, max_offset, tags_code: Some(tags_code) });
    }

    /// Queues have ended earlier since: tells of what is left, whoever waits must look.
    fn clamp(&mut self, end_of: impl Fn(QueueKey) -> Option<QueueOffset>) {
        for entry in &mut self.entries {
            if let Some(end) = end_of(entry.queue).filter(|end| *end < entry.max_offset) {
                (entry.max_offset, entry.tags_code) = (end, None);
            }
        }
    }

    fn merge(&mut self) {
        let mut newest = std::collections::HashMap::new();
        for entry in self.entries.drain(..) {
            newest.insert(entry.queue, entry.max_offset);
        }
        let merged = newest.into_iter().map(|(queue, max_offset)| Entry {
            queue,
            max_offset,
            tags_code: None,
        });
        self.entries.extend(merged);
        self.entries.sort_by_key(|entry| entry.max_offset);
        self.merge_at = 2 * self.entries.len();
    }
}

/// A message that is in its queue and not acknowledged yet. Bounded by the log's tail: what is
/// hidden is unwritten or one flush behind.
#[derive(Clone, Copy)]
struct HiddenEntry {
    end: u64,
    entry: Entry,
}

/// Messages in the order of the log that wait for the watermark of an acknowledgement.
#[derive(Default)]
pub(super) struct Hidden(VecDeque<HiddenEntry>);

impl<R: Runtime> Store<R> {
    /// Calls `each` for what became visible since the last call, oldest first. `each` may use the
    /// store.
    pub fn drain_arrivals(&self, mut each: impl FnMut(Arrival<'_>)) {
        let mut entries = self.inner.swap_arrivals();
        // Those of a batch have one queue: it is looked up once.
        let mut last: Option<(QueueKey, std::rc::Rc<str>, i32)> = None;
        for entry in entries.drain(..) {
            if !matches!(&last, Some((queue, ..)) if *queue == entry.queue) {
                let table = self.inner.derived.queues.table.borrow();
                last = table
                    .get(entry.queue)
                    .map(|queue| (entry.queue, queue.topic.clone(), queue.queue_id));
            }
            if let Some((_, topic, queue_id)) = &last {
                each(Arrival {
                    topic,
                    queue_id: *queue_id,
                    max_offset: entry.max_offset,
                    tags_code: entry.tags_code,
                });
            }
        }
        self.inner.visibility.arrivals.borrow_mut().draining = entries;
    }

    /// Whether [`Store::drain_arrivals`] would call at all.
    #[must_use]
    pub fn has_arrivals(&self) -> bool {
        !self.inner.visibility.arrivals.borrow().entries.is_empty()
    }
}

impl<R: Runtime> Inner<R> {
    /// A message that ends at `end` was put into its queue and waits for its acknowledgement.
    pub(super) fn hide(&self, end: u64, queue: QueueKey, max_offset: QueueOffset, tags_code: i64) {
        self.visibility.hidden.borrow_mut().0.push_back(HiddenEntry {
            end,
            entry: Entry { queue, max_offset, tags_code: Some(tags_code) },
        });
    }

    /// Shows consumers what is acknowledged by now.
    pub(super) fn reveal(&self) {
        let visible = self.watermarks.visible().0;
        let mut hidden = self.visibility.hidden.borrow_mut();
        let (mut table, mut arrivals) =
            (self.derived.queues.table.borrow_mut(), self.visibility.arrivals.borrow_mut());
        while let Some(HiddenEntry { entry, .. }) =
            hidden.0.pop_front_if(|first| first.end <= visible)
        {
            table.reveal(entry.queue, entry.max_offset);
            arrivals.push(entry.queue, entry.max_offset, entry.tags_code.unwrap_or_default());
        }
    }

    /// The log was cut at rest, so nothing is hidden; queues end earlier.
    pub(super) fn cut_arrivals(&self) {
        assert!(self.visibility.hidden.borrow().0.is_empty(), "a log at rest hides nothing");
        let table = self.derived.queues.table.borrow();
        let end_of = |key| table.get(key).map(|queue| queue.visible);
        self.visibility.arrivals.borrow_mut().clamp(end_of);
    }

    fn swap_arrivals(&self) -> Vec<Entry> {
        let mut arrivals = self.visibility.arrivals.borrow_mut();
        let empty = std::mem::take(&mut arrivals.draining);
        std::mem::replace(&mut arrivals.entries, empty)
    }
}
