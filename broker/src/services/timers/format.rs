//! Apache's files of pending timers, as RocketMQ 5.5.0 has them (`TimerLog`, `Slot`,
//! `TimerCheckpoint`). All numbers are big-endian.
//!
//! ```text
//!  timerlog/00000000000000000000, …: units of 52 bytes; the prev of a slot's first is −1
//!  0      4      12      16           24        28     36      40     44        52
//!  | size | prev  | magic | written_ms | delay   | at    | size | hash | reserved  |
//!  | i32  | i64   | i32   | i64        | i32, ms | i64   | i32  | i32  | i64       |
//!    52             1, +2 roll, +4 recall          place and length of the record
//!
//!  timerwheel: 2 × 604,800 slots of 32 bytes; slot of a time: time ÷ precision % slots
//!  0          8           16         24     28     32
//!  | time ÷    | first unit | last unit | number | magic |
//!  | precision |    i64     |    i64    |  i32   |  i32  |
//!
//!  config/timercheck: 4,096 bytes
//!  0          8             16          24           32         40        48        56
//!  | done_ms   | log flushed | known      | begin        | version   | time     | counter  |
//!    read time   end of units  last queue   master queue
//!                              offset       offset
//!  64      68        72      80        84       88
//!  | magic  | version | units | log crc | crc32  |      RingMQ's seal; Apache's broker keeps it
//!  | "RMTC" |   u32   |  u64  |  u32    | of 0–84|
//! ```
//!
//! `reserved` is 0 in Apache's; here it is `after_ms` + 1, the exact time within the slot.
//!
//! Why a seal: nothing in Apache's files tells a flipped bit. While the seal is whole, nobody else
//! has written `timercheck` since, and the units must be those that it counts.

use super::pending::{AFTER_MS_MAX, Kind, Timer};
use crate::checked;
use crate::config::WHEEL_SLOTS;
use engine::PhyOffset;

/// Bytes of a unit.
pub(super) const UNIT_BYTES: usize = 4 + 8 + 4 + 8 + 4 + 8 + 4 + 4 + 8;
const _: () = assert!(UNIT_BYTES == 52);
/// Bytes of what fills a file's end: size, prev, magic.
pub(super) const BLANK_BYTES: usize = 4 + 8 + 4;
/// Its magic: `0xBBCCDDEE ^ 1880681586 + 8` in Java.
const BLANK_MAGIC: u32 = 0xCBD4_3194;
/// Bytes of a slot.
pub(super) const SLOT_BYTES: usize = 8 + 8 + 8 + 4 + 4;
const _: () = assert!(SLOT_BYTES == 32);
/// Slots of the wheel: twice those that have a future.
pub(super) const SLOTS: i64 = 2 * WHEEL_SLOTS;
/// Bytes of the wheel.
pub(super) const WHEEL_BYTES: u64 = 2 * 604_800 * 32;
const _: () = assert!(WHEEL_BYTES == 38_707_200);
/// Bytes of `timercheck`: Apache maps a page.
const CHECK_BYTES: usize = 4_096;
/// The least that says something: older versions wrote no version.
const CHECK_BYTES_MIN: usize = 32;
const SEAL_AT: usize = 64;
const SEAL_CRC_AT: usize = SEAL_AT + 4 + 4 + 8 + 4;
const SEAL_MAGIC: [u8; 4] = *b"RMTC";
const SEAL_VERSION: u32 = 1;

const MAGIC_DEFAULT: i32 = 1;
const MAGIC_ROLL: i32 = 2;
const MAGIC_RECALL: i32 = 4;

/// One unit of the timer log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its timer; where that says no time within its slot, it is the slot's end.
    pub(super) timer: Timer,
    /// The position of the unit before it in its slot; −1 for none.
    pub(super) prev: i64,
    /// When it was written, in milliseconds since 1970.
    pub(super) written_ms: i64,
}

/// What stands at a place of the timer log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A unit.
    Unit(Unit),
    /// The end of a file: the next one goes on.
    Blank,
    /// Nothing that a broker writes: the end, or damage.
    Nothing,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    array(bytes, at).map(i32::from_be_bytes)
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    array(bytes, at).map(i64::from_be_bytes)
}

