//! Checkpoints of one revive queue that are read and wait for their time, with what is
//! acknowledged of them (`PopReviveService.consumeReviveMessage`).
//!
//! ```text
//!   revive queue:   … │ ck a │ ck b │ ack a │ ck c │ bAck b │ end
//!                     ▲ frontier: the first checkpoint that is not done
//! ```
//!
//! A checkpoint is done when all of its messages are acknowledged, or revived after its time. The
//! frontier is what a start begins to read at. An acknowledgement without its checkpoint says
//! nothing: either that is done, or it comes from nowhere. Pure.

use protocol::bodies::{AckMessage, CheckPoint};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Messages that a checkpoint can have: its number is one byte with a sign.
const MESSAGES_MAX: usize = 127;
/// How much longer than its time a checkpoint waits for acknowledgements that come late
/// (`ackTimeInterval` and a second).
pub(super) const GRACE_MS: i64 = 2_000;

/// What tells a checkpoint from others, as Apache joins it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    topic: String,
    group: String,
    queue_id: i32,
    start_offset: i64,
    pop_time_ms: i64,
    broker: String,
}

/// A checkpoint that is not done.
#[derive(Debug)]
struct Open {
    point: CheckPoint,
    /// By message: acknowledged, or revived.
    done: u128,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Merge {
    /// By its queue offset.
    open: BTreeMap<i64, Open>,
    by_name: HashMap<Name, i64>,
    /// When the time of each is over, and its queue offset.
    due: BTreeSet<(i64, i64)>,
}

/// A checkpoint whose time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    /// Its queue offset.
    pub(super) at: i64,
    /// It.
    pub(super) point: CheckPoint,
    /// Its messages that are not done, by their places in it.
    pub(super) missing: Vec<usize>,
}

impl Merge {
    /// How many are not done.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Where a start begins to read, when everything before `next` is read.
    pub(super) fn frontier(&self, next: i64) -> i64 {
        self.open.keys().next().copied().unwrap_or(next)
    }

    /// Takes a checkpoint. One of the same name counts in its place, as the last one does in
    /// Apache's map.
    pub(super) fn check_point(&mut self, at: i64, point: CheckPoint) {
        if point.is_empty() || point.len() > MESSAGES_MAX {
            return;
        }
        let Some(name) = name_of_point(&point) else { return };
        if let Some(before) = self.by_name.insert(name, at) {
            self.take_out(before);
        }
        self.due.insert((point.revive_ms(), at));
        self.open.insert(at, Open { point, done: 0 });
    }

    /// Takes an acknowledgement; `own` is this broker's name, which old ones leave out.
    pub(super) fn ack(&mut self, ack: &AckMessage, own: &str) {
        let Some(at) = name_of_ack(ack, own).and_then(|name| self.by_name.get(&name)).copied()
        else {
            return;
        };
        let offsets = ack.offsets.as_deref().unwrap_or(std::slice::from_ref(&ack.offset));
        for offset in offsets {
            let place = self.open.get(&at).and_then(|open| open.point.place(*offset));
            if let Some(place) = place {
                self.done(at, place);
            }
        }
    }

    /// One message of a checkpoint is done.
    pub(super) fn done(&mut self, at: i64, place: usize) {
        let Some(open) = self.open.get_mut(&at) else { return };
        open.done |= 1 << place;
        if open.done.count_ones() as usize == open.point.len() {
            self.close(at);
        }
    }

    /// A checkpoint asks for nothing more.
    pub(super) fn close(&mut self, at: i64) {
        let Some(open) = self.take_out(at) else { return };
        if let Some(name) = name_of_point(&open.point) {
            self.by_name.remove(&name);
        }
    }

    fn take_out(&mut self, at: i64) -> Option<Open> {
        let open = self.open.remove(&at)?;
        self.due.remove(&(open.point.revive_ms(), at));
        Some(open)
    }

    /// The first checkpoint whose time is over, and has been for long enough, at a moment up to
    /// which nothing more comes.
    pub(super) fn next_due(&self, settled_ms: i64) -> Option<Due> {
        let (revive_ms, at) = *self.due.first()?;
        if settled_ms.saturating_sub(revive_ms) <= GRACE_MS {
            return None;
        }
        let open = self.open.get(&at)?;
        let is_missing = |place: &usize| open.done >> *place & 1 == 0;
        let missing = (0..open.point.len()).filter(is_missing).collect();
        Some(Due { at, point: open.point.clone(), missing })
    }

    /// When the first is due, in milliseconds since 1970.
    pub(super) fn first_due_ms(&self) -> Option<i64> {
        self.due.first().map(|(revive_ms, _)| revive_ms.saturating_add(GRACE_MS))
    }
}

