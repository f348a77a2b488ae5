//! The producer groups of open transactions. A transaction keeps a number in the place of a name.

use protocol::names;
use slab::Slab;
use std::collections::HashMap;
use std::rc::Rc;

/// Names a producer group; `None` when nobody can be in it: its name is none that a producer may
/// have.
pub(super) type GroupId = Option<u32>;

#[derive(Debug)]
struct Group {
    name: Rc<str>,
    /// Its open transactions.
    open: usize,
    /// Those that wait for a producer.
    parked: usize,
    /// Which producer is asked next.
    turn: usize,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Slab<Group>,
    ids: HashMap<Rc<str>, u32>,
}

impl Groups {
    /// One more transaction of a group.
    pub(super) fn enter(&mut self, name: &str) -> GroupId {
        if let Some(id) = self.ids.get(name) {
            self.groups[*id as usize].open += 1;
            return Some(*id);
        }
        names::check_group(name).ok()?;
        let name = Rc::<str>::from(name);
        let id = self.groups.insert(Group { name: name.clone(), open: 1, parked: 0, turn: 0 });
        let id = u32::try_from(id).expect("there are fewer groups than transactions");
        self.ids.insert(name, id);
        Some(id)
    }

    /// One less.
    pub(super) fn leave(&mut self, id: GroupId) {
        let Some(id) = id else { return };
        let group = &mut self.groups[id as usize];
        group.open -= 1;
        if group.open == 0 {
            self.ids.remove(&group.name);
            self.groups.remove(id as usize);
        }
    }

    /// A transaction waits for a producer, or does no longer.
    pub(super) fn park(&mut self, id: GroupId, is_parked: bool) {
        let Some(id) = id else { return };
        let parked = &mut self.groups[id as usize].parked;
        *parked = if is_parked { *parked + 1 } else { *parked - 1 };
    }

    /// The group of that name, if transactions of it wait for a producer.
    pub(super) fn parked(&self, name: &str) -> GroupId {
        let id = self.ids.get(name).copied()?;
        (self.groups[id as usize].parked > 0).then_some(id)
    }

    /// Its name, and which of its producers is asked next.
    pub(super) fn next_turn(&mut self, id: GroupId) -> Option<(Rc<str>, usize)> {
        let group = &mut self.groups[id? as usize];
        group.turn = group.turn.wrapping_add(1);
        Some((group.name.clone(), group.turn))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.ids.is_empty()
    }
}
