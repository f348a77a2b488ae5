//! A tag filter returns exactly the messages with that tag, hot and cold, and looks at a bounded
//! number of others.

use crate::oracle::{Oracle, code_of, consume, draft, request, small_config};
use engine::limits::FILTER_UNITS_MAX;
use engine::{QueueOffset, ReadSlices, ReadStatus, Store, TagFilter};
use rt::sim::Sim;

#[test]
fn a_filter_returns_exactly_the_messages_of_its_tags() {
    let sim = Sim::new(21);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let mut oracle = Oracle::default();
        oracle.fill(&sim, &store, 900).await;
        for tags in [&["red"][..], &["green", "blue"], &["none"], &[]] {
            let codes: Vec<i32> = tags.iter().map(|tag| code_of(tag)).collect();
            for (topic, queue_id) in oracle.queues() {
                let read = consume(&store, &topic, queue_id, TagFilter::Codes(&codes)).await;
                let sent =
                    oracle.queue(&topic, queue_id).filter(|sent| tags.contains(&sent.tag.as_str()));
                let sent: Vec<_> = sent.collect();
                assert_eq!(read.len(), sent.len(), "{topic}/{queue_id} {tags:?}");
                read.iter()
                    .zip(sent)
                    .for_each(|(record, sent)| crate::oracle::assert_record(record, sent));
            }
        }
        store.close().await.unwrap();
    });
}

#[test]
fn a_filter_that_matches_nothing_stops_after_a_bounded_number_and_goes_on_there() {
    let sim = Sim::new(22);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        for _ in 0..FILTER_UNITS_MAX + 10 {
            while store.append(&draft("t", 0, b"x", &[b"TAGS\x01red\x02"])).is_err() {
                store.wait_writable().await;
            }
        }
        let codes = [code_of("blue")];
        let mut out = ReadSlices::default();
        let looked_at = QueueOffset(i64::try_from(FILTER_UNITS_MAX).unwrap());
        let first = request("t", 0, 0, TagFilter::Codes(&codes));
        assert_eq!(
            (store.read(&first, &mut out), out.next_begin_offset),
            (ReadStatus::NoMatchedMessage, looked_at)
        );
        let cold = store.read_cold(first.to_owned()).await.unwrap();
        assert_eq!(
            (cold.status, cold.next_begin_offset),
            (ReadStatus::NoMatchedMessage, looked_at)
        );
        let second = request("t", 0, looked_at.0, TagFilter::Codes(&codes));
        assert_eq!(
            (store.read(&second, &mut out), out.next_begin_offset),
            (ReadStatus::NoMatchedMessage, out.range.max_offset)
        );
        store.close().await.unwrap();
    });
}

#[test]
fn the_last_message_looked_at_is_where_the_next_read_begins() {
    let sim = Sim::new(23);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        for nth in 0..40 {
            let tag: &[u8] = if nth % 10 == 3 { b"TAGS\x01red\x02" } else { b"TAGS\x01blue\x02" };
            store.append(&draft("t", 0, b"x", &[tag])).unwrap();
        }
        let mut out = ReadSlices::default();
        let codes = [code_of("red")];
        let two =
            engine::ReadRequest { max_messages: 2, ..request("t", 0, 0, TagFilter::Codes(&codes)) };
        assert_eq!(store.read(&two, &mut out), ReadStatus::Found);
        assert_eq!((out.messages, out.next_begin_offset), (2, QueueOffset(14)));
        let cold = store.read_cold(two.to_owned()).await.unwrap();
        assert_eq!((cold.messages, cold.next_begin_offset), (2, QueueOffset(14)));
        store.close().await.unwrap();
    });
}
