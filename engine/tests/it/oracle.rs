//! The naive store that the real one is held against: every message in a list.

use engine::{
    AppendError, Appended, OwnedReadRequest, QueueOffset, ReadRequest, ReadSlices, ReadStatus,
    Store, StoreConfig, TagFilter,
};
use protocol::record::{RecordDraft, RecordView};
use protocol::tags::tags_code;
use rt::Runtime;
use rt::sim::Sim;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

/// Small files and a small tail, so that everything that happens once a GiB happens often.
pub(crate) fn small_config(root: &str) -> StoreConfig {
    let mut config = StoreConfig::new(root);
    config.commitlog_file_bytes = 96 * 1024;
    config.consumequeue_file_units = 50;
    config.message_bytes_max = 8 * 1024;
    config.chunk_bytes = 16 * 1024;
    config.tail_bytes_max = config.tail_bytes_min();
    config.cold_messages_max = 8;
    config.read_ahead_bytes = 16 * 1024;
    config.cold_cache_bytes_max = 64 * 1024;
    config.flush_interval_ms = 5;
    config.consumequeue_interval_ms = 7;
    config.checkpoint_interval_ms = 40;
    config.index_slots = 40;
    config.index_entries = 90;
    config.process_id = 1;
    config
}

/// A draft with everything that a test does not care about.
pub(crate) fn draft<'a>(
    topic: &'a str,
    queue_id: i32,
    body: &'a [u8],
    properties: &'a [&'a [u8]],
) -> RecordDraft<'a> {
    let host = "127.0.0.1:10911".parse().unwrap();
    RecordDraft {
        topic,
        queue_id,
        flag: 3,
        queue_offset: -1,
        physical_offset: -1,
        sys_flag: 0,
        born_timestamp_ms: 77,
        born_host: host,
        store_timestamp_ms: -1,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

/// A message as it was sent, and where the store said it went.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) topic: String,
    pub(crate) queue_id: i32,
    pub(crate) body: Vec<u8>,
    pub(crate) tag: String,
    pub(crate) at: Appended,
}

/// Every message that was appended, in order.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) sent: Vec<Sent>,
}

impl Oracle {
    /// Sends one message to both. The body says which one it is.
    pub(crate) fn append<R: Runtime>(
        &mut self,
        store: &Store<R>,
        queue: (&str, i32),
        tag: &str,
        len: usize,
    ) -> Result<Appended, AppendError> {
        let mut body = format!("{}-", self.sent.len()).into_bytes();
        body.resize(len.max(body.len()), u8::try_from(self.sent.len() % 251).unwrap());
        let property = format!("TAGS\u{1}{tag}\u{2}");
        let at = store.append(&draft(queue.0, queue.1, &body, &[property.as_bytes()]))?;
        let next = self.queue(queue.0, queue.1).count();
        assert_eq!(
            at.queue_offset,
            QueueOffset(i64::try_from(next).unwrap()),
            "offsets count messages"
        );
        self.sent.push(Sent {
            topic: queue.0.to_owned(),
            queue_id: queue.1,
            body,
            tag: tag.to_owned(),
            at,
        });
        Ok(at)
    }

    /// Sends and waits while the tail is full.
    pub(crate) async fn append_waiting<R: Runtime>(
        &mut self,
        store: &Store<R>,
        queue: (&str, i32),
        tag: &str,
        len: usize,
    ) -> Appended {
        loop {
            match self.append(store, queue, tag, len) {
                Ok(appended) => return appended,
                Err(AppendError::TailFull { .. }) => store.wait_writable().await,
                Err(error) => panic!("append: {error}"),
            }
        }
    }

    /// Sends `count` messages of random queues, tags and sizes.
    pub(crate) async fn fill<R: Runtime>(&mut self, rt: &R, store: &Store<R>, count: usize) {
        for _ in 0..count {
            let random = rt.random_u64();
            let topic = if random & 1 == 0 { "alpha" } else { "beta" };
            let queue_id = i32::try_from((random >> 1) % 3).unwrap();
            let tag = ["red", "green", "blue"][usize::try_from((random >> 8) % 3).unwrap()];
            let len = usize::try_from((random >> 16) % 3000).unwrap();
            self.append_waiting(store, (topic, queue_id), tag, len).await;
        }
    }

