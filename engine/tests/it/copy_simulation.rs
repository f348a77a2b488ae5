//! Two stores on two simulated machines: one takes messages, the other one its bytes, as a slave
//! does. Both are cut at random, the first takes other messages then; both are killed and lose
//! their power at any moment, in the middle of a cut too. In the end the copy has the first one's
//! bytes, its queues answer the same, its index finds the same.
//!
//! ```text
//! ENGINE_SEEDS=2000 cargo test -p engine --release --test it copy_simulation -- --nocapture
//! ENGINE_SEED=4711 …               this one alone, as a failure says
//! ```
//!
//! After each crash a log must be what it was before, shortened to no less than what was written
//! or is kept (kill) or flushed (power cut); or cut exactly where a cut was under way.

use crate::copy::{FILE_BYTES, boundaries, feed, log_bytes, queues};
use crate::oracle::{Replay, campaign, draft, small_config};
use engine::{
    AppendError, FlushPolicy, KeyQuery, LogBackend, LogSource, PhyOffset, Store, StoreConfig,
    TailMemory, TailPlace,
};
use futures_lite::future::or;
use protocol::record::RecordView;
use rt::Runtime;
use rt::sim::Sim;
use std::cell::Cell;
use std::time::Duration;

/// Seeds of a plain `cargo test`.
const SEEDS: u64 = 100;
const STEPS: usize = 24;

/// What happened, so that a tame campaign fails.
#[derive(Debug, Default)]
struct Tally {
    sent: usize,
    fed_bytes: usize,
    /// Cuts that came to their end: of the first store, of the copy.
    cuts: [usize; 2],
    kills: [usize; 2],
    power_cuts: [usize; 2],
    restarts: [usize; 2],
    /// Crashes in the middle of a cut, by what was found then.
    cuts_done_by_recovery: usize,
    cuts_forgotten: usize,
    lost_bytes: u64,
    holes: usize,
    begun_above_zero: usize,
    wiped: usize,
}

/// A machine with a store that lives over crashes.
struct Machine {
    nth: usize,
    sim: Sim,
    config: StoreConfig,
    store: Option<Store<Sim>>,
    /// A cut that is under way goes there.
    cutting: Cell<Option<u64>>,
}

fn config(flush: bool, backend: bool) -> StoreConfig {
    StoreConfig {
        flush: if flush { FlushPolicy::Sync } else { FlushPolicy::Async },
        backend: if backend { LogBackend::Mmap } else { LogBackend::Direct },
        tail_place: TailPlace::Folder { path: "/dev/shm".into(), is_required: true },
        ..small_config("/store")
    }
}

impl Machine {
    fn new(nth: usize, seed: u64, config: StoreConfig) -> Self {
        let mut machine =
            Self { nth, sim: Sim::new(seed), config, store: None, cutting: Cell::new(None) };
        machine.open();
        machine
    }

    fn root(&self) -> &str {
        self.config.root.to_str().unwrap()
    }

    fn is_copy(&self) -> bool {
        self.nth == 1
    }

    fn store(&self) -> &Store<Sim> {
        self.store.as_ref().unwrap()
    }

    fn random(&self, below: u64) -> u64 {
        self.sim.random_u64() % below.max(1)
    }

    fn open(&mut self) {
        let store = self.sim.block_on(async {
            let store = Store::open(self.sim.clone(), self.config.clone()).await.unwrap();
            if self.is_copy() {
                store.set_source(LogSource::Foreign).await.unwrap();
            }
            store
        });
        self.store = Some(store);
    }

    /// Runs `work` to its end, or for so long.
    fn run(&self, time: Option<Duration>, work: impl Future<Output = ()>) -> bool {
        self.sim.block_on(or(
            async {
                work.await;
                true
            },
            async {
                match time {
                    Some(time) => self.sim.sleep(time).await,
                    None => std::future::pending().await,
                }
                false
            },
        ))
    }

