//! What the oracle knows of each message: who had it, under which checkpoint, and what became of
//! both.

use super::tally::Tally;
use engine::PhyOffset;
use std::collections::BTreeMap;

/// What tells a checkpoint from others: its first offset, and when it was popped.
pub(super) type Name = (i64, i64);

/// A message as a pop found it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) text: String,
    pub(super) offset: i64,
    /// Where its record ends in the log.
    pub(super) end: PhyOffset,
}

/// Where an acknowledgement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acked {
    /// With its checkpoint, in memory.
    InMemory,
    /// In the log, up to here.
    InLog(PhyOffset),
}

/// Where a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// In memory, or not written yet.
    NotWritten,
    /// In the log, up to here.
    InLog(PhyOffset),
    /// Never written: all of its messages were acknowledged, and the saved place is behind them.
    MergedAway,
    /// An end of a life took it; its messages come again by a pop. Perhaps it was written.
    Void { maybe_there: bool },
}

/// One delivery of a message.
#[derive(Clone, Debug)]
struct Delivery {
    name: Name,
    point: Point,
    /// Somebody tried to acknowledge it.
    is_tried: bool,
    /// Once it is acknowledged: in time, or in memory.
    acked: Option<Acked>,
    /// A kill or a power cut left the saved place before it: it may be popped again.
    comes_again: bool,
}

#[derive(Debug, Default)]
struct Message {
    offset: i64,
    end: PhyOffset,
    /// It came to no retry topic before this, in milliseconds since 1970.
    first_ms: i64,
    /// An end of a life may have taken it, and what is known of it with it.
    maybe_lost: bool,
    deliveries: Vec<Delivery>,
}

/// How a life ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) is_clean: bool,
    /// What of the log it can't take.
    pub(super) survives: PhyOffset,
    /// Where the group goes on as its table on disk says.
    pub(super) saved: i64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// By text.
    messages: BTreeMap<String, Message>,
    /// The messages of each checkpoint.
    points: BTreeMap<Name, Vec<String>>,
    last_revive_ms: i64,
}

impl Oracle {
    /// A pop took these, and is about to write their checkpoint or to keep it.
    pub(super) fn popped(&mut self, found: &[Found], name: Name, revive_ms: i64) {
        for Found { text, offset, end } in found {
            let message = self.messages.entry(text.clone()).or_insert_with(|| {
                let (offset, end, first_ms) = (*offset, *end, i64::MAX);
                Message { offset, end, first_ms, ..Message::default() }
            });
            assert_eq!((message.offset, message.end), (*offset, *end), "message {text} moved");
            message.first_ms = message.first_ms.min(revive_ms);
            let point = Point::NotWritten;
            let delivery =
                Delivery { name, point, is_tried: false, acked: None, comes_again: false };
            message.deliveries.push(delivery);
        }
        self.last_revive_ms = self.last_revive_ms.max(revive_ms);
        let texts = found.iter().map(|one| one.text.clone()).collect();
        let before = self.points.insert(name, texts);
        assert_eq!(before, None, "two checkpoints of one name");
    }

    /// A checkpoint is in the log, and ends here: true when it was not before.
    pub(super) fn written(&mut self, name: Name, end: PhyOffset) -> bool {
        let mut is_new = false;
        let texts = self.points.get(&name).expect("it was popped").clone();
        self.each(&texts, name, |delivery| {
            if delivery.point == Point::NotWritten {
                is_new = true;
                delivery.point = Point::InLog(end);
                // What was acknowledged in memory is in the log with it.
                delivery.acked = delivery.acked.map(|_| Acked::InLog(end));
            }
        });
        is_new
    }

    /// Somebody tries to acknowledge these.
    pub(super) fn tried(&mut self, texts: &[String], name: Name) {
        self.each(texts, name, |delivery| delivery.is_tried = true);
    }

    /// These are acknowledged: in time, or in memory.
    pub(super) fn acked(&mut self, texts: &[String], name: Name, acked: Acked) {
        self.each(texts, name, |delivery| delivery.acked = Some(acked));
    }