    pub(crate) fn queue<'s>(
        &'s self,
        topic: &'s str,
        queue_id: i32,
    ) -> impl Iterator<Item = &'s Sent> + 's {
        self.sent.iter().filter(move |sent| sent.topic == topic && sent.queue_id == queue_id)
    }

    pub(crate) fn queues(&self) -> Vec<(String, i32)> {
        let names: BTreeMap<(String, i32), ()> =
            self.sent.iter().map(|sent| ((sent.topic.clone(), sent.queue_id), ())).collect();
        names.into_keys().collect()
    }

    /// Reads every queue from its beginning, as a consumer does, and compares with what was sent.
    pub(crate) async fn check<R: Runtime>(&self, store: &Store<R>) {
        for (topic, queue_id) in self.queues() {
            let read = consume(store, &topic, queue_id, TagFilter::All).await;
            let sent: Vec<&Sent> = self.queue(&topic, queue_id).collect();
            let range = store.queue_range(&topic, queue_id).unwrap_or_default();
            assert_eq!(
                usize::try_from(range.max_offset.0).unwrap(),
                sent.len(),
                "{topic}/{queue_id}"
            );
            assert_eq!(read.len(), sent.len(), "{topic}/{queue_id}");
            for (record, sent) in read.iter().zip(sent) {
                assert_record(record, sent);
            }
        }
    }
}

/// Holds a stored record against what was sent.
pub(crate) fn assert_record(record: &[u8], sent: &Sent) {
    let view = RecordView::parse(record).unwrap();
    view.verify_crc().unwrap();
    assert!(view.body() == sent.body, "body of {:?}", sent.at);
    assert_eq!(
        (view.topic(), view.queue_id(), view.flag()),
        (sent.topic.as_str(), sent.queue_id, 3)
    );
    assert_eq!(
        (view.queue_offset(), view.physical_offset()),
        (sent.at.queue_offset.0, sent.at.physical_offset.as_i64())
    );
    assert_eq!(view.store_timestamp_ms(), sent.at.store_timestamp_ms);
    assert_eq!(protocol::properties::get(view.properties(), "TAGS"), Some(sent.tag.as_str()));
}

/// The records in an answer's slices.
pub(crate) fn split<S: std::ops::Deref<Target = [u8]>>(slices: &[S]) -> Vec<Vec<u8>> {
    let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
    protocol::record::records(&bytes).map(|record| record.unwrap().bytes().to_vec()).collect()
}

pub(crate) fn request<'a>(
    topic: &'a str,
    queue_id: i32,
    offset: i64,
    filter: TagFilter<'a>,
) -> ReadRequest<'a> {
    ReadRequest {
        topic,
        queue_id,
        offset: QueueOffset(offset),
        max_messages: 32,
        max_bytes: 1 << 20,
        filter,
        as_asked: false,
    }
}

/// Pulls a queue to its end: hot where it can, cold where it must.
pub(crate) async fn consume<R: Runtime>(
    store: &Store<R>,
    topic: &str,
    queue_id: i32,
    filter: TagFilter<'_>,
) -> Vec<Vec<u8>> {
    let (mut offset, mut all, mut hot) = (0, Vec::new(), ReadSlices::default());
    loop {
        let request = request(topic, queue_id, offset, filter);
        let (status, next, records) = match store.read(&request, &mut hot) {
            ReadStatus::Cold => cold(store, request.to_owned()).await,
            status => (status, hot.next_begin_offset, split(&hot.slices)),
        };
        assert!(
            next.0 > offset || !matches!(status, ReadStatus::Found | ReadStatus::NoMatchedMessage),
            "{status:?} stands still at {offset}"
        );
        all.extend(records);
        match status {
            ReadStatus::Found | ReadStatus::NoMatchedMessage => offset = next.0,
            _ => return all,
        }
    }
}

pub(crate) async fn cold<R: Runtime>(
    store: &Store<R>,
    request: OwnedReadRequest,
) -> (ReadStatus, QueueOffset, Vec<Vec<u8>>) {
    let read = store.read_cold(request).await.unwrap();
    assert_eq!(read.bytes, read.slices.iter().map(|slice| slice.len()).sum::<usize>());
    let records = split(&read.slices);
    assert_eq!(records.len(), read.messages);
    (read.status, read.next_begin_offset, records)
}

pub(crate) fn code_of(tag: &str) -> i32 {
    i32::try_from(tags_code(tag)).unwrap()
}

/// The seeds of a test: those given, or the one to replay.
pub(crate) fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("ENGINE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..count).collect(),
    }
}

/// The seeds of a campaign: `ENGINE_SEED=4711` this one alone, `ENGINE_SEEDS=500` the first so
/// many, `ENGINE_SEEDS=300..500` these; without either the first `count`.
pub(crate) fn campaign(count: u64) -> std::ops::Range<u64> {
    let number = |text: &str| -> u64 {
        text.trim()
            .parse()
            .unwrap_or_else(|_| panic!("{text:?}: a number, or two with .. between them"))
    };
    if let Ok(seed) = std::env::var("ENGINE_SEED") {
        return number(&seed)..number(&seed) + 1;
    }
    match std::env::var("ENGINE_SEEDS") {
        Ok(text) => text
            .split_once("..")
            .map_or_else(|| 0..number(&text), |(from, upto)| number(from)..number(upto)),
        Err(_) => 0..count,
    }
}

