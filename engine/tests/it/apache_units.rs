//! The ConsumeQueues of an Apache store stay as they are over a visit: delayed messages keep the
//! time they are due, light message queues their messages.

use crate::oracle::{draft, request, small_config};
use engine::{DelayLevels, ReadSlices, ReadStatus, Store, StoreConfig, TagFilter};
use protocol::record::RecordDraft;
use rt::sim::Sim;
use rt::{AppendBuf, File, OpenMode, Runtime};
use std::path::Path;
use std::time::Duration;

const SCHEDULE: &str = "SCHEDULE_TOPIC_XXXX";
const MANIFEST: &str = "/store/consumequeue.manifest";

/// A ConsumeQueue file in RocketMQ's layout, written down by hand.
struct QueueFile {
    path: String,
    units: Vec<(u64, usize, i64)>,
}

impl QueueFile {
    fn new(topic: &str, queue_id: i32, units: Vec<(u64, usize, i64)>) -> Self {
        Self { path: format!("/store/consumequeue/{topic}/{queue_id}/{:020}", 0), units }
    }

    fn bytes(&self, config: &StoreConfig) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, size, tags_code) in &self.units {
            bytes.extend_from_slice(&at.to_be_bytes());
            bytes.extend_from_slice(&u32::try_from(*size).unwrap().to_be_bytes());
            bytes.extend_from_slice(&tags_code.to_be_bytes());
        }
        bytes.resize(usize::try_from(config.consumequeue_file_units).unwrap() * 20, 0);
        bytes
    }
}

struct Message {
    topic: &'static str,
    queue_id: i32,
    queue_offset: i64,
    store_ms: i64,
    properties: &'static str,
}

/// Writes a log file as Apache does, without anything of ours beside it. Returns each record's
/// place and length.
async fn write_log(sim: &Sim, config: &StoreConfig, messages: &[Message]) -> Vec<(u64, usize)> {
    let mut log = Vec::new();
    let mut places = Vec::new();
    for message in messages {
        let properties = [message.properties.as_bytes()];
        let record = RecordDraft {
            queue_offset: message.queue_offset,
            physical_offset: i64::try_from(log.len()).unwrap(),
            store_timestamp_ms: message.store_ms,
            ..draft(message.topic, message.queue_id, b"body", &properties)
        };
        let mut bytes = vec![0; record.encoded_len().unwrap()];
        record.encode_into(&mut bytes).unwrap();
        places.push((log.len() as u64, bytes.len()));
        log.extend_from_slice(&bytes);
    }
    log.resize(usize::try_from(config.commitlog_file_bytes).unwrap(), 0);
    write_file(sim, &format!("/store/commitlog/{:020}", 0), &log).await;
    places
}

async fn write_file(sim: &Sim, path: &str, bytes: &[u8]) {
    let path = Path::new(path);
    sim.create_dir_all(path.parent().unwrap()).await.unwrap();
    let file = sim.open(path, OpenMode::Buffered).await.unwrap();
    file.write_at(0, AppendBuf::copy_of(bytes)).await.unwrap();
    file.sync_data().await.unwrap();
}

async fn write_queues(sim: &Sim, config: &StoreConfig, queues: &[QueueFile]) {
    for queue in queues {
        write_file(sim, &queue.path, &queue.bytes(config)).await;
    }
}

async fn check_queues(sim: &Sim, config: &StoreConfig, queues: &[QueueFile]) {
    for queue in queues {
        let found = sim.read_file(Path::new(&queue.path)).await.unwrap();
        assert!(found == queue.bytes(config), "{} is not as it was", queue.path);
    }
}

async fn visit(sim: &Sim, config: &StoreConfig) {
    let store = Store::open(sim.clone(), config.clone()).await.unwrap();
    store.close().await.unwrap();
}

fn delayed(queue_id: i32, queue_offset: i64, store_ms: i64, properties: &'static str) -> Message {
    Message { topic: SCHEDULE, queue_id, queue_offset, store_ms, properties }
}

