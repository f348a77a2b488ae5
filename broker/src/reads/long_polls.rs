//! Long polls: reads that found nothing and wait for a message.
//!
//! ```text
//!                      ┌─ of its queue       woken by a message of that queue
//!   poll ── in 3 lists ┼─ of its connection  dropped when that is gone
//!                      └─ of its deadline    a ring of slots, SLOT_MS each; answered with nothing
//! ```
//!
//! A poll waits until a message that its filter wants becomes visible, or until its deadline;
//! either way it leaves this table and the caller runs it once more, without waiting again. All
//! three ways out cost the same however many wait. Pure: `P` is whatever the caller needs to run
//! the read. Times are those of the monotonic clock: one that goes back would make polls wait for
//! ever. Bounded by `LONG_POLLS_MAX`; a poll waits at most `LONG_POLL_MS_MAX`.

use super::filter::Filter;
use super::lists::{self, Link, Linked, List, NONE};
use crate::limits::{LONG_POLL_MS_MAX, LONG_POLLS_MAX};
use slab::Slab;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

/// How fine deadlines are, in milliseconds: no finer than the broker's timer.
const SLOT_MS: i64 = 50;
/// Slots of the ring: one more than the longest poll needs.
const SLOTS: usize = 2_402;
const _: () = assert!(SLOT_MS * (SLOTS as i64 - 2) >= LONG_POLL_MS_MAX, "a deadline has a slot");

const OF_QUEUE: usize = 0;
const OF_CONN: usize = 1;
const OF_DEADLINE: usize = 2;

/// Where and how a read waits.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    /// The topic's name, shared with its table.
    pub(crate) topic: &'a Rc<str>,
    /// The queue.
    pub(crate) queue_id: i32,
    /// The queue offset that it wants: woken when the queue has more.
    pub(crate) offset: i64,
    /// Which messages it wants.
    pub(crate) filter: &'a Filter,
    /// For how long, in milliseconds.
    pub(crate) poll_ms: i64,
}

/// A message that became visible, or several of unknown tags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived<'a> {
    /// The topic.
    pub(crate) topic: &'a str,
    /// The queue.
    pub(crate) queue_id: i32,
    /// Where the queue ends now.
    pub(crate) max_offset: i64,
    /// What the ConsumeQueue has of the message's tag.
    pub(crate) tags_code: Option<i64>,
}

/// What a look at the records says of a poll whose filter needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is to run.
    Wakes,
    /// It wants no message before this queue offset, and all of those before it were looked at.
    WaitsFrom(i64),
}

#[derive(Debug)]
struct Entry<P, C> {
    read: P,
    conn: C,
    queue: u32,
    /// As the client asked.
    asked_offset: i64,
    /// Nothing before this is wanted: as asked, or where the last look ended.
    offset: i64,
    filter: Filter,
    deadline_ms: i64,
    links: [Link; 3],
}

#[derive(Debug)]
struct Entries<P, C>(Slab<Entry<P, C>>);

impl<P, C> Linked for Entries<P, C> {
    fn link(&mut self, entry: u32, nth: usize) -> &mut Link {
        &mut self.0[entry as usize].links[nth]
    }
}

#[derive(Debug)]
struct Queue {
    topic: Rc<str>,
    queue_id: i32,
    polls: List,
}

/// The long polls of one shard, of connections `C`.
#[derive(Debug)]
pub(crate) struct LongPolls<P, C> {
    entries: Entries<P, C>,
    // Queues stay when their last poll leaves: the next one then allocates nothing. They are
    // bounded by the topics, and `forget_topic` removes them.
    queues: Slab<Queue>,
    by_topic: HashMap<Rc<str>, HashMap<i32, u32>>,
    by_conn: HashMap<C, List>,
    slots: Box<[List; SLOTS]>,
    /// Slots before this one have been looked through; in `SLOT_MS` of the monotonic clock.
    next_slot: i64,
    /// How many may wait.
    max: usize,
}

impl<P, C> LongPolls<P, C> {
    /// None; at most `max` may wait.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max: max.min(LONG_POLLS_MAX),
            entries: Entries(Slab::new()),
            queues: Slab::new(),
            by_topic: HashMap::new(),
            by_conn: HashMap::new(),
            slots: Box::new([List::default(); SLOTS]),
            next_slot: 0,
        }
    }
}

