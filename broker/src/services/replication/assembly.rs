//! Transfers put together again into whole records: a master cuts its log wherever it likes.
//!
//! ```text
//!   transfers:  … | r1 r2 r |            | 3 r4 |        pieces: records, and the blanks that end files
//!                  └──┬──┘└── rest ──────┘─┘             whole ones are taken from where they came in;
//!                  appended                              only the rest of one is copied
//! ```
//!
//! Pure: who appends is the caller's. Bounded: the rest of one piece, and what could not be
//! appended of one transfer.

/// Why the bytes of a master are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// They do not go on where the last ended.
    #[error("it sent log offset {found}; expected {expected}, where this log goes on")]
    Gap {
        /// Where they go.
        found: u64,
        /// Where they should.
        expected: u64,
    },
    /// No record has this length.
    #[error("at log offset {at} it sent a record of {found} bytes; expected 8 to {max}")]
    Size {
        /// Where.
        at: u64,
        /// Its length.
        found: u32,
        /// The longest one.
        max: usize,
    },
}

/// What an append of whole pieces came to.
pub(crate) enum Taken<E> {
    /// They are in the log.
    All,
    /// There is no room: they have to be offered again.
    Later,
    /// They can't be.
    Never(E),
}

/// Where a transfer ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fed<E> {
    /// All its whole pieces are appended.
    Whole,
    /// Some wait for [`Assembly::again`].
    Waits,
    /// The master's bytes are wrong.
    Broken(Broken),
    /// They can't be appended.
    Refused(E),
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// The log offset of the first byte of `rest`: the log's end.
    at: u64,
    rest: Vec<u8>,
    /// The longest piece, and the most that is appended at once.
    bytes_max: usize,
}

impl Assembly {
    /// For a log that ends at `at`. `rest`: what is known of what follows.
    pub(crate) fn new(at: u64, rest: &[u8], bytes_max: usize) -> Self {
        Self { at, rest: rest.to_vec(), bytes_max }
    }

    /// Where the next transfer goes.
    pub(crate) fn expected(&self) -> u64 {
        self.at + self.rest.len() as u64
    }

    /// Takes a transfer.
    pub(crate) fn feed<E>(
        &mut self,
        offset: u64,
        mut bytes: &[u8],
        mut append: impl FnMut(u64, &[u8]) -> Taken<E>,
    ) -> Fed<E> {
        let expected = self.expected();
        if offset != expected {
            return Fed::Broken(Broken::Gap { found: offset, expected });
        }
        if !self.rest.is_empty() {
            if let Err(broken) = self.complete(&mut bytes) {
                return Fed::Broken(broken);
            }
            match self.again(&mut append) {
                Fed::Whole if self.rest.is_empty() => {}
                Fed::Whole => {
                    self.rest.extend_from_slice(bytes);
                    return Fed::Whole;
                }
                other => {
                    self.rest.extend_from_slice(bytes);
                    return other;
                }
            }
        }
        let (rest, fed) = self.in_place(bytes, &mut append);
        self.rest.extend_from_slice(rest);
        fed
    }

    /// Offers what waits once more.
    pub(crate) fn again<E>(&mut self, append: &mut impl FnMut(u64, &[u8]) -> Taken<E>) -> Fed<E> {
        let mut rest = std::mem::take(&mut self.rest);
        let (left, fed) = self.in_place(&rest, append);
        let done = rest.len() - left.len();
        rest.drain(..done);
        self.rest = rest;
        fed
    }

    /// Moves bytes to the rest until its first piece is whole.
    fn complete(&mut self, bytes: &mut &[u8]) -> Result<(), Broken> {
        for wanted in [|_: u32| 4, |size: u32| size as usize] {
            let size = size_of_first(&self.rest).unwrap_or(0);
            if self.rest.len() >= 4 {
                self.check(self.at, size)?;
            }
            let missing = wanted(size).saturating_sub(self.rest.len()).min(bytes.len());
            let (now, later) = bytes.split_at(missing);
            self.rest.extend_from_slice(now);
            *bytes = later;
        }
        Ok(())
    }

    fn check(&self, at: u64, found: u32) -> Result<usize, Broken> {
        let max = self.bytes_max;
        match usize::try_from(found) {
            Ok(size) if (8..=max).contains(&size) => Ok(size),
            _ => Err(Broken::Size { at, found, max }),
        }
    }

