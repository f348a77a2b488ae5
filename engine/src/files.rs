//! Open files, one that was not used lately closed when there are too many.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// At most `limit` open files by key.
///
/// Which one goes is decided by a clock (second chance), at a constant cost: a search for the least
/// recently used would cost each round over many queues the square of the limit.
pub(crate) struct OpenFiles<K, F> {
    open: HashMap<K, Entry<F>>,
    /// The keys in `open`, each once: the first is the next to be looked at.
    clock: VecDeque<K>,
    limit: usize,
}

struct Entry<F> {
    was_used: bool,
    file: F,
}

impl<K: Eq + Hash + Copy, F: Clone> OpenFiles<K, F> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { open: HashMap::new(), clock: VecDeque::new(), limit: limit.max(1) }
    }

    pub(crate) fn get(&mut self, key: K) -> Option<F> {
        let entry = self.open.get_mut(&key)?;
        entry.was_used = true;
        Some(entry.file.clone())
    }

    /// Operations under way on a file that goes keep their own handle.
    pub(crate) fn insert(&mut self, key: K, file: F) {
        if let Some(entry) = self.open.get_mut(&key) {
            entry.file = file;
            return;
        }
        while self.open.len() >= self.limit {
            self.close_one();
        }
        self.clock.push_back(key);
        self.open.insert(key, Entry { was_used: false, file });
    }

    /// Closes the next that was not used since it was looked at last, or gives it another chance.
    fn close_one(&mut self) {
        let key = self.clock.pop_front().expect("each open file is on the clock");
        match self.open.get_mut(&key) {
            Some(entry) if entry.was_used => {
                entry.was_used = false;
                self.clock.push_back(key);
            }
            _ => drop(self.open.remove(&key)),
        }
    }

    pub(crate) fn forget(&mut self, which: impl Fn(&K) -> bool) {
        self.open.retain(|key, _| !which(key));
        self.clock.retain(|key| !which(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_not_used_lately_goes() {
        let mut files = OpenFiles::new(2);
        files.insert(1, 'a');
        files.insert(2, 'b');
        assert_eq!(files.get(1), Some('a'));
        files.insert(3, 'c');
        assert_eq!((files.get(1), files.get(2), files.get(3)), (Some('a'), None, Some('c')));
    }

    #[test]
    fn never_more_are_open_than_may_be_whatever_is_inserted_and_forgotten() {
        let mut files = OpenFiles::new(5);
        for nth in 0..1000_u32 {
            files.insert(nth * 7 % 23, nth);
            files.get(nth % 23);
            if nth % 10 == 0 {
                files.forget(|key| key % 3 == nth % 3);
            }
            assert!(files.open.len() <= 5 && files.clock.len() == files.open.len());
        }
    }
}
