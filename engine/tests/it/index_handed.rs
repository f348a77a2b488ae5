//! The index is built from what the append hands over, and from the log where nothing was handed
//! over: both give the same index, and nothing is missing where one ends and the other begins.

use crate::index::{Keyed, index_files, places, query};
use crate::oracle::{Replay, draft, seeds, small_config};
use engine::{AppendError, IndexBehind, PhyOffset, Store, StoreConfig};
use protocol::batch::BatchEntry;
use protocol::native::records;
use protocol::record::RecordDraft;
use rt::Runtime;
use rt::sim::Sim;
use std::path::Path;
use std::time::Duration;

const TOPICS: [&str; 3] = ["T", "中文", "rmq_sys_x"];
const PROPERTIES: [&[u8]; 12] = [
    b"",
    b"UNIQ_KEY\x01U1\x02",
    b"KEYS\x01a b  c\x02",
    b"KEYS\x01 \x02",
    b"KEYS\x01\x02",
    b"KEYS\x01first\x02KEYS\x01last\x02",
    b"TAGS\x01red\x02",
    b"TAGS\x01\xe4\xb8\xad\x02",
    b"KEYS\x01\xff\xe4 x\x02",
    b"K\x01v\x02",
    b"DELAY\x013\x02",
    b"UNIQ_KEY\x017F0000010001AABBCCDD00000000FFFF\x02",
];
/// None, prepared, commit, rollback.
const TRANSACTION: [i32; 4] = [0, 4, 8, 12];

struct Sender<'a> {
    sim: &'a Sim,
    store: Store<Sim>,
}

impl Sender<'_> {
    fn below(&self, most: usize) -> usize {
        usize::try_from(self.sim.random_u64() % most as u64).unwrap()
    }

    fn one_of<T: Copy>(&self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn properties(&self) -> Vec<u8> {
        (0..self.below(4)).flat_map(|_| self.one_of(&PROPERTIES)).copied().collect()
    }

    async fn room<T>(&self, mut put: impl FnMut() -> Result<T, AppendError>) {
        while let Err(error) = put() {
            assert!(matches!(error, AppendError::TailFull { .. }), "{error}");
            self.store.wait_writable().await;
        }
    }

    /// One request of any kind.
    async fn send(&self) {
        let (topic, body) = (self.one_of(&TOPICS), vec![7; self.below(700)]);
        let properties = [self.properties(), self.properties()];
        let pieces = [properties[0].as_slice(), &properties[1]];
        let sys_flag = if self.below(4) == 0 { self.one_of(&TRANSACTION) } else { 0 };
        let one = RecordDraft { sys_flag, ..draft(topic, 0, &body, &pieces) };
        match self.below(8) {
            0 => {
                let all = [one, draft("other", 1, &body, &[])];
                self.room(|| self.store.append_all(&all, |_| ())).await;
            }
            1 => {
                let entries = properties.iter().map(|properties| BatchEntry {
                    flag: 0,
                    body: &body,
                    properties,
                });
                let common = draft(topic, 0, b"", &[b"CLUSTER\x01c\x02"]);
                self.room(|| self.store.append_batch(&common, entries.clone(), |_| ())).await;
            }
            2 => self.send_native(topic, &body).await,
            _ => self.room(|| self.store.append(&one)).await,
        }
    }

    async fn send_native(&self, topic: &str, body: &[u8]) {
        let (mut payload, mut plans) = (Vec::new(), Vec::new());
        for _ in 0..1 + self.below(3) {
            // The native protocol refuses what is not well formed, and delays.
            let properties = [self.one_of(&PROPERTIES[1..4]), self.one_of(&PROPERTIES[6..9])];
            let draft = RecordDraft {
                queue_offset: 0,
                physical_offset: 0,
                store_timestamp_ms: 0,
                ..draft(topic, 0, body, &properties)
            };
            let (at, has_crc) = (payload.len(), self.below(2) == 0);
            let bytes = if has_crc { draft.encoded_len_with_crc() } else { draft.encoded_len() };
            payload.resize(at + bytes.unwrap(), 0);
            let out = &mut payload[at..];
            let encoded =
                if has_crc { draft.encode_with_crc_into(out) } else { draft.encode_into(out) };
            encoded.unwrap();
            plans.push(records::check(&payload[at..], false).unwrap().plan(at));
        }
        let host = "127.0.0.1:10911".parse().unwrap();
        self.room(|| self.store.append_records(&payload, &plans, host, |_| ())).await;
    }
}

async fn contents(sim: &Sim) -> Vec<Vec<u8>> {
    let mut contents = Vec::new();
    for file in index_files(sim).await {
        contents.push(sim.read_file(Path::new(&file)).await.unwrap());
    }
    contents
}

async fn open(sim: &Sim, config: &StoreConfig) -> Store<Sim> {
    Store::open(sim.clone(), config.clone()).await.unwrap()
}

