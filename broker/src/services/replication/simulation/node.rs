//! One machine, its store, and the side of replication that it is on.

use crate::config::{self, Role};
use crate::sends::replicas::Replicas;
use crate::services::delivery::simulation as frame;
use crate::services::replication::asking::MasterLog;
use crate::services::replication::following::Following;
use crate::services::replication::join::{Known, Own, Said};
use crate::services::replication::slaves::{LogRange, Slaves};
use crate::tables::epochs::{self, Epochs};
use engine::{LogSource, PhyOffset, Store, StoreConfig};
use futures_lite::future::or;
use rt::Runtime as _;
use rt::sim::Sim;
use std::path::Path;
use std::time::Duration;

/// A master's side.
pub(super) struct Master {
    pub(super) slaves: Slaves<u64>,
    pub(super) replicas: Replicas,
    /// Messages that wait for slaves, by their number.
    pub(super) waiting: Vec<usize>,
}

/// A slave's side.
pub(super) struct Slave {
    pub(super) following: Following<u64>,
    /// Which machine it takes for the master.
    pub(super) master: usize,
}

pub(super) enum Side {
    Master(Box<Master>),
    Slave(Box<Slave>),
}

pub(super) struct Node {
    pub(super) nth: usize,
    pub(super) sim: Sim,
    pub(super) config: StoreConfig,
    pub(super) store: Option<Store<Sim>>,
    pub(super) side: Side,
    pub(super) epochs: Epochs,
    pub(super) reports_flushed: bool,
    rebuilt: usize,
}

fn replicas(pairs: &[(&str, &str)]) -> Replicas {
    Replicas::new(&config::options(pairs).replication)
}

impl Node {
    pub(super) fn new(nth: usize, seed: u64, master: usize) -> Self {
        let sim = Sim::new(seed ^ (0x5EED << (8 * nth)));
        let mut config = frame::config("/store-0", seed / 2);
        config.commitlog_file_bytes = 96 * 1_024;
        let slave = Slave { following: Following::default(), master };
        let mut node = Self {
            nth,
            sim,
            config,
            store: None,
            side: Side::Slave(Box::new(slave)),
            epochs: Epochs::default(),
            reports_flushed: (seed / 8).is_multiple_of(3),
            rebuilt: 0,
        };
        node.open_as_slave(master);
        node
    }

    pub(super) fn random(&self, below: u64) -> u64 {
        self.sim.random_u64() % below.max(1)
    }

    pub(super) fn store(&self) -> &Store<Sim> {
        self.store.as_ref().unwrap()
    }

    pub(super) fn root(&self) -> &Path {
        &self.config.root
    }

    pub(super) fn now_ms(&self) -> i64 {
        i64::try_from(self.sim.now_nanos() / 1_000_000).unwrap()
    }

    pub(super) fn end(&self) -> u64 {
        self.store().appended().0
    }

    pub(super) fn log(&self) -> LogRange {
        let store = self.store();
        let (begin, end) = (store.log_begin().0, store.appended().0);
        LogRange { begin, end, file_bytes: store.log_file_bytes() }
    }

