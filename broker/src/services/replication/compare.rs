//! Are both logs the same up to where this one ends?
//!
//! ```text
//!   own log:     … ────────────[ own ]            ends at `end`
//!   the stream:  … ────────────[ own ][ new …     begins at `end − COMPARED_BYTES`
//! ```
//!
//! A master that lost what it had sent (a power cut), or another one altogether, may have come to
//! the same offset with other messages: the wire has no epochs to tell. So a slave has the end of
//! its own log sent once more, and compares. Records hold their place and the time they were stored
//! at, so logs that parted before it differ there. Nothing is reported before all of it was the
//! same.
//!
//! Pure.

/// How much is compared. Where logs have parted, every record behind that differs; where they part
/// is for [`super::search`] to find.
pub(super) const COMPARED_BYTES: u64 = 64 * 1024;

/// The master's log is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "at log offset {at} the master's log has other bytes than this one: this slave followed \
     another master, or was one, or this master lost what it had sent"
)]
pub(super) struct Different {
    /// The first byte that is another one.
    pub(super) at: u64,
}

/// The end of the own log, as far as it is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Compare {
    at: u64,
    own: Vec<u8>,
    done: usize,
}

impl Compare {
    /// `own` lies at `at`.
    pub(super) fn new(at: u64, own: Vec<u8>) -> Self {
        Self { at, own, done: 0 }
    }

    /// Whether all of it was the same.
    pub(super) fn is_done(&self) -> bool {
        self.done == self.own.len()
    }

    /// Where the next byte to compare lies.
    pub(super) fn next(&self) -> u64 {
        self.at + self.done as u64
    }

    /// Compares what comes at [`Compare::next`]; how many bytes of it that were.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Different> {
        let own = self.own.get(self.done..).unwrap_or_default();
        let same = own.iter().zip(bytes).take_while(|(own, byte)| own == byte).count();
        let at = self.next() + same as u64;
        self.done += same;
        if same == own.len().min(bytes.len()) { Ok(same) } else { Err(Different { at }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_are_the_same_in_any_pieces_and_what_follows_is_left() {
        let own = b"the end of the own log".to_vec();
        for step in 1..=own.len() {
            let mut compare = Compare::new(1_000, own.clone());
            for piece in own.chunks(step) {
                assert!(!compare.is_done());
                assert_eq!(compare.take(piece), Ok(piece.len()));
            }
            assert!(compare.is_done());
            assert_eq!(compare.next(), 1_000 + own.len() as u64);
            assert_eq!(compare.take(b"new"), Ok(0));
        }
        let mut compare = Compare::new(0, own.clone());
        assert_eq!(compare.take(&[&own[..], b"new"].concat()), Ok(own.len()));
        assert!(Compare::default().is_done(), "an empty log is the same as any");
    }

    #[test]
    fn the_first_byte_that_is_another_one_is_told() {
        let own = b"abcdef".to_vec();
        for at in 0..own.len() {
            let mut other = own.clone();
            other[at] ^= 1;
            let mut compare = Compare::new(50, own.clone());
            assert_eq!(compare.take(&other), Err(Different { at: 50 + at as u64 }));
            assert!(!compare.is_done());
        }
    }
}