#[test]
fn pending_delayed_messages_of_an_apache_store_stay_due_when_they_were() {
    let sim = Sim::new(3);
    sim.block_on(async {
        let mut config = small_config("/store");
        config.delay_levels = DelayLevels::parse("1s 5s 2h").unwrap();
        let messages = [
            delayed(2, 0, 1_000, "TAGS\u{1}TagA\u{2}DELAY\u{1}3\u{2}REAL_TOPIC\u{1}T\u{2}"),
            delayed(0, 0, 2_000, "DELAY\u{1}1\u{2}REAL_TOPIC\u{1}T\u{2}"),
            delayed(2, 1, 3_000, "REAL_TOPIC\u{1}T\u{2}DELAY\u{1}18\u{2}TAGS\u{1}TagA"),
            Message {
                topic: "T",
                queue_id: 0,
                queue_offset: 0,
                store_ms: 4_000,
                properties: "TAGS\u{1}TagA\u{2}DELAY\u{1}3\u{2}",
            },
        ];
        let at = write_log(&sim, &config, &messages).await;
        let queues = [
            QueueFile::new(
                SCHEDULE,
                2,
                vec![(at[0].0, at[0].1, 7_201_000), (at[2].0, at[2].1, 7_203_000)],
            ),
            QueueFile::new(SCHEDULE, 0, vec![(at[1].0, at[1].1, 3_000)]),
            QueueFile::new("T", 0, vec![(at[3].0, at[3].1, 2_598_919)]),
        ];
        write_queues(&sim, &config, &queues).await;
        // Everything built anew (a store without manifest), kept, and the end scanned once more.
        visit(&sim, &config).await;
        check_queues(&sim, &config, &queues).await;
        visit(&sim, &config).await;
        check_queues(&sim, &config, &queues).await;
        sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
        visit(&sim, &config).await;
        check_queues(&sim, &config, &queues).await;
    });
}

#[test]
fn a_delayed_message_of_our_own_is_due_alike_when_appended_rebuilt_and_repaired() {
    let sim = Sim::new(4);
    sim.block_on(async {
        let config = small_config("/store");
        let store = Store::open(sim.clone(), config.clone()).await.unwrap();
        let properties = "DELAY\u{1}2\u{2}TAGS\u{1}TagA\u{2}";
        let appended = store.append(&draft(SCHEDULE, 1, b"later", &[properties.as_bytes()]));
        let appended = appended.unwrap();
        store.close().await.unwrap();
        let due_ms = appended.store_timestamp_ms + 5_000;
        let queues = [QueueFile::new(SCHEDULE, 1, vec![(0, appended.bytes, due_ms)])];
        check_queues(&sim, &config, &queues).await;
        sim.remove_file(Path::new(MANIFEST)).await.unwrap();
        visit(&sim, &config).await;
        check_queues(&sim, &config, &queues).await;
        // The unit leads nowhere: a cold read finds the message and writes the unit anew.
        let store = Store::open(sim.clone(), config.clone()).await.unwrap();
        let damaged = QueueFile::new(SCHEDULE, 1, vec![(3, appended.bytes, due_ms)]);
        write_queues(&sim, &config, &[damaged]).await;
        let read = store.read_cold(request(SCHEDULE, 1, 0, TagFilter::All).to_owned());
        assert_eq!(read.await.unwrap().status, ReadStatus::Found);
        check_queues(&sim, &config, &queues).await;
        store.close().await.unwrap();
    });
}

fn light(queue_offset: i64, properties: &'static str) -> Message {
    Message { topic: "mqtt", queue_id: 3, queue_offset, store_ms: 5_000, properties }
}

const FIRST: &str =
    "INNER_MULTI_DISPATCH\u{1}%LMQ%a,%LMQ%b\u{2}INNER_MULTI_QUEUE_OFFSET\u{1}0,0\u{2}";
