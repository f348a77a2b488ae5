//! Pops that found nothing and wait for a message, by topic and group.
//!
//! ```text
//!   message of topic T, queue 3           ──► of each group that waits for T: one pop of all queues,
//!   message of %RETRY%g_T or %RETRY%g+T   ──► of group g alone                  and one of queue 3
//! ```
//!
//! One message wakes one pop of a group, the one that waits longest: however many wait, an append
//! costs the same. What it wakes runs at the end of the turn and waits again, until its time is up,
//! if it finds nothing. The entries, their deadlines and connections are those of
//! [`super::long_polls`], under a name for each pair of topic and group. Pure.

use super::filter::Filter;
use super::long_polls::{LongPolls, Wait};
use protocol::pop::Retry;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

/// All queues of a topic.
const ALL_QUEUES: i32 = -1;
/// So many pops of one group are asked whether they want a message.
const LOOKS_MAX: usize = 16;

/// What waits as a pop does.
pub(crate) trait Waits {
    /// Which messages it wants.
    fn filter(&self) -> &Filter;
}

impl Waits for super::pop_ask::PopAsk {
    fn filter(&self) -> &Filter {
        &self.filter
    }
}

/// A group that waits for a topic.
#[derive(Clone, Debug)]
struct Waiting {
    group: Rc<str>,
    /// Its name in the table of polls: `topic@group`.
    name: Rc<str>,
}

/// For what, by whom and until when something waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a, C> {
    /// The topic that was sent to.
    pub(crate) topic: &'a Rc<str>,
    /// The group.
    pub(crate) group: &'a Rc<str>,
    /// The queue; below 0: all.
    pub(crate) queue_id: i32,
    /// Whose connection.
    pub(crate) conn: C,
    /// For how long, in milliseconds.
    pub(crate) poll_ms: i64,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct PopPolls<P, C> {
    polls: LongPolls<P, C>,
    /// Who waits for a topic; its retry topics lead to one group each. Groups stay until
    /// [`PopPolls::sweep`].
    of_topic: HashMap<Rc<str>, Vec<Waiting>>,
}

impl<P: Waits, C: Copy + Eq + Hash> PopPolls<P, C> {
    /// None; at most `max` may wait.
    pub(crate) fn new(max: usize) -> Self {
        Self { polls: LongPolls::new(max), of_topic: HashMap::new() }
    }

    /// Lets something wait; gives it back when too many do, of this group on this queue
    /// (`max_of_one`) or of all.
    pub(crate) fn wait(
        &mut self,
        at: Place<'_, C>,
        max_of_one: usize,
        now_ms: i64,
        ask: P,
    ) -> Result<(), P> {
        let name = self.name(at.topic, at.group);
        let queue_id = at.queue_id.max(ALL_QUEUES);
        if self.polls.of_queue(&name, queue_id) >= max_of_one {
            return Err(ask);
        }
        let wait = Wait {
            topic: &name,
            queue_id,
            offset: i64::MIN,
            filter: &Filter::All,
            poll_ms: at.poll_ms,
        };
        self.polls.wait(&wait, at.conn, now_ms, ask)
    }

    fn name(&mut self, topic: &Rc<str>, group: &Rc<str>) -> Rc<str> {
        let known = self.of_topic.get(topic).into_iter().flatten();
        if let Some(known) = known.into_iter().find(|waiting| waiting.group == *group) {
            return known.name.clone();
        }
        let name: Rc<str> = Rc::from(format!("{topic}@{group}"));
        let waiting = Waiting { group: group.clone(), name: name.clone() };
        for retry in [Retry::No, Retry::V1, Retry::V2] {
            let topic = Rc::from(retry.topic(topic, group));
            self.of_topic.entry(topic).or_default().push(waiting.clone());
        }
        name
    }

    /// A message became visible, or several of unknown tags (`None`): moves what it wakes into
    /// `woken`.
    pub(crate) fn arrived(
        &mut self,
        topic: &str,
        queue_id: i32,
        tags_code: Option<i64>,
        woken: &mut Vec<P>,
    ) {
        if self.len() == 0 {
            return;
        }
        let Some(waiting) = self.of_topic.get(topic) else { return };
        for Waiting { name, .. } in waiting {
            for queue_id in [ALL_QUEUES, queue_id] {
                let wants = |ask: &P| tags_code.is_none_or(|code| ask.filter().wants(code));
                self.polls.take_first((name, queue_id), LOOKS_MAX, wants, woken);
            }
        }
    }

    /// There may be more for a group than one of its pops took: moves the next into `woken`.
    pub(crate) fn wake_next(
        &mut self,
        (topic, group): (&str, &str),
        queue_id: i32,
        woken: &mut Vec<P>,
    ) {
        if self.len() == 0 {
            return;
        }
        let waiting = self.of_topic.get(topic).into_iter().flatten();
        let Some(waiting) = waiting.into_iter().find(|waiting| *waiting.group == *group) else {
            return;
        };
        let at = (&*waiting.name, queue_id.max(ALL_QUEUES));
        self.polls.take_first(at, 1, |_| true, woken);
    }

    /// How many of a group wait for a queue, or for all where it is below 0.
    pub(crate) fn count(&self, topic: &str, group: &str, queue_id: i32) -> usize {
        let waiting = self.of_topic.get(topic).into_iter().flatten();
        let waiting = waiting.into_iter().find(|waiting| *waiting.group == *group);
        waiting.map_or(0, |waiting| self.polls.of_queue(&waiting.name, queue_id.max(ALL_QUEUES)))
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.polls.len()
    }