    fn some_time(&self) -> Option<Duration> {
        let is_limited = self.random(3) == 0;
        is_limited.then(|| Duration::from_micros(self.random(9_000)))
    }

    async fn cut(&self, to: u64, tally: &mut Tally) {
        self.cutting.set(Some(to));
        self.store().truncate(PhyOffset(to)).await.unwrap();
        assert_eq!(self.store().appended().0, to);
        self.cutting.set(None);
        tally.cuts[self.nth] += 1;
    }

    /// Waits until all is flushed, and gives the log.
    fn log(&self) -> Vec<u8> {
        self.sim.block_on(async {
            let store = self.store();
            while store.flushed() < store.appended() {
                self.sim.sleep(Duration::from_millis(1)).await;
            }
            log_bytes(&self.sim, self.root(), store.log_begin().0, store.appended().0).await
        })
    }

    /// The store ends somehow and is opened again; where its log must end then.
    fn end_and_open(&mut self, tally: &mut Tally, may_close: bool) {
        let store = self.store.take().unwrap();
        let end = store.appended().0;
        let (floor, cutting) = match self.random(5) {
            0 if may_close => {
                self.sim.block_on(async { store.close().await.unwrap() });
                tally.restarts[self.nth] += 1;
                self.sim = self.sim.kill();
                (end, self.cutting.take())
            }
            1 | 2 => {
                let is_kept = matches!(store.tail_memory(), TailMemory::Kept { .. });
                let floor = if is_kept { store.appended().0 } else { store.written().0 };
                tally.kills[self.nth] += 1;
                self.sim = self.sim.kill();
                (floor, self.cutting.take())
            }
            _ => {
                let floor = store.flushed().0;
                tally.power_cuts[self.nth] += 1;
                self.sim = self.sim.crash().0;
                (floor, self.cutting.take())
            }
        };
        drop(store);
        self.open();
        let found = self.store().appended().0;
        if let Some(to) = cutting {
            let is_done = found == to;
            assert!(is_done || end != to, "a cut that memory has is on the disk");
            tally.cuts_done_by_recovery += usize::from(is_done);
            tally.cuts_forgotten += usize::from(!is_done);
            if is_done {
                return;
            }
        }
        assert!(found <= end, "the log ends at {found}, it ended at {end}");
        let is_whole = |at: u64| at >= floor || self.is_record_end_above(found, floor);
        assert!(is_whole(found), "the log ends at {found}, {floor} had to survive of {end}");
        tally.lost_bytes += end - found;
    }

    /// A watermark may lie within a record, which need not survive then: none fits between.
    fn is_record_end_above(&self, found: u64, floor: u64) -> bool {
        floor - found < self.config.raw_bytes_max() as u64
    }
}

/// A message that the first store took.
#[derive(Clone, Debug)]
struct Sent {
    at: u64,
    end: u64,
    key: String,
    body: Vec<u8>,
}

struct World {
    first: Machine,
    copy: Machine,
    sent: Vec<Sent>,
    /// What the copy's log holds, from its beginning on.
    copied: Vec<u8>,
    count: usize,
    may_begin_late: bool,
    tally: Tally,
}

impl World {
    fn new(seed: u64) -> Self {
        let first = config(seed.is_multiple_of(2), (seed / 2).is_multiple_of(3));
        let copy = config((seed / 4).is_multiple_of(2), (seed / 8).is_multiple_of(3));
        Self {
            first: Machine::new(0, seed, first),
            copy: Machine::new(1, seed ^ 0xC0FFEE, copy),
            sent: Vec::new(),
            copied: Vec::new(),
            count: 0,
            may_begin_late: seed.is_multiple_of(3),
            tally: Tally::default(),
        }
    }

    fn run(mut self) -> Tally {
        for _ in 0..STEPS {
            self.first_step();
            self.copy_step();
        }
        self.compare();
        [&self.first, &self.copy].into_iter().for_each(|machine| machine.sim.end());
        self.tally
    }