fn slot_of(ms: i64) -> i64 {
    ms.div_euclid(SLOT_MS)
}

fn place_of(slot: i64) -> usize {
    let slots = i64::try_from(SLOTS).expect("a few thousand");
    usize::try_from(slot.rem_euclid(slots)).expect("a remainder is not negative")
}

impl<P, C: Copy + Eq + Hash> LongPolls<P, C> {
    /// Lets a read wait; gives it back when too many do.
    pub(crate) fn wait(&mut self, wait: &Wait<'_>, conn: C, now_ms: i64, read: P) -> Result<(), P> {
        if self.entries.0.len() >= self.max {
            return Err(read);
        }
        if self.entries.0.is_empty() {
            self.next_slot = slot_of(now_ms);
        }
        // `now_ms` is rounded down: without the millisecond that has begun, the poll would end
        // early by what has passed of it.
        let asked_ms = now_ms.saturating_add(wait.poll_ms.clamp(0, LONG_POLL_MS_MAX)) + 1;
        // Time may have passed without that the slots were looked through: the deadline stays
        // within the ring.
        let deadline_ms = asked_ms.min((self.next_slot + slots_ahead_max()) * SLOT_MS);
        let queue = self.queue(wait.topic, wait.queue_id);
        let entry = self.entries.0.insert(Entry {
            read,
            conn,
            queue,
            asked_offset: wait.offset,
            offset: wait.offset,
            filter: wait.filter.clone(),
            deadline_ms,
            links: [Link::ALONE; 3],
        });
        let entry = u32::try_from(entry).expect("LONG_POLLS_MAX is far below");
        self.queues[queue as usize].polls.push(&mut self.entries, entry, OF_QUEUE);
        self.by_conn.entry(conn).or_default().push(&mut self.entries, entry, OF_CONN);
        let slot = &mut self.slots[place_of(slot_of(deadline_ms))];
        slot.push(&mut self.entries, entry, OF_DEADLINE);
        Ok(())
    }

    fn queue(&mut self, topic: &Rc<str>, queue_id: i32) -> u32 {
        if let Some(queue) = self.by_topic.get(topic).and_then(|queues| queues.get(&queue_id)) {
            return *queue;
        }
        let polls = List::default();
        let queue = self.queues.insert(Queue { topic: topic.clone(), queue_id, polls });
        let queue = u32::try_from(queue).expect("topics and their queues are bounded");
        self.by_topic.entry(topic.clone()).or_default().insert(queue_id, queue);
        queue
    }

    /// A message became visible, or several of unknown tags (`None`): moves the polls that they
    /// wake into `woken`. `look` looks at the records for those whose filter needs them: they are
    /// woken by what they want only, and no record is looked at twice for one poll.
    pub(crate) fn arrived(
        &mut self,
        Arrived { topic, queue_id, max_offset, tags_code }: Arrived<'_>,
        mut look: impl FnMut(&mut P) -> Look,
        woken: &mut Vec<P>,
    ) {
        if self.entries.0.is_empty() {
            return;
        }
        let queue = self.by_topic.get(topic).and_then(|queues| queues.get(&queue_id));
        let Some(queue) = queue.copied() else { return };
        self.take_of_queue(queue, woken, |entry| {
            if max_offset <= entry.offset {
                return false;
            }
            if !matches!(entry.filter, Filter::Records(_)) {
                return tags_code.is_none_or(|code| entry.filter.wants(code));
            }
            match look(&mut entry.read) {
                Look::Wakes => true,
                Look::WaitsFrom(offset) => {
                    entry.offset = offset;
                    false
                }
            }
        });
    }

    /// Moves the polls into `woken` whose queue has a message at their offset or behind, though
    /// none that they want: their consumers learn how far they may go on. `max_offset_of` says
    /// where a queue ends.
    pub(crate) fn look_again(
        &mut self,
        max_offset_of: impl Fn(&str, i32) -> i64,
        woken: &mut Vec<P>,
    ) {
        if self.entries.0.is_empty() {
            return;
        }
        for key in 0..self.queues.capacity() {
            let Some(queue) = self.queues.get(key).filter(|queue| !queue.polls.is_empty()) else {
                continue;
            };
            let max_offset = max_offset_of(&queue.topic, queue.queue_id);
            let key = u32::try_from(key).expect("topics and their queues are bounded");
            self.take_of_queue(key, woken, |entry| max_offset > entry.asked_offset);
        }
    }

