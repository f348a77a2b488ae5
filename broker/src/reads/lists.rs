//! Doubly linked lists through the entries of a slab: an entry is in several lists at once, and
//! leaves each in the same time however long it is.
//!
//! ```text
//!   list: first ──► entry ◄──► entry ◄──► entry ◄── last        links[N] of each entry: before, behind
//! ```

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// An entry's neighbours in one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    before: u32,
    behind: u32,
}

impl Link {
    pub(super) const ALONE: Self = Self { before: NONE, behind: NONE };
}

/// One list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub(super) first: u32,
    last: u32,
    /// How many entries are in it.
    pub(super) len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }
}

/// Entries that lists of kind `N` go through.
pub(super) trait Linked {
    /// The neighbours of an entry in its list of kind `nth`.
    fn link(&mut self, entry: u32, nth: usize) -> &mut Link;
}

impl List {
    pub(super) fn is_empty(self) -> bool {
        self.first == NONE
    }

    /// Adds an entry at the end.
    pub(super) fn push(&mut self, entries: &mut impl Linked, entry: u32, nth: usize) {
        *entries.link(entry, nth) = Link { before: self.last, behind: NONE };
        match self.last {
            NONE => self.first = entry,
            last => entries.link(last, nth).behind = entry,
        }
        self.last = entry;
        self.len += 1;
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, entries: &mut impl Linked, entry: u32, nth: usize) {
        self.len -= 1;
        let Link { before, behind } = std::mem::replace(entries.link(entry, nth), Link::ALONE);
        match before {
            NONE => self.first = behind,
            before => entries.link(before, nth).behind = behind,
        }
        match behind {
            NONE => self.last = before,
            behind => entries.link(behind, nth).before = before,
        }
    }
}

/// The entry behind `entry`, or [`NONE`].
pub(super) fn behind(entries: &mut impl Linked, entry: u32, nth: usize) -> u32 {
    entries.link(entry, nth).behind
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Entries(Vec<[Link; 1]>);

    impl Linked for Entries {
        fn link(&mut self, entry: u32, nth: usize) -> &mut Link {
            &mut self.0[entry as usize][nth]
        }
    }

    fn walk(list: List, entries: &mut Entries) -> Vec<u32> {
        let mut seen = vec![];
        let mut at = list.first;
        while at != NONE {
            seen.push(at);
            at = behind(entries, at, 0);
        }
        seen
    }

    #[test]
    fn entries_leave_from_the_front_the_middle_and_the_end() {
        let mut entries = Entries(vec![[Link::ALONE]; 5]);
        let mut list = List::default();
        for entry in 0..5 {
            list.push(&mut entries, entry, 0);
        }
        for (gone, left) in
            [(2, vec![0, 1, 3, 4]), (0, vec![1, 3, 4]), (4, vec![1, 3]), (1, vec![3]), (3, vec![])]
        {
            list.remove(&mut entries, gone, 0);
            assert_eq!(walk(list, &mut entries), left);
        }
        assert!(list.is_empty());
        list.push(&mut entries, 2, 0);
        assert_eq!(walk(list, &mut entries), [2]);
    }
}
