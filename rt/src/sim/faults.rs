//! Faults that a test asks for: which operations of which files fail, stop half-way or take long.
//! See the fault model in the parent module's text. Faults draw from their own stream of the seed,
//! so a run with faults replays like any other.

use super::random::Random;
use crate::convert::fits;
use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an operation does, as far as faults tell operations apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOp {
    /// `read_at`, `read_file`, `list_dir`.
    Read,
    /// `write_at`, `replace_file`.
    Write,
    /// `sync_data`, `sync_dir`.
    Sync,
    /// `allocate`, `set_len`.
    Allocate,
    /// `remove_file`, `remove_dir_all`, `create_dir_all`.
    Name,
    /// Whatever takes a descriptor: `open`, `lock_file`, and `read_file`, `replace_file`,
    /// `list_dir`, `sync_dir`, which open what they work on.
    Open,
}

/// What happens to an operation that is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It fails with this error, as Linux numbers it.
    Error(i32),
    Short,
    Slow(Duration),
}

/// One rule: strikes operations of a kind on files below a path. Rules add up; the first that
/// strikes with an error wins.
#[derive(Clone, Debug)]
pub struct Fault {
    op: FaultOp,
    kind: Kind,
    under: PathBuf,
    skip: u64,
    times: u64,
    one_in: u64,
}

impl Fault {
    fn new(op: FaultOp, kind: Kind, under: impl Into<PathBuf>) -> Self {
        Self { op, kind, under: under.into(), skip: 0, times: u64::MAX, one_in: 1 }
    }

    /// EIO. What a struck write or sync leaves behind is in the fault model.
    #[must_use]
    pub fn eio(op: FaultOp, under: impl Into<PathBuf>) -> Self {
        Self::new(op, Kind::Error(EIO), under)
    }

    /// EMFILE: the process has as many files open as it may.
    #[must_use]
    pub fn too_many_open(under: impl Into<PathBuf>) -> Self {
        Self::new(FaultOp::Open, Kind::Error(EMFILE), under)
    }

    /// ENOSPC, whatever the disk's capacity. What a struck write leaves behind is in the fault
    /// model.
    #[must_use]
    pub fn no_space(op: FaultOp, under: impl Into<PathBuf>) -> Self {
        Self::new(op, Kind::Error(ENOSPC), under)
    }

    /// Reads are served in parts, each an operation of its own that may fail.
    #[must_use]
    pub fn short_reads(under: impl Into<PathBuf>) -> Self {
        Self::new(FaultOp::Read, Kind::Short, under)
    }

    /// Operations take up to `longest` more.
    #[must_use]
    pub fn slow(op: FaultOp, under: impl Into<PathBuf>, longest: Duration) -> Self {
        Self::new(op, Kind::Slow(longest), under)
    }

    /// Not the first `skip` operations that it would strike.
    #[must_use]
    pub fn after(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// At most so often.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Strikes each operation with the probability 1 / `one_in`.
    #[must_use]
    pub fn one_in(self, one_in: u64) -> Self {
        Self { one_in, ..self }
    }
}

/// How often faults struck: a test that injects faults shows with it that they happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Writes that failed with EIO.
    pub write_errors: u64,
    /// fdatasyncs and folder syncs that failed with EIO.
    pub sync_errors: u64,
    /// Reads that failed with EIO.
    pub read_errors: u64,
    /// Allocations, cuts, creations and removals that failed with EIO.
    pub other_errors: u64,
    /// Opens that failed, with EIO or EMFILE.
    pub open_errors: u64,
    /// Operations that found no space.
    pub no_space: u64,
    /// Reads that were served in parts.
    pub short_reads: u64,
    /// Operations that were made to wait.
    pub slow: u64,
}

pub(super) struct Faults {
    rules: RefCell<Vec<Fault>>,
    counts: Cell<FaultCounts>,
    randomness: Random,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rules: RefCell::default(),
            counts: Cell::default(),
            randomness: Random::salted(seed, b"faults"),
        }
    }

    pub(super) fn add(&self, fault: Fault) {
        self.rules.borrow_mut().push(fault);
    }

    pub(super) fn clear(&self) {
        self.rules.borrow_mut().clear();
    }

    pub(super) fn counts(&self) -> FaultCounts {
        self.counts.get()
    }

    pub(super) fn randomness(&self) -> &Random {
        &self.randomness
    }

    fn count(&self, add: impl FnOnce(&mut FaultCounts)) {
        let mut counts = self.counts.get();
        add(&mut counts);
        self.counts.set(counts);
    }

    /// The first rule of a kind that strikes.
    fn strike(&self, op: FaultOp, path: &Path, is_kind: impl Fn(Kind) -> bool) -> Option<Kind> {
        let mut rules = self.rules.borrow_mut();
        let fits = |rule: &&mut Fault| {
            rule.op == op && is_kind(rule.kind) && rule.times > 0 && path.starts_with(&rule.under)
        };
        for rule in rules.iter_mut().filter(fits) {
            if self.randomness.below(rule.one_in) != 0 {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.times -= 1;
            return Some(rule.kind);
        }
        None
    }

    /// How much longer this operation takes.
    pub(super) fn delay(&self, op: FaultOp, path: &Path) -> Duration {
        let Some(Kind::Slow(longest)) = self.strike(op, path, |kind| matches!(kind, Kind::Slow(_)))
        else {
            return Duration::ZERO;
        };
        self.count(|counts| counts.slow += 1);
        let nanos = fits::<u64, _>(longest.as_nanos());
        Duration::from_nanos(self.randomness.below(nanos + 1))
    }

    /// An error if a rule says so.
    pub(super) fn check(&self, op: FaultOp, path: &Path) -> io::Result<()> {
        let Some(Kind::Error(errno)) = self.strike(op, path, |kind| matches!(kind, Kind::Error(_)))
        else {
            return Ok(());
        };
        self.count(|counts| match op {
            _ if errno == ENOSPC => counts.no_space += 1,
            FaultOp::Read => counts.read_errors += 1,
            FaultOp::Write => counts.write_errors += 1,
            FaultOp::Sync => counts.sync_errors += 1,
            FaultOp::Allocate | FaultOp::Name => counts.other_errors += 1,
            FaultOp::Open => counts.open_errors += 1,
        });
        Err(io::Error::from_raw_os_error(errno))
    }

    /// How much of a read of `len` bytes is served at once.
    pub(super) fn part_of(&self, len: usize, path: &Path) -> usize {
        if len < 2 || self.strike(FaultOp::Read, path, |kind| kind == Kind::Short).is_none() {
            return len;
        }
        self.count(|counts| counts.short_reads += 1);
        1 + self.randomness.index_below(len - 1)
    }

    /// Counts an operation that found no space.
    pub(super) fn note_space<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if outcome.as_ref().err().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            self.count(|counts| counts.no_space += 1);
        }
        outcome
    }
}

// Errors as Linux numbers them.

/// "Input/output error".
const EIO: i32 = 5;
/// "Too many open files".
const EMFILE: i32 = 24;
/// "No space left on device".
const ENOSPC: i32 = 28;