    fn take_of_queue(
        &mut self,
        queue: u32,
        out: &mut Vec<P>,
        mut which: impl FnMut(&mut Entry<P, C>) -> bool,
    ) {
        let mut at = self.queues[queue as usize].polls.first;
        while at != NONE {
            let behind = lists::behind(&mut self.entries, at, OF_QUEUE);
            if which(&mut self.entries.0[at as usize]) {
                out.push(self.take(at));
            }
            at = behind;
        }
    }

    /// Moves the polls whose time is up into `due`.
    pub(crate) fn expire(&mut self, now_ms: i64, due: &mut Vec<P>) {
        if self.entries.0.is_empty() {
            return;
        }
        let last = slot_of(now_ms);
        // After a pause of more than the ring every slot once is enough.
        let from = self.next_slot.max(last - slots_ahead_max());
        for slot in from..=last {
            let mut at = self.slots[place_of(slot)].first;
            while at != NONE {
                let behind = lists::behind(&mut self.entries, at, OF_DEADLINE);
                if self.entries.0[at as usize].deadline_ms <= now_ms {
                    due.push(self.take(at));
                }
                at = behind;
            }
        }
        // The last slot is not over: deadlines in it may still come.
        self.next_slot = self.next_slot.max(last);
    }

    /// Moves out the polls of a connection that is gone.
    pub(crate) fn closed(&mut self, conn: C, out: &mut Vec<P>) {
        while let Some(list) = self.by_conn.get(&conn) {
            let first = list.first;
            out.push(self.take(first));
        }
    }

    /// Moves out those polls of a queue that `which` names.
    pub(crate) fn take_from(
        &mut self,
        topic: &str,
        queue_id: i32,
        which: impl Fn(&P) -> bool,
        out: &mut Vec<P>,
    ) {
        let queue = self.by_topic.get(topic).and_then(|queues| queues.get(&queue_id));
        let Some(queue) = queue.copied() else { return };
        self.take_of_queue(queue, out, |entry| which(&entry.read));
    }

    /// Moves out the first poll of a queue that `wants` it, of the first `looks` ones. Whether
    /// there was one.
    pub(crate) fn take_first(
        &mut self,
        (topic, queue_id): (&str, i32),
        looks: usize,
        wants: impl Fn(&P) -> bool,
        out: &mut Vec<P>,
    ) -> bool {
        let queue = self.by_topic.get(topic).and_then(|queues| queues.get(&queue_id));
        let Some(queue) = queue.copied() else { return false };
        let mut at = self.queues[queue as usize].polls.first;
        for _ in 0..looks {
            if at == NONE {
                return false;
            }
            if wants(&self.entries.0[at as usize].read) {
                out.push(self.take(at));
                return true;
            }
            at = lists::behind(&mut self.entries, at, OF_QUEUE);
        }
        false
    }

    /// How many wait for a queue.
    pub(crate) fn of_queue(&self, topic: &str, queue_id: i32) -> usize {
        let queue = self.by_topic.get(topic).and_then(|queues| queues.get(&queue_id));
        queue.map_or(0, |queue| self.queues[*queue as usize].polls.len as usize)
    }

    /// How many wait for the queues of a topic.
    pub(super) fn of_topic(&self, topic: &str) -> usize {
        let queues = self.by_topic.get(topic).into_iter().flat_map(|queues| queues.values());
        queues.map(|queue| self.queues[*queue as usize].polls.len as usize).sum()
    }

    /// Moves out the polls of a topic that is gone.
    pub(crate) fn forget_topic(&mut self, topic: &str, out: &mut Vec<P>) {
        let queues = self.by_topic.remove(topic).into_iter().flatten();
        for (_, queue) in queues {
            self.take_of_queue(queue, out, |_| true);
            self.queues.remove(queue as usize);
        }
    }