impl Unit {
    /// Its bytes. Slots are at most 24 days from `written_ms`.
    pub(super) fn encode(&self) -> [u8; UNIT_BYTES] {
        let Timer { slot_ms, after_ms, kind, at, size } = self.timer;
        let magic = match kind {
            Kind::Message => MAGIC_DEFAULT,
            Kind::Roll => MAGIC_DEFAULT | MAGIC_ROLL,
            Kind::Recall => MAGIC_DEFAULT | MAGIC_RECALL,
        };
        let delay_ms = slot_ms.saturating_sub(self.written_ms);
        let delay_ms = delay_ms.clamp(i32::MIN.into(), i32::MAX.into());
        // A slot long past keeps its time: what was written then moves, not the slot.
        let written_ms = slot_ms.saturating_sub(delay_ms);
        let mut bytes = [0; UNIT_BYTES];
        bytes[..4].copy_from_slice(&checked::to::<i32, _>(UNIT_BYTES).to_be_bytes());
        bytes[4..12].copy_from_slice(&self.prev.to_be_bytes());
        bytes[12..16].copy_from_slice(&magic.to_be_bytes());
        bytes[16..24].copy_from_slice(&written_ms.to_be_bytes());
        bytes[24..28].copy_from_slice(&checked::to::<i32, _>(delay_ms).to_be_bytes());
        bytes[28..36].copy_from_slice(&at.0.to_be_bytes());
        bytes[36..40].copy_from_slice(&size.to_be_bytes());
        bytes[44..52].copy_from_slice(&(after_ms + 1).to_be_bytes());
        bytes
    }

    /// Reads what stands at the beginning of `bytes`.
    pub(super) fn decode(bytes: &[u8], precision_ms: i64) -> Found {
        let head = (i32_at(bytes, 0), i32_at(bytes, 12));
        let (Some(size), Some(magic)) = head else { return Found::Nothing };
        if magic.cast_unsigned() == BLANK_MAGIC {
            return Found::Blank;
        }
        if size != checked::to::<i32, _>(UNIT_BYTES) || magic | 0xF != 0xF {
            return Found::Nothing;
        }
        Self::fields(bytes, magic, precision_ms).map_or(Found::Nothing, Found::Unit)
    }

    fn fields(bytes: &[u8], magic: i32, precision_ms: i64) -> Option<Self> {
        let (prev, written_ms) = (i64_at(bytes, 4)?, i64_at(bytes, 16)?);
        let slot_ms = written_ms.saturating_add(i32_at(bytes, 24)?.into());
        let at = PhyOffset(u64::try_from(i64_at(bytes, 28)?).ok()?);
        let size = u32::try_from(i32_at(bytes, 36)?).ok()?;
        let kind = match (magic & MAGIC_ROLL != 0, magic & MAGIC_RECALL != 0) {
            (true, _) => Kind::Roll,
            (false, true) => Kind::Recall,
            (false, false) => Kind::Message,
        };
        let otherwise = if kind == Kind::Roll { 0 } else { precision_ms };
        let reserved = i64_at(bytes, 44)?.checked_sub(1);
        let after = reserved.filter(|after| (0..=AFTER_MS_MAX).contains(after));
        let timer = Timer { slot_ms, after_ms: after.unwrap_or(otherwise), kind, at, size };
        Some(Self { timer, prev, written_ms })
    }
}

/// What ends a file that has `left` bytes left.
pub(super) fn blank(left: u64) -> [u8; BLANK_BYTES] {
    let mut bytes = [0; BLANK_BYTES];
    bytes[..4].copy_from_slice(&checked::to::<u32, _>(left).to_be_bytes());
    bytes[12..].copy_from_slice(&BLANK_MAGIC.to_be_bytes());
    bytes
}

/// One slot of the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The position of its first unit.
    pub(super) first: i64,
    /// Of its last one, from which the others are found.
    pub(super) last: i64,
    /// Its messages, less its recalls.
    pub(super) number: i32,
}

