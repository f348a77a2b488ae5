//! Where the messages of a read came from: what the cache is worth is a question of these numbers.

use std::ops::AddAssign;

/// Messages and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadAmount {
    /// How many messages.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

impl ReadAmount {
    /// One message more.
    #[inline]
    pub(super) fn add(&mut self, record_bytes: usize) {
        self.messages += 1;
        self.bytes += record_bytes as u64;
    }
}

impl AddAssign for ReadAmount {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

/// What reads handed out, by where it was at that moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOrigins {
    /// In the tail, and not written to the log yet: memory had to hold it anyway.
    pub hot: ReadAmount,
    /// In the tail although it is written: the tail is its cache.
    pub warm: ReadAmount,
    /// Read from disk, for this read or ahead of it.
    pub cold: ReadAmount,
}

impl ReadOrigins {
    /// A message of the tail.
    #[inline]
    pub(super) fn add_from_tail(&mut self, record_bytes: usize, is_written: bool) {
        let amount = if is_written { &mut self.warm } else { &mut self.hot };
        amount.add(record_bytes);
    }
}

impl AddAssign for ReadOrigins {
    fn add_assign(&mut self, other: Self) {
        self.hot += other.hot;
        self.warm += other.warm;
        self.cold += other.cold;
    }
}
