//! What lies where a killed process left its tail may be anything: the store does not open with
//! what could be somebody else's, says what to do, and changes nothing.

use crate::kept_tail::{config, kept, killed_at_a_stall, open};
use crate::oracle::{Oracle, Replay, overwrite, seeds};
use engine::{OpenError, Store, StoreConfig, TailPlace};
use rt::Runtime;
use rt::sim::{Refusal, Sim};
use std::path::{Path, PathBuf};

const ABORT: &str = "/store/abort";
const LOG: &str = "/store/commitlog";

/// A killed store, its machine, its tail.
fn killed(seed: u64) -> (Sim, Oracle, PathBuf) {
    let mut oracle = Oracle::default();
    let sim = killed_at_a_stall(&Sim::new(seed), &config(kept()), &mut oracle);
    let path = sim.kept_files().remove(0);
    (sim, oracle, path)
}

async fn refusal(sim: &Sim, config: &StoreConfig) -> String {
    match Store::open(sim.clone(), config.clone()).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_somebody_else_may_have_put_there_is_refused_and_the_reason_says_what_helps() {
    for (refused, reason) in [(Refusal::Link, "link"), (Refusal::Owner, "belongs to user 1")] {
        let (sim, oracle, path) = killed(3);
        sim.spoil_kept(&path, Some(refused));
        sim.block_on(async {
            // Whatever the configuration says now: the messages are there.
            for place in [kept(), TailPlace::Private] {
                let said = refusal(&sim, &config(place)).await;
                let parts = [reason, path.to_str().unwrap(), "a 0 alone into /store/abort"];
                assert!(parts.iter().all(|part| said.contains(part)), "{said}");
            }
            sim.spoil_kept(&path, None);
            let store = open(&sim, &config(kept())).await;
            oracle.check(&store).await;
        });
    }
}

#[test]
fn a_tail_that_is_given_up_is_not_taken_over() {
    let (sim, oracle, path) = killed(4);
    sim.spoil_kept(&path, Some(Refusal::Owner));
    sim.block_on(async {
        sim.replace_file(Path::new(ABORT), b"0\n".to_vec(), false).await.unwrap();
        let store = open(&sim, &config(kept())).await;
        assert_eq!(store.recovered().taken_over_bytes, 0);
        assert!(store.appended() < oracle.sent.last().unwrap().at.end());
    });
}

#[test]
fn a_newer_format_is_refused() {
    let (sim, _, path) = killed(5);
    sim.edit_kept(&path, |bytes| bytes[8] = 2);
    sim.block_on(async {
        let error = Store::open(sim.clone(), config(kept())).await.err().unwrap();
        assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
    });
}

#[test]
fn a_copy_of_a_running_store_is_refused_and_one_of_a_killed_store_leaves_the_tail_to_it() {
    let copied = StoreConfig { root: "/copy".into(), ..config(kept()) };
    let copy = async |sim: &Sim| {
        for folder in ["commitlog", "consumequeue", ""] {
            let (from, to) = (Path::new("/store").join(folder), Path::new("/copy").join(folder));
            sim.create_dir_all(&to).await.unwrap();
            for entry in sim.list_dir(&from).await.unwrap().into_iter().filter(|it| !it.is_dir) {
                let bytes = sim.read_file(&from.join(&entry.name)).await.unwrap();
                overwrite(sim, &to.join(&entry.name), 0, &bytes).await;
            }
        }
    };
    let (sim, mut oracle) = (Sim::new(6), Oracle::default());
    sim.block_on(async {
        let store = open(&sim, &config(kept())).await;
        oracle.fill(&sim, &store, 10).await;
        copy(&sim).await;
        let said = refusal(&sim, &copied).await;
        assert!(said.contains("another process has it open: this store is a copy"), "{said}");
        oracle.fill(&sim, &store, 10).await;
        sim.remove_dir_all(Path::new("/copy")).await.unwrap();
    });
    let sim = sim.kill();
    sim.block_on(async {
        copy(&sim).await;
        let store = open(&sim, &copied).await;
        oracle.check(&store).await;
        store.close().await.unwrap();
        let store = open(&sim, &config(kept())).await;
        oracle.check(&store).await;
        store.close().await.unwrap();
    });
}

#[test]
fn an_older_copy_of_the_log_is_refused_or_keeps_every_message_that_there_is() {
    let (mut refused, mut opened) = (0, 0);
    for seed in seeds(40) {
        let name = "an_older_copy_of_the_log_is_refused_or_keeps_every_message_that_there_is";
        let _replay = Replay(seed, name);
        let (config, mut oracle) = (config(kept()), Oracle::default());
        let sim = Sim::new(seed);
        let (mut old, mut older) = (Vec::new(), 0);
        sim.block_on(async {
            let store = open(&sim, &config).await;
            oracle.fill(&sim, &store, 20).await;
            sim.sleep(std::time::Duration::from_millis(20)).await;
            for entry in sim.list_dir(Path::new(LOG)).await.unwrap() {
                let path = Path::new(LOG).join(entry.name);
                old.push((path.clone(), sim.read_file(&path).await.unwrap()));
            }
            older = store.appended().0;
            let more = usize::try_from(sim.random_u64() % 300).unwrap();
            oracle.fill(&sim, &store, more).await;
            sim.sleep(std::time::Duration::from_millis(sim.random_u64() % 20)).await;
        });
        let sim = sim.kill();
        sim.block_on(async {
            for entry in sim.list_dir(Path::new(LOG)).await.unwrap() {
                sim.remove_file(&Path::new(LOG).join(entry.name)).await.unwrap();
            }
            for (path, bytes) in &old {
                overwrite(&sim, path, 0, bytes).await;
            }
            match Store::open(sim.clone(), config.clone()).await {
                Err(error) => {
                    let said = error.to_string();
                    let is_known = said.contains("those of an older copy")
                        || matches!(error, OpenError::CutShort { .. });
                    assert!(is_known, "{said}");
                    refused += 1;
                }
                Ok(store) => {
                    let kept = oracle.sent.iter().filter(|sent| sent.at.end().0 <= older);
                    for sent in kept {
                        let found = store.message_at(sent.at.physical_offset).await.unwrap();
                        crate::oracle::assert_record(&found.unwrap(), sent);
                    }
                    let end = oracle.sent.last().unwrap().at.end();
                    assert_eq!(store.appended(), end, "what the tail has is not cut");
                    opened += 1;
                }
            }
        });
    }
    assert!(refused > 3 && opened > 3, "{refused} refused, {opened} opened");
}

#[test]
fn whatever_a_tail_holds_the_store_opens_or_says_what_is_wrong() {
    let (mut refused, mut opened) = (0, 0);
    for seed in seeds(150) {
        let _replay = Replay(seed, "whatever_a_tail_holds_the_store_opens_or_says_what_is_wrong");
        let (sim, _, path) = killed(seed);
        sim.edit_kept(&path, |bytes| {
            let random = |below: usize| usize::try_from(sim.random_u64()).unwrap() % below;
            match seed % 5 {
                // A word of the head, or of a line.
                0 => {
                    let at = random(16) * 8;
                    bytes[at..at + 8].copy_from_slice(&sim.random_u64().to_le_bytes());
                }
                1 => {
                    let at = 4096 + random(40) * 8;
                    bytes[at..at + 8].copy_from_slice(&(sim.random_u64() >> 44).to_le_bytes());
                }
                2 => {
                    let at = random(bytes.len());
                    bytes[at] ^= 1 << random(8);
                }
                3 => bytes.truncate(random(20_000)),
                _ => bytes[..8192].fill_with(|| u8::try_from(random(256)).unwrap()),
            }
        });
        sim.block_on(async {
            match Store::open(sim.clone(), config(kept())).await {
                Ok(_) => opened += 1,
                Err(error) => {
                    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
                    refused += 1;
                }
            }
        });
    }
    let is_replay = std::env::var("ENGINE_SEED").is_ok();
    assert!(refused > 30 && opened > 20 || is_replay, "{refused} refused, {opened} opened");
}
