//! Messages are found by key: what was sent is found, newest first when there are many, whatever
//! happened in between.

use crate::oracle::{Replay, draft, seeds, small_config};
use engine::retention::{DeleteWhen, RetentionConfig};
use engine::{AppendError, Appended, FlushPolicy, KeyQuery, LogBackend, Store, StoreConfig};
use protocol::record::RecordView;
use rt::Runtime;
use rt::sim::{Sim, SimConfig};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Every message by each of its keys, in the order they were sent: the naive index.
#[derive(Default)]
pub(crate) struct Keyed {
    pub(crate) sent: Vec<Appended>,
    pub(crate) by_key: BTreeMap<(&'static str, String), Vec<Appended>>,
}

pub(crate) fn query(topic: &str, key: &str) -> KeyQuery {
    KeyQuery {
        topic: topic.into(),
        key: key.into(),
        by_tag: false,
        max_messages: 64,
        begin_ms: 0,
        end_ms: i64::MAX,
    }
}

pub(crate) async fn places<R: Runtime>(store: &Store<R>, query: KeyQuery) -> Vec<u64> {
    let queried = store.query(query).await.unwrap();
    assert_eq!(queried.bytes, queried.records.iter().map(|record| record.len()).sum::<usize>());
    queried
        .records
        .iter()
        .map(|record| u64::try_from(RecordView::parse(record).unwrap().physical_offset()).unwrap())
        .collect()
}

impl Keyed {
    pub(crate) async fn append<R: Runtime>(
        &mut self,
        store: &Store<R>,
        topic: &'static str,
        keys: &str,
        len: usize,
    ) -> Appended {
        let unique = format!("U{}", self.sent.len());
        let properties = format!("UNIQ_KEY\u{1}{unique}\u{2}KEYS\u{1}{keys}\u{2}");
        let body = vec![b'x'; len];
        let at = loop {
            match store.append(&draft(topic, 0, &body, &[properties.as_bytes()])) {
                Ok(at) => break at,
                Err(AppendError::TailFull { .. }) => store.wait_writable().await,
                Err(error) => panic!("{error}"),
            }
        };
        self.sent.push(at);
        for key in keys.split(' ').filter(|key| !key.is_empty()).chain([unique.as_str()]) {
            self.by_key.entry((topic, key.to_owned())).or_default().push(at);
        }
        at
    }

    pub(crate) async fn fill<R: Runtime>(&mut self, rt: &R, store: &Store<R>, count: usize) {
        for _ in 0..count {
            let random = rt.random_u64();
            let keys = format!("k{} often{}", random % 97, random % 3);
            let topic = if random & 64 == 0 { "alpha" } else { "beta" };
            self.append(store, topic, &keys, usize::try_from((random >> 16) % 900).unwrap()).await;
        }
    }

    /// Forgets what lies behind the log's end, as a crash did.
    pub(crate) fn forget_from(&mut self, end: engine::PhyOffset) {
        self.sent.retain(|sent| sent.end() <= end);
        self.by_key.values_mut().for_each(|sent| sent.retain(|sent| sent.end() <= end));
    }

    /// Every key gives its newest 64 messages, in the log's order, and no other.
    pub(crate) async fn check<R: Runtime>(&self, store: &Store<R>) {
        for ((topic, key), sent) in &self.by_key {
            let newest =
                sent.iter().skip(sent.len().saturating_sub(64)).map(|at| at.physical_offset.0);
            assert_eq!(
                places(store, query(topic, key)).await,
                newest.collect::<Vec<u64>>(),
                "{topic} {key}"
            );
        }
        assert_eq!(places(store, query("alpha", "nobody's")).await, [0u64; 0]);
    }
}

pub(crate) async fn open(sim: &Sim) -> Store<Sim> {
    Store::open(sim.clone(), small_config("/store")).await.unwrap()
}

/// A store with `count` messages, all indexed, closed.
pub(crate) async fn filled(sim: &Sim, count: usize) -> Keyed {
    let (store, mut keyed) = (open(sim).await, Keyed::default());
    keyed.fill(sim, &store, count).await;
    store.close().await.unwrap();
    keyed
}

pub(crate) async fn index_files(sim: &Sim) -> Vec<String> {
    sim.list_dir(Path::new("/store/index"))
        .await
        .unwrap()
        .into_iter()
        .map(|entry| format!("/store/index/{}", entry.name))
        .collect()
}

#[test]
fn every_message_is_found_by_each_of_its_keys_at_once_and_after_restarts() {
    for seed in seeds(12) {
        let _replay =
            Replay(seed, "every_message_is_found_by_each_of_its_keys_at_once_and_after_restarts");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let mut keyed = Keyed::default();
            for _ in 0..4 {
                let store = open(&sim).await;
                keyed.check(&store).await;
                keyed.fill(&sim, &store, 90).await;
                keyed.check(&store).await;
                assert_eq!(store.indexed(), store.appended(), "a query sees all there is");
                store.close().await.unwrap();
            }
            assert!(index_files(&sim).await.len() > 10, "files of 90 entries roll");
        });
    }
}