    /// Takes an entry out of its three lists and of the table.
    fn take(&mut self, at: u32) -> P {
        let entry = &self.entries.0[at as usize];
        let (queue, conn, slot) = (entry.queue, entry.conn, slot_of(entry.deadline_ms));
        self.queues[queue as usize].polls.remove(&mut self.entries, at, OF_QUEUE);
        self.slots[place_of(slot)].remove(&mut self.entries, at, OF_DEADLINE);
        let of_conn = self.by_conn.get_mut(&conn).expect("a poll is in the list of its connection");
        of_conn.remove(&mut self.entries, at, OF_CONN);
        if of_conn.is_empty() {
            self.by_conn.remove(&conn);
        }
        self.entries.0.remove(at as usize).read
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.0.len()
    }
}

/// How far ahead of the slot that is looked through next a deadline may lie.
fn slots_ahead_max() -> i64 {
    i64::try_from(SLOTS).expect("a few thousand") - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    type Polls = LongPolls<u32, u8>;

    fn wait(
        polls: &mut Polls,
        queue_id: i32,
        offset: i64,
        filter: Filter,
        poll_ms: i64,
        read: u32,
    ) {
        let topic = Rc::from("T");
        let wait = Wait { topic: &topic, queue_id, offset, filter: &filter, poll_ms };
        let conn = u8::try_from(read % 3).unwrap();
        polls.wait(&wait, conn, 1_000, read).unwrap();
    }

    fn arrive(
        polls: &mut Polls,
        topic: &str,
        queue_id: i32,
        max_offset: i64,
        tags_code: Option<i64>,
        woken: &mut Vec<u32>,
    ) {
        let arrived = Arrived { topic, queue_id, max_offset, tags_code };
        polls.arrived(arrived, |read| panic!("{read} needs no look"), woken);
    }

    #[test]
    fn a_message_wakes_the_polls_of_its_queue_that_want_it() {
        let mut polls = Polls::new(LONG_POLLS_MAX);
        wait(&mut polls, 0, 5, Filter::All, 100, 1);
        wait(&mut polls, 0, 6, Filter::All, 100, 2);
        wait(&mut polls, 0, 5, Filter::from_codes(&[7]), 100, 3);
        wait(&mut polls, 1, 5, Filter::All, 100, 4);
        let mut woken = vec![];
        arrive(&mut polls, "T", 0, 6, Some(8), &mut woken);
        assert_eq!(woken, [1]);
        arrive(&mut polls, "T", 0, 7, Some(7), &mut woken);
        assert_eq!(woken, [1, 2, 3]);
        arrive(&mut polls, "U", 1, 9, None, &mut woken);
        assert_eq!(polls.len(), 1);
        arrive(&mut polls, "T", 1, 9, None, &mut woken);
        assert_eq!(polls.len(), 0);
    }

    #[test]
    fn a_poll_whose_tags_do_not_match_is_looked_at_again() {
        let mut polls = Polls::new(LONG_POLLS_MAX);
        wait(&mut polls, 0, 5, Filter::from_codes(&[7]), 100, 1);
        wait(&mut polls, 1, 5, Filter::from_codes(&[7]), 100, 2);
        let mut woken = vec![];
        arrive(&mut polls, "T", 0, 6, Some(8), &mut woken);
        assert!(woken.is_empty());
        polls.look_again(|_, queue_id| if queue_id == 0 { 6 } else { 5 }, &mut woken);
        assert_eq!((woken.as_slice(), polls.len()), ([1].as_slice(), 1));
    }

    #[derive(Debug)]
    struct Records;

    impl engine::RecordFilter for Records {
        fn takes(&self, _: &[u8]) -> bool {
            false
        }
    }

    #[test]
    fn a_poll_that_needs_records_goes_on_behind_those_that_were_looked_at() {
        let mut polls = Polls::new(LONG_POLLS_MAX);
        wait(&mut polls, 0, 5, Filter::Records(Rc::new(Records)), 100, 1);
        let (mut woken, mut looks) = (vec![], 0);
        let arrived =
            |max_offset| Arrived { topic: "T", queue_id: 0, max_offset, tags_code: Some(8) };
        for max_offset in [6, 6, 5, 7] {
            let look = |read: &mut u32| {
                assert_eq!(*read, 1);
                looks += 1;
                Look::WaitsFrom(max_offset)
            };
            polls.arrived(arrived(max_offset), look, &mut woken);
        }
        assert_eq!((looks, woken.as_slice()), (2, [].as_slice()), "no record twice");
        polls.look_again(|_, _| 7, &mut woken);
        assert_eq!(woken, [1], "the client is told how far it may go on");
        wait(&mut polls, 0, 7, Filter::Records(Rc::new(Records)), 100, 2);
        polls.arrived(arrived(8), |_| Look::Wakes, &mut woken);
        assert_eq!((woken.as_slice(), polls.len()), ([1, 2].as_slice(), 0));
    }

    #[test]
    fn a_poll_waits_the_whole_time_that_it_asked_for_and_no_longer_than_the_limit() {
        let mut polls = Polls::new(LONG_POLLS_MAX);
        wait(&mut polls, 0, 0, Filter::All, 50, 1);
        wait(&mut polls, 0, 0, Filter::All, 60, 2);
        wait(&mut polls, 0, 0, Filter::All, i64::MAX, 3);
        let mut due = vec![];
        polls.expire(1_050, &mut due);
        assert!(due.is_empty(), "it began at up to 1,000.999 ms");
        polls.expire(1_051, &mut due);
        assert_eq!(due, [1]);
        polls.expire(1_060, &mut due);
        assert_eq!(due, [1]);
        polls.expire(1_061, &mut due);
        assert_eq!(due, [1, 2]);
        polls.expire(1_000 + LONG_POLL_MS_MAX, &mut due);
        assert_eq!(due, [1, 2]);
        polls.expire(1_001 + LONG_POLL_MS_MAX, &mut due);
        assert_eq!((due.as_slice(), polls.len()), ([1, 2, 3].as_slice(), 0));
    }

    #[test]
    fn a_pause_of_the_core_makes_no_poll_wait_for_ever() {
        for pause_ms in [0, 500_000, 10_000_000] {
            let mut polls = Polls::new(LONG_POLLS_MAX);
            wait(&mut polls, 0, 0, Filter::All, 30_000, 1);
            let mut due = vec![];
            polls.expire(2_000, &mut due);
            let (topic, filter) = (Rc::from("T"), Filter::All);
            let late =
                Wait { topic: &topic, queue_id: 0, offset: 0, filter: &filter, poll_ms: 100 };
            polls.wait(&late, 1, 2_000 + pause_ms, 2).unwrap();
            polls.expire(2_001 + pause_ms + LONG_POLL_MS_MAX, &mut due);
            due.sort_unstable();
            assert_eq!((due.as_slice(), polls.len()), ([1, 2].as_slice(), 0), "{pause_ms}");
        }
    }

    #[test]
    fn the_polls_of_a_deleted_topic_and_of_a_dead_peer_come_out() {
        let mut polls = Polls::new(LONG_POLLS_MAX);
        for read in 0..6 {
            wait(&mut polls, 0, 0, Filter::All, 50, read);
        }
        let mut out = vec![];
        polls.closed(1, &mut out);
        assert_eq!((out.as_slice(), polls.len()), ([1, 4].as_slice(), 4));
        polls.closed(1, &mut out);
        polls.forget_topic("T", &mut out);
        assert_eq!((out.as_slice(), polls.len()), ([1, 4, 0, 2, 3, 5].as_slice(), 0));
        assert!(polls.by_conn.is_empty() && polls.queues.is_empty());
        assert!(polls.slots.iter().all(|slot| slot.is_empty()));
    }

    #[test]
    fn over_the_limit_a_read_comes_back() {
        let mut polls = Polls::new(LONG_POLLS_MAX);
        for read in 0..u32::try_from(LONG_POLLS_MAX).unwrap() {
            wait(&mut polls, 0, 0, Filter::All, 1, read);
        }
        let topic = Rc::from("T");
        let one = Wait { topic: &topic, queue_id: 0, offset: 0, filter: &Filter::All, poll_ms: 1 };
        assert_eq!(polls.wait(&one, 0, 0, 9), Err(9));
    }
}
