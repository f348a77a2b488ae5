//! Connections of slaves to masters: bytes in order, in either direction, that may stand still, and
//! an end that may not know that the other one is gone.

use std::collections::VecDeque;

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: u64,
    pub(super) slave: usize,
    pub(super) master: usize,
    pub(super) transfers: VecDeque<(u64, Vec<u8>)>,
    pub(super) reports: VecDeque<u64>,
    /// Nothing arrives at the slave, at the master.
    pub(super) is_stalled: [bool; 2],
    /// The end is there: the slave's, the master's.
    pub(super) has_end: [bool; 2],
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) conns: Vec<Conn>,
    opened: u64,
}

impl Network {
    pub(super) fn open(&mut self, slave: usize, master: usize) -> u64 {
        self.opened += 1;
        self.conns.push(Conn {
            id: self.opened,
            slave,
            master,
            transfers: VecDeque::new(),
            reports: VecDeque::new(),
            is_stalled: [false; 2],
            has_end: [true; 2],
        });
        self.opened
    }

    pub(super) fn get(&mut self, id: u64) -> Option<&mut Conn> {
        self.conns.iter_mut().find(|conn| conn.id == id)
    }

    /// Forgets those that nobody holds an end of.
    pub(super) fn sweep(&mut self) {
        self.conns.retain(|conn| conn.has_end != [false; 2]);
    }

    /// Bytes on their way to the slave.
    pub(super) fn unsent(&self, id: u64) -> usize {
        let of_this = self.conns.iter().filter(|conn| conn.id == id);
        of_this.flat_map(|conn| &conn.transfers).map(|(_, bytes)| bytes.len()).sum()
    }
}