#[test]
fn a_query_gives_the_newest_as_many_as_asked_and_never_more_than_64() {
    let sim = Sim::new(3);
    sim.block_on(async {
        let (store, mut keyed) = (open(&sim).await, Keyed::default());
        for _ in 0..100 {
            keyed.append(&store, "alpha", "same same", 10).await;
        }
        let all: Vec<u64> = keyed.sent.iter().map(|sent| sent.physical_offset.0).collect();
        let most = |max_messages| KeyQuery { max_messages, ..query("alpha", "same") };
        assert_eq!(places(&store, most(1000)).await, all[36..]);
        assert_eq!(places(&store, most(3)).await, all[97..]);
        assert_eq!(places(&store, most(0)).await, [0u64; 0]);
        let queried = store.query(most(3)).await.unwrap();
        assert_eq!(
            (queried.index_last_phy, queried.index_last_ms),
            (all[99], keyed.sent[99].store_timestamp_ms)
        );
        assert_eq!(
            store.query(query("alpha", "none")).await.unwrap().index_last_ms,
            0,
            "as RocketMQ answers"
        );
        store.close().await.unwrap();
    });
}

#[test]
fn a_query_by_time_gives_the_messages_of_that_time() {
    let sim = Sim::new(4);
    sim.block_on(async {
        let (store, mut keyed) = (open(&sim).await, Keyed::default());
        for _ in 0..60 {
            keyed.append(&store, "alpha", "k", 10).await;
            sim.sleep(Duration::from_secs(2)).await;
        }
        let time = |nth: usize| keyed.sent[nth].store_timestamp_ms;
        for (first, last) in [(0, 59), (10, 20), (30, 30), (58, 59)] {
            // A file keeps times to the second, rounded down.
            let range = KeyQuery {
                begin_ms: time(first) - 1000,
                end_ms: time(last),
                ..query("alpha", "k")
            };
            let expected: Vec<u64> =
                keyed.sent[first..=last].iter().map(|sent| sent.physical_offset.0).collect();
            assert_eq!(places(&store, range).await, expected, "{first} to {last}");
        }
        let nothing = KeyQuery { begin_ms: time(5), end_ms: time(4), ..query("alpha", "k") };
        assert_eq!(places(&store, nothing).await, [0u64; 0]);
        store.close().await.unwrap();
    });
}

#[test]
fn keys_that_share_a_hash_and_tags_are_told_apart() {
    let sim = Sim::new(5);
    sim.block_on(async {
        let (store, mut keyed) = (open(&sim).await, Keyed::default());
        for nth in 0..20 {
            keyed.append(&store, "alpha", if nth % 2 == 0 { "Aa" } else { "BB" }, 5).await;
        }
        let tagged = store.append(&draft("alpha", 0, b"x", &[b"TAGS\x01Aa\x02"])).unwrap();
        keyed.check(&store).await;
        let by_tag = KeyQuery { by_tag: true, ..query("alpha", "Aa") };
        assert_eq!(places(&store, by_tag).await, [tagged.physical_offset.0]);
        store.close().await.unwrap();
    });
}

#[test]
fn the_file_is_rocketmqs() {
    let sim = Sim::new(6);
    sim.block_on(async {
        let (store, mut keyed) = (open(&sim).await, Keyed::default());
        let (first, last) = (
            keyed.append(&store, "alpha", "KEY1", 5).await,
            keyed.append(&store, "alpha", "KEY1", 5).await,
        );
        store.close().await.unwrap();
        let files = index_files(&sim).await;
        assert_eq!(files.len(), 1);
        assert!(
            files[0].starts_with("/store/index/20231114")
                && files[0].len() == "/store/index/".len() + 17,
            "{files:?}"
        );
        let bytes = sim.read_file(Path::new(&files[0])).await.unwrap();
        assert_eq!(bytes.len(), 40 + 40 * 4 + 90 * 20);
        let int = |at: usize| i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        let time = |at: Appended| u64::try_from(at.store_timestamp_ms).unwrap();
        assert_eq!(
            [long(0), long(8), long(16), long(24)],
            [time(first), time(last), first.physical_offset.0, last.physical_offset.0]
        );
        let slot_of = |key: &str| {
            usize::try_from(protocol::tags::java_hash(key).unsigned_abs() % 40).unwrap()
        };
        let used: std::collections::BTreeSet<usize> =
            ["alpha#U0", "alpha#U1", "alpha#KEY1"].map(slot_of).into();
        assert_eq!((int(32), int(36)), (i32::try_from(used.len()).unwrap(), 5));
        assert_eq!(
            int(40 + 4 * slot_of("alpha#KEY1")),
            4,
            "the newest entry: unique keys come first"
        );
        let newest = 200 + 4 * 20;
        assert_eq!(
            int(newest).unsigned_abs(),
            protocol::tags::java_hash("alpha#KEY1").unsigned_abs()
        );
        assert_eq!(
            (long(newest + 4), int(newest + 12), int(newest + 16)),
            (last.physical_offset.0, 0, 2)
        );
        assert!(bytes[200..220].iter().all(|byte| *byte == 0), "entry 0 is never used");
    });
}