    fn first_step(&mut self) {
        let time = self.first.some_time();
        let is_cut = self.first.random(5) == 0 && !self.sent.is_empty();
        let Self { first, sent, count, tally, .. } = self;
        let is_done = if is_cut {
            let to = sent[usize::try_from(first.random(sent.len() as u64)).unwrap()].at;
            first.run(time, first.cut(to, tally))
        } else {
            first.run(time, send_some(first, sent, count, tally))
        };
        if !is_done || first.random(6) == 0 {
            first.end_and_open(tally, is_done);
        }
        let end = first.store().appended().0;
        sent.retain(|sent| sent.end <= end);
        self.cut_off_holes();
    }

    /// Under SYNC_FLUSH what a power cut tore may have records behind it. No copy takes that.
    fn cut_off_holes(&mut self) {
        let first = &self.first;
        if first.store().recovered().damaged_stretches == 0 {
            return;
        }
        let end = first.store().appended().0;
        let bytes = first.sim.block_on(log_bytes(&first.sim, first.root(), 0, end));
        let Some(hole) = first_hole(&bytes) else { return };
        assert!(hole < end);
        self.tally.holes += 1;
        first.run(None, first.cut(hole, &mut self.tally));
        self.sent.retain(|sent| sent.end <= hole);
    }

    fn copy_step(&mut self) {
        let log = self.first.log();
        if self.may_begin_late && self.copied.is_empty() && (log.len() as u64) < FILE_BYTES {
            return;
        }
        let begin = self.begin_copy(log.len() as u64);
        let Self { copy, copied, tally, .. } = self;
        let time = copy.some_time();
        let kind = copy.random(6);
        let common = common_prefix(copied, &log[usize::try_from(begin).unwrap()..]);
        let from = usize::try_from(begin).unwrap();
        let is_behind = copied.len() > common;
        let is_cut = kind == 0 && !copied.is_empty();
        let is_done = if is_cut {
            let ends = boundaries(copied);
            let nth = usize::try_from(copy.random(ends.len() as u64)).unwrap();
            let to = if nth == 0 { 0 } else { ends[nth - 1] };
            copy.run(time, copy.cut(begin + to as u64, tally))
        } else {
            let rest = &log[from + common..];
            copy.run(time, follow(copy, begin + common as u64, is_behind, rest, tally))
        };
        // What went in before it ended.
        let upto = usize::try_from(copy.store().appended().0 - begin).unwrap();
        if is_cut {
            copied.truncate(upto);
        } else if !is_behind || copy.cutting.get().is_none() || upto == common {
            copied.truncate(common);
            copied.extend_from_slice(&log[from + common..from + upto]);
        }
        if !is_done || copy.random(6) == 0 {
            copy.end_and_open(tally, is_done);
        }
        let upto = usize::try_from(copy.store().appended().0 - begin).unwrap();
        copied.truncate(upto);
        assert_eq!(copied.len(), upto);
        let recovered = copy.store().recovered();
        assert_eq!(recovered.damaged_stretches, 0, "a copy has no holes: {recovered:?}");
        let found = copy.log();
        assert!(found == *copied, "the copy holds what it was fed");
    }

    /// Where the copy's log begins, for a first log of `end` bytes. It begins anew when the first
    /// one ends before it.
    fn begin_copy(&mut self, end: u64) -> u64 {
        let begin = self.copy.store().log_begin().0;
        if begin > end {
            let copy = &mut self.copy;
            let store = copy.store.take().unwrap();
            copy.sim.block_on(async { store.close().await.unwrap() });
            // An empty folder: removing the old one would have to survive a power cut.
            copy.config.root = format!("/copy{}", self.tally.wiped).into();
            copy.open();
            self.copied.clear();
            self.tally.wiped += 1;
            return 0;
        }
        let last_file = end - end % FILE_BYTES;
        if self.may_begin_late && self.copied.is_empty() && begin == 0 && last_file > 0 {
            self.copy.run(None, async {
                self.copy.store().begin_at(PhyOffset(last_file)).await.unwrap();
            });
            self.tally.begun_above_zero += 1;
            return last_file;
        }
        begin
    }

