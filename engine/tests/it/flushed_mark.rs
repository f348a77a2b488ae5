//! The flushed mark: what was flushed since the last manifest is not cut, and a mark that is wrong
//! does no harm.

use crate::oracle::{Oracle, Replay, log_place, overwrite, seeds, small_config};
use engine::{FlushPolicy, LogBackend, Store, StoreConfig};
use rt::Runtime;
use rt::sim::{Fault, FaultOp, Sim};
use std::path::Path;
use std::time::Duration;

const MARK: &str = "/store/commitlog.flushed";
const ABORT: &str = "/store/abort";
const MANIFEST: &str = "/store/consumequeue.manifest";
const SETTLES: Duration = Duration::from_millis(100);

/// A store whose manifest stands still after it was opened.
fn config(backend: LogBackend) -> StoreConfig {
    let mut config = StoreConfig { backend, ..small_config("/store") };
    config.checkpoint_interval_ms = u64::from(u32::MAX);
    config
}

async fn open(sim: &Sim, config: &StoreConfig) -> Store<Sim> {
    Store::open(sim.clone(), config.clone()).await.unwrap()
}

/// 40 messages that a manifest covers, then 80 that are flushed and that none covers, then a crash.
/// Returns the machine after it.
fn crashed(sim: &Sim, config: &StoreConfig, oracle: &mut Oracle, is_power_cut: bool) -> Sim {
    sim.block_on(async {
        let store = open(sim, config).await;
        oracle.fill(sim, &store, 40).await;
        store.close().await.unwrap();
        let before = sim.read_file(Path::new(MANIFEST)).await.unwrap();
        let store = open(sim, config).await;
        oracle.fill(sim, &store, 80).await;
        sim.sleep(SETTLES).await;
        assert_eq!(store.flushed(), store.appended());
        assert_eq!(sim.read_file(Path::new(MANIFEST)).await.unwrap(), before, "it stands still");
    });
    if is_power_cut { sim.crash().0 } else { sim.kill() }
}

/// Opens, checks, adds, closes; twice.
async fn works_on(sim: &Sim, config: &StoreConfig, oracle: &mut Oracle, lost: &[usize]) {
    for _ in 0..2 {
        let store = open(sim, config).await;
        oracle.check_but(&store, lost).await;
        oracle.fill(sim, &store, 20).await;
        oracle.check_but(&store, lost).await;
        store.close().await.unwrap();
    }
}

#[test]
fn damage_in_what_was_flushed_since_the_manifest_costs_itself_alone() {
    let name = "damage_in_what_was_flushed_since_the_manifest_costs_itself_alone";
    let mut marked_power_cuts = 0;
    for seed in seeds(24) {
        let _replay = Replay(seed, name);
        let backend = [LogBackend::Direct, LogBackend::Mmap][usize::from(seed % 4 == 3)];
        let (config, mut oracle) = (config(backend), Oracle::default());
        let is_power_cut = seed.is_multiple_of(2);
        let sim = crashed(&Sim::new(seed), &config, &mut oracle, is_power_cut);
        // A power cut may take the mark's last writes, which nobody syncs: then it is as if there
        // was none.
        let believed = sim.block_on(mark_of(&sim));
        let victim = &oracle.sent[70].at;
        if is_power_cut && believed.is_none_or(|mark| mark < victim.end().0) {
            continue;
        }
        marked_power_cuts += usize::from(is_power_cut);
        let (path, in_file) = log_place(victim.physical_offset.0);
        sim.damage(&path, in_file + 1);
        if is_power_cut {
            // What lies behind the mark may be cut: what is below it is compared.
            let kept = believed.unwrap();
            oracle.sent.retain(|sent| sent.at.end().0 <= kept);
        }
        sim.block_on(async {
            if is_power_cut {
                let store = open(&sim, &config).await;
                assert!(store.appended().0 >= believed.unwrap());
                assert_eq!(store.recovered().damaged_stretches, 1);
                check_prefix(&store, &oracle, 70).await;
                store.close().await.unwrap();
            } else {
                works_on(&sim, &config, &mut oracle, &[70]).await;
            }
        });
    }
    let is_replay = std::env::var("ENGINE_SEED").is_ok();
    assert!(marked_power_cuts > 2 || is_replay, "{marked_power_cuts} power cuts left a mark");
}

