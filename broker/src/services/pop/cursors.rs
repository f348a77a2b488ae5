//! Where groups are that pop: the next message of each queue, ahead of the table of consumer
//! offsets, which is saved.
//!
//! ```text
//!   pop ─► checkpoint in the log ─► next = behind it ─► waits ── flushed ─► table ─► file
//! ```
//!
//! **The table never runs ahead of the flushed log**: a message below its offset is acknowledged or
//! has a checkpoint that outlives a power cut. A queue belongs to one pop while that reads it; a
//! pop that meets a taken queue goes on to the next one. A queue is here from a pop until its
//! checkpoint is flushed, so memory is a few rows for each queue that is in use. Pure.
//!
//! A checkpoint that is in memory only ([`super::buffer`]) holds its step: neither it nor those
//! behind it count until it is released.
//!
//! ```text
//!   steps of a queue:  ck 7 held │ ck 9 released │ ck 12 held      7 is released: 7 and 9 go on
//! ```

use engine::PhyOffset;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// A group on a queue of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) topic: Rc<str>,
    pub(crate) group: Rc<str>,
    pub(crate) queue_id: i32,
}

/// Names a checkpoint that is or was in memory only. Later ones have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PointId(pub(super) u64);

#[derive(Debug, Default)]
struct Cursor {
    /// The next message to pop; counts while `waiting`.
    next: i64,
    /// Rows of [`Cursors::waits`] that count.
    waiting: usize,
    /// Rows of earlier lives do not count.
    life: u64,
    is_taken: bool,
    /// A pop met it taken.
    was_wanted: bool,
    /// Steps from the first that is held on, in order.
    held: VecDeque<Step>,
}

/// Where a group goes on when a checkpoint is released.
#[derive(Debug)]
struct Step {
    next: i64,
    /// Its checkpoint's; of one without, that of the step before it.
    id: PointId,
    is_released: bool,
}

impl Cursor {
    fn is_idle(&self) -> bool {
        self.waiting == 0 && self.held.is_empty() && !self.is_taken
    }
}

/// What the table is to have once the log is flushed up to `end`.
#[derive(Debug)]
struct Row {
    end: PhyOffset,
    key: Key,
    next: i64,
    life: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    queues: HashMap<Key, Cursor>,
    waits: VecDeque<Row>,
    lives: u64,
}

impl Cursors {
    /// Takes a queue; false when it is taken.
    pub(crate) fn take(&mut self, key: &Key) -> bool {
        let cursor = self.of(key);
        if cursor.is_taken {
            cursor.was_wanted = true;
            return false;
        }
        cursor.is_taken = true;
        true
    }

    /// Gives a queue back. Whether another pop met it taken.
    pub(crate) fn give_back(&mut self, key: &Key) -> bool {
        let Some(cursor) = self.queues.get_mut(key) else { return false };
        cursor.is_taken = false;
        let was_wanted = std::mem::take(&mut cursor.was_wanted);
        if cursor.is_idle() {
            self.queues.remove(key);
        }
        was_wanted
    }

    /// The next message, where that is not in the table yet.
    pub(crate) fn next(&self, key: &Key) -> Option<i64> {
        let is_ahead = |cursor: &&Cursor| cursor.waiting > 0 || !cursor.held.is_empty();
        self.queues.get(key).filter(is_ahead).map(|cursor| cursor.next)
    }

    /// Steps of a queue from the first that is held on.
    pub(super) fn held(&self, key: &Key) -> usize {
        self.queues.get(key).map_or(0, |cursor| cursor.held.len())
    }

    /// The next message is `next`; the table may say so when the log is flushed up to `end`, its
    /// end at this moment.
    pub(crate) fn advance(&mut self, key: &Key, next: i64, end: PhyOffset) {
        let cursor = self.of(key);
        cursor.next = next;
        if let Some(id) = cursor.held.back().map(|step| step.id) {
            cursor.held.push_back(Step { next, id, is_released: true });
            return;
        }
        self.wait(key, next, end);
    }

    /// The next message is `next`; the table may say so when the checkpoint before it is released,
    /// and all before that.
    pub(super) fn hold(&mut self, key: &Key, next: i64, id: PointId) {
        let cursor = self.of(key);
        cursor.next = next;
        cursor.held.push_back(Step { next, id, is_released: false });
    }

    /// A checkpoint is in the log, or all of it is acknowledged: its step waits for the log to be
    /// flushed up to `end`, its end at this moment.
    pub(super) fn release(&mut self, key: &Key, id: PointId, end: PhyOffset) {
        let Some(cursor) = self.queues.get_mut(key) else { return };
        let at = cursor.held.partition_point(|step| step.id < id);
        match cursor.held.get_mut(at) {
            Some(step) if step.id == id => step.is_released = true,
            _ => return, // the group's place was set from outside meanwhile
        }
        let mut next = None;
        while let Some(step) = cursor.held.pop_front_if(|step| step.is_released) {
            next = Some(step.next);
        }
        if let Some(next) = next {
            self.wait(key, next, end);
        }
    }

    fn of(&mut self, key: &Key) -> &mut Cursor {
        self.queues.entry(key.clone()).or_insert_with(|| {
            self.lives += 1;
            Cursor { life: self.lives, ..Cursor::default() }
        })
    }

