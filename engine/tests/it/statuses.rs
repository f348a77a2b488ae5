//! Every status of a read, with its `next_begin_offset` and range, hot and cold alike; and what
//! arrives is told.

use crate::oracle::{draft, request, small_config};
use engine::{Arrival, QueueOffset, QueueRange, ReadSlices, ReadStatus, Store, TagFilter};
use rt::sim::Sim;

const NONE: &[i32] = &[1];

#[test]
fn every_status_has_its_next_offset() {
    let sim = Sim::new(31);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        for _ in 0..3 {
            store.append(&draft("t", 0, b"x", &[])).unwrap();
        }
        let table = [
            ("none", 0, 5, TagFilter::All, ReadStatus::NoMatchedLogicQueue, 0, 0),
            ("t", 7, 5, TagFilter::All, ReadStatus::NoMatchedLogicQueue, 0, 0),
            ("t", -1, 5, TagFilter::All, ReadStatus::NoMatchedLogicQueue, 0, 0),
            ("t", 0, -1, TagFilter::All, ReadStatus::OffsetTooSmall, 0, 3),
            ("t", 0, i64::MIN, TagFilter::All, ReadStatus::OffsetTooSmall, 0, 3),
            ("t", 0, 3, TagFilter::All, ReadStatus::OffsetOverflowOne, 3, 3),
            ("t", 0, 4, TagFilter::All, ReadStatus::OffsetOverflowBadly, 3, 3),
            ("t", 0, i64::MAX, TagFilter::All, ReadStatus::OffsetOverflowBadly, 3, 3),
            ("t", 0, 1, TagFilter::Codes(NONE), ReadStatus::NoMatchedMessage, 3, 3),
            ("t", 0, 1, TagFilter::All, ReadStatus::Found, 3, 3),
        ];
        let mut out = ReadSlices::default();
        for (topic, queue_id, offset, filter, status, next, max) in table {
            let request = request(topic, queue_id, offset, filter);
            let range = QueueRange { min_offset: QueueOffset(0), max_offset: QueueOffset(max) };
            let found = (store.read(&request, &mut out), out.next_begin_offset, out.range);
            assert_eq!(
                found,
                (status, QueueOffset(next), range),
                "hot: {topic}/{queue_id} at {offset}"
            );
            let cold = store.read_cold(request.to_owned()).await.unwrap();
            assert_eq!(
                (cold.status, cold.next_begin_offset, cold.range),
                found,
                "cold: {topic}/{queue_id} at {offset}"
            );
        }
        store.close().await.unwrap();
    });
}

#[test]
fn a_read_of_what_left_memory_says_cold_and_reads_nothing() {
    let sim = Sim::new(32);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let mut oracle = crate::oracle::Oracle::default();
        oracle.fill(&sim, &store, 600).await;
        let mut out = ReadSlices::default();
        assert_eq!(store.read(&request("alpha", 0, 0, TagFilter::All), &mut out), ReadStatus::Cold);
        assert_eq!((out.messages, out.slices.len(), out.next_begin_offset), (0, 0, QueueOffset(0)));
        assert!(
            !store.is_hot("alpha", 0, QueueOffset(0))
                && store.is_hot("alpha", 0, out.range.max_offset)
        );
        store.close().await.unwrap();
    });
}

#[test]
fn prepared_messages_are_in_the_log_and_in_no_queue() {
    let sim = Sim::new(33);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let half = protocol::record::RecordDraft {
            sys_flag: protocol::sys_flag::TRANSACTION_PREPARED,
            ..draft("t", 0, b"half", &[])
        };
        let at = store.append(&half).unwrap();
        assert_eq!((store.queue_range("t", 0), store.dispatched()), (None, at.end()));
        assert!(store.message_at(at.physical_offset).await.unwrap().is_some());
        assert!(!store.has_arrivals());
        store.close().await.unwrap();
    });
}

#[test]
fn every_arrival_is_told_once_in_order_and_without_limit() {
    let sim = Sim::new(34);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        store.append(&draft("t", 1, b"x", &[b"TAGS\x01red\x02"])).unwrap();
        store.append(&draft("u", 0, b"x", &[])).unwrap();
        let mut told = Vec::new();
        let note = |told: &mut Vec<_>, arrival: Arrival<'_>| {
            told.push((
                arrival.topic.to_owned(),
                arrival.queue_id,
                arrival.max_offset.0,
                arrival.tags_code,
            ))
        };
        store.drain_arrivals(|arrival| note(&mut told, arrival));
        let red = protocol::tags::tags_code("red");
        assert_eq!(told, [("t".to_owned(), 1, 1, Some(red)), ("u".to_owned(), 0, 1, Some(0))]);
        store.drain_arrivals(|arrival| panic!("told twice: {arrival:?}"));
        for _ in 0..engine::limits::ARRIVALS_MAX + 5 {
            while store.append(&draft("t", 1, b"", &[])).is_err() {
                store.wait_writable().await;
            }
        }
        told.clear();
        store.drain_arrivals(|arrival| note(&mut told, arrival));
        assert!(told.len() < 10, "merged to {}", told.len());
        assert_eq!(
            (told[0].3, told.last().unwrap().2),
            (None, i64::try_from(engine::limits::ARRIVALS_MAX + 6).unwrap())
        );
        store.close().await.unwrap();
    });
}
