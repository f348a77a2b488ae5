//! Where two logs have parted: the last record that is the same in both.
//!
//! ```text
//!   own log:   |── file ──|── file ──|── file ──|── fi     begins of files are tried first,
//!   same?       yes        yes        no                   then records 64 KiB apart in the last
//!                              ▲ between these two         file that begins the same, then each
//! ```
//!
//! A record holds its place, the time it was stored at and its body's checksum, so one that is the
//! same in both logs has the same log before it. Each try is a connection: on this wire a slave
//! says where to begin once. A log of a tebibyte takes about 40.
//!
//! Pure: who asks the master, and who reads the own log, is the caller's.

/// The second look takes records so far apart.
pub(super) const APART_BYTES: u64 = 64 * 1024;

/// What to find out next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Is the own record at this offset the master's too? Told by [`Search::tried`].
    Try(u64),
    /// Where do own records begin in `[from, upto]`? Told by [`Search::records`].
    List {
        /// A record begins here.
        from: u64,
        /// At most this.
        upto: u64,
        /// Those so far apart.
        apart: u64,
    },
    /// Both logs are the same up to here and no further.
    Parted(u64),
    /// No record is the same.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Files,
    Apart,
    Each,
}

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Search {
    level: Level,
    /// Begins of own records that were not tried, ascending, between `same` and `other`.
    candidates: Vec<u64>,
    /// The last own record that is known to be the same.
    same: Option<u64>,
    /// Here or before it both differ.
    other: u64,
    file_bytes: u64,
    is_listed: bool,
    /// Where the record behind `same` begins, once each record was listed.
    ends: Vec<u64>,
}

impl Search {
    /// Both logs have `[begin, other)`, and they differ at `other` or before. Both have files of
    /// `file_bytes`.
    pub(super) fn new(begin: u64, other: u64, file_bytes: u64) -> Self {
        let first = begin.next_multiple_of(file_bytes);
        let files = (0..).map(|nth| first + nth * file_bytes);
        let files = files.take_while(|at| *at <= other);
        let candidates = std::iter::once(begin).chain(files.filter(|at| *at > begin)).collect();
        let (level, same, ends) = (Level::Files, None, Vec::new());
        Self { level, candidates, same, other, file_bytes, is_listed: true, ends }
    }

    /// See [`Step`].
    pub(super) fn next(&mut self) -> Step {
        loop {
            if !self.candidates.is_empty() {
                return Step::Try(self.candidates[self.candidates.len() / 2]);
            }
            let Some(same) = self.same else { return Step::Nothing };
            let file_end = same - same % self.file_bytes + self.file_bytes;
            let upto = self.other.min(file_end);
            if !self.is_listed {
                let apart = if self.level == Level::Apart { APART_BYTES } else { 1 };
                return Step::List { from: same, upto, apart };
            }
            self.level = match self.level {
                Level::Files => Level::Apart,
                Level::Apart => Level::Each,
                Level::Each => return Step::Parted(self.end_of(same)),
            };
            self.is_listed = false;
        }
    }

    /// Whether the record at `at` is the master's too.
    pub(super) fn tried(&mut self, at: u64, is_same: bool) {
        if is_same {
            self.same = Some(at);
            self.candidates.retain(|candidate| *candidate > at);
        } else {
            self.other = at;
            self.candidates.retain(|candidate| *candidate < at);
        }
    }

    /// Where own records begin, as [`Step::List`] asked.
    pub(super) fn records(&mut self, begins: impl IntoIterator<Item = u64>) {
        let same = self.same.unwrap_or(0);
        let mut begins: Vec<u64> = begins.into_iter().filter(|at| *at > same).collect();
        if self.level == Level::Each {
            self.ends.clone_from(&begins);
        }
        begins.retain(|at| *at < self.other);
        self.candidates = begins;
        self.is_listed = true;
    }
    /// Where the record at `same` ends. One that was not listed to its end is not kept.
    fn end_of(&self, same: u64) -> u64 {
        self.ends.iter().copied().find(|end| *end > same).unwrap_or(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE_BYTES: u64 = 1 << 20;

    /// A log: where its records begin, and its end. No record crosses the end of a file.
    fn log(begin: u64, end: u64, seed: u64) -> Vec<u64> {
        let (mut at, mut begins, mut random) = (begin, vec![], seed | 1);
        while at < end {
            begins.push(at);
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let len = 91 + (random >> 33) % 30_000;
            let file_end = at - at % FILE_BYTES + FILE_BYTES;
            at = if at + len + 91 > file_end { file_end } else { at + len };
        }
        begins.push(at);
        begins
    }

    /// Searches two logs that are the same up to `common`; where it says they part, and in how many
    /// tries.
    fn search(begins: &[u64], common: u64, other: u64) -> (Step, usize) {
        let mut search = Search::new(begins[0], other, FILE_BYTES);
        let mut tries = 0;
        loop {
            match search.next() {
                Step::Try(at) => {
                    assert!(begins.contains(&at), "{at} is no record");
                    let nth = begins.iter().position(|begin| *begin == at).unwrap();
                    search.tried(at, begins.get(nth + 1).is_some_and(|end| *end <= common));
                    tries += 1;
                }
                Step::List { from, upto, apart } => {
                    let mut wanted = from;
                    let is_listed = |at: &u64| {
                        let is = (wanted..=upto).contains(at);
                        if is {
                            wanted = *at + apart;
                        }
                        is
                    };
                    search.records(begins.iter().copied().filter(is_listed).collect::<Vec<_>>());
                }
                end => return (end, tries),
            }
        }
    }

    #[test]
    fn the_last_record_that_is_the_same_is_found_wherever_it_is() {
        for seed in 0..40 {
            let begin = (seed % 3) * FILE_BYTES;
            let begins = log(begin, begin + 5 * FILE_BYTES, seed);
            let end = begins[begins.len() - 1];
            for common in begins.iter().copied().step_by(5).skip(1) {
                for other in [common, common + 7, common + 90_000, end] {
                    let (found, tries) = search(&begins, common, other.min(end));
                    assert_eq!(found, Step::Parted(common), "seed {seed}, other {other}");
                    assert!(tries < 24, "{tries}");
                }
            }
        }
    }

    #[test]
    fn logs_without_a_record_in_common_have_nothing_in_common() {
        let begins = log(0, 3 * FILE_BYTES, 7);
        for other in [0, 5, 70_000, begins[begins.len() - 1]] {
            assert_eq!(search(&begins, 0, other).0, Step::Nothing, "{other}");
        }
    }

    #[test]
    fn a_record_whose_end_is_not_known_is_not_kept() {
        let mut search = Search::new(0, 50, FILE_BYTES);
        for step in [Step::Try(0), Step::List { from: 0, upto: 50, apart: APART_BYTES }] {
            assert_eq!(search.next(), step);
            match step {
                Step::Try(at) => search.tried(at, true),
                _ => search.records([0]),
            }
        }
        assert_eq!(search.next(), Step::List { from: 0, upto: 50, apart: 1 });
        search.records([0]);
        assert_eq!(search.next(), Step::Parted(0));
    }
}