    /// The copy follows to the end; then both are the same.
    fn compare(&mut self) {
        let log = self.first.log();
        let begin = self.begin_copy(log.len() as u64);
        let from = usize::try_from(begin).unwrap();
        let common = common_prefix(&self.copied, &log[from..]);
        let is_behind = self.copied.len() > common;
        let (copy, tally) = (&self.copy, &mut self.tally);
        copy.run(
            None,
            follow(copy, begin + common as u64, is_behind, &log[from + common..], tally),
        );
        assert!(copy.log() == log[from..], "the same bytes");
        self.compare_queues(begin);
        self.compare_keys(begin);
    }

    fn compare_queues(&self, begin: u64) {
        let of_first = self.first.sim.block_on(queues(self.first.store()));
        let mut of_copy = self.copy.sim.block_on(queues(self.copy.store()));
        for (queue, (_, max, mut records)) in of_first {
            records.retain(|_, record| place_of(record) >= begin);
            let Some((_, copied_max, copied)) = of_copy.remove(&queue) else {
                assert!(records.is_empty(), "{queue:?} is not in the copy");
                continue;
            };
            assert!(copied_max == max && copied == records, "{queue:?} differs");
        }
        assert!(of_copy.is_empty(), "{:?}", of_copy.keys());
    }

    fn compare_keys(&self, begin: u64) {
        let find = |machine: &Machine, key: &str| {
            machine.sim.block_on(async {
                let store = machine.store();
                while store.indexed() < store.visible() {
                    machine.sim.sleep(Duration::from_millis(1)).await;
                }
                let found = store.query(key_query(key)).await.unwrap();
                found.records.iter().map(|record| place_of(record)).collect::<Vec<_>>()
            })
        };
        for sent in self.sent.iter().step_by(7) {
            let (by_first, by_copy) = (find(&self.first, &sent.key), find(&self.copy, &sent.key));
            assert_eq!(by_first, [sent.at], "{sent:?}");
            assert_eq!(by_copy, if sent.at >= begin { vec![sent.at] } else { Vec::new() });
        }
        for sent in &self.sent {
            let found = self.first.sim.block_on(self.first.store().message_at(PhyOffset(sent.at)));
            let found = found.unwrap().unwrap();
            assert!(RecordView::parse(&found).unwrap().body() == sent.body);
        }
    }
}

fn place_of(record: &[u8]) -> u64 {
    u64::try_from(RecordView::parse(record).unwrap().physical_offset()).unwrap()
}

fn key_query(key: &str) -> KeyQuery {
    KeyQuery {
        topic: "alpha".into(),
        key: key.into(),
        by_tag: false,
        max_messages: 32,
        begin_ms: 0,
        end_ms: i64::MAX,
    }
}

async fn send_some(first: &Machine, sent: &mut Vec<Sent>, count: &mut usize, tally: &mut Tally) {
    for _ in 0..first.random(80) {
        *count += 1;
        let len = first.random(if first.random(9) == 0 { 8_000 } else { 1_200 });
        let mut body = format!("{count}-").into_bytes();
        body.resize(usize::try_from(len).unwrap().max(body.len()), 7);
        let key = format!("key{count}");
        let properties = format!("KEYS\u{1}{key}\u{2}");
        let properties = [properties.as_bytes()];
        let queue_id = i32::try_from(first.random(4)).unwrap();
        let sys_flag = if first.random(12) == 0 { 4 } else { 0 };
        let draft = protocol::record::RecordDraft {
            sys_flag,
            ..draft("alpha", queue_id, &body, &properties)
        };
        let at = loop {
            match first.store().append(&draft) {
                Ok(at) => break at,
                Err(AppendError::TailFull { .. }) => first.store().wait_writable().await,
                Err(error) => panic!("{error}"),
            }
        };
        tally.sent += 1;
        sent.push(Sent { at: at.physical_offset.0, end: at.end().0, key, body });
        if first.random(3) == 0 {
            first.sim.sleep(Duration::from_micros(first.random(600))).await;
        }
    }
}