    fn wait(&mut self, key: &Key, next: i64, end: PhyOffset) {
        let Some(cursor) = self.queues.get_mut(key) else { return };
        let newest = self.waits.back_mut();
        if let Some(row) =
            newest.filter(|row| row.end == end && row.life == cursor.life && row.key == *key)
        {
            row.next = next;
            return;
        }
        cursor.waiting += 1;
        self.waits.push_back(Row { end, key: key.clone(), next, life: cursor.life });
    }

    /// Where the group goes on was set from outside: what waits counts no more.
    pub(crate) fn reset(&mut self, key: &Key) {
        if let Some(cursor) = self.queues.get_mut(key) {
            self.lives += 1;
            (cursor.life, cursor.waiting) = (self.lives, 0);
            cursor.held.clear();
        }
    }

    /// The same of all queues that `which` names.
    pub(crate) fn forget(&mut self, which: impl Fn(&Key) -> bool) {
        for (key, cursor) in &mut self.queues {
            if which(key) {
                self.lives += 1;
                (cursor.life, cursor.waiting) = (self.lives, 0);
                cursor.held.clear();
            }
        }
        self.queues.retain(|_, cursor| !cursor.is_idle());
    }

    /// The log is flushed up to `upto`: tells `save` what the table may have.
    pub(crate) fn flushed(&mut self, upto: PhyOffset, mut save: impl FnMut(&Key, i64)) {
        while let Some(Row { key, next, life, .. }) = self.waits.pop_front_if(|row| row.end <= upto)
        {
            let Some(cursor) = self.queues.get_mut(&key).filter(|cursor| cursor.life == life)
            else {
                continue;
            };
            save(&key, next);
            cursor.waiting -= 1;
            if cursor.is_idle() {
                self.queues.remove(&key);
            }
        }
    }

    /// Queues that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.queues.values().filter(|cursor| cursor.is_taken).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &str, queue_id: i32) -> Key {
        Key { topic: Rc::from("T"), group: Rc::from(group), queue_id }
    }

    fn flushed(cursors: &mut Cursors, upto: u64) -> Vec<(String, i32, i64)> {
        let mut saved = vec![];
        cursors.flushed(PhyOffset(upto), |key, next| {
            saved.push((key.group.to_string(), key.queue_id, next));
        });
        saved
    }

    #[test]
    fn the_table_follows_the_flushed_log() {
        let mut cursors = Cursors::default();
        let (one, two) = (key("g", 0), key("h", 0));
        cursors.advance(&one, 3, PhyOffset(100));
        cursors.advance(&one, 4, PhyOffset(100));
        cursors.advance(&two, 9, PhyOffset(150));
        cursors.advance(&one, 7, PhyOffset(200));
        assert_eq!((cursors.next(&one), cursors.next(&key("g", 1))), (Some(7), None));
        assert_eq!(flushed(&mut cursors, 99), []);
        assert_eq!(flushed(&mut cursors, 199), [("g".into(), 0, 4), ("h".into(), 0, 9)]);
        assert_eq!((cursors.next(&one), cursors.next(&two)), (Some(7), None));
        assert_eq!(flushed(&mut cursors, 200), [("g".into(), 0, 7)]);
        assert!(cursors.queues.is_empty() && cursors.waits.is_empty());
    }

    #[test]
    fn a_step_that_is_held_holds_those_behind_it() {
        let (mut cursors, one) = (Cursors::default(), key("g", 0));
        let ids = [1, 2, 3].map(PointId);
        cursors.hold(&one, 3, ids[0]);
        cursors.hold(&one, 5, ids[1]);
        cursors.advance(&one, 6, PhyOffset(100));
        cursors.hold(&one, 9, ids[2]);
        assert_eq!((cursors.next(&one), cursors.held(&one)), (Some(9), 4));
        cursors.release(&one, ids[1], PhyOffset(200));
        assert_eq!(flushed(&mut cursors, 500), []);
        cursors.release(&one, ids[0], PhyOffset(300));
        assert_eq!(flushed(&mut cursors, 299), []);
        assert_eq!(flushed(&mut cursors, 300), [("g".into(), 0, 6)]);
        assert_eq!((cursors.next(&one), cursors.held(&one)), (Some(9), 1));
        cursors.reset(&one);
        cursors.release(&one, ids[2], PhyOffset(400));
        assert_eq!((flushed(&mut cursors, 500), cursors.next(&one)), (vec![], None));
    }

    #[test]
    fn a_queue_belongs_to_one_pop_and_says_whether_another_wanted_it() {
        let mut cursors = Cursors::default();
        assert!(cursors.take(&key("g", 0)));
        assert!(!cursors.take(&key("g", 0)));
        assert!(cursors.take(&key("h", 0)));
        assert_eq!(cursors.taken(), 2);
        assert!(cursors.give_back(&key("g", 0)));
        assert!(!cursors.give_back(&key("h", 0)));
        assert!(cursors.queues.is_empty());
    }

    #[test]
    fn what_waited_before_a_reset_is_never_saved() {
        let mut cursors = Cursors::default();
        let (one, two) = (key("g", 0), key("g", 1));
        cursors.advance(&one, 3, PhyOffset(100));
        cursors.advance(&two, 5, PhyOffset(100));
        assert!(cursors.take(&one));
        cursors.reset(&one);
        assert_eq!(cursors.next(&one), None);
        cursors.advance(&one, 1, PhyOffset(120));
        cursors.give_back(&one);
        cursors.forget(|key| key.queue_id == 1);
        assert_eq!(flushed(&mut cursors, 500), [("g".into(), 0, 1)]);
        assert!(cursors.queues.is_empty());
    }
}