    fn each(&mut self, texts: &[String], name: Name, mut change: impl FnMut(&mut Delivery)) {
        for text in texts {
            let deliveries = &mut self.messages.get_mut(text).unwrap().deliveries;
            if let Some(delivery) = deliveries.iter_mut().rfind(|one| one.name == name) {
                change(delivery);
            }
        }
    }

    /// A life is over.
    pub(super) fn life_over(&mut self, end: End, tally: &mut Tally) {
        for (text, message) in &mut self.messages {
            if message.end > end.survives {
                message.deliveries.clear();
                message.maybe_lost = true;
            }
            let comes = message.offset >= end.saved;
            for delivery in &mut message.deliveries {
                let before = delivery.clone();
                let is_acked = before.acked.is_some();
                delivery.life_over(end, comes, tally);
                let is_done = delivery.point == Point::MergedAway;
                assert!(
                    !is_done || is_acked,
                    "the saved place is behind message {text}, whose checkpoint is nowhere: \
                     {before:?}, {end:?}"
                );
                delivery.comes_again |= comes && !end.is_clean;
                assert!(
                    !(comes && is_acked) || delivery.comes_again,
                    "message {text} comes again after a clean stop: {before:?}, {end:?}"
                );
            }
        }
    }

    /// When the time of the last checkpoint is over, in milliseconds since 1970.
    pub(super) fn last_revive_ms(&self) -> i64 {
        self.last_revive_ms
    }

    /// Compares with when each message came to the retry topic. Everything was popped, everything
    /// that is due is revived.
    pub(super) fn compare(&self, came: &BTreeMap<String, Vec<i64>>, tally: &mut Tally) {
        for (text, message) in &self.messages {
            let times = came.get(text).map(Vec::as_slice).unwrap_or_default();
            message.compare(text, times);
            let acked = message.deliveries.iter().filter(|one| one.acked.is_some());
            tally.popped += message.deliveries.len();
            tally.acknowledged += acked.count();
            tally.revived += usize::from(!times.is_empty());
            tally.again += times.len().saturating_sub(1);
            tally.done += usize::from(message.is_done());
        }
    }
}

impl Delivery {
    /// `comes`: the group goes on before the message or at it.
    fn life_over(&mut self, end: End, comes: bool, tally: &mut Tally) {
        match self.point {
            Point::Void { .. } | Point::MergedAway => return,
            Point::InLog(at) if at <= end.survives => {}
            Point::NotWritten if !comes => self.point = Point::MergedAway,
            Point::NotWritten | Point::InLog(_) => {
                assert!(comes, "the saved place is behind a checkpoint that is lost: {self:?}");
                self.point = Point::Void { maybe_there: self.point != Point::NotWritten };
                tally.void += 1;
                self.acked = None;
            }
        }
        if matches!(self.acked, Some(Acked::InLog(at)) if at > end.survives) {
            self.acked = None;
            tally.maybe_lost += 1;
        }
    }

    fn is_void(&self) -> bool {
        matches!(self.point, Point::Void { .. })
    }
}

impl Message {
    /// No delivery of it is revived.
    fn is_done(&self) -> bool {
        let is_done = |delivery: &Delivery| match delivery.point {
            Point::Void { maybe_there } => !maybe_there,
            Point::NotWritten | Point::InLog(_) | Point::MergedAway => delivery.acked.is_some(),
        };
        let is_last_acked = self.deliveries.last().is_some_and(|last| last.acked.is_some());
        !self.maybe_lost && is_last_acked && self.deliveries.iter().all(is_done)
    }

    fn compare(&self, text: &str, came_ms: &[i64]) {
        let early = came_ms.iter().find(|at| **at < self.first_ms);
        assert_eq!(early, None, "message {text} came early: {self:?}");
        let is_out = self.deliveries.iter().any(|one| !one.is_void() && !one.is_tried);
        assert!(!is_out || !came_ms.is_empty(), "message {text} never came: {self:?}");
        let last = self.deliveries.last();
        let is_forgotten = last.is_some_and(Delivery::is_void);
        assert!(!is_forgotten, "message {text} was never popped again: {self:?}");
        if self.is_done() {
            assert!(came_ms.is_empty(), "message {text} came at {came_ms:?}: {self:?}");
        }
    }
}
