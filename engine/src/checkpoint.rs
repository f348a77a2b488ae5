//! RocketMQ's `checkpoint` file: up to which time the files are known to be on disk.
//!
//! ```text
//!  0                    8                   16                 24              32             40
//!  | physicMsgTimestamp | logicsMsgTimestamp | indexMsgTimestamp | masterFlushed | confirmPhy  | logicsPhysicalOffset | zeros to 4096
//!  |        i64         |        i64         |        i64        |      i64      |     i64     |         i64          |
//! ```
//!
//! RingMQ writes it for Apache RocketMQ, which may open this store later; its own recovery starts
//! from [`crate::manifest`], which says more. A field that RingMQ has no use for keeps what it was
//! (`masterFlushed`, `confirm`).

/// Length of the file: one page.
pub(crate) const CHECKPOINT_BYTES: usize = 4096;

/// How far a clock may have been set back since a checkpoint: a day.
const CLOCK_SET_BACK_MS: i64 = 24 * 3_600_000;

/// The fields of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) physic_timestamp_ms: i64,
    pub(crate) logics_timestamp_ms: i64,
    pub(crate) index_timestamp_ms: i64,
    pub(crate) master_flushed_offset: i64,
    pub(crate) confirm_offset: i64,
    pub(crate) logics_physical_offset: i64,
}

impl Checkpoint {
    /// What the file says; all zero when it is missing or short, as RocketMQ takes it.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let field = |at: usize| {
            bytes
                .get(at..at + 8)
                .and_then(|field| field.try_into().ok())
                .map_or(0, i64::from_be_bytes)
        };
        Self {
            physic_timestamp_ms: field(0),
            logics_timestamp_ms: field(8),
            index_timestamp_ms: field(16),
            master_flushed_offset: field(24),
            confirm_offset: field(32),
            logics_physical_offset: field(40),
        }
    }

    /// Whether its times can be: a store time lies in the past, give or take a clock that was set
    /// back.
    pub(crate) fn is_plausible(&self, now_ms: i64) -> bool {
        let times = [self.physic_timestamp_ms, self.logics_timestamp_ms, self.index_timestamp_ms];
        times.into_iter().all(|time| (0..=now_ms.saturating_add(CLOCK_SET_BACK_MS)).contains(&time))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let fields = [
            self.physic_timestamp_ms,
            self.logics_timestamp_ms,
            self.index_timestamp_ms,
            self.master_flushed_offset,
            self.confirm_offset,
            self.logics_physical_offset,
        ];
        let mut bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_be_bytes()).collect();
        bytes.resize(CHECKPOINT_BYTES, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_far_in_the_future_is_no_store_time() {
        let at = |physic_timestamp_ms| Checkpoint { physic_timestamp_ms, ..Checkpoint::default() };
        assert!(
            at(0).is_plausible(5) && at(5).is_plausible(5) && at(CLOCK_SET_BACK_MS).is_plausible(0)
        );
        assert!(
            !at(CLOCK_SET_BACK_MS + 6).is_plausible(5)
                && !at(-1).is_plausible(5)
                && !at(i64::MAX).is_plausible(i64::MAX - 1 - CLOCK_SET_BACK_MS)
        );
    }

    #[test]
    fn roundtrip_and_layout() {
        let checkpoint = Checkpoint {
            physic_timestamp_ms: 1,
            logics_timestamp_ms: 2,
            logics_physical_offset: 3,
            ..Checkpoint::default()
        };
        let bytes = checkpoint.encode();
        assert_eq!(bytes.len(), 4096);
        assert_eq!((bytes[7], bytes[15], bytes[47]), (1, 2, 3));
        assert_eq!(Checkpoint::decode(&bytes), checkpoint);
        assert_eq!(Checkpoint::decode(&bytes[..3]), Checkpoint::default());
    }
}