impl Slot {
    /// Its bytes, of the slot that begins at `slot_ms`.
    pub(super) fn encode(&self, slot_ms: i64, precision_ms: i64) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&slot_ms.div_euclid(precision_ms).to_be_bytes());
        bytes[8..16].copy_from_slice(&self.first.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.last.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }
}

/// Where in the wheel the slot of a time from 1970 on is.
pub(super) fn slot_index(slot_ms: i64, precision_ms: i64) -> u64 {
    checked::to(slot_ms.div_euclid(precision_ms).rem_euclid(SLOTS))
}

/// What `timercheck` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Check {
    /// Slots before this are done.
    pub(super) done_ms: i64,
    /// Where the timer log ends.
    pub(super) log_end: i64,
    /// Records before this queue offset were looked at.
    pub(super) known: i64,
    /// Records from this queue offset on are not in the timer log.
    pub(super) begin: i64,
    /// Raised with each write.
    pub(super) counter: i64,
    /// What RingMQ knows of the timer log; not there when another broker wrote the file last.
    pub(super) seal: Option<Seal>,
}

/// What the timer log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seal {
    /// Its units.
    pub(super) units: u64,
    /// The CRC-32 of their bytes.
    pub(super) crc: u32,
}

impl Check {
    /// The file's bytes; `now_ms` is part of its version.
    pub(super) fn encode(&self, now_ms: i64) -> Vec<u8> {
        let mut bytes = vec![0; CHECK_BYTES];
        let numbers = [self.done_ms, self.log_end, self.known, self.begin, 0, now_ms, self.counter];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        if let Some(Seal { units, crc }) = self.seal {
            bytes[64..68].copy_from_slice(&SEAL_MAGIC);
            bytes[68..72].copy_from_slice(&SEAL_VERSION.to_be_bytes());
            bytes[72..80].copy_from_slice(&units.to_be_bytes());
            bytes[80..84].copy_from_slice(&crc.to_be_bytes());
            let sealed = crc32fast::hash(&bytes[..SEAL_CRC_AT]);
            bytes[SEAL_CRC_AT..SEAL_CRC_AT + 4].copy_from_slice(&sealed.to_be_bytes());
        }
        bytes
    }

    /// Reads the file; `None` when it is too short to say anything.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < CHECK_BYTES_MIN {
            return None;
        }
        let number = |nth: usize| i64_at(bytes, 8 * nth);
        Some(Self {
            done_ms: number(0)?.max(0),
            log_end: number(1)?.max(0),
            known: number(2)?.max(0),
            begin: number(3)?.max(0),
            counter: number(6).unwrap_or(0),
            seal: seal(bytes),
        })
    }
}