    /// Moves out what has waited long enough.
    pub(crate) fn expire(&mut self, now_ms: i64, due: &mut Vec<P>) {
        self.polls.expire(now_ms, due);
    }

    /// Moves out what a connection that is gone asked.
    pub(crate) fn closed(&mut self, conn: C, out: &mut Vec<P>) {
        self.polls.closed(conn, out);
    }

    /// Moves out what waits for a topic that is gone.
    pub(crate) fn forget_topic(&mut self, topic: &str, out: &mut Vec<P>) {
        for Waiting { name, .. } in self.of_topic.remove(topic).unwrap_or_default() {
            self.polls.forget_topic(&name, out);
        }
        self.sweep();
    }

    /// Forgets the groups of which nothing waits.
    pub(crate) fn sweep(&mut self) {
        let Self { polls, of_topic } = self;
        let mut gone = vec![];
        of_topic.retain(|_, waiting| {
            waiting.retain(|Waiting { name, .. }| {
                let is_there = polls.of_topic(name) > 0;
                if !is_there {
                    gone.push(name.clone());
                }
                is_there
            });
            !waiting.is_empty()
        });
        for name in gone {
            polls.forget_topic(&name, &mut vec![]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::tags::tags_code;

    #[derive(Debug)]
    struct Ask(u32, Filter);

    impl Waits for Ask {
        fn filter(&self) -> &Filter {
            &self.1
        }
    }

    type Polls = PopPolls<Ask, u8>;

    fn wait(polls: &mut Polls, group: &str, queue_id: i32, nth: u32, filter: Filter) -> bool {
        let (topic, group) = (Rc::from("T"), Rc::from(group));
        let at = Place { topic: &topic, group: &group, queue_id, conn: 1, poll_ms: 1_000 };
        polls.wait(at, 3, 5_000, Ask(nth, filter)).is_ok()
    }

    fn woken(polls: &mut Polls, topic: &str, queue_id: i32, tags_code: Option<i64>) -> Vec<u32> {
        let mut woken = vec![];
        polls.arrived(topic, queue_id, tags_code, &mut woken);
        woken.iter().map(|ask| ask.0).collect()
    }

    #[test]
    fn a_message_wakes_one_pop_of_each_group_and_one_of_its_queue() {
        let mut polls = Polls::new(100);
        for (nth, queue_id) in [(1, -1), (2, -1), (3, 3), (4, 4)] {
            assert!(wait(&mut polls, "g", queue_id, nth, Filter::All));
        }
        assert!(wait(&mut polls, "h", -1, 5, Filter::All));
        assert_eq!(woken(&mut polls, "U", 3, None), [0; 0]);
        assert_eq!(woken(&mut polls, "T", 3, None), [1, 3, 5]);
        assert_eq!(woken(&mut polls, "T", 3, None), [2]);
        assert_eq!(polls.len(), 1);
    }

    #[test]
    fn a_message_of_a_retry_topic_wakes_its_group_alone() {
        let mut polls = Polls::new(100);
        for (nth, group) in [(1, "g"), (2, "h"), (3, "h")] {
            assert!(wait(&mut polls, group, -1, nth, Filter::All));
        }
        assert_eq!(woken(&mut polls, "%RETRY%h_T", 0, None), [2]);
        assert_eq!(woken(&mut polls, "%RETRY%h+T", 0, None), [3]);
        assert_eq!(woken(&mut polls, "%RETRY%h", 0, None), [0; 0]);
        assert_eq!(woken(&mut polls, "%RETRY%g_T", 0, None), [1]);
    }

    #[test]
    fn a_message_wakes_the_first_that_wants_its_tag() {
        let mut polls = Polls::new(100);
        for (nth, tag) in [(1, "a"), (2, "b")] {
            assert!(wait(&mut polls, "g", -1, nth, Filter::parse(Some(tag)).unwrap()));
        }
        assert_eq!(woken(&mut polls, "T", 0, Some(tags_code("c"))), [0; 0]);
        assert_eq!(woken(&mut polls, "T", 0, Some(tags_code("b"))), [2]);
        assert_eq!(woken(&mut polls, "T", 0, None), [1]);
    }

    #[test]
    fn too_many_of_one_group_do_not_wait_and_what_is_left_is_swept() {
        let mut polls = Polls::new(100);
        for nth in 0..3 {
            assert!(wait(&mut polls, "g", -1, nth, Filter::All));
        }
        assert!(!wait(&mut polls, "g", -1, 3, Filter::All));
        assert!(wait(&mut polls, "g", 0, 4, Filter::All));
        assert_eq!((polls.count("T", "g", -7), polls.count("T", "g", 0)), (3, 1));
        polls.sweep();
        assert_eq!(polls.len(), 4);
        let mut next = vec![];
        polls.wake_next(("T", "g"), -1, &mut next);
        assert_eq!((next[0].0, polls.len()), (0, 3));
        let mut due = vec![];
        polls.expire(7_000, &mut due);
        assert_eq!((due.len(), polls.len()), (3, 0));
        polls.sweep();
        assert!(polls.of_topic.is_empty());
        assert_eq!(woken(&mut polls, "T", 0, None), [0; 0]);
    }

    #[test]
    fn what_waits_for_a_topic_that_is_gone_is_told() {
        let mut polls = Polls::new(100);
        assert!(wait(&mut polls, "g", -1, 1, Filter::All));
        assert!(wait(&mut polls, "h", 2, 2, Filter::All));
        let mut gone = vec![];
        polls.forget_topic("T", &mut gone);
        assert_eq!((gone.len(), polls.len(), polls.of_topic.len()), (2, 0, 0));
    }
}
