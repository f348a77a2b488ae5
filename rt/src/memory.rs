//! One account of the memory that peers can make a shard hold, charged by everyone who holds some.
//!
//! ```text
//!   netcore: half frames, queued answers ──┐
//!   engine: chunks lent to readers,        ├─ charge ─► MemoryAccount (one for each shard) ─► limit
//!           windows of cold reads ─────────┘      ▲
//!                          Charge dropped ────────┘ the bytes are given back
//! ```
//!
//! The account belongs to one core: it is neither `Send` nor shared. It refuses nobody by itself:
//! whoever finds [`MemoryAccount::try_charge`] refused pauses or closes the peer that *causes* the
//! growth, never the one that comes next.

use std::cell::Cell;
use std::rc::Rc;

/// What memory is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryUse {
    /// Bytes of frames whose rest has not come yet.
    HalfFrames,
    /// Answers that a peer has not taken yet, written bytes only.
    Answers,
    /// Chunks of the log's tail that only readers keep alive: the log itself has let go of them.
    LentChunks,
    /// Stretches of the log that were read from disk.
    ColdWindows,
}

impl MemoryUse {
    /// All uses, in the order in which a report lists them.
    pub const ALL: [Self; 4] =
        [Self::HalfFrames, Self::Answers, Self::LentChunks, Self::ColdWindows];

    /// The name in reports and log lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HalfFrames => "half frames",
            Self::Answers => "answers",
            Self::LentChunks => "lent chunks",
            Self::ColdWindows => "cold windows",
        }
    }
}

#[derive(Debug)]
struct Inner {
    limit_bytes: Cell<usize>,
    used_bytes: Cell<usize>,
    by_use: [Cell<usize>; MemoryUse::ALL.len()],
}

/// See the module's text. Cloning gives another handle to the same account.
#[derive(Clone, Debug)]
pub struct MemoryAccount(Rc<Inner>);

impl MemoryAccount {
    /// An account that may be charged up to `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self(Rc::new(Inner {
            limit_bytes: Cell::new(limit_bytes),
            used_bytes: Cell::new(0),
            by_use: std::array::from_fn(|_| Cell::new(0)),
        }))
    }

    /// Bytes that may be charged in all.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.0.limit_bytes.get()
    }

    /// Bytes charged now.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.0.used_bytes.get()
    }

    /// Bytes charged now for one use.
    #[must_use]
    pub fn used_for(&self, what: MemoryUse) -> usize {
        self.0.by_use[what as usize].get()
    }

    /// Bytes that can still be charged.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.limit_bytes().saturating_sub(self.used_bytes())
    }

    /// Charges `bytes` if they fit under the limit.
    #[must_use]
    pub fn try_charge(&self, what: MemoryUse, bytes: usize) -> Option<Charge> {
        (bytes <= self.free_bytes()).then(|| self.charge(what, bytes))
    }

    /// Charges `bytes` that are held already, also beyond the limit.
    #[must_use]
    pub fn charge(&self, what: MemoryUse, bytes: usize) -> Charge {
        let mut charge = Charge { account: self.clone(), what, bytes: 0 };
        charge.set(bytes);
        charge
    }
}

/// Bytes charged to an account until this is dropped.
#[derive(Debug)]
pub struct Charge {
    account: MemoryAccount,
    what: MemoryUse,
    bytes: usize,
}

impl Charge {
    /// Bytes that this charge stands for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes the charge to `bytes`, also beyond the limit.
    pub fn set(&mut self, bytes: usize) {
        let inner = &self.account.0;
        for sum in [&inner.used_bytes, &inner.by_use[self.what as usize]] {
            assert!(sum.get() >= self.bytes, "an account holds less than a charge of it");
            sum.set(sum.get() - self.bytes + bytes);
        }
        self.bytes = bytes;
    }

    /// Changes the charge to `bytes` if what is added fits under the limit; says whether it did.
    #[must_use]
    pub fn try_set(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.bytes || bytes - self.bytes <= self.account.free_bytes();
        if fits {
            self.set(bytes);
        }
        fits
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let account = MemoryAccount::new(100);
        let frames = account.try_charge(MemoryUse::HalfFrames, 60).expect("fits");
        let mut answers = account.charge(MemoryUse::Answers, 30);
        assert_eq!((account.used_bytes(), account.free_bytes()), (90, 10));
        assert!(account.try_charge(MemoryUse::Answers, 11).is_none());
        assert!(!answers.try_set(41) && answers.try_set(40));
        drop(frames);
        assert_eq!((account.used_bytes(), account.used_for(MemoryUse::Answers)), (40, 40));
        drop(answers);
        assert_eq!(account.used_bytes(), 0);
    }

    #[test]
    fn held_bytes_may_pass_the_limit_and_then_nothing_new_fits() {
        let account = MemoryAccount::new(10);
        let lent = account.charge(MemoryUse::LentChunks, 25);
        assert_eq!((account.free_bytes(), lent.bytes()), (0, 25));
        assert!(account.try_charge(MemoryUse::ColdWindows, 1).is_none());
    }
}
