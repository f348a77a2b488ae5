//! What happens to machines and the network, and what the operator does.

use super::network::Conn;
use super::node::{Node, Side};
use super::oracle::Sent;
use super::world::World;
use rt::sim::{Fault, FaultOp};
use std::time::Duration;

/// Until then a world that nothing happens to any more has one log.
const CALM_STEPS: usize = 3_000;

impl World {
    pub(super) fn event(&mut self) {
        let nth = self.one_of(self.nodes.len());
        match self.random(11) {
            0 => self.crash(nth, false),
            1 => self.crash(nth, true),
            2 => self.fail_disk(nth),
            3 | 4 => self.break_one(),
            5 | 6 => self.stall_one(),
            7 => self.step_clock(nth),
            8 => self.replace(),
            _ => self.heal(),
        }
    }

    /// A machine ends and comes back. The operator looks who has most.
    pub(super) fn crash(&mut self, nth: usize, is_power_cut: bool) {
        if nth == self.master {
            self.heal(); // What was replaced may have most now.
        }
        self.tally.kills += usize::from(!is_power_cut);
        self.tally.power_cuts += usize::from(is_power_cut);
        self.hang_up(nth);
        self.nodes[nth].end_life(is_power_cut);
        let was_zombie = self.zombie.take_if(|zombie| *zombie == nth).is_some();
        self.nodes[nth].open_as_slave(self.master);
        self.note_losses();
        if nth != self.master || was_zombie {
            return;
        }
        let best = (0..self.nodes.len())
            .filter(|nth| self.zombie != Some(*nth))
            .max_by_key(|nth| (self.nodes[*nth].rank(), self.nodes[*nth].random(9)));
        let best = best.unwrap();
        self.tally.restarted_masters += usize::from(best == nth);
        self.promote(best);
    }

    fn promote(&mut self, nth: usize) {
        let is_promoted = nth != self.master;
        self.tally.promotions += usize::from(is_promoted);
        self.hang_up(nth);
        self.nodes[nth].open_as_master(&self.setting.clone(), is_promoted);
        self.master = nth;
        for other in 0..self.nodes.len() {
            if other != nth && self.zombie != Some(other) {
                self.hang_up(other);
                self.nodes[other].open_as_slave(nth);
            }
        }
        let master = &self.nodes[nth];
        for sent in self.sent.iter().filter(|sent| sent.is_acknowledged && !sent.is_lost) {
            assert!(
                master.has(sent.at, sent.end, &sent.text),
                "{:?} at {} was acknowledged and is not on the new master {nth}, whose log ends \
                 at {}",
                sent.text.get(..8),
                sent.at,
                master.end()
            );
        }
    }

    /// The only slave is made the master while the old one goes on and nobody tells it.
    fn replace(&mut self) {
        if self.nodes.len() > 2 || self.zombie.is_some() {
            return;
        }
        let (old, new) = (self.master, 1 - self.master);
        let is_promised = |sent: &&Sent| sent.is_acknowledged && !sent.is_lost;
        let node = &self.nodes[new];
        let mut promised = self.sent.iter().filter(is_promised);
        if !promised.all(|sent| node.has(sent.at, sent.end, &sent.text)) {
            return; // A power cut took some of it from this one; the operator sees that in its end.
        }
        self.tally.zombies += 1;
        self.zombie = Some(old);
        self.promote(new);
    }

    /// Its process is gone: the other ends learn of it, or not before they try.
    pub(super) fn hang_up(&mut self, nth: usize) {
        let of_it = self.network.conns.iter();
        let of_it = of_it.filter(|conn| conn.slave == nth || conn.master == nth);
        let ids: Vec<(u64, bool)> = of_it.map(|conn| (conn.id, conn.slave == nth)).collect();
        for (id, is_slave) in ids {
            let is_half_open = self.random(2) == 0;
            self.tally.half_open += usize::from(is_half_open);
            if is_slave {
                self.drop_slave_end(nth, id);
                if !is_half_open {
                    self.master_lets_go(id);
                }
            } else {
                self.master_lets_go(id);
                let slave = self.network.get(id).map(|conn| conn.slave);
                if let Some(slave) = slave.filter(|_| !is_half_open) {
                    self.drop_slave_end(slave, id);
                }
            }
        }
    }