#[test]
fn a_store_without_the_index_builds_none_and_catches_up_when_it_is_switched_on() {
    let sim = Sim::new(7);
    sim.block_on(async {
        let config = |index_enabled| StoreConfig { index_enabled, ..small_config("/store") };
        let mut keyed = filled(&sim, 50).await;
        let before = index_files(&sim).await;
        let store = Store::open(sim.clone(), config(false)).await.unwrap();
        keyed.fill(&sim, &store, 100).await;
        assert_eq!(places(&store, query("alpha", "U149")).await, [0u64; 0]);
        store.close().await.unwrap();
        assert_eq!(index_files(&sim).await, before);
        let store = Store::open(sim.clone(), config(true)).await.unwrap();
        keyed.check(&store).await;
        store.close().await.unwrap();
    });
}

#[test]
fn what_retention_removes_is_found_no_more_and_its_index_files_go() {
    for seed in seeds(6) {
        let _replay =
            Replay(seed, "what_retention_removes_is_found_no_more_and_its_index_files_go");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let hours = (0..24).map(|hour| hour.to_string()).collect::<Vec<_>>().join(";");
            let retention = RetentionConfig {
                delete_when: DeleteWhen::parse(&hours).unwrap(),
                interval_ms: 100,
                reserved_ms: 60_000,
                ..RetentionConfig::default()
            };
            let config = StoreConfig { retention, ..small_config("/store") };
            let (store, mut keyed) =
                (Store::open(sim.clone(), config.clone()).await.unwrap(), Keyed::default());
            keyed.fill(&sim, &store, 700).await;
            let oldest = index_files(&sim).await[0].clone();
            sim.sleep(Duration::from_secs(70)).await;
            keyed.fill(&sim, &store, 60).await;
            sim.sleep(Duration::from_secs(2)).await;
            let begin = store.log_begin();
            assert!(begin.0 > 0, "nothing was removed");
            keyed
                .by_key
                .values_mut()
                .for_each(|sent| sent.retain(|at| at.physical_offset >= begin));
            keyed.check(&store).await;
            assert!(
                !index_files(&sim).await.contains(&oldest),
                "{oldest} leads to nothing any more"
            );
            store.close().await.unwrap();
            let store = Store::open(sim.clone(), config).await.unwrap();
            keyed.check(&store).await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn every_policy_and_backend_finds_what_was_acknowledged() {
    for (flush, backend) in [
        (FlushPolicy::Sync, LogBackend::Direct),
        (FlushPolicy::Sync, LogBackend::Mmap),
        (FlushPolicy::Async, LogBackend::Mmap),
    ] {
        let sim = Sim::new(8);
        sim.block_on(async {
            let config = StoreConfig { flush, backend, ..small_config("/store") };
            let mut keyed = Keyed::default();
            for _ in 0..2 {
                let store = Store::open(sim.clone(), config.clone()).await.unwrap();
                keyed.fill(&sim, &store, 120).await;
                let last = *keyed.sent.last().unwrap();
                store.acknowledged_beyond(engine::PhyOffset(last.end().0 - 1)).await;
                keyed.check(&store).await;
                store.close().await.unwrap();
            }
        });
    }
}

fn crash_often(seed: u64, power_cut: bool) -> usize {
    let mut sim =
        Sim::with_config(SimConfig { io_nanos_max: 300_000, ..SimConfig::with_seed(seed) });
    let (mut keyed, mut kept) = (Keyed::default(), 0);
    for _ in 0..6 {
        sim.block_on(async {
            let store = open(&sim).await;
            keyed.forget_from(store.appended());
            kept += keyed.sent.len();
            keyed.check(&store).await;
            keyed.fill(&sim, &store, usize::try_from(sim.random_u64() % 150).unwrap()).await;
            sim.sleep(Duration::from_micros(sim.random_u64() % 90_000)).await;
        });
        sim = if power_cut { sim.crash().0 } else { sim.kill() };
    }
    kept
}

#[test]
fn after_a_power_cut_every_message_that_is_left_is_found() {
    let mut kept = 0;
    for seed in seeds(40) {
        let _replay = Replay(seed, "after_a_power_cut_every_message_that_is_left_is_found");
        kept += crash_often(seed, true);
    }
    assert!(kept > 1000, "the crashes left too little: {kept}");
}

#[test]
fn after_a_kill_every_message_that_is_left_is_found() {
    for seed in seeds(15) {
        let _replay = Replay(seed, "after_a_kill_every_message_that_is_left_is_found");
        crash_often(seed, false);
    }
}
