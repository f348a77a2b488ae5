//! What the native lane keeps between requests: reused memory, and produce frames whose
//! acknowledgement waits for a mark.
//!
//! ```text
//!   frames:  | A: 2 records | B: 1 | C: 3 |         in the order of the log
//!   placed:  | a a          | b    | c c c |        their records' offsets, in the same order
//! ```
//!
//! Two queues, so that a frame of many records is kept without a list of its own. Bounded by
//! records.

use crate::answers::native::NativeCaller;
use crate::limits::PENDING_ANSWERS_MAX;
use engine::PhyOffset;
use protocol::native::Placed;
use protocol::native::records::RecordPlan;
use std::collections::VecDeque;

/// A stored frame that nobody has been told about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingFrame {
    /// Who gets the answer.
    pub(crate) caller: NativeCaller,
    /// Where its last record ends: the mark has to pass it.
    pub(crate) end: PhyOffset,
    /// How many records it has.
    pub(crate) records: u32,
    /// Their STORETIMESTAMP: when they were stored, by the wall clock.
    pub(crate) store_timestamp_ms: i64,
    /// When it was received and in memory, if it asked for its stages.
    pub(crate) clock: Option<FrameClock>,
}

/// Two moments of the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameClock {
    pub(crate) received_nanos: u64,
    pub(crate) appended_nanos: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct NativeState {
    /// Reused: the checked records of a frame.
    pub(super) plans: Vec<RecordPlan>,
    /// Reused: where the records of a frame went.
    pub(super) placed: Vec<Placed>,
    frames: VecDeque<PendingFrame>,
    frames_placed: VecDeque<Placed>,
}

impl NativeState {
    /// Whether no more frames may be stored until some are answered.
    pub(crate) fn is_full(&self) -> bool {
        self.frames_placed.len() >= PENDING_ANSWERS_MAX
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Adds the frame that was stored last.
    pub(super) fn push(&mut self, frame: PendingFrame, placed: &[Placed]) {
        debug_assert!(
            self.frames.back().is_none_or(|last| last.end < frame.end),
            "pending frames are in the order of the log"
        );
        self.frames.push_back(frame);
        self.frames_placed.extend(placed);
    }

    /// The oldest, if `which` holds for it; its records' places go into `placed`.
    pub(super) fn pop_if(
        &mut self,
        which: impl Fn(&PendingFrame) -> bool,
        placed: &mut Vec<Placed>,
    ) -> Option<PendingFrame> {
        let frame = self.frames.pop_front_if(|frame| which(frame))?;
        placed.clear();
        let records = usize::try_from(frame.records).unwrap_or(0).min(self.frames_placed.len());
        placed.extend(self.frames_placed.drain(..records));
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(state: &mut NativeState, end: u64, placed: &[i64]) {
        let caller = NativeCaller { conn: netcore::ConnId::default(), correlation: 0 };
        let records = u32::try_from(placed.len()).unwrap();
        let placed: Vec<Placed> = placed
            .iter()
            .map(|offset| Placed { queue_offset: *offset, physical_offset: 0 })
            .collect();
        state.push(
            PendingFrame {
                caller,
                end: PhyOffset(end),
                records,
                store_timestamp_ms: 0,
                clock: None,
            },
            &placed,
        );
    }

    #[test]
    fn each_frame_gets_the_places_of_its_own_records() {
        let mut state = NativeState::default();
        push(&mut state, 100, &[1, 2]);
        push(&mut state, 200, &[3]);
        let mut placed = vec![];
        assert!(state.pop_if(|frame| frame.end <= PhyOffset(99), &mut placed).is_none());
        assert_eq!(state.pop_if(|_| true, &mut placed).unwrap().end, PhyOffset(100));
        assert_eq!(placed.iter().map(|one| one.queue_offset).collect::<Vec<_>>(), [1, 2]);
        state.pop_if(|_| true, &mut placed).unwrap();
        assert_eq!(placed.iter().map(|one| one.queue_offset).collect::<Vec<_>>(), [3]);
        assert!(state.is_empty());
    }
}
