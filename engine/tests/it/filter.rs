//! A tag filter returns exactly the messages with that tag, hot and cold, and looks at a bounded
//! number of others.

use crate::oracle::{Oracle, code_of, consume, draft, request, small_config};
use engine::limits::{FILTER_BYTES_MAX, FILTER_UNITS_MAX};
use engine::{QueueOffset, ReadRequest, ReadSlices, ReadStatus, RecordFilter, Store, TagFilter};
use protocol::record::RecordView;
use rt::sim::Sim;
use std::cell::Cell;
use std::rc::Rc;

/// Takes messages by what their properties say, and counts how many it was shown.
#[derive(Debug)]
struct Tagged {
    tag: &'static str,
    shown: Cell<usize>,
}

impl Tagged {
    fn filter(tag: &'static str) -> (Rc<Self>, Rc<dyn RecordFilter>) {
        let filter = Rc::new(Self { tag, shown: Cell::new(0) });
        (filter.clone(), filter)
    }
}

impl RecordFilter for Tagged {
    fn takes(&self, record: &[u8]) -> bool {
        self.shown.set(self.shown.get() + 1);
        let record = RecordView::parse(record).unwrap();
        protocol::properties::get(record.properties(), "TAGS") == Some(self.tag)
    }
}

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

#[test]
fn a_filter_of_records_returns_exactly_what_it_takes_hot_and_cold() {
    let sim = Sim::new(24);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let mut oracle = Oracle::default();
        oracle.fill(&sim, &store, 900).await;
        for tag in ["red", "none"] {
            let (_, filter) = Tagged::filter(tag);
            for (topic, queue_id) in oracle.queues() {
                let read = consume(&store, &topic, queue_id, TagFilter::Records(&filter)).await;
                let sent: Vec<_> =
                    oracle.queue(&topic, queue_id).filter(|sent| sent.tag == tag).collect();
                assert_eq!(read.len(), sent.len(), "{topic}/{queue_id} {tag}");
                read.iter()
                    .zip(sent)
                    .for_each(|(record, sent)| crate::oracle::assert_record(record, sent));
            }
        }
        store.close().await.unwrap();
    });
}

#[test]
fn a_filter_of_records_sees_no_more_than_the_answer_needs() {
    let sim = Sim::new(25);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        for nth in 0..40 {
            let tag: &[u8] = if nth % 10 == 3 { b"TAGS\x01red\x02" } else { b"TAGS\x01blue\x02" };
            store.append(&draft("t", 0, b"x", &[tag])).unwrap();
        }
        let (seen, filter) = Tagged::filter("red");
        let two =
            ReadRequest { max_messages: 2, ..request("t", 0, 0, TagFilter::Records(&filter)) };
        let mut out = ReadSlices::default();
        assert_eq!(store.read(&two, &mut out), ReadStatus::Found);
        assert_eq!((out.messages, out.next_begin_offset), (2, QueueOffset(14)));
        assert_eq!(seen.shown.replace(0), 14);
        let cold = store.read_cold(two.to_owned()).await.unwrap();
        assert_eq!((cold.messages, cold.next_begin_offset), (2, QueueOffset(14)));
        assert_eq!(seen.shown.get(), 14);
        store.close().await.unwrap();
    });
}

#[test]
fn a_cold_read_looks_at_a_bounded_number_of_bytes() {
    let sim = Sim::new(26);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let body = vec![b'x'; 7 << 10];
        let count = 2 * FILTER_BYTES_MAX / body.len();
        for _ in 0..count {
            while store.append(&draft("t", 0, &body, &[b"TAGS\x01red\x02"])).is_err() {
                store.wait_writable().await;
            }
        }
        let (seen, filter) = Tagged::filter("blue");
        let all = request("t", 0, 0, TagFilter::Records(&filter));
        let cold = store.read_cold(all.to_owned()).await.unwrap();
        assert_eq!(cold.status, ReadStatus::NoMatchedMessage);
        assert!((count / 3..count / 2 + 1).contains(&seen.shown.get()), "{}", seen.shown.get());
        let seen = i64::try_from(seen.shown.get()).unwrap();
        assert_eq!(cold.next_begin_offset, QueueOffset(seen), "it goes on where it stopped");
        store.close().await.unwrap();
    });
}
