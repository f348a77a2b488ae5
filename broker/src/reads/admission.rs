//! How many reads from disk are under way. A place is given back when it is dropped, however its
//! task ends.

use crate::limits::DISK_READS_MAX;
use std::cell::Cell;
use std::rc::Rc;

/// The places of one shard.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    taken: Rc<Cell<usize>>,
}

/// One read from disk. See the module's text.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Rc<Cell<usize>>,
}

impl Admission {
    /// A place, unless `DISK_READS_MAX` are taken.
    pub(crate) fn try_take(&self) -> Option<Place> {
        let taken = self.taken.get();
        (taken < DISK_READS_MAX).then(|| {
            self.taken.set(taken + 1);
            Place { taken: self.taken.clone() }
        })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.get()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.set(self.taken.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_when_its_read_is_dropped_half_done() {
        let admission = Admission::default();
        let mut places: Vec<_> = std::iter::from_fn(|| admission.try_take()).collect();
        assert_eq!((places.len(), admission.taken()), (DISK_READS_MAX, DISK_READS_MAX));
        let place = places.pop();
        let task = async move {
            let _place = place;
            std::future::pending::<()>().await;
        };
        drop(task);
        assert!(admission.try_take().is_some());
        drop(places);
        assert_eq!(admission.taken(), 0);
    }
}