#[test]
fn handed_over_or_read_again_the_index_is_the_same_to_the_byte() {
    let mut files = 0;
    for seed in seeds(40) {
        let _replay = Replay(seed, "handed_over_or_read_again_the_index_is_the_same_to_the_byte");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let config = small_config("/store");
            let sender = Sender { sim: &sim, store: open(&sim, &config).await };
            for _ in 0..200 {
                sender.send().await;
                if sender.below(40) == 0 {
                    sim.sleep(Duration::from_millis(sim.random_u64() % 30)).await;
                }
            }
            let store = sender.store;
            store.close().await.unwrap();
            assert_eq!(store.write_counts().index_read_again, 0, "all of it was handed over");
            let handed = contents(&sim).await;
            sim.remove_dir_all(Path::new("/store/index")).await.unwrap();
            let store = open(&sim, &config).await;
            store.close().await.unwrap();
            assert!(store.write_counts().index_read_again >= 200, "none of it was");
            let read_again = contents(&sim).await;
            assert_eq!(handed.len(), read_again.len());
            for (nth, (handed, read_again)) in handed.iter().zip(&read_again).enumerate() {
                assert!(handed == read_again, "file {nth} of {}", read_again.len());
            }
            files += handed.len();
        });
    }
    assert!(files > 100 || std::env::var("ENGINE_SEED").is_ok(), "{files} files were compared");
}

#[test]
fn what_finds_no_room_to_be_handed_over_is_read_again() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let mut config = small_config("/store");
        config.commitlog_file_bytes = 4 << 20;
        config.chunk_bytes = 1 << 20;
        config.tail_bytes_max = 16 << 20;
        (config.index_slots, config.index_entries) = (5_000, 30_000);
        let (store, mut keyed) = (open(&sim, &config).await, Keyed::default());
        let count = engine::limits::INDEX_HANDED_RECORDS_MAX + 500;
        for nth in 0..count {
            keyed.append(&store, "alpha", &format!("k{}", nth % 1_000), 1).await;
        }
        assert_eq!(keyed.sent.last().unwrap().end(), store.appended());
        keyed.check(&store).await;
        assert_eq!(store.write_counts().index_read_again, 500, "no more than had no room");
        keyed.fill(&sim, &store, 300).await;
        keyed.check(&store).await;
        assert_eq!(store.write_counts().index_read_again, 500, "then there was room again");
        store.close().await.unwrap();
    });
}

#[test]
fn how_much_is_behind_is_told_in_messages_and_bytes() {
    let sim = Sim::new(2);
    sim.block_on(async {
        let config = small_config("/store");
        let (store, mut keyed) = (open(&sim, &config).await, Keyed::default());
        assert_eq!(store.index_behind(), IndexBehind::default());
        keyed.fill(&sim, &store, 7).await;
        let behind = IndexBehind { messages: 7, bytes: store.appended().0 };
        assert_eq!(store.index_behind(), behind);
        store.query(query("alpha", "none")).await.unwrap();
        assert_eq!(store.index_behind(), IndexBehind::default(), "a query enters them");
        keyed.fill(&sim, &store, 300).await;
        store.close().await.unwrap();
        assert_eq!(store.index_behind(), IndexBehind::default());

        sim.remove_dir_all(Path::new("/store/index")).await.unwrap();
        let store = open(&sim, &config).await;
        let [before, bytes] = [store.index_behind().messages, store.index_behind().bytes];
        assert!(bytes > 100_000 && before >= bytes / 1024, "{before} messages in {bytes} bytes");
        keyed.fill(&sim, &store, 3).await;
        sim.sleep(Duration::from_secs(1)).await;
        assert_eq!(store.index_behind(), IndexBehind::default());
        keyed.fill(&sim, &store, 3).await;
        assert_eq!(store.index_behind().messages, 3, "counted one by one again");
        store.close().await.unwrap();
        let off = StoreConfig { index_enabled: false, ..config };
        let store = open(&sim, &off).await;
        keyed.fill(&sim, &store, 3).await;
        assert_eq!(store.index_behind(), IndexBehind::default(), "no index, none behind");
        store.close().await.unwrap();
    });
}

#[test]
fn what_was_handed_over_and_then_cut_is_never_entered() {
    for seed in seeds(20) {
        let _replay = Replay(seed, "what_was_handed_over_and_then_cut_is_never_entered");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let config = small_config("/store");
            let (store, mut keyed) = (open(&sim, &config).await, Keyed::default());
            keyed.fill(&sim, &store, 20).await;
            let to = store.appended();
            keyed.fill(&sim, &store, 20).await;
            store.truncate(to).await.unwrap();
            keyed.forget_from(to);
            assert!(store.index_behind().bytes <= to.0);
            // Others, of the same lengths, at the same places.
            for nth in 0..20 {
                let at = keyed.append(&store, "beta", &format!("new{nth}"), 200).await;
                assert!(at.physical_offset >= to);
            }
            keyed.check(&store).await;
            assert_eq!(places(&store, query("alpha", "U39")).await, [0u64; 0]);
            sim.sleep(Duration::from_secs(1)).await;
            assert_eq!(store.index_behind(), IndexBehind::default());
            assert_eq!(store.indexed(), PhyOffset(store.appended().0));
            store.close().await.unwrap();
        });
    }
}