const SECOND: &str = "TAGS\u{1}TagA\u{2}INNER_MULTI_DISPATCH\u{1}%LMQ%b\u{2}\
                      INNER_MULTI_QUEUE_OFFSET\u{1}1\u{2}";
/// What a client made up: no queue of that name, and an offset that does not follow.
const MADE_UP: &str =
    "INNER_MULTI_DISPATCH\u{1}%LMQ%none,%LMQ%a\u{2}INNER_MULTI_QUEUE_OFFSET\u{1}0,40\u{2}";

async fn apache_store_with_light_queues(sim: &Sim, config: &StoreConfig) -> [QueueFile; 3] {
    let messages = [light(0, FIRST), light(1, SECOND), light(2, MADE_UP)];
    let at = write_log(sim, config, &messages).await;
    let unit = |nth: usize, tags_code| (at[nth].0, at[nth].1, tags_code);
    let queues = [
        QueueFile::new("mqtt", 3, vec![unit(0, 0), unit(1, 2_598_919), unit(2, 0)]),
        QueueFile::new("%LMQ%a", 0, vec![unit(0, 0)]),
        QueueFile::new("%LMQ%b", 0, vec![unit(0, 0), unit(1, 2_598_919)]),
    ];
    write_queues(sim, config, &queues).await;
    queues
}

async fn reads_light_queue(store: &Store<Sim>) {
    let read = store.read_cold(request("%LMQ%b", 0, 0, TagFilter::All).to_owned()).await.unwrap();
    assert_eq!((read.status, read.messages), (ReadStatus::Found, 2));
    let mut hot = ReadSlices::default();
    assert_eq!(
        store.read(&request("%LMQ%none", 0, 0, TagFilter::All), &mut hot),
        ReadStatus::NoMatchedLogicQueue,
        "a property alone makes no queue"
    );
}

#[test]
fn light_message_queues_of_an_apache_store_are_kept_and_built_anew() {
    let sim = Sim::new(5);
    sim.block_on(async {
        let config = small_config("/store");
        let queues = apache_store_with_light_queues(&sim, &config).await;
        for _ in 0..2 {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            assert_eq!(store.recovered().damaged_stretches, 0, "a made-up property is no damage");
            reads_light_queue(&store).await;
            store.close().await.unwrap();
            check_queues(&sim, &config, &queues).await;
        }
        // The manifest lists them now: the folders may go.
        sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
        visit(&sim, &config).await;
        check_queues(&sim, &config, &queues).await;
    });
}

#[test]
fn light_message_queues_survive_a_kill_and_a_power_cut_at_any_point_of_the_rebuild() {
    let (mut ended_early, mut ended_late) = (0, 0);
    for step in 0..80 {
        let mut sim = Sim::new(100 + step);
        let config = small_config("/store");
        let queues = sim.block_on(apache_store_with_light_queues(&sim, &config));
        let opened = sim.block_on(async {
            sim.sync_dir(Path::new("/")).await.unwrap();
            sync_folders(&sim, "/store").await;
            let opens = async { Store::open(sim.clone(), config.clone()).await.is_ok() };
            let ends = async {
                sim.sleep(Duration::from_micros(step * 75)).await;
                false
            };
            futures_lite::future::or(opens, ends).await
        });
        ended_early += usize::from(!opened);
        ended_late += usize::from(opened);
        sim = if step % 2 == 0 { sim.kill() } else { sim.crash().0 };
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            reads_light_queue(&store).await;
            store.close().await.unwrap();
            check_queues(&sim, &config, &queues).await;
        });
    }
    assert!(ended_early > 10 && ended_late > 10, "{ended_early} ended early, {ended_late} late");
}

/// Makes a folder with all in it durable.
async fn sync_folders(sim: &Sim, folder: &str) {
    sim.sync_dir(Path::new(folder)).await.unwrap();
    for entry in sim.list_dir(Path::new(folder)).await.unwrap() {
        if entry.is_dir {
            Box::pin(sync_folders(sim, &format!("{folder}/{}", entry.name))).await;
        }
    }
}
