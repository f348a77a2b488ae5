//! A consumer never sees what a crash could take back: ranges, reads and arrivals end at the mark
//! of the acknowledgement.

use crate::oracle::{Replay, draft, seeds, small_config};
use engine::{
    FlushPolicy, LogBackend, PhyOffset, QueueOffset, ReadRequest, ReadSlices, ReadStatus, Store,
    StoreConfig, TagFilter,
};
use rt::Runtime;
use rt::sim::Sim;
use std::cell::{Cell, RefCell};
use std::time::Duration;

fn read_all(store: &Store<Sim>) -> (ReadStatus, usize) {
    let mut out = ReadSlices::default();
    let request = ReadRequest {
        topic: "alpha",
        queue_id: 0,
        offset: QueueOffset(0),
        max_messages: 100,
        max_bytes: 1 << 20,
        filter: TagFilter::All,
        as_asked: false,
    };
    let status = store.read(&request, &mut out);
    (status, out.messages)
}

#[test]
fn what_is_not_flushed_is_not_seen_and_what_is_flushed_arrives() {
    for backend in [LogBackend::Direct, LogBackend::Mmap] {
        let sim = Sim::new(7);
        sim.block_on(async {
            let config =
                StoreConfig { flush: FlushPolicy::Sync, backend, ..small_config("/store") };
            let store = Store::open(sim.clone(), config).await.unwrap();
            sim.hold_writes(true);
            let stored = store.append(&draft("alpha", 0, b"hello", &[])).unwrap();
            sim.sleep(Duration::from_millis(50)).await;
            assert_eq!(read_all(&store), (ReadStatus::NoMessageInQueue, 0));
            assert!(!store.has_arrivals() && store.acknowledged() < stored.end());
            assert!(
                store.message_at(stored.physical_offset).await.unwrap().is_none(),
                "not by its id either"
            );
            sim.hold_writes(false);
            store.acknowledged_beyond(PhyOffset(0)).await;
            assert!(store.flushed() >= stored.end());
            assert_eq!(read_all(&store), (ReadStatus::Found, 1));
            let mut told = Vec::new();
            store.drain_arrivals(|arrival| {
                told.push((arrival.topic.to_owned(), arrival.max_offset))
            });
            assert_eq!(told, [("alpha".to_owned(), QueueOffset(1))]);
            store.close().await.unwrap();
        });
    }
}

/// What a consumer that reads all the time has seen, over the lives of a store.
#[derive(Default)]
struct Consumer {
    seen: RefCell<Vec<Vec<u8>>>,
    store: RefCell<Option<Store<Sim>>>,
    unseen_at_crashes: Cell<usize>,
}

impl Consumer {
    async fn live(&self, sim: &Sim, config: StoreConfig) {
        let store = Store::open(sim.clone(), config).await.unwrap();
        self.store.replace(Some(store.clone()));
        let mut sent = store.queue_range("alpha", 0).map_or(0, |range| range.max_offset.0);
        loop {
            for _ in 0..sim.random_u64() % 4 {
                let body = format!("{sent}-{}", sim.random_u64());
                let appended = store.append(&draft("alpha", 0, body.as_bytes(), &[]));
                sent += i64::from(appended.is_ok());
            }
            self.consume(&store).await;
            sim.sleep(Duration::from_nanos(sim.random_u64() % 200_000)).await;
        }
    }

    /// Everything that was seen is still there as it was; what is new is seen.
    async fn consume(&self, store: &Store<Sim>) {
        let end = store.queue_range("alpha", 0).map_or(0, |range| range.max_offset.0);
        let known = self.seen.borrow().len();
        assert!(
            usize::try_from(end).unwrap() >= known,
            "{known} messages were seen, {end} are there"
        );
        let mut out = ReadSlices::default();
        let offset = QueueOffset(i64::try_from(known.saturating_sub(1)).unwrap());
        let request = ReadRequest {
            topic: "alpha",
            queue_id: 0,
            offset,
            max_messages: 32,
            max_bytes: 1 << 20,
            filter: TagFilter::All,
            as_asked: false,
        };
        let slices = match store.read(&request, &mut out) {
            ReadStatus::Cold => store.read_cold(request.to_owned()).await.unwrap().slices,
            _ => out.slices.clone(),
        };
        let mut records = Vec::new();
        for slice in &slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                let record = protocol::record::RecordView::parse(rest).unwrap();
                records.push(record.body().to_vec());
                rest = &rest[record.total_size()..];
            }
        }
        let mut seen = self.seen.borrow_mut();
        if let (Some(last), Some(again)) = (seen.last(), records.first()) {
            assert_eq!(last, again, "a message that was seen is another one now");
        }
        seen.extend(records.into_iter().skip(usize::from(known > 0)));
    }
}

#[test]
fn what_a_consumer_saw_is_there_after_every_power_cut() {
    let (mut hidden, mut seen) = (0, 0);
    let seeds = seeds(40);
    for seed in &seeds {
        let _replay = Replay(*seed, "what_a_consumer_saw_is_there_after_every_power_cut");
        for backend in [LogBackend::Direct, LogBackend::Mmap] {
            let config =
                StoreConfig { flush: FlushPolicy::Sync, backend, ..small_config("/store") };
            let (mut sim, consumer) = (Sim::new(*seed), Consumer::default());
            for _ in 0..6 {
                let time = Duration::from_micros(500 + sim.random_u64() % 20_000);
                sim.block_on(futures_lite::future::or(
                    consumer.live(&sim, config.clone()),
                    sim.sleep(time),
                ));
                if let Some(store) = consumer.store.take() {
                    let unseen = usize::from(store.appended() > store.visible());
                    consumer.unseen_at_crashes.set(consumer.unseen_at_crashes.get() + unseen);
                }
                sim = sim.crash().0;
            }
            hidden += consumer.unseen_at_crashes.get();
            seen += consumer.seen.borrow().len();
        }
    }
    eprintln!("{hidden} crashes between append and flush, {seen} messages seen by the consumers");
    if seeds.len() > 1 {
        assert!(
            hidden > 50 && seen > 1000,
            "too tame: {hidden} crashes between append and flush, {seen} seen"
        );
    }
}
