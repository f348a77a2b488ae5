//! Topics in the log that are no folder's name never become one: such a record stays in the log, is
//! in no queue and is reported, and everything else is as if it was not there.

use crate::oracle::{Oracle, draft, log_place, logged, overwrite, request, small_config};
use engine::{AppendError, PhyOffset, ReadSlices, ReadStatus, Store, TagFilter};
use protocol::record::RecordView;
use rt::Runtime;
use rt::sim::Sim;
use std::path::Path;

const MANIFEST: &str = "/store/consumequeue.manifest";

fn bad_topics() -> [String; 8] {
    let [long, longest] = [300, 5_000].map(|len| "t".repeat(len));
    ["", ".", "..", "../x", "a/b", "a\0b"]
        .map(str::to_owned)
        .into_iter()
        .chain([long, longest])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

/// A V2 record as another program might write it: nothing of the topic is checked.
fn record(topic: &str, queue_id: i32, queue_offset: i64, at: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&(-626_843_477_i32).to_be_bytes());
    bytes.extend_from_slice(&(crc32fast::hash(body) & 0x7FFF_FFFF).to_be_bytes());
    bytes.extend_from_slice(&queue_id.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&queue_offset.to_be_bytes());
    bytes.extend_from_slice(&at.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&1_700_000_000_000_i64.to_be_bytes());
    bytes.extend_from_slice(&[127, 0, 0, 1, 0, 0, 0x2A, 0x9F]);
    bytes.extend_from_slice(&1_700_000_000_000_i64.to_be_bytes());
    bytes.extend_from_slice(&[127, 0, 0, 1, 0, 0, 0x2A, 0x9F]);
    bytes.extend_from_slice(&[0; 12]);
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&u16::try_from(topic.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(topic.as_bytes());
    bytes.extend_from_slice(&[0; 2]);
    let size = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&size.to_be_bytes());
    bytes
}

/// A record of the topic `T` before, between and behind those of `topics` and one whose queue id is
/// none. Returns the bytes, and where the strange ones lie.
fn strange_log(topics: &[String], mut at: u64, first: i64) -> (Vec<u8>, Vec<u64>) {
    let (mut log, mut strange) = (Vec::new(), Vec::new());
    let mut push = |topic: &str, queue_id: i32, offset: i64| {
        let bytes = record(topic, queue_id, offset, at, format!("body {offset}").as_bytes());
        RecordView::parse(&bytes).unwrap().verify_intact().unwrap();
        if topic != "T" || queue_id != 0 {
            strange.push(at);
        }
        at += bytes.len() as u64;
        log.extend_from_slice(&bytes);
    };
    push("T", 0, first);
    for (nth, topic) in (first..).zip(topics) {
        push(topic, 0, 0);
        push("T", 0, nth + 1);
    }
    push("T", -1, 0);
    (log, strange)
}

/// The bodies of the topic `T`.
async fn bodies(store: &Store<Sim>) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let next = i64::try_from(bodies.len()).unwrap();
        let read = store.read_cold(request("T", 0, next, TagFilter::All).to_owned()).await.unwrap();
        if read.messages == 0 {
            return bodies;
        }
        for record in crate::oracle::split(&read.slices) {
            let view = RecordView::parse(&record).unwrap();
            bodies.push(String::from_utf8(view.body().to_vec()).unwrap());
        }
    }
}

async fn names_in(sim: &Sim, folder: &str) -> Vec<String> {
    let entries = sim.list_dir(Path::new(folder)).await.unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

async fn check(sim: &Sim, store: &Store<Sim>, messages: usize, strange: &[u64]) {
    let expected: Vec<String> = (0..messages).map(|nth| format!("body {nth}")).collect();
    assert_eq!(bodies(store).await, expected);
    for at in strange {
        let found = store.message_at(PhyOffset(*at)).await.unwrap().expect("it stays in the log");
        assert_eq!(RecordView::parse(&found).unwrap().body(), b"body 0");
    }
    for topic in bad_topics() {
        assert_eq!(store.queue_range(&topic, 0), None, "{topic:?}");
        let mut out = ReadSlices::default();
        let status = store.read(&request(&topic, 0, 0, TagFilter::All), &mut out);
        assert_eq!(status, ReadStatus::NoMatchedLogicQueue, "{topic:?}");
        assert!(!store.delete_topic(&topic).await.unwrap(), "{topic:?}");
    }
    assert_eq!(store.queue_range("T", -1), None);
    assert_eq!(names_in(sim, "/").await, ["store"], "nothing is made outside of the store");
    let in_store = names_in(sim, "/store").await;
    assert!(in_store.iter().all(|name| name != "x" && name != "a"), "{in_store:?}");
}

#[test]
fn a_topic_that_is_no_folders_name_becomes_none_through_recovery_rebuild_and_reads() {
    let topics = bad_topics();
    let (bytes, strange) = strange_log(&topics, 0, 0);
    let sim = Sim::new(71);
    let messages = topics.len() + 1;
    let ((), log) = logged(|| {
        sim.block_on(async {
            let mut file = bytes.clone();
            file.resize(96 * 1024, 0);
            sim.create_dir_all(Path::new("/store/commitlog")).await.unwrap();
            overwrite(&sim, &log_place(0).0, 0, &file).await;
            for _ in 0..2 {
                let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
                assert_eq!(store.recovered().damaged_stretches, strange.len() as u64);
                check(&sim, &store, messages, &strange).await;
                store.close().await.unwrap();
                assert_eq!(names_in(&sim, "/store/consumequeue").await, ["T"]);
                // Opened from the manifest, then built from the log once more.
                let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
                check(&sim, &store, messages, &strange).await;
                store.close().await.unwrap();
                sim.remove_file(Path::new(MANIFEST)).await.unwrap();
            }
        });
    });
    assert!(log.contains("no folder's name, or whose queue id is none"), "{log}");
}

#[test]
fn a_strange_record_behind_the_manifest_stays_in_the_log_too() {
    let sim = Sim::new(72);
    let mut oracle = Oracle::default();
    let end = sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        oracle.fill(&sim, &store, 15).await;
        store.close().await.unwrap();
        store.appended().0
    });
    sim.block_on(async {
        // As another broker would leave it that was killed. Without the topic that has a zero byte:
        // where a crash may have torn records, that one is the torn end.
        let (path, in_file) = log_place(end);
        let (bytes, strange) = strange_log(&bad_topics()[..5], end, 0);
        overwrite(&sim, &path, in_file, &bytes).await;
        sim.replace_file(Path::new("/store/abort"), b"1".to_vec(), false).await.unwrap();
        for _ in 0..2 {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.check(&store).await;
            check(&sim, &store, 6, &strange).await;
            oracle.fill(&sim, &store, 10).await;
            store.close().await.unwrap();
        }
    });
}

#[test]
fn an_append_to_such_a_topic_is_refused_and_stores_nothing() {
    let sim = Sim::new(73);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        for topic in bad_topics() {
            let refused = store.append(&draft(&topic, 0, b"body", &[])).unwrap_err();
            let is_named = matches!(refused, AppendError::TopicName | AppendError::Record(_));
            assert!(is_named, "{topic:?}: {refused}");
        }
        assert_eq!(store.appended(), PhyOffset(0));
        store.close().await.unwrap();
    });
}
