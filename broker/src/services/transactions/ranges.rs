//! A set of queue offsets as ranges: offsets that follow each other take no more memory than one.

use std::collections::BTreeMap;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// First offset → one past the last; no two touch each other.
    ranges: BTreeMap<i64, i64>,
    /// How many offsets they have together.
    offsets: i64,
}

impl Ranges {
    /// Adds an offset.
    pub(super) fn insert(&mut self, offset: i64) {
        let before = self.around(offset);
        if before.is_some_and(|(_, end)| offset < end) {
            return;
        }
        self.offsets += 1;
        let end = self.ranges.remove(&(offset + 1)).unwrap_or(offset + 1);
        let start = before.filter(|(_, end)| *end == offset).map_or(offset, |(start, _)| start);
        self.ranges.insert(start, end);
    }

    /// Whether an offset is in it.
    pub(super) fn contains(&self, offset: i64) -> bool {
        self.around(offset).is_some_and(|(_, end)| offset < end)
    }

    /// The first offset from `from` on that is not in it. Everything below that is forgotten.
    pub(super) fn take_up_to_gap(&mut self, from: i64) -> i64 {
        let gap = self.around(from).map_or(from, |(_, end)| end.max(from));
        while let Some(first) = self.ranges.first_entry()
            && *first.key() < gap
        {
            let (start, end) = first.remove_entry();
            self.offsets -= end - start;
            if end > gap {
                self.ranges.insert(gap, end);
                self.offsets += end - gap;
            }
        }
        gap
    }

    /// How many follow `from` without one that is in it, at most `max`.
    pub(super) fn gap_at(&self, from: i64, max: i64) -> i64 {
        let next = self.ranges.range(from..).next();
        next.map_or(max, |(start, _)| (start - from).min(max))
    }

    /// How many offsets there are.
    pub(super) fn len(&self) -> i64 {
        self.offsets
    }

    /// The range that begins at `offset` or last before it.
    fn around(&self, offset: i64) -> Option<(i64, i64)> {
        self.ranges.range(..=offset).next_back().map(|(start, end)| (*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn offsets_in_any_order_become_few_ranges() {
        let mut ranges = Ranges::default();
        for offset in [5, 3, 4, 9, 4, 8, 0] {
            ranges.insert(offset);
        }
        assert_eq!(ranges.ranges, [(0, 1), (3, 6), (8, 10)].into());
        assert_eq!((ranges.len(), ranges.gap_at(6, 32), ranges.gap_at(6, 1)), (6, 2, 1));
        assert_eq!(ranges.gap_at(10, 32), 32);
    }

    #[test]
    fn it_agrees_with_a_plain_set() {
        let (mut ranges, mut set, mut from) = (Ranges::default(), BTreeSet::new(), 0);
        let mut random = 7_u64;
        for _ in 0..5_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let offset = from + i64::try_from(random >> 33).unwrap() % 40;
            ranges.insert(offset);
            set.insert(offset);
            assert_eq!(ranges.contains(offset + 3), set.contains(&(offset + 3)));
            if random.is_multiple_of(3) {
                while set.remove(&from) {
                    from += 1;
                }
                assert_eq!(ranges.take_up_to_gap(from), from);
                set.retain(|offset| *offset >= from);
            }
            assert_eq!(ranges.len(), i64::try_from(set.len()).unwrap());
        }
        assert!(from > 500, "the sets grew only: {from}");
    }
}