/// The copy takes `rest`, which lies at `at`; its own log is cut there first if it `is_behind`.
async fn follow(copy: &Machine, at: u64, is_behind: bool, rest: &[u8], tally: &mut Tally) {
    if is_behind {
        copy.cut(at, tally).await;
    }
    let at_once = || usize::try_from(copy.random(9)).unwrap();
    feed(copy.store(), &copy.config, at, rest, at_once).await.unwrap();
    tally.fed_bytes += rest.len();
}

/// How much of `copied` is the beginning of `log`: whole pieces.
fn common_prefix(copied: &[u8], log: &[u8]) -> usize {
    let is_same = |end: &&usize| **end <= log.len() && copied[..**end] == log[..**end];
    boundaries(copied).iter().take_while(is_same).last().copied().unwrap_or(0)
}

/// Where the first thing lies that is no record and no blank.
fn first_hole(log: &[u8]) -> Option<u64> {
    let mut at = 0;
    while at < log.len() {
        let size = u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
        let magic = i32::from_be_bytes(log[at + 4..at + 8].try_into().unwrap());
        let is_blank = magic == protocol::record::BLANK_MAGIC;
        let is_good = RecordView::parse(&log[at..]).is_ok_and(|record| {
            record.verify_intact().and_then(|()| record.verify_no_zero()).is_ok()
                && record.physical_offset() == i64::try_from(at).unwrap()
        });
        if !is_blank && !is_good {
            return Some(at as u64);
        }
        at += usize::try_from(size).unwrap();
    }
    None
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.fed_bytes += other.fed_bytes;
        for nth in 0..2 {
            self.cuts[nth] += other.cuts[nth];
            self.kills[nth] += other.kills[nth];
            self.power_cuts[nth] += other.power_cuts[nth];
            self.restarts[nth] += other.restarts[nth];
        }
        self.cuts_done_by_recovery += other.cuts_done_by_recovery;
        self.cuts_forgotten += other.cuts_forgotten;
        self.lost_bytes += other.lost_bytes;
        self.holes += other.holes;
        self.begun_above_zero += other.begun_above_zero;
        self.wiped += other.wiped;
    }

    /// Lower bounds for each seed's share.
    fn assert_not_vacuous(&self, seeds: usize) {
        let all = [self.cuts, self.kills, self.power_cuts].into_iter().flatten();
        assert!(all.min() >= Some(seeds), "{self:#?}");
        let rare = [self.cuts_done_by_recovery, self.cuts_forgotten, self.begun_above_zero];
        assert!(rare.into_iter().all(|count| count >= seeds / 10), "{self:#?}");
        assert!(self.sent >= 200 * seeds && self.lost_bytes > 0, "{self:#?}");
    }
}

#[test]
fn copy_simulation_ends_with_the_same_bytes_queues_and_index() {
    let seeds = campaign(SEEDS);
    let mut all = Tally::default();
    for seed in seeds.clone() {
        let _replay = Replay(seed, "copy_simulation_ends_with_the_same_bytes_queues_and_index");
        all.add(&World::new(seed).run());
    }
    eprintln!("seeds {seeds:?}: {all:#?}");
    let count = usize::try_from(seeds.end - seeds.start).unwrap();
    if count >= 100 {
        all.assert_not_vacuous(count);
    }
}

#[test]
fn a_copy_simulation_replays_from_its_seed() {
    for seed in 0..2 {
        let run = || format!("{:?}", World::new(seed).run());
        assert_eq!(run(), run(), "seed {seed}");
    }
}