fn name_of_point(point: &CheckPoint) -> Option<Name> {
    Some(Name {
        topic: point.topic.clone()?,
        group: point.group.clone()?,
        queue_id: point.queue_id,
        start_offset: point.start_offset,
        pop_time_ms: point.pop_time_ms,
        broker: point.broker.clone().unwrap_or_default(),
    })
}

fn name_of_ack(ack: &AckMessage, own: &str) -> Option<Name> {
    let broker = ack.broker.as_deref().filter(|name| !name.trim().is_empty());
    Some(Name {
        topic: ack.topic.clone()?,
        group: ack.group.clone()?,
        queue_id: ack.queue_id,
        start_offset: ack.start_offset,
        pop_time_ms: ack.pop_time_ms,
        broker: broker.unwrap_or(own).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(start_offset: i64, pop_time_ms: i64, diffs: &[i32]) -> CheckPoint {
        CheckPoint {
            broker: Some("b".into()),
            group: Some("g".into()),
            topic: Some("T".into()),
            start_offset,
            pop_time_ms,
            invisible_ms: 1_000,
            messages: i8::try_from(diffs.len()).unwrap(),
            diffs: diffs.to_vec(),
            ..CheckPoint::default()
        }
    }

    fn ack(of: &CheckPoint, offsets: &[i64]) -> AckMessage {
        AckMessage {
            offset: if offsets.len() == 1 { offsets[0] } else { -1 },
            offsets: (offsets.len() != 1).then(|| offsets.to_vec()),
            broker: of.broker.clone(),
            group: of.group.clone(),
            pop_time_ms: of.pop_time_ms,
            queue_id: of.queue_id,
            start_offset: of.start_offset,
            topic: of.topic.clone(),
        }
    }

    #[test]
    fn what_is_not_acknowledged_is_due_after_its_time_and_the_grace() {
        let mut merge = Merge::default();
        let (one, two) = (point(10, 5_000, &[0, 1, 4]), point(20, 5_000, &[0]));
        merge.check_point(100, one.clone());
        merge.check_point(101, two.clone());
        assert_eq!((merge.len(), merge.frontier(102), merge.first_due_ms()), (2, 100, Some(8_000)));
        merge.ack(&ack(&one, &[11]), "b");
        merge.ack(&ack(&one, &[12, 14]), "b");
        merge.ack(&AckMessage { broker: Some(" ".into()), ..ack(&two, &[20]) }, "b");
        assert_eq!((merge.len(), merge.next_due(8_000)), (1, None));
        let due = merge.next_due(8_001).unwrap();
        assert_eq!((due.at, due.missing), (100, vec![0]));
        merge.done(100, 0);
        assert_eq!((merge.len(), merge.frontier(102), merge.first_due_ms()), (0, 102, None));
        assert!(merge.by_name.is_empty() && merge.due.is_empty());
    }

    #[test]
    fn acknowledgements_of_others_say_nothing() {
        let mut merge = Merge::default();
        let one = point(10, 5_000, &[0, 1]);
        merge.check_point(7, one.clone());
        let right = ack(&one, &[10]);
        for wrong in [
            AckMessage { broker: Some("c".into()), ..right.clone() },
            AckMessage { broker: None, ..right.clone() },
            AckMessage { group: Some("h".into()), ..right.clone() },
            AckMessage { topic: None, ..right.clone() },
            AckMessage { pop_time_ms: 5_001, ..right.clone() },
            AckMessage { start_offset: 11, ..right.clone() },
            AckMessage { queue_id: 1, ..right.clone() },
            AckMessage { offset: 9, ..right.clone() },
            AckMessage { offset: i64::MIN, ..right.clone() },
        ] {
            merge.ack(&wrong, "own");
            assert_eq!(merge.next_due(i64::MAX).unwrap().missing, [0, 1], "{wrong:?}");
        }
        merge.ack(&right, "own");
        merge.ack(&right, "own");
        assert_eq!(merge.next_due(i64::MAX).unwrap().missing, [1]);
    }

    #[test]
    fn a_checkpoint_that_is_there_twice_counts_once_and_a_bad_one_not_at_all() {
        let mut merge = Merge::default();
        let one = point(10, 5_000, &[0]);
        merge.check_point(7, one.clone());
        merge.check_point(9, one.clone());
        assert_eq!((merge.len(), merge.frontier(20)), (1, 9));
        merge.close(9);
        assert_eq!((merge.len(), merge.due.len(), merge.by_name.len()), (0, 0, 0));
        for bad in [
            CheckPoint { topic: None, ..one.clone() },
            CheckPoint { group: None, ..one.clone() },
            CheckPoint { messages: 0, ..one.clone() },
            CheckPoint { messages: -5, ..one },
        ] {
            merge.check_point(11, bad);
            assert_eq!(merge.len(), 0);
        }
    }
}
