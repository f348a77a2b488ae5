//! When a delayed message may be delivered, whatever the wall clock does.
//!
//! A message is due at its store time plus its level's delay. When the clock was set back since it
//! was stored, that lies further away than the delay. Apache delivers such a message at once, which
//! can be early; here it waits for its delay once more, from when this was seen, together with all
//! that were in its queue by then. It is never early, and late by one delay at most.

/// A message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its place in its level's queue.
    pub(super) offset: i64,
    /// When it is due, in milliseconds since 1970.
    pub(super) due_ms: i64,
}

/// This moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Milliseconds since 1970.
    pub(super) wall_ms: i64,
    /// Milliseconds of the monotonic clock.
    pub(super) monotonic_ms: i64,
    /// The end of the level's queue.
    pub(super) queue_end: i64,
}

/// The messages below `upto` were stored before the clock was set back.
#[derive(Clone, Copy, Debug)]
struct SetBack {
    upto: i64,
    /// They are due then, by the monotonic clock.
    until_ms: i64,
}

/// Says when the messages of one level are due.
#[derive(Debug)]
pub(super) struct Due {
    delay_ms: i64,
    set_back: Option<SetBack>,
}

impl Due {
    /// Of a level with this delay.
    pub(super) fn new(delay_ms: i64) -> Self {
        Self { delay_ms, set_back: None }
    }

    /// For how many milliseconds a message has to wait from now on; 0 when it is due.
    pub(super) fn wait_ms(&mut self, head: Head, now: Now) -> i64 {
        let wait_ms = head.due_ms.saturating_sub(now.wall_ms);
        if wait_ms <= self.delay_ms {
            return wait_ms.max(0);
        }
        let known = self.set_back.filter(|set_back| head.offset < set_back.upto);
        let set_back = known.unwrap_or_else(|| {
            let until_ms = now.monotonic_ms.saturating_add(self.delay_ms);
            SetBack { upto: now.queue_end, until_ms }
        });
        self.set_back = Some(set_back);
        set_back.until_ms.saturating_sub(now.monotonic_ms).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(wall_ms: i64, monotonic_ms: i64) -> Now {
        Now { wall_ms, monotonic_ms, queue_end: 10 }
    }

    #[test]
    fn a_message_waits_until_it_is_due() {
        let mut due = Due::new(1_000);
        let head = Head { offset: 0, due_ms: 5_000 };
        let waits = [4_000, 4_999, 5_000, 9_000].map(|wall| due.wait_ms(head, now(wall, 0)));
        assert_eq!(waits, [1_000, 1, 0, 0]);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_message_early_and_none_wait_twice() {
        let mut due = Due::new(1_000);
        let head = |offset| Head { offset, due_ms: 100_000 + offset };
        assert_eq!(due.wait_ms(head(0), now(5_000, 70)), 1_000);
        assert_eq!(due.wait_ms(head(0), now(5_400, 470)), 600);
        assert_eq!(due.wait_ms(head(0), now(6_000, 1_070)), 0);
        assert_eq!(due.wait_ms(head(9), now(6_000, 1_070)), 0, "it has waited as long");
        let later = Head { offset: 10, due_ms: 200_000 };
        assert_eq!(due.wait_ms(later, now(6_000, 1_070)), 1_000, "the clock was set back again");
        let after = Head { offset: 11, due_ms: 6_500 };
        assert_eq!(due.wait_ms(after, now(6_000, 1_070)), 500);
    }
}
