//! One ConsumeQueue unit: where a message lies in the CommitLog.
//!
//! ```text
//!  0               8       12              20
//!  | phy_offset i64| size  | tags_code i64 |   big-endian
//!                  |  i32  |
//! ```
//!
//! Why fixed 20 bytes: unit `n` is at byte `n * 20`, so a queue offset needs no index. Zeros are no
//! unit (size 0): a file is made at full length and filled from its beginning.
//!
//! A message that damage in the log took keeps its place, so that the queue offsets behind it stay:
//! a unit of the size no record has ([`MISSING_SIZE`]) whose offset is where the damage begins.

use crate::offset::PhyOffset;

/// Length of a unit.
pub(crate) const UNIT_BYTES: usize = 8 + 4 + 8;
const _: () = assert!(UNIT_BYTES == 20);

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) at: PhyOffset,
    pub(crate) size: u32,
    pub(crate) tags_code: i64,
}

/// A size no record has.
pub(crate) const MISSING_SIZE: u32 = 0x7FFF_FFFF;

/// Fills a file whose first units are gone, as RocketMQ does.
pub(crate) const PRE_BLANK: Unit = Unit { at: PhyOffset(0), size: MISSING_SIZE, tags_code: 0 };

impl Unit {
    pub(crate) fn encode(&self) -> [u8; UNIT_BYTES] {
        let mut bytes = [0; UNIT_BYTES];
        bytes[..8].copy_from_slice(&self.at.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_be_bytes());
        bytes[12..].copy_from_slice(&self.tags_code.to_be_bytes());
        bytes
    }

    /// The place of a message that the damage at `damage` took.
    pub(crate) fn missing(damage: u64) -> Self {
        Self { at: PhyOffset(damage), size: MISSING_SIZE, tags_code: 0 }
    }

    /// Whether damage took its message.
    pub(crate) fn is_missing(&self) -> bool {
        self.size == MISSING_SIZE
    }

    /// `None` for zeros and for anything else that no message has.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let at = u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
        let size = u32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?);
        let tags_code = i64::from_be_bytes(bytes.get(12..20)?.try_into().ok()?);
        let is_unit = i64::try_from(at).is_ok() && size > 0 && size <= MISSING_SIZE;
        is_unit.then_some(Self { at: PhyOffset(at), size, tags_code })
    }

    /// Where the message ends in the log; for a missing one, where the damage begins.
    pub(crate) fn end(&self) -> u64 {
        self.at.0 + if self.is_missing() { 0 } else { u64::from(self.size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roundtrip_and_golden_bytes() {
        let unit = Unit { at: PhyOffset(0x0102), size: 0x0A0B, tags_code: -2 };
        let bytes = unit.encode();
        assert_eq!(
            bytes,
            [
                0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0x0A, 0x0B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                0xFE
            ]
        );
        assert_eq!(Unit::decode(&bytes), Some(unit));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(Unit::decode(&[0; 20]), None);
        assert_eq!(
            Unit::decode(&PRE_BLANK.encode()).map(|unit| unit.is_missing()),
            Some(true),
            "a place without a message"
        );
        assert_eq!(Unit::decode(&[0xFF; 20]), None);
        assert_eq!(Unit::decode(&[1; 19]), None);
    }
}