    pub(super) fn own(&self) -> Own<'_, Sim> {
        Own {
            rt: &self.sim,
            store: self.store(),
            root: self.root(),
            reports_flushed: self.reports_flushed,
        }
    }

    pub(super) fn said(&self) -> Said {
        let LogRange { begin, end, .. } = self.log();
        Said { log: Some(MasterLog { begin, end }), epochs: self.epochs.clone() }
    }

    /// Runs `work` to its end, or for so long; `None`: it did not come to its end.
    pub(super) fn run<T>(
        sim: &Sim,
        time: Option<Duration>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        sim.block_on(or(async { Some(work.await) }, async {
            match time {
                Some(time) => sim.sleep(time).await,
                None => std::future::pending().await,
            }
            None
        }))
    }

    fn open(&mut self, source: LogSource) {
        let (store, epochs) = self.sim.block_on(async {
            let store = Store::open(self.sim.clone(), self.config.clone()).await.unwrap();
            let epochs = epochs::load(&self.sim, self.root()).await;
            cut_off_holes(&store).await;
            store.set_source(source).await.unwrap();
            (store, epochs)
        });
        (self.store, self.epochs) = (Some(store), epochs);
    }

    /// Opens the store if it is not.
    pub(super) fn open_as_slave(&mut self, master: usize) {
        if self.store.is_none() {
            self.open(LogSource::Foreign);
        }
        let slave = Slave { following: Following::default(), master };
        self.side = Side::Slave(Box::new(slave));
    }

    /// The machine is ended and started as a master: its epoch is on disk before anything else.
    pub(super) fn open_as_master(&mut self, inner: &[(&str, &str)], is_promoted: bool) {
        if let Some(store) = self.store.take() {
            // One whose disk failed can't be closed, and is opened all the same.
            let _closed = self.sim.block_on(store.close());
            drop(store);
            self.sim = self.sim.kill();
        }
        self.open(LogSource::Own);
        let least = if is_promoted { self.epochs.promoted() } else { 0 };
        let (end, root) = (self.end(), self.config.root.clone());
        let epochs = &mut self.epochs;
        self.sim.block_on(async {
            epochs::begin_life(&self.sim, &root, epochs, (end, least)).await.unwrap();
        });
        let pairs = [&[("brokerRole", "SYNC_MASTER")], inner].concat();
        assert!(matches!(config::options(&pairs).replication.role, Role::Master { .. }));
        self.side = Side::Master(Box::new(Master {
            slaves: Slaves::default(),
            replicas: replicas(&pairs),
            waiting: Vec::new(),
        }));
    }

    /// The process or the machine ends.
    pub(super) fn end_life(&mut self, is_power_cut: bool) {
        drop(self.store.take());
        self.sim = if is_power_cut { self.sim.crash().0 } else { self.sim.kill() };
        let slave = Slave { following: Following::default(), master: self.nth };
        self.side = Side::Slave(Box::new(slave));
    }

    /// The operator starts a slave with `--rebuild-slave`.
    pub(super) fn rebuild(&mut self, master: usize) {
        drop(self.store.take());
        self.sim = self.sim.kill();
        self.rebuilt += 1;
        self.config.root = format!("/store-{}", self.rebuilt).into();
        self.epochs = Epochs::default();
        self.open_as_slave(master);
    }

    /// Which epoch wrote the end of its log, and where that is: who has more is the better master.
    pub(super) fn rank(&self) -> (i32, u64) {
        let end = self.end();
        (self.epochs.number_at(end), end)
    }

    /// `[from, upto)` of its log.
    pub(super) fn bytes(&self, from: u64, upto: u64) -> Vec<u8> {
        let store = self.store();
        self.sim.block_on(async {
            let mut bytes = vec![];
            while from + (bytes.len() as u64) < upto {
                let at = from + bytes.len() as u64;
                let len = usize::try_from(upto - at).unwrap();
                let part = store.log_part(PhyOffset(at), len).await.unwrap();
                assert!(!part.is_empty(), "the log is shorter than {upto}");
                bytes.extend_from_slice(&part);
            }
            bytes
        })
    }

    /// Whether its log has this message.
    pub(super) fn has(&self, at: u64, end: u64, text: &str) -> bool {
        if self.end() < end {
            return false;
        }
        let bytes = self.bytes(at, end);
        let record = protocol::record::RecordView::parse(&bytes);
        record.is_ok_and(|record| record.body() == text.as_bytes())
    }

    pub(super) fn known(&mut self) -> Known {
        let search = match &mut self.side {
            Side::Slave(slave) => slave.following.search.take(),
            Side::Master(_) => None,
        };
        Known { epochs: self.epochs.clone(), search }
    }
}

/// What a power cut tore under SYNC_FLUSH may have records behind it, none of them acknowledged: no
/// slave takes such a log.
async fn cut_off_holes(store: &Store<Sim>) {
    if store.recovered().damaged_stretches == 0 {
        return;
    }
    let (mut at, end) = (store.log_begin(), store.appended());
    while at < end {
        let begins = store.record_begins(at, end, 1).await.unwrap();
        let last = begins.last().copied().unwrap_or(at);
        if last == at {
            return store.truncate(at).await.unwrap();
        }
        at = last;
    }
}