    /// Appends the whole pieces of `bytes`, which lie at the log's end; what is left.
    fn in_place<'b, E>(
        &mut self,
        mut bytes: &'b [u8],
        append: &mut impl FnMut(u64, &[u8]) -> Taken<E>,
    ) -> (&'b [u8], Fed<E>) {
        loop {
            let whole = match self.whole(bytes) {
                Ok(0) => return (bytes, Fed::Whole),
                Ok(whole) => whole,
                Err(broken) => return (bytes, Fed::Broken(broken)),
            };
            let (pieces, later) = bytes.split_at(whole);
            match append(self.at, pieces) {
                Taken::All => {
                    self.at += pieces.len() as u64;
                    bytes = later;
                }
                Taken::Later => return (bytes, Fed::Waits),
                Taken::Never(why) => return (bytes, Fed::Refused(why)),
            }
        }
    }

    /// Bytes of whole pieces at the beginning of `bytes`, as many as are appended at once.
    fn whole(&self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut whole = 0;
        while let Some(size) = bytes.get(whole..).and_then(size_of_first) {
            let end = whole + self.check(self.at + whole as u64, size)?;
            if end > bytes.len() || end > self.bytes_max {
                break;
            }
            whole = end;
        }
        Ok(whole)
    }
}

/// The length of the record or blank that begins here, once enough of it is there.
fn size_of_first(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|size| u32::from_be_bytes(*size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(size: u32) -> Vec<u8> {
        let mut bytes = size.to_be_bytes().to_vec();
        bytes.extend((4..size).map(|nth| u8::try_from(nth % 251).unwrap()));
        bytes
    }

    /// Takes everything, unless it is the `refused`-th offer; asserts that offers are whole pieces
    /// at the log's end.
    struct Log {
        bytes: Vec<u8>,
        offers: usize,
        no_room_every: usize,
    }

    impl Log {
        fn take(&mut self, at: u64, pieces: &[u8]) -> Taken<()> {
            assert_eq!(at, self.bytes.len() as u64);
            self.offers += 1;
            if self.offers.is_multiple_of(self.no_room_every) {
                return Taken::Later;
            }
            let mut rest = pieces;
            while let Some(size) = size_of_first(rest) {
                rest = &rest[usize::try_from(size).unwrap()..];
            }
            assert!(rest.is_empty(), "whole pieces");
            self.bytes.extend_from_slice(pieces);
            Taken::All
        }
    }

    #[test]
    fn records_are_whole_however_the_stream_is_cut_and_whenever_there_is_no_room() {
        let log: Vec<u8> = [8, 91, 300, 12, 1_000, 40].into_iter().flat_map(piece).collect();
        for step in 1..=log.len() {
            for no_room_every in [2, 3, usize::MAX] {
                let mut to = Log { bytes: vec![], offers: 0, no_room_every };
                let mut assembly = Assembly::new(0, &[], 1_000);
                for (nth, part) in log.chunks(step).enumerate() {
                    let offset = (nth * step) as u64;
                    let mut fed = assembly.feed(offset, part, |at, bytes| to.take(at, bytes));
                    while fed == Fed::Waits {
                        fed = assembly.again(&mut |at, bytes: &[u8]| to.take(at, bytes));
                    }
                    assert_eq!(fed, Fed::Whole);
                }
                assert!(to.bytes == log, "steps of {step}");
                assert_eq!(assembly.expected(), log.len() as u64);
            }
        }
    }

    #[test]
    fn a_first_byte_that_is_known_is_put_before_what_follows() {
        let record = piece(100);
        let mut to = Log { bytes: vec![], offers: 0, no_room_every: usize::MAX };
        let mut assembly = Assembly::new(0, &[0], 1_000);
        assert_eq!(assembly.expected(), 1);
        assert_eq!(assembly.feed(1, &record[1..], |at, bytes| to.take(at, bytes)), Fed::Whole);
        assert_eq!(to.bytes, record);
    }

    #[test]
    fn what_does_not_go_on_here_or_is_no_record_is_refused() {
        let mut nothing = |_: u64, _: &[u8]| -> Taken<()> { panic!("nothing is appended") };
        let mut assembly = Assembly::new(50, &[], 100);
        let gap = Broken::Gap { found: 51, expected: 50 };
        assert_eq!(assembly.feed(51, &piece(20), &mut nothing), Fed::Broken(gap));
        for size in [0_u32, 7, 101, u32::MAX] {
            for first in [1, 3, 4] {
                let mut assembly = Assembly::new(50, &[], 100);
                let bytes = [size.to_be_bytes().as_slice(), &[0; 8]].concat();
                let (one, two) = bytes.split_at(first);
                let broken = Fed::Broken(Broken::Size { at: 50, found: size, max: 100 });
                let fed = match assembly.feed(50, one, &mut nothing) {
                    Fed::Whole => assembly.feed(50 + first as u64, two, &mut nothing),
                    fed => fed,
                };
                assert_eq!(fed, broken, "{size} after {first}");
            }
        }
    }
}