    fn note_losses(&mut self) {
        let nodes = &self.nodes;
        for sent in self.sent.iter_mut().filter(|sent| sent.is_acknowledged && !sent.is_lost) {
            sent.is_lost = !nodes.iter().any(|node| node.has(sent.at, sent.end, &sent.text));
            self.tally.lost_by_power_cuts += usize::from(sent.is_lost);
        }
    }

    /// A write or a flush fails: the store is poisoned, and its broker ends.
    fn fail_disk(&mut self, nth: usize) {
        if self.zombie.is_some() {
            return;
        }
        let node = &self.nodes[nth];
        let op = if node.random(2) == 0 { FaultOp::Write } else { FaultOp::Sync };
        node.sim.inject(Fault::eio(op, "/").times(1));
        for _ in 0..8 {
            self.produce();
            self.turn(30);
        }
        self.tally.failed_disks += usize::from(self.nodes[nth].store().poisoned().is_some());
        self.crash(nth, false);
    }

    fn break_one(&mut self) {
        let Some((id, nth)) = self.any_conn().map(|conn| (conn.id, conn.slave)) else { return };
        self.tally.broken += 1;
        let which = self.random(3);
        if which != 0 {
            self.master_lets_go(id);
        }
        if which != 1 {
            self.drop_slave_end(nth, id);
        }
        self.tally.half_open += usize::from(which != 2);
    }

    fn stall_one(&mut self) {
        let (to_slave, to_master) = (self.random(2) == 0, self.random(2) == 0);
        if let Some(conn) = self.any_conn() {
            conn.is_stalled = [to_slave, to_master];
            self.tally.stalls += 1;
        }
    }

    fn any_conn(&mut self) -> Option<&mut Conn> {
        let count = self.network.conns.len();
        if count == 0 {
            return None;
        }
        let nth = self.one_of(count);
        self.network.conns.get_mut(nth)
    }

    fn step_clock(&mut self, nth: usize) {
        self.tally.clock_steps += 1;
        let (sim, by) = (&self.nodes[nth].sim, Duration::from_secs(self.random(7_200)));
        if self.random(2) == 0 { sim.advance_wall(by) } else { sim.set_back_wall(by) }
    }

    /// The network works again; a master that was replaced comes back as a slave.
    fn heal(&mut self) {
        self.network.conns.iter_mut().for_each(|conn| conn.is_stalled = [false; 2]);
        if let Some(old) = self.zombie.take() {
            self.hang_up(old);
            self.nodes[old].end_life(false);
            self.nodes[old].open_as_slave(self.master);
        }
    }

    /// Nothing happens any more: all have one log, and everything in it that was promised.
    pub(super) fn calm(&mut self) {
        self.heal();
        let mut step = 0;
        loop {
            self.turn(60);
            let ends: Vec<u64> = self.nodes.iter().map(Node::end).collect();
            let is_up = |node: &Node| match &node.side {
                Side::Slave(slave) => slave.following.is_up(),
                Side::Master(master) => master.waiting.is_empty(),
            };
            if ends.iter().all(|end| *end == ends[self.master]) && self.nodes.iter().all(is_up) {
                break;
            }
            step += 1;
            assert!(step < CALM_STEPS, "logs that end at {ends:?} do not become one");
        }
        let end = self.nodes[self.master].end();
        let log = self.nodes[self.master].bytes(0, end);
        for node in &self.nodes {
            assert!(node.bytes(0, end) == log, "node {} has another log", node.nth);
        }
        let master = &self.nodes[self.master];
        for sent in self.sent.iter().filter(|sent| sent.is_acknowledged && !sent.is_lost) {
            assert!(master.has(sent.at, sent.end, &sent.text), "{:?} is lost", sent.text.get(..8));
        }
    }
}
