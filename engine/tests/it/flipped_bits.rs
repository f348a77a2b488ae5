//! Bit flips, cuts and zeros in any file of a store: opening it either succeeds and every message
//! that is served is the one that was sent, or it is refused with the name of a file. Never a
//! panic, never a wrong byte.
//!
//! With `enabledAppendPropCRC` a wrong byte is found anywhere in a record; without it where
//! BODYCRC, lengths, magic, the record's own offset and its queue show it: there a flipped bit in
//! what nothing covers may be served, and only that bit.

use crate::copy;
use crate::oracle::{
    Got, Oracle, Replay, consume_around_damage, logged, overwrite, seeds, small_config, split,
};
use engine::{FlushPolicy, LogSource, Store, StoreConfig, TagFilter};
use rt::Runtime;
use rt::sim::Sim;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Default, Debug)]
struct Tally {
    refused: usize,
    opened: usize,
    damaged: usize,
    served: usize,
    uncovered: usize,
    truncated: usize,
    copied: usize,
    by_folder: BTreeMap<String, usize>,
}

/// What was done to a file.
#[derive(Debug)]
#[expect(dead_code, reason = "printed when a test fails")]
enum Harm {
    Flip { at: u64, bit: u32 },
    Zeros { at: u64, len: u64 },
    Cut { at: u64 },
}

async fn all_files(sim: &Sim, folder: &Path) -> Vec<(PathBuf, u64)> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in sim.list_dir(&folder).await.unwrap() {
            let path = folder.join(&entry.name);
            if entry.is_dir { folders.push(path) } else { files.push((path, entry.bytes)) }
        }
    }
    files
}

/// Where a file's content lies: log and queue files are mostly zeros behind their end.
async fn used_bytes(sim: &Sim, path: &Path) -> u64 {
    let bytes = sim.read_file(path).await.unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last as u64 + 1)
}

async fn harm(sim: &Sim, path: &Path, len: u64) -> Harm {
    let used = used_bytes(sim, path).await;
    let at = sim.random_u64() % used;
    match sim.random_u64() % 8 {
        0 => {
            let zeros = (1 + sim.random_u64() % 5000).min(len - at);
            overwrite(sim, path, at, &vec![0; usize::try_from(zeros).unwrap()]).await;
            Harm::Zeros { at, len: zeros }
        }
        1 => {
            let bytes = sim.read_file(path).await.unwrap();
            sim.replace_file(path, bytes[..usize::try_from(at).unwrap()].to_vec(), false)
                .await
                .unwrap();
            Harm::Cut { at }
        }
        _ => {
            let bit = u32::try_from(sim.random_u64() % 8).unwrap();
            let bytes = sim.read_file(path).await.unwrap();
            overwrite(sim, path, at, &[bytes[usize::try_from(at).unwrap()] ^ (1 << bit)]).await;
            Harm::Flip { at, bit }
        }
    }
}

/// The records as they were, by topic, queue and offset.
async fn records(store: &Store<Sim>, oracle: &Oracle) -> BTreeMap<(String, i32, i64), Vec<u8>> {
    let mut all = BTreeMap::new();
    for (topic, queue_id) in oracle.queues() {
        let read = crate::oracle::consume(store, &topic, queue_id, TagFilter::All).await;
        all.extend(
            (0..).zip(read).map(|(offset, record)| ((topic.clone(), queue_id, offset), record)),
        );
    }
    all
}

/// A store of 90 messages: sent to it, or sent after others were cut off, or fed to it by another
/// one.
async fn made(
    sim: &Sim,
    config: &StoreConfig,
    seed: u64,
    oracle: &mut Oracle,
    tally: &mut Tally,
) -> Store<Sim> {
    let origin = seed / 3 % 3;
    if origin == 2 {
        let master_config = StoreConfig { root: "/master".into(), ..config.clone() };
        let master = Store::open(sim.clone(), master_config).await.unwrap();
        oracle.fill(sim, &master, 90).await;
        let end = master.appended().0;
        master.close().await.unwrap();
        let bytes = copy::log_bytes(sim, "/master", 0, end).await;
        let store = copy::open_copy(sim, config).await;
        copy::feed(&store, config, 0, &bytes, || 5).await.unwrap();
        tally.copied += 1;
        return store;
    }
    let store = Store::open(sim.clone(), config.clone()).await.unwrap();
    oracle.fill(sim, &store, 90).await;
    if origin == 1 {
        store.truncate(oracle.sent[45].at.physical_offset).await.unwrap();
        oracle.sent.truncate(45);
        oracle.fill(sim, &store, 45).await;
        tally.truncated += 1;
    }
    store
}

fn one_life(seed: u64, config: &StoreConfig, tally: &mut Tally) {
    let mut sim = Sim::new(seed);
    let (mut oracle, is_killed) = (Oracle::default(), seed.is_multiple_of(3));
    let before = sim.block_on(async {
        let store = made(&sim, config, seed, &mut oracle, tally).await;
        sim.sleep(std::time::Duration::from_millis(100)).await;
        let before = records(&store, &oracle).await;
        if !is_killed {
            store.close().await.unwrap();
        }
        before
    });
    if is_killed {
        sim = sim.kill();
    }
    assert_eq!(before.len(), oracle.sent.len());
    let (path, harm) = sim.block_on(async {
        if seed.is_multiple_of(5) {
            sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
            sim.create_dir_all(Path::new("/store/consumequeue")).await.unwrap();
        }
        let files: Vec<_> = all_files(&sim, Path::new("/store"))
            .await
            .into_iter()
            .filter(|(_, bytes)| *bytes > 0)
            .collect();
        let (path, len) =
            files[usize::try_from(sim.random_u64() % files.len() as u64).unwrap()].clone();
        let harm = harm(&sim, &path, len).await;
        (path, harm)
    });
    let folder = path
        .strip_prefix("/store")
        .unwrap()
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    *tally.by_folder.entry(folder.clone()).or_default() += 1;
    let (lost, log) = logged(|| sim.block_on(reopen(&sim, config, &before, (&path, &harm), tally)));
    let is_said = log.contains("ERROR") || log.contains("WARN");
    assert!(
        lost == 0 || is_said,
        "{path:?} {harm:?}: {lost} messages are gone and nothing is said"
    );
}