fn seal(bytes: &[u8]) -> Option<Seal> {
    let sealed = bytes.get(..SEAL_CRC_AT)?;
    let is_whole = sealed.get(SEAL_AT..)?.starts_with(&SEAL_MAGIC)
        && array(bytes, SEAL_AT + 4) == Some(SEAL_VERSION.to_be_bytes())
        && array(bytes, SEAL_CRC_AT) == Some(crc32fast::hash(sealed).to_be_bytes());
    let (units, crc) = (array(bytes, SEAL_AT + 8)?, array(bytes, SEAL_AT + 16)?);
    is_whole.then(|| Seal { units: u64::from_be_bytes(units), crc: u32::from_be_bytes(crc) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(kind: Kind) -> Unit {
        let timer = Timer {
            slot_ms: 1_700_000_005_000,
            after_ms: 345,
            kind,
            at: PhyOffset(0x0102_0304_0506),
            size: 300,
        };
        Unit { timer, prev: -1, written_ms: 1_700_000_001_000 }
    }

    #[test]
    fn a_unit_reads_as_it_was_written_and_has_apaches_bytes() {
        for kind in [Kind::Message, Kind::Roll, Kind::Recall] {
            let unit = unit(kind);
            assert_eq!(Unit::decode(&unit.encode(), 1_000), Found::Unit(unit));
        }
        let mut golden = vec![0, 0, 0, 52];
        golden.extend([0xFF; 8]);
        golden.extend([0, 0, 0, 5]);
        golden.extend(1_700_000_001_000_i64.to_be_bytes());
        golden.extend([0, 0, 0x0F, 0xA0]);
        golden.extend([0, 0, 1, 2, 3, 4, 5, 6]);
        golden.extend([0, 0, 1, 44, 0, 0, 0, 0]);
        golden.extend(346_i64.to_be_bytes());
        assert_eq!(unit(Kind::Recall).encode().to_vec(), golden);
    }

    #[test]
    fn a_unit_of_apache_is_due_when_its_slot_is_over() {
        let mut bytes = unit(Kind::Message).encode();
        bytes[44..].fill(0);
        let Found::Unit(found) = Unit::decode(&bytes, 500) else { panic!("no unit") };
        assert_eq!(found.timer.due_ms(), 1_700_000_005_500);
    }

    #[test]
    fn a_slot_that_is_very_far_from_now_keeps_its_time() {
        let mut old = unit(Kind::Message);
        old.timer.slot_ms = 1_000;
        let Found::Unit(found) = Unit::decode(&old.encode(), 1_000) else { panic!("no unit") };
        assert_eq!(found.timer, old.timer);
    }

    #[test]
    fn blanks_zeros_and_cut_units_are_no_units() {
        assert_eq!(Unit::decode(&blank(40), 1_000), Found::Blank);
        assert_eq!(blank(40)[..4], [0, 0, 0, 40]);
        assert_eq!(Unit::decode(&[0; UNIT_BYTES], 1_000), Found::Nothing);
        let whole = unit(Kind::Message).encode();
        for cut in 0..UNIT_BYTES {
            assert_eq!(Unit::decode(&whole[..cut], 1_000), Found::Nothing, "{cut}");
        }
    }

    #[test]
    fn no_flipped_bit_of_a_unit_panics() {
        let whole = unit(Kind::Message).encode();
        for bit in 0..8 * UNIT_BYTES {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Found::Unit(found) = Unit::decode(&bytes, 1_000) {
                assert!(found.timer.after_ms <= AFTER_MS_MAX, "{found:?}");
            }
        }
    }

    #[test]
    fn a_slot_has_apaches_bytes_and_place() {
        let slot = Slot { first: 52, last: 104, number: 2 };
        let bytes = slot.encode(1_700_000_005_000, 1_000);
        assert_eq!(bytes[..8], 1_700_000_005_i64.to_be_bytes());
        assert_eq!(bytes[8..24], [52_i64.to_be_bytes(), 104_i64.to_be_bytes()].concat());
        assert_eq!(bytes[24..], [0, 0, 0, 2, 0, 0, 0, 0]);
        assert_eq!(slot_index(1_700_000_005_000, 1_000), 1_700_000_005 % 1_209_600);
        assert_eq!(slot_index(0, 100), 0);
    }

    fn check() -> Check {
        let seal = Some(Seal { units: 9, crc: 0xDEAD_BEEF });
        Check { done_ms: 7, log_end: 52, known: 11, begin: 5, counter: 3, seal }
    }

    #[test]
    fn the_check_reads_as_it_was_written_and_has_apaches_bytes() {
        let bytes = check().encode(99);
        assert_eq!((bytes.len(), Check::decode(&bytes)), (4_096, Some(check())));
        let golden: Vec<u8> =
            [7_i64, 52, 11, 5, 0, 99, 3].iter().flat_map(|number| number.to_be_bytes()).collect();
        assert_eq!(bytes[..56], golden);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_of_the_check_is_told_from_ours() {
        let whole = check().encode(99);
        for cut in 0..100 {
            let found = Check::decode(&whole[..cut]);
            assert_eq!(found.is_some(), cut >= CHECK_BYTES_MIN, "{cut}");
            assert_eq!(found.and_then(|found| found.seal).is_some(), cut >= 88, "{cut}");
        }
        for bit in 0..8 * 88 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Check::decode(&bytes).unwrap().seal, None, "bit {bit}");
        }
    }
}
