//! Open files, the least recently used closed when there are too many.

use std::collections::HashMap;
use std::hash::Hash;

/// At most `limit` open files by key.
pub(crate) struct OpenFiles<K, F> {
    open: HashMap<K, (u64, F)>,
    uses: u64,
    limit: usize,
}

impl<K: Eq + Hash + Copy, F: Clone> OpenFiles<K, F> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { open: HashMap::new(), uses: 0, limit }
    }

    pub(crate) fn get(&mut self, key: K) -> Option<F> {
        self.uses += 1;
        let (last_use, file) = self.open.get_mut(&key)?;
        *last_use = self.uses;
        Some(file.clone())
    }

    /// Operations under way on a file that goes keep their own handle.
    pub(crate) fn insert(&mut self, key: K, file: F) {
        if self.open.len() >= self.limit {
            let oldest =
                self.open.iter().min_by_key(|(_, (last_use, _))| *last_use).map(|(key, _)| *key);
            oldest.map(|key| self.open.remove(&key));
        }
        self.uses += 1;
        self.open.insert(key, (self.uses, file));
    }

    pub(crate) fn forget(&mut self, which: impl Fn(&K) -> bool) {
        self.open.retain(|key, _| !which(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes() {
        let mut files = OpenFiles::new(2);
        files.insert(1, 'a');
        files.insert(2, 'b');
        assert_eq!(files.get(1), Some('a'));
        files.insert(3, 'c');
        assert_eq!((files.get(1), files.get(2), files.get(3)), (Some('a'), None, Some('c')));
    }
}
