//! Append and rebuild give the same units: for random messages of every kind the ConsumeQueue files
//! are the same byte for byte, whoever made them.

use crate::oracle::{Replay, draft, seeds, small_config};
use engine::{AppendError, Store, StoreConfig};
use protocol::batch::BatchEntry;
use protocol::native::records;
use protocol::record::RecordDraft;
use rt::Runtime;
use rt::sim::Sim;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

const TOPICS: [&str; 5] = ["T", "%RETRY%g", "SCHEDULE_TOPIC_XXXX", "rmq_sys_x", "中文"];
const TAGS: [&str; 6] = [
    "",
    "TAGS\u{1}TagA\u{2}",
    "TAGS\u{1}中文\u{2}",
    "TAGS\u{1}x",
    "K\u{1}v\u{2}",
    "TAGS\u{1}\u{2}",
];
const DELAYS: [&str; 6] = [
    "",
    "DELAY\u{1}3\u{2}",
    "DELAY\u{1}99\u{2}",
    "DELAY\u{1}0\u{2}",
    "DELAY\u{1}soon\u{2}",
    "DELAY\u{1}-1\u{2}",
];
/// None, prepared, commit, rollback.
const TRANSACTION: [i32; 4] = [0, 4, 8, 12];

struct Sender<'a> {
    sim: &'a Sim,
    store: Store<Sim>,
    /// What a client that counts as Apache's broker does knows of its light message queues.
    light: HashMap<String, i64>,
    counts_light: bool,
}

impl Sender<'_> {
    fn below(&self, most: usize) -> usize {
        usize::try_from(self.sim.random_u64() % most as u64).unwrap()
    }

    fn one_of<T: Copy>(&self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Names of light message queues and the message's places in them.
    fn light_properties(&mut self, topic: &str) -> String {
        if self.below(3) > 0 {
            return String::new();
        }
        let names =
            [["%LMQ%a"].as_slice(), &["%LMQ%b", "%LMQ%a"], &["%LMQ%a/../x"], &["plain", "%LMQ%b"]];
        let names = self.one_of(&names);
        let is_light = self.counts_light
            && topic != "%RETRY%g"
            && !topic.starts_with("rmq_sys_")
            && topic != "SCHEDULE_TOPIC_XXXX";
        let mut offsets = Vec::new();
        for name in names {
            let next = self.light.entry((*name).to_owned()).or_default();
            offsets.push(next.to_string());
            *next += i64::from(is_light && name.starts_with("%LMQ%") && !name.contains('/'));
        }
        let (names, offsets) = (names.join(","), offsets.join(","));
        format!("INNER_MULTI_DISPATCH\u{1}{names}\u{2}INNER_MULTI_QUEUE_OFFSET\u{1}{offsets}\u{2}")
    }

    async fn room<T>(&self, mut put: impl FnMut() -> Result<T, AppendError>) -> T {
        loop {
            match put() {
                Ok(done) => return done,
                Err(AppendError::TailFull { .. }) => self.store.wait_writable().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn send(&mut self) {
        let topic = self.one_of(&TOPICS);
        let queue_id = i32::try_from(self.below(3)).unwrap();
        let body = vec![7; self.below(700)];
        match self.below(8) {
            0 => self.send_native(topic, queue_id, &body).await,
            1 => self.send_batch(topic, queue_id, &body).await,
            _ => {
                let sys_flag = if self.below(6) == 0 { self.one_of(&TRANSACTION) } else { 0 };
                let is_indexed = sys_flag == 0 || sys_flag == 8;
                let light = if is_indexed { self.light_properties(topic) } else { String::new() };
                let pieces =
                    [self.one_of(&DELAYS), light.as_str(), self.one_of(&TAGS)].map(str::as_bytes);
                let draft = RecordDraft { sys_flag, ..draft(topic, queue_id, &body, &pieces) };
                self.room(|| self.store.append(&draft)).await;
            }
        }
    }

    async fn send_batch(&mut self, topic: &str, queue_id: i32, body: &[u8]) {
        let properties: Vec<String> = (0..1 + self.below(4))
            .map(|_| {
                format!(
                    "{}{}{}",
                    self.light_properties(topic),
                    self.one_of(&DELAYS),
                    self.one_of(&TAGS)
                )
            })
            .collect();
        let entries = properties.iter().map(|properties| BatchEntry {
            flag: 0,
            body,
            properties: properties.as_bytes(),
        });
        let common = draft(topic, queue_id, b"", &[b"CLUSTER\x01c\x02"]);
        self.room(|| self.store.append_batch(&common, entries.clone(), |_| ())).await;
    }

    async fn send_native(&mut self, topic: &str, queue_id: i32, body: &[u8]) {
        let (mut payload, mut plans) = (Vec::new(), Vec::new());
        for _ in 0..1 + self.below(3) {
            let properties = [self.one_of(&TAGS).as_bytes()];
            let draft = RecordDraft {
                queue_offset: 0,
                physical_offset: 0,
                store_timestamp_ms: 0,
                ..draft(topic, queue_id, body, &properties)
            };
            let at = payload.len();
            payload.resize(at + draft.encoded_len().unwrap(), 0);
            draft.encode_into(&mut payload[at..]).unwrap();
            plans.push(records::check(&payload[at..], false).unwrap().plan(at));
        }
        let host = "127.0.0.1:10911".parse().unwrap();
        self.room(|| self.store.append_records(&payload, &plans, host, |_| ())).await;
    }
}

async fn queue_files(sim: &Sim) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut folders, mut files) = (vec![PathBuf::from("/store/consumequeue")], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in sim.list_dir(&folder).await.unwrap() {
            let path = folder.join(entry.name);
            if entry.is_dir {
                folders.push(path);
            } else {
                let bytes = sim.read_file(&path).await.unwrap();
                files.insert(path, bytes);
            }
        }
    }
    files
}

async fn open(sim: &Sim, config: &StoreConfig) -> Store<Sim> {
    Store::open(sim.clone(), config.clone()).await.unwrap()
}

#[test]
fn append_and_rebuild_give_the_same_units() {
    let (mut light_files, mut all_files) = (0, 0);
    for seed in seeds(40) {
        let _replay = Replay(seed, "append_and_rebuild_give_the_same_units");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let mut config = small_config("/store");
            config.builds_light_queues = seed % 2 == 1;
            let store = open(&sim, &config).await;
            let counts_light = config.builds_light_queues;
            let mut sender = Sender { sim: &sim, store, light: HashMap::new(), counts_light };
            for _ in 0..150 {
                sender.send().await;
            }
            sender.store.close().await.unwrap();
            let appended = queue_files(&sim).await;
            sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
            let store = open(&sim, &config).await;
            assert_eq!(store.recovered().damaged_stretches, 0);
            store.close().await.unwrap();
            let rebuilt = queue_files(&sim).await;
            let names =
                |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&appended), names(&rebuilt));
            for (path, bytes) in &appended {
                assert!(*bytes == rebuilt[path], "{}", path.display());
            }
            let is_light = |path: &PathBuf| path.to_string_lossy().contains("%LMQ%");
            light_files += appended.keys().filter(|path| is_light(path)).count();
            all_files += appended.len();
        });
    }
    let is_replay = std::env::var("ENGINE_SEED").is_ok();
    assert!((all_files > 300 && light_files > 20) || is_replay, "{light_files} of {all_files}");
}
