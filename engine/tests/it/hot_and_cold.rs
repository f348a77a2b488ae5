//! What is sent is read back, and a hot and a cold read of the same messages give the same bytes.

use crate::oracle::{Oracle, Replay, assert_record, draft, request, seeds, small_config, split};
use engine::{QueueOffset, ReadAmount, ReadOrigins, ReadSlices, ReadStatus, Store, TagFilter};
use rt::Runtime as _;
use rt::sim::Sim;
use std::time::Duration;

#[test]
fn what_is_sent_is_read_back_in_order() {
    for seed in seeds(10) {
        let _replay = Replay(seed, "what_is_sent_is_read_back_in_order");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            let mut oracle = Oracle::default();
            for _ in 0..5 {
                oracle.fill(&sim, &store, 60).await;
                oracle.check(&store).await;
            }
            store.close().await.unwrap();
        });
    }
}

#[test]
fn hot_and_cold_reads_give_the_same_bytes() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let mut config = small_config("/store");
        config.cold_messages_max = config.hot_messages_max;
        config.cold_bytes_max = config.hot_bytes_max;
        let store = Store::open(sim.clone(), config).await.unwrap();
        let (mut oracle, mut hot, mut compared) = (Oracle::default(), ReadSlices::default(), 0);
        let mut seen = Vec::new();
        for _ in 0..40 {
            let from = i64::try_from(oracle.queue("alpha", 0).count()).unwrap();
            oracle.fill(&sim, &store, 20).await;
            let request = request("alpha", 0, from, TagFilter::All);
            if store.read(&request, &mut hot) == ReadStatus::Found {
                seen.push((from, hot.next_begin_offset, split(&hot.slices)));
            }
        }
        for (from, next, records) in seen {
            if store.is_hot("alpha", 0, QueueOffset(from)) {
                continue;
            }
            let mut owned = request("alpha", 0, from, TagFilter::All).to_owned();
            owned.max_messages = records.len();
            let cold = store.read_cold(owned).await.unwrap();
            assert_eq!((cold.status, cold.next_begin_offset), (ReadStatus::Found, next));
            assert!(split(&cold.slices) == records, "from {from}");
            compared += 1;
        }
        assert!(compared > 10, "only {compared} reads had become cold");
        store.close().await.unwrap();
    });
}

#[test]
fn a_message_is_found_by_its_offset_and_nothing_is_found_elsewhere() {
    let sim = Sim::new(2);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let mut oracle = Oracle::default();
        oracle.fill(&sim, &store, 300).await;
        for sent in &oracle.sent {
            let record = store.message_at(sent.at.physical_offset).await.unwrap().unwrap();
            assert_record(&record, sent);
            let inside = engine::PhyOffset(sent.at.physical_offset.0 + 1);
            assert!(store.message_at(inside).await.unwrap().is_none());
        }
        assert!(store.message_at(store.appended()).await.unwrap().is_none());
        assert!(store.message_at(engine::PhyOffset(u64::MAX)).await.unwrap().is_none());
        store.close().await.unwrap();
    });
}

#[test]
fn adjacent_messages_are_one_slice_and_the_limits_hold() {
    let sim = Sim::new(3);
    sim.block_on(async {
        let mut config = small_config("/store");
        config.hot_bytes_max = 1000;
        let store = Store::open(sim.clone(), config).await.unwrap();
        for _ in 0..40 {
            store.append(&draft("t", 0, &[1; 1], &[])).unwrap();
        }
        store.append(&draft("t", 1, &[1; 5000], &[])).unwrap();
        let mut out = ReadSlices::default();
        assert_eq!(store.read(&request("t", 0, 0, TagFilter::All), &mut out), ReadStatus::Found);
        assert_eq!((out.slices.len(), out.messages), (1, 1000 / 93));
        assert_eq!(store.read(&request("t", 1, 0, TagFilter::All), &mut out), ReadStatus::Found);
        assert_eq!(
            out.messages, 1,
            "one message is returned even when it is larger than the limit"
        );
        let one = engine::ReadRequest { max_messages: 1, ..request("t", 0, 5, TagFilter::All) };
        assert_eq!(
            (store.read(&one, &mut out), out.messages, out.next_begin_offset),
            (ReadStatus::Found, 1, QueueOffset(6))
        );
        store.close().await.unwrap();
    });
}

#[test]
fn a_read_tells_what_was_not_written_yet_what_only_the_cache_had_and_what_came_from_disk() {
    let sim = Sim::new(3);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let (mut oracle, mut out) = (Oracle::default(), ReadSlices::default());
        oracle.append_waiting(&store, ("alpha", 0), "red", 500).await;
        let first = request("alpha", 0, 0, TagFilter::All);
        assert_eq!(store.read(&first, &mut out), ReadStatus::Found);
        let all = ReadAmount { messages: 1, bytes: out.bytes as u64 };
        assert_eq!(out.origins, ReadOrigins { hot: all, ..ReadOrigins::default() });
        while store.written() < store.appended() {
            sim.sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(store.read(&first, &mut out), ReadStatus::Found);
        assert_eq!(out.origins, ReadOrigins { warm: all, ..ReadOrigins::default() });
        while store.is_hot("alpha", 0, QueueOffset(0)) {
            oracle.append_waiting(&store, ("beta", 0), "red", 5_000).await;
        }
        oracle.append_waiting(&store, ("alpha", 0), "red", 500).await;
        let cold = store.read_cold(first.to_owned()).await.unwrap();
        assert_eq!((cold.messages, cold.origins.cold), (2, all), "it ends in the tail");
        let in_memory = cold.origins.hot.messages + cold.origins.warm.messages;
        assert_eq!(in_memory, 1);
        store.close().await.unwrap();
    });
}