/// Everything of `oracle` but one is there, whatever else is.
async fn check_prefix(store: &Store<Sim>, oracle: &Oracle, lost: usize) {
    for (nth, sent) in oracle.sent.iter().enumerate() {
        let found = store.message_at(sent.at.physical_offset).await.unwrap();
        assert_eq!(found.is_some(), nth != lost, "message {nth} at {:?}", sent.at);
        if let Some(found) = found {
            crate::oracle::assert_record(&found, sent);
        }
    }
}

/// What the mark says, when it is whole.
async fn mark_of(sim: &Sim) -> Option<u64> {
    let bytes = sim.read_file(Path::new(MARK)).await.ok()?;
    let whole = bytes.len() == 28 && crc32fast::hash(&bytes[..24]).to_be_bytes() == bytes[24..];
    whole.then(|| u64::from_be_bytes(bytes[16..24].try_into().unwrap()))
}

#[test]
fn a_crash_while_opening_does_not_forget_what_was_flushed() {
    for seed in seeds(12) {
        let _replay = Replay(seed, "a_crash_while_opening_does_not_forget_what_was_flushed");
        let (config, mut oracle) = (config(LogBackend::Direct), Oracle::default());
        let mut sim = crashed(&Sim::new(seed), &config, &mut oracle, false);
        let (path, in_file) = log_place(oracle.sent[70].at.physical_offset.0);
        sim.damage(&path, in_file + 1);
        for _ in 0..4 {
            let time = Duration::from_micros(sim.random_u64() % 3_000);
            sim.block_on(futures_lite::future::or(
                async { drop(open(&sim, &config).await) },
                sim.sleep(time),
            ));
            sim = sim.kill();
        }
        sim.block_on(works_on(&sim, &config, &mut oracle, &[70]));
    }
}

#[test]
fn a_mark_that_others_made_old_is_not_believed() {
    let (config, mut oracle) = (config(LogBackend::Direct), Oracle::default());
    let sim = crashed(&Sim::new(3), &config, &mut oracle, false);
    let (path, in_file) = log_place(oracle.sent[70].at.physical_offset.0);
    sim.damage(&path, in_file + 1);
    sim.block_on(async {
        // As Apache RocketMQ writes it when it starts; then it was killed.
        sim.replace_file(Path::new(ABORT), b"4711".to_vec(), false).await.unwrap();
        let store = open(&sim, &config).await;
        assert_eq!(store.appended(), oracle.sent[70].at.physical_offset, "the torn end of a log");
        oracle.sent.truncate(70);
        oracle.check(&store).await;
        store.close().await.unwrap();
    });
}

