//! The two numbers that must not be swapped: where a byte lies in the log, and where a message lies
//! in its queue.

use std::fmt;

/// A position in the CommitLog: bytes since its very beginning. File `start` holds `[start, start +
/// file size)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhyOffset(pub u64);

/// A position in a ConsumeQueue: messages since its very beginning. Clients send any number,
/// negative ones too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueOffset(pub i64);

impl PhyOffset {
    /// As RocketMQ writes it. Logs do not reach 2^63 bytes.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl QueueOffset {
    /// The offset `count` messages further.
    #[must_use]
    pub fn plus(self, count: usize) -> Self {
        Self(self.0.saturating_add(i64::try_from(count).unwrap_or(i64::MAX)))
    }

    /// Messages from `earlier` to this one; 0 when it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> usize {
        usize::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl fmt::Display for PhyOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for QueueOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