/// One step of a consumer: what a queue has at an offset.
pub(crate) enum Got {
    /// The record there.
    Record(Vec<u8>),
    /// It is damaged: the store said to go on behind it.
    Damaged,
}

/// Pulls a queue to its end as [`consume`] does, going on behind what is damaged. One entry for
/// every offset.
pub(crate) async fn consume_around_damage<R: Runtime>(
    store: &Store<R>,
    topic: &str,
    queue_id: i32,
) -> Vec<(i64, Got)> {
    let (mut offset, mut all) = (0, Vec::new());
    loop {
        let read = store
            .read_cold(request(topic, queue_id, offset, TagFilter::All).to_owned())
            .await
            .unwrap();
        let next = read.next_begin_offset.0;
        match read.status {
            ReadStatus::Found => {
                let records = split(&read.slices);
                assert_eq!(
                    i64::try_from(records.len()).unwrap(),
                    next - offset,
                    "nothing is skipped silently"
                );
                all.extend((offset..next).zip(records.into_iter().map(Got::Record)));
            }
            ReadStatus::MessageWasRemoving => {
                assert!(next > offset, "stands still at {offset}");
                all.extend((offset..next).map(|offset| (offset, Got::Damaged)));
            }
            ReadStatus::OffsetTooSmall => {
                assert!(next > offset, "goes back to {next} from {offset}")
            }
            _ => return all,
        }
        offset = next;
    }
}

impl Oracle {
    /// Every message but those at the places in `lost` is served, and those are said to be damaged.
    pub(crate) async fn check_but<R: Runtime>(&self, store: &Store<R>, lost: &[usize]) {
        for (topic, queue_id) in self.queues() {
            let sent: Vec<(usize, &Sent)> = self
                .sent
                .iter()
                .enumerate()
                .filter(|(_, sent)| sent.topic == topic && sent.queue_id == queue_id)
                .collect();
            let got = consume_around_damage(store, &topic, queue_id).await;
            assert_eq!(got.len(), sent.len(), "{topic}/{queue_id}");
            for ((offset, got), (nth, sent)) in got.iter().zip(sent) {
                assert_eq!(*offset, sent.at.queue_offset.0);
                match got {
                    Got::Record(record) => {
                        assert!(!lost.contains(&nth), "message {nth} is damaged and was served");
                        assert_record(record, sent);
                    }
                    Got::Damaged => assert!(
                        lost.contains(&nth),
                        "message {nth} at {} was not served",
                        sent.at.physical_offset
                    ),
                }
            }
        }
    }
}

/// Runs `run` and returns what was logged meanwhile on this thread.
pub(crate) fn logged<T>(run: impl FnOnce() -> T) -> (T, String) {
    // One subscriber for the whole program that keeps each thread's lines apart: tracing caches
    // globally whether anybody wants a line, and with a subscriber for each test another test's
    // thread could cache a "nobody" for this one's.
    static SUBSCRIBER: std::sync::Once = std::sync::Once::new();
    SUBSCRIBER.call_once(|| {
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(|| ThreadLog).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    THREAD_LOG.set(Some(Vec::new()));
    let value = run();
    let kept = THREAD_LOG.take().unwrap_or_default();
    (value, String::from_utf8(kept).unwrap())
}

thread_local! {
    /// What this thread logged since it asked for it; `None` while it does not.
    static THREAD_LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

struct ThreadLog;

impl std::io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        THREAD_LOG
            .with_borrow_mut(|log| log.iter_mut().for_each(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Overwrites bytes of a file, durably.
pub(crate) async fn overwrite(sim: &Sim, path: &Path, offset: u64, bytes: &[u8]) {
    use rt::File;
    let file = sim.open(path, rt::OpenMode::Buffered).await.unwrap();
    file.write_at(offset, rt::AppendBuf::copy_of(bytes)).await.unwrap();
    file.sync_data().await.unwrap();
}

/// The log file of [`small_config`] that holds a log offset, and where in it.
pub(crate) fn log_place(at: u64) -> (std::path::PathBuf, u64) {
    let start = at - at % (96 * 1024);
    (format!("/store/commitlog/{start:020}").into(), at - start)
}

/// Prints how to replay a seed when the test fails with it.
pub(crate) struct Replay(pub u64, pub &'static str);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay: ENGINE_SEED={} cargo test -p engine --test it {}", self.0, self.1);
        }
    }
}

/// The manifest of the store at `/store`.
pub(crate) async fn manifest(sim: &Sim) -> serde_json::Value {
    let bytes = sim.read_file(Path::new("/store/consumequeue.manifest")).await.unwrap();
    serde_json::from_slice(bytes.split(|byte| *byte == b'\n').next().unwrap()).unwrap()
}
