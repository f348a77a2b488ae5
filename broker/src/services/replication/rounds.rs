//! When a slave takes over its master's tables.
//!
//! | because | when |
//! |---|---|
//! | a link to the master is there, the first or another one | at once |
//! | the log has messages of a topic that is not in the tables | at most `AGAIN_MS` later |
//! | progress was not taken over: the log was too far behind | after `AGAIN_MS` |
//! | `slaveSyncInterval` | is over |
//!
//! A slave whose master dies is to have what it needs as a master: Apache's has no topics for the
//! first minute, and no new one until the next.
//!
//! Pure.

/// Between two rounds on one link at least.
const AGAIN_MS: i64 = 1_000;

/// See the module's text. `C` is a connection's name.
#[derive(Debug)]
pub(super) struct Rounds<C> {
    /// `slaveSyncInterval`.
    every_ms: i64,
    /// The link of the last round, and when that began.
    last: Option<(C, i64)>,
    /// How many topics the log had at the last look.
    topics: usize,
    /// One of them was not in the tables.
    lacks_topic: bool,
    /// The last round took over no progress.
    pub(super) lacks_progress: bool,
}

impl<C: Copy + Eq> Rounds<C> {
    /// Before the first one.
    pub(super) fn new(every_ms: i64) -> Self {
        Self { every_ms, last: None, topics: 0, lacks_topic: false, lacks_progress: false }
    }

    /// The log has so many topics. They are looked through where that is another number than
    /// before, because there may be many.
    pub(super) fn look(&mut self, topics: usize, has_unknown: impl FnOnce() -> bool) {
        if topics != self.topics {
            self.topics = topics;
            self.lacks_topic |= has_unknown();
        }
    }

    /// Whether a round begins now, on this link.
    pub(super) fn begin(&mut self, link: C, now_ms: i64) -> bool {
        let pause_ms = match self.lacks_topic || self.lacks_progress {
            true => AGAIN_MS.min(self.every_ms),
            false => self.every_ms,
        };
        let is_due =
            self.last.is_none_or(|(last, at_ms)| last != link || now_ms - at_ms >= pause_ms);
        if is_due {
            self.last = Some((link, now_ms));
            self.lacks_topic = false;
            self.lacks_progress = false;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_link_a_new_topic_and_the_interval_each_begin_a_round() {
        let mut rounds = Rounds::new(10_000);
        assert!(rounds.begin(1, 0), "the first link");
        assert!(!rounds.begin(1, 9_999));
        assert!(rounds.begin(1, 10_000), "the interval");
        assert!(rounds.begin(2, 10_001), "another link");
        rounds.look(3, || false);
        assert!(!rounds.begin(2, 12_000), "its topics are known");
        rounds.look(4, || true);
        assert!(rounds.begin(2, 12_000));
        rounds.look(4, || unreachable!("their number is the same"));
        assert!(!rounds.begin(2, 14_000), "a topic that stays unknown is asked for once");
    }

    #[test]
    fn rounds_on_one_link_keep_a_pause() {
        let mut rounds = Rounds::new(10_000);
        rounds.begin(1, 0);
        rounds.look(1, || true);
        assert!(!rounds.begin(1, AGAIN_MS - 1));
        assert!(rounds.begin(1, AGAIN_MS));
        rounds.lacks_progress = true;
        assert!(!rounds.begin(1, AGAIN_MS * 2 - 1));
        assert!(rounds.begin(1, AGAIN_MS * 2));
        assert!(!rounds.begin(1, AGAIN_MS * 3));
        let mut often = Rounds::new(100);
        often.begin(1, 0);
        often.lacks_progress = true;
        assert!(often.begin(1, 100), "a short interval stays what it is");
    }
}
