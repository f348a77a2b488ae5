//! Queues that ordered pops block, by when they are free again. Pure.

use crate::limits::POP_ORDERS_MAX;
use std::collections::BTreeSet;

/// See the module's text. A queue may be here more than once: who is told looks whether it is free.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    by_time: BTreeSet<(i64, String, String, i32)>,
}

impl Blocked {
    /// A queue is free at this time. Beyond the bound its pops wait until their own time is up.
    pub(super) fn wake_at(&mut self, at_ms: i64, (topic, group, queue_id): (&str, &str, i32)) {
        if self.by_time.len() < POP_ORDERS_MAX {
            self.by_time.insert((at_ms, topic.to_owned(), group.to_owned(), queue_id));
        }
    }

    /// The next queue whose time is over.
    pub(super) fn next(&mut self, now_ms: i64) -> Option<(String, String, i32)> {
        if self.by_time.first()?.0 > now_ms {
            return None;
        }
        let (_, topic, group, queue_id) = self.by_time.pop_first()?;
        Some((topic, group, queue_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_told_when_their_time_is_over() {
        let mut blocked = Blocked::default();
        blocked.wake_at(20, ("T", "g", 1));
        blocked.wake_at(10, ("T", "g", 2));
        blocked.wake_at(10, ("T", "g", 2));
        let told = |blocked: &mut Blocked, now_ms| blocked.next(now_ms).map(|(_, _, queue)| queue);
        assert_eq!(told(&mut blocked, 9), None);
        assert_eq!([told(&mut blocked, 10), told(&mut blocked, 10)], [Some(2), None]);
        assert_eq!([told(&mut blocked, 50), told(&mut blocked, 50)], [Some(1), None]);
    }
}