/// A mark as the store writes it.
fn mark(incarnation: &[u8; 8], flushed_upto: u64) -> Vec<u8> {
    let mut bytes = [b"RMFM", &[0, 0, 0, 1][..], incarnation].concat();
    bytes.extend_from_slice(&flushed_upto.to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

#[test]
fn whatever_the_mark_says_the_store_opens_and_every_whole_message_is_there() {
    for seed in seeds(60) {
        let _replay =
            Replay(seed, "whatever_the_mark_says_the_store_opens_and_every_whole_message_is_there");
        let (config, mut oracle) = (config(LogBackend::Direct), Oracle::default());
        let sim = crashed(&Sim::new(seed), &config, &mut oracle, false);
        sim.block_on(async {
            let end = oracle.sent.last().unwrap().at.end().0;
            let ours = sim.read_file(Path::new(MARK)).await.unwrap();
            let incarnation = ours[8..16].try_into().unwrap();
            let content = match seed % 6 {
                0 => mark(&incarnation, sim.random_u64() % end),
                1 => mark(&incarnation, end + 1 + sim.random_u64() % 200_000),
                2 => mark(&incarnation, u64::MAX - sim.random_u64() % 3),
                3 => mark(&sim.random_u64().to_be_bytes(), sim.random_u64() % end),
                4 => ours[..usize::try_from(sim.random_u64() % 28).unwrap()].to_vec(),
                _ => (0..sim.random_u64() % 100)
                    .flat_map(|_| sim.random_u64().to_be_bytes())
                    .collect(),
            };
            sim.replace_file(Path::new(MARK), content, false).await.unwrap();
            let store = open(&sim, &config).await;
            assert!(store.appended().0 >= end);
            oracle.check(&store).await;
            store.close().await.unwrap();
            works_on(&sim, &config, &mut oracle, &[]).await;
        });
    }
}

#[test]
fn a_log_restored_from_an_older_copy_keeps_every_message_of_the_copy() {
    for seed in seeds(10) {
        let _replay =
            Replay(seed, "a_log_restored_from_an_older_copy_keeps_every_message_of_the_copy");
        let (config, mut oracle) = (config(LogBackend::Direct), Oracle::default());
        let sim = Sim::new(seed);
        let log = Path::new("/store/commitlog");
        sim.block_on(async {
            let store = open(&sim, &config).await;
            oracle.fill(&sim, &store, 60).await;
            sim.sleep(SETTLES).await;
            let mut copy = Vec::new();
            for entry in sim.list_dir(log).await.unwrap() {
                let path = log.join(entry.name);
                copy.push((path.clone(), sim.read_file(&path).await.unwrap()));
            }
            let mut later = Oracle { sent: oracle.sent.clone() };
            later.fill(&sim, &store, 60).await;
            sim.sleep(SETTLES).await;
            drop(store);
            for entry in sim.list_dir(log).await.unwrap() {
                sim.remove_file(&log.join(entry.name)).await.unwrap();
            }
            for (path, bytes) in copy {
                overwrite(&sim, &path, 0, &bytes).await;
            }
            sim.sync_dir(log).await.unwrap();
        });
        let sim = sim.kill();
        sim.block_on(async {
            for _ in 0..2 {
                let store = open(&sim, &config).await;
                check_prefix(&store, &oracle, usize::MAX).await;
                let at = store.appended();
                let sent = store.append(&crate::oracle::draft("new", 0, b"more", &[])).unwrap();
                assert!(sent.physical_offset >= at);
                store.close().await.unwrap();
            }
        });
    }
}

#[test]
fn sync_flush_writes_no_mark() {
    let sim = Sim::new(8);
    sim.block_on(async {
        let config = StoreConfig { flush: FlushPolicy::Sync, ..config(LogBackend::Direct) };
        let store = open(&sim, &config).await;
        let mut oracle = Oracle::default();
        oracle.fill(&sim, &store, 50).await;
        sim.sleep(SETTLES).await;
        store.close().await.unwrap();
        assert!(sim.read_file(Path::new(MARK)).await.is_err());
    });
}

#[test]
fn a_store_that_changes_to_sync_flush_and_back_goes_on_believing_its_mark() {
    let (config, mut oracle) = (config(LogBackend::Direct), Oracle::default());
    let sim = crashed(&Sim::new(11), &config, &mut oracle, false);
    let marked = sim.block_on(mark_of(&sim));
    let sync = StoreConfig { flush: FlushPolicy::Sync, ..config.clone() };
    sim.block_on(async {
        let store = open(&sim, &sync).await;
        oracle.fill(&sim, &store, 30).await;
        sim.sleep(SETTLES).await;
        assert_eq!(mark_of(&sim).await, marked, "it stands where it stood");
    });
    let sim = sim.kill();
    let (path, in_file) = log_place(oracle.sent[60].at.physical_offset.0);
    sim.damage(&path, in_file + 1);
    sim.block_on(works_on(&sim, &config, &mut oracle, &[60]));
}

#[test]
fn a_mark_that_cannot_be_written_stops_nothing_and_a_slow_one_keeps_nobody_waiting() {
    let sim = Sim::new(21);
    sim.block_on(async {
        let config = config(LogBackend::Mmap);
        let store = open(&sim, &config).await;
        let mut oracle = Oracle::default();
        sim.inject(Fault::eio(FaultOp::Write, MARK).times(5));
        oracle.fill(&sim, &store, 60).await;
        sim.sleep(SETTLES).await;
        assert_eq!((store.poisoned(), store.flushed()), (None, store.appended()));
        sim.clear_faults();
        sim.inject(Fault::slow(FaultOp::Write, MARK, Duration::from_secs(3600)));
        for nth in 0..50 {
            let (seen, began) = (store.acknowledged(), sim.now_nanos());
            oracle.append_waiting(&store, ("alpha", 0), "red", 100 + nth).await;
            store.acknowledged_beyond(seen).await;
            assert!(sim.now_nanos() - began < 1_000_000_000, "an answer waited for the mark");
            sim.sleep(Duration::from_millis(3)).await;
        }
        sim.clear_faults();
    });
}
