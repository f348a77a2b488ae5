//! The machines, the network between them, and what happens to both.

use super::network::{Conn, Network};
use super::node::{Node, Side};
use super::oracle::{Sent, Tally};
use crate::sends::replicas::Need;
use crate::services::delivery::simulation::draft;
use crate::services::replication::assembly::{Fed, Taken};
use crate::services::replication::following::{Goal, Stream};
use crate::services::replication::join::{cut, prepare};
use crate::services::replication::standing::kept;
use crate::services::replication::taking::{Took, Verdict};
use engine::{AppendError, PhyOffset, RawError, Store};
use rt::Runtime as _;
use rt::sim::Sim;
use std::time::Duration;

const STEPS: usize = 260;
const WINDOW_BYTES: usize = 64 * 1_024;
const HEARTBEAT_MS: i64 = 40;

pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    pub(super) network: Network,
    pub(super) sent: Vec<Sent>,
    /// The machine that the operator holds for the master.
    pub(super) master: usize,
    /// A master that was replaced and does not know it.
    pub(super) zombie: Option<usize>,
    pub(super) setting: Vec<(&'static str, &'static str)>,
    pub(super) tally: Tally,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let count = if seed.is_multiple_of(3) { 3 } else { 2 };
        let nodes = (0..count).map(|nth| Node::new(nth, seed, 0)).collect();
        let setting = if seed.is_multiple_of(5) { vec![("inSyncReplicas", "2")] } else { vec![] };
        let mut world = Self {
            nodes,
            network: Network::default(),
            sent: Vec::new(),
            master: 0,
            zombie: None,
            setting,
            tally: Tally::default(),
        };
        world.nodes[0].open_as_master(&world.setting, false);
        world
    }

    pub(super) fn run(mut self) -> Tally {
        for _ in 0..STEPS {
            self.turn(12);
            self.produce();
            if self.random(9) == 0 {
                self.event();
            }
        }
        self.calm();
        self.nodes.iter().for_each(|node| node.sim.end());
        self.tally
    }

    pub(super) fn random(&self, below: u64) -> u64 {
        self.nodes[0].random(below)
    }

    pub(super) fn one_of(&self, count: usize) -> usize {
        usize::try_from(self.random(count as u64)).unwrap()
    }

    /// Time passes for all, and what is on its way arrives, or not yet.
    pub(super) fn turn(&mut self, most_ms: u64) {
        for nth in 0..self.nodes.len() {
            let node = &self.nodes[nth];
            let time = Duration::from_millis(1 + node.random(most_ms));
            node.sim.block_on(node.sim.sleep(time));
            match &self.nodes[nth].side {
                Side::Master(_) => self.master_turn(nth),
                Side::Slave(_) => self.slave_turn(nth),
            }
        }
        let ids: Vec<u64> = self.network.conns.iter().map(|conn| conn.id).collect();
        for id in ids {
            for _ in 0..self.random(6) {
                self.deliver_report(id);
                self.deliver_transfer(id);
            }
        }
        self.network.sweep();
    }

    /// Sends what slaves lack, and answers senders.
    fn master_turn(&mut self, nth: usize) {
        let Self { nodes, network, sent, tally, .. } = self;
        let Node { sim, store, side: Side::Master(master), .. } = &mut nodes[nth] else { return };
        let store = store.as_ref().unwrap();
        let end = store.appended().0;
        for slave in master.slaves.each() {
            while let Some(next) = slave.next.filter(|next| *next < end) {
                let conn = slave.conn;
                if network.unsent(conn) >= WINDOW_BYTES {
                    break;
                }
                let len = usize::try_from(1 + sim.random_u64() % 6_000).unwrap();
                let part = sim.block_on(store.log_part(PhyOffset(next), len)).unwrap();
                slave.next = Some(next + part.len() as u64);
                tally.transferred += part.len();
                if let Some(conn) = network.get(conn) {
                    conn.transfers.push_back((next, part.to_vec()));
                }
            }
        }
        let acknowledged = store.acknowledged();
        master.waiting.retain(|id| {
            let end = PhyOffset(sent[*id].end);
            let is_done = master.replicas.have(end) && end <= acknowledged;
            if is_done {
                sent[*id].is_acknowledged = true;
                tally.acknowledged += 1;
            }
            !is_done
        });
    }

    /// A master takes messages, also one that was replaced.
    pub(super) fn produce(&mut self) {
        for nth in [Some(self.master), self.zombie].into_iter().flatten() {
            for _ in 0..self.random(5) {
                self.send(nth);
            }
        }
    }

    fn send(&mut self, nth: usize) {
        let Self { nodes, sent, tally, .. } = self;
        let node = &mut nodes[nth];
        let Side::Master(master) = &mut node.side else { return };
        let store = node.store.as_ref().unwrap();
        let len = usize::try_from(node.sim.random_u64() % 1_500).unwrap();
        let text = format!("{}@{nth} {}", sent.len(), "x".repeat(len));
        let queue_id = i32::try_from(node.sim.random_u64() % 3).unwrap();
        let draft = protocol::record::RecordDraft { queue_id, ..draft("T", text.as_bytes(), &[]) };
        let Ok(place) = store.append(&draft) else { return };
        let (at, end) = (place.physical_offset.0, place.end().0);
        match master.replicas.need(place.end()) {
            Need::Slaves => master.waiting.push(sent.len()),
            Need::Nobody | Need::NotThere => tally.not_there += 1,
        }
        tally.sent += 1;
        sent.push(Sent { text, at, end, is_acknowledged: false, is_lost: false });
    }

    /// A slave joins, reports, and takes what it had no room for.
    fn slave_turn(&mut self, nth: usize) {
        let now_ms = self.nodes[nth].now_ms();
        let Side::Slave(slave) = &mut self.nodes[nth].side else { return };
        let is_due = slave.following.is_due(now_ms);
        let is_master_there =
            matches!(self.nodes[slave_master(&self.nodes, nth)].side, Side::Master(_));
        if is_due && is_master_there && self.zombie != Some(nth) {
            return self.join(nth, None);
        }
        let node = &mut self.nodes[nth];
        let Side::Slave(slave) = &mut node.side else { return };
        let store = node.store.as_ref().unwrap();
        let Stream::Up(up) = &mut slave.following.stream else { return };
        if up.is_waiting {
            up.is_waiting =
                up.assembly.again(&mut |at, pieces: &[u8]| append(store, at, pieces)) == Fed::Waits;
        }
        let kept = kept(store, node.reports_flushed).0;
        let told = up.report(kept, now_ms, HEARTBEAT_MS);
        let conn = up.conn;
        let is_there = self.network.get(conn).filter(|conn| conn.has_end[0]);
        match (is_there, told) {
            (Some(conn), Some(offset)) if conn.has_end[1] => conn.reports.push_back(offset),
            (Some(conn), _) if !conn.has_end[1] && now_ms % 7 == 0 => {
                conn.has_end[0] = false;
                slave.following.down("the other end is gone", now_ms);
            }
            (None, _) => _ = slave.following.down("the stream ended", now_ms),
            _ => {}
        }
    }

    /// As `join::join`, and the cut before it that a comparison asked for; a crash may come in
    /// between.
    fn join(&mut self, nth: usize, cut_to: Option<u64>) {
        let master = slave_master(&self.nodes, nth);
        let said = self.nodes[master].said();
        let node = &mut self.nodes[nth];
        let mut known = node.known();
        let end = node.end();
        let time = (node.random(12) == 0).then(|| Duration::from_micros(node.random(20_000)));
        let joined = Node::run(&node.sim, time, async {
            if let Some(to) = cut_to {
                cut(&node.own(), to).await?;
            }
            prepare(&node.own(), said, &mut known).await
        });
        let Some(outcome) = joined else {
            self.tally.cut_off_in_a_cut += usize::from(node.end() != end || cut_to.is_some());
            let is_power_cut = node.random(2) == 0;
            return self.crash(nth, is_power_cut);
        };
        self.tally.cuts += usize::from(node.end() < end);
        let (epochs, search) = (known.epochs, known.search);
        let (now_ms, end) = (node.now_ms(), node.end());
        let bytes_max = node.config.raw_bytes_max();
        node.epochs = epochs;
        let Side::Slave(slave) = &mut node.side else { return };
        slave.following.search = search;
        match outcome {
            Ok(start) => {
                self.tally.tries += usize::from(matches!(start.goal, Goal::Try(_)));
                let conn = self.network.open(nth, master);
                let from = start.from;
                slave.following.stream = Stream::Up(start.up(conn, end, bytes_max, now_ms));
                self.network.get(conn).unwrap().reports.push_back(from);
                let peer = format!("10.0.0.{nth}:1").parse().unwrap();
                let Side::Master(master) = &mut self.nodes[master].side else { return };
                if master.slaves.opened(conn, peer, now_ms).is_err() {
                    self.network.get(conn).unwrap().has_end[1] = false;
                }
            }
            Err(why) => {
                slave.following.down(&why, now_ms);
                if why.contains("--rebuild-slave") && self.zombie != Some(nth) {
                    self.tally.rebuilt += 1;
                    self.nodes[nth].rebuild(master);
                }
            }
        }
    }

    fn deliver_report(&mut self, id: u64) {
        let Some(conn) = self.network.get(id) else { return };
        if conn.is_stalled[1] || !conn.has_end[1] {
            return;
        }
        let (nth, of) = (conn.master, conn.slave);
        let Some(offset) = conn.reports.pop_front() else {
            if !conn.has_end[0] && self.nodes[nth].random(4) == 0 {
                self.master_lets_go(id);
            }
            return;
        };
        let (log, now_ms) = (self.nodes[nth].log(), self.nodes[nth].now_ms());
        let Side::Master(master) = &mut self.nodes[nth].side else { return };
        let taken = master.slaves.reported(id, i64::try_from(offset).unwrap(), log, now_ms);
        assert!(taken.is_ok(), "slave {of} of {nth}: {taken:?}");
        self.tell_sends(nth);
        self.check_counted(nth, of, id);
    }

    /// As `master::tell_sends`.
    fn tell_sends(&mut self, nth: usize) {
        let Side::Master(master) = &mut self.nodes[nth].side else { return };
        let wanted = master.replicas.wanted();
        let nearest = master.slaves.nearest();
        let replicated = wanted.and_then(|count| master.slaves.replicated(count));
        master.replicas.are_at(nearest, replicated);
    }

    pub(super) fn master_lets_go(&mut self, id: u64) {
        let Some(conn) = self.network.get(id) else { return };
        conn.has_end[1] = false;
        let nth = conn.master;
        if let Side::Master(master) = &mut self.nodes[nth].side {
            master.slaves.closed(id);
        }
        self.tell_sends(nth);
    }

    /// What a master counts of a slave has the master's bytes.
    fn check_counted(&mut self, nth: usize, of: usize, id: u64) {
        let Side::Master(master) = &mut self.nodes[nth].side else { return };
        let Some(has) =
            master.slaves.get(id).filter(|slave| slave.counted()).map(|slave| slave.has)
        else {
            return;
        };
        // A power cut may have taken what it reported.
        let upto = has.min(self.nodes[of].end());
        let is_this = self.network.get(id).is_some_and(|conn| conn.has_end[0]);
        if is_this {
            let from = upto.saturating_sub(20_000);
            let [one, other] = [nth, of].map(|nth| self.nodes[nth].bytes(from, upto));
            assert!(one == other, "{of} has other bytes than its master {nth} below {upto}");
        }
    }

    fn deliver_transfer(&mut self, id: u64) {
        let Some(conn) = self.network.get(id) else { return };
        let Conn { slave: nth, has_end: [true, _], is_stalled: [false, _], .. } = *conn else {
            return;
        };
        let Node { store: Some(store), side: Side::Slave(slave), .. } = &mut self.nodes[nth] else {
            return;
        };
        let Some(up) = slave.following.up(id) else { return };
        if up.is_waiting {
            return;
        }
        let Some((offset, bytes)) = conn.transfers.pop_front() else { return };
        match up.take(offset, &bytes, |at, pieces| append(store, at, pieces)) {
            Took::Known | Took::Fed { fed: Fed::Whole, .. } => {}
            Took::Fed { fed: Fed::Waits, .. } => up.is_waiting = true,
            Took::Compared(verdict) => self.compared(nth, id, verdict),
            Took::Broken(why) => panic!("node {nth}: {why}"),
            Took::Fed { fed: Fed::Broken(why), .. } => panic!("node {nth}: {why}"),
            Took::Fed { fed: Fed::Refused(why), .. } => {
                // A disk that failed: the store is poisoned, or has no next file. Not the bytes.
                let is_disk = matches!(why, RawError::Append(_)) || store.poisoned().is_some();
                assert!(is_disk, "node {nth}: {why}");
                self.drop_slave_end(nth, id);
            }
        }
    }

    fn compared(&mut self, nth: usize, id: u64, verdict: Verdict) {
        if let Some(conn) = self.network.get(id) {
            conn.has_end[0] = false;
        }
        let file_bytes = self.nodes[nth].config.commitlog_file_bytes;
        let Side::Slave(slave) = &mut self.nodes[nth].side else { return };
        slave.following.stream = Stream::Down { retry_ms: i64::MIN };
        let cut_to = slave.following.learn(verdict, file_bytes);
        let master = slave.master;
        if matches!(self.nodes[master].side, Side::Master(_)) {
            self.join(nth, cut_to);
        }
    }

    pub(super) fn drop_slave_end(&mut self, nth: usize, id: u64) {
        if let Some(conn) = self.network.get(id) {
            conn.has_end[0] = false;
        }
        let now_ms = self.nodes[nth].now_ms();
        if let Side::Slave(slave) = &mut self.nodes[nth].side {
            slave.following.down("dropped", now_ms);
        }
    }
}

fn slave_master(nodes: &[Node], nth: usize) -> usize {
    match &nodes[nth].side {
        Side::Slave(slave) => slave.master,
        Side::Master(_) => nth,
    }
}

fn append(store: &Store<Sim>, at: u64, pieces: &[u8]) -> Taken<RawError> {
    match store.append_raw(PhyOffset(at), pieces) {
        Ok(_) => Taken::All,
        Err(RawError::Append(AppendError::TailFull { .. })) => Taken::Later,
        Err(error) => Taken::Never(error),
    }
}
