//! What the broker itself reads: so many messages of a queue from an offset on, and the message at
//! a place of the log, whether memory has them or the disk, at once and as slices of its own.

use crate::oracle::{Oracle, assert_record, request, small_config, split};
use engine::{QueueOffset, ReadRequest, ReadStatus, Store, TagFilter};
use rt::sim::Sim;

#[test]
fn a_queue_is_read_from_any_offset_hot_cold_or_both() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let mut oracle = Oracle::default();
        oracle.fill(&sim, &store, 400).await;
        let sent: Vec<_> = oracle.queue("alpha", 0).cloned().collect();
        let offset = |nth: usize| QueueOffset(i64::try_from(nth).unwrap());
        let is_hot = |nth| store.is_hot("alpha", 0, offset(nth));
        assert!(!is_hot(0) && is_hot(sent.len() - 1), "the queue is in both");
        for (from, count) in [(0, 10), (0, sent.len()), (sent.len() - 3, 3), (sent.len() - 3, 50)] {
            let wanted = ReadRequest {
                max_messages: count,
                max_bytes: 1 << 30,
                as_asked: true,
                ..request("alpha", 0, offset(from).0, TagFilter::All)
            };
            let read = store.read_cold(wanted.to_owned()).await.unwrap();
            let upto = sent.len().min(from + count);
            assert_eq!((read.status, read.messages), (ReadStatus::Found, upto - from));
            assert_eq!(read.next_begin_offset, offset(upto));
            for (record, sent) in split(&read.slices).iter().zip(&sent[from..]) {
                assert_record(record, sent);
            }
        }
        let end = request("alpha", 0, offset(sent.len()).0, TagFilter::All);
        let read = store.read_cold(end.to_owned()).await.unwrap();
        assert_eq!((read.status, read.messages), (ReadStatus::OffsetOverflowOne, 0), "at once");
        store.close().await.unwrap();
    });
}

#[test]
fn every_message_is_read_by_its_place_hot_or_cold() {
    let sim = Sim::new(2);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let mut oracle = Oracle::default();
        oracle.fill(&sim, &store, 400).await;
        for sent in &oracle.sent {
            let found = store.message_at(sent.at.physical_offset).await.unwrap().unwrap();
            assert_record(&found, sent);
        }
        store.close().await.unwrap();
    });
}