async fn reopen(
    sim: &Sim,
    config: &StoreConfig,
    before: &BTreeMap<(String, i32, i64), Vec<u8>>,
    harmed: (&Path, &Harm),
    tally: &mut Tally,
) -> usize {
    let store = match Store::open(sim.clone(), config.clone()).await {
        Ok(store) => store,
        Err(error) => {
            assert!(
                error.to_string().contains("/store/"),
                "{harmed:?}: no file is named in {error}"
            );
            tally.refused += 1;
            return 0;
        }
    };
    tally.opened += 1;
    let is_log = harmed.0.starts_with("/store/commitlog");
    let mut lost = 0;
    let mut queues: Vec<(String, i32)> =
        before.keys().map(|(topic, queue_id, _)| (topic.clone(), *queue_id)).collect();
    queues.dedup();
    for (topic, queue_id) in queues {
        let mut seen = 0;
        for (offset, got) in consume_around_damage(&store, &topic, queue_id).await {
            let key = (topic.clone(), queue_id, offset);
            let sent =
                before.get(&key).unwrap_or_else(|| panic!("{harmed:?}: {key:?} was never sent"));
            seen = offset + 1;
            match got {
                Got::Record(record) => {
                    tally.uncovered += check(&record, sent, config, is_log, harmed)
                }
                Got::Damaged => lost += 1,
            }
            tally.served += 1;
        }
        let sent = before.keys().filter(|key| key.0 == topic && key.1 == queue_id).count();
        lost += sent - usize::try_from(seen).unwrap().min(sent);
    }
    if lost > 0 {
        tally.damaged += 1;
    }
    let by_offset = store.message_at(engine::PhyOffset(0)).await.unwrap();
    assert!(by_offset.is_none_or(|record| split(&[&*record]).len() == 1));
    if !is_log {
        assert_eq!(lost, 0, "{harmed:?}: the log is whole");
    }
    // The store works on.
    store.set_source(LogSource::Own).await.unwrap();
    let mut more = Oracle::default();
    more.append(&store, ("gamma", 7), "red", 100).unwrap();
    sim.sleep(std::time::Duration::from_millis(50)).await;
    more.check(&store).await;
    store.close().await.unwrap();
    lost
}

/// What is served is what was sent; without a checksum over all of it, but for the bit that was
/// flipped. Returns 1 for that.
fn check(
    record: &[u8],
    sent: &[u8],
    config: &StoreConfig,
    is_log: bool,
    harmed: (&Path, &Harm),
) -> usize {
    if record == sent {
        return 0;
    }
    assert!(!config.append_property_crc && is_log, "{harmed:?}: a wrong byte was served");
    let differ: Vec<usize> =
        (0..sent.len().max(record.len())).filter(|at| record.get(*at) != sent.get(*at)).collect();
    let Harm::Flip { .. } = harmed.1 else {
        panic!("{harmed:?}: more than a bit differs, at {differ:?}")
    };
    assert_eq!(differ.len(), 1, "{harmed:?}");
    let body_at = 88;
    let body_len = usize::try_from(u32::from_be_bytes(sent[84..88].try_into().unwrap())).unwrap();
    let is_covered =
        |at: usize| at < 16 || (20..36).contains(&at) || (84..body_at + body_len).contains(&at);
    assert!(!is_covered(differ[0]), "{harmed:?}: byte {} of a record", differ[0]);
    1
}

fn campaign(name: &'static str, config: &StoreConfig) {
    let (mut tally, seeds) = (Tally::default(), seeds(400));
    for seed in &seeds {
        let _replay = Replay(*seed, name);
        one_life(*seed, config, &mut tally);
    }
    eprintln!("{tally:?}");
    if seeds.len() > 1 {
        assert!(
            tally.refused > 5
                && tally.opened > 200
                && tally.damaged > 20
                && tally.truncated.min(tally.copied) > 100
                && tally.by_folder.len() >= 5,
            "too tame: {tally:?}"
        );
    }
}

#[test]
fn no_wrong_byte_is_served_whatever_bit_is_flipped() {
    campaign(
        "no_wrong_byte_is_served_whatever_bit_is_flipped",
        &StoreConfig { append_property_crc: true, ..small_config("/store") },
    );
}

#[test]
fn no_wrong_body_is_served_without_the_checksum_over_all() {
    campaign("no_wrong_body_is_served_without_the_checksum_over_all", &small_config("/store"));
}

#[test]
fn under_sync_flush_nothing_behind_damage_is_lost() {
    campaign(
        "under_sync_flush_nothing_behind_damage_is_lost",
        &StoreConfig { flush: FlushPolicy::Sync, ..small_config("/store") },
    );
}
