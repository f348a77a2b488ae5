//! Another broker's log, taken byte for byte: it becomes a store that answers the same; what is no
//! such log is refused and changes nothing.

use crate::copy::{FILE_BYTES, boundaries, feed, log_bytes, open_copy, queues};
use crate::oracle::{Oracle, draft, request, small_config};
use engine::{
    AppendError, LogSource, PhyOffset, QueueOffset, QueueRange, RawError, ReadStatus, Store,
    StoreConfig, StoreError, TagFilter,
};
use protocol::record::RecordDraft;
use rt::Runtime;
use rt::sim::Sim;
use std::path::Path;
use std::time::Duration;

const MASTER: &str = "/master";

fn config() -> StoreConfig {
    small_config("/store")
}

/// A record as a master stores it.
fn record(topic: &str, queue_id: i32, offset: i64, at: u64, properties: &[u8]) -> Vec<u8> {
    record_with(&RecordDraft {
        queue_offset: offset,
        physical_offset: i64::try_from(at).unwrap(),
        store_timestamp_ms: 5_000,
        ..draft(topic, queue_id, b"a body", &[properties])
    })
}

fn record_with(draft: &RecordDraft<'_>) -> Vec<u8> {
    let mut bytes = vec![0; draft.encoded_len().unwrap()];
    draft.encode_into(&mut bytes).unwrap();
    bytes
}

/// A master's log of `count` messages, on the same machine: its bytes.
async fn master_log(sim: &Sim, count: usize) -> Vec<u8> {
    let store = Store::open(sim.clone(), small_config(MASTER)).await.unwrap();
    Oracle::default().fill(sim, &store, count).await;
    let end = store.appended().0;
    store.close().await.unwrap();
    log_bytes(sim, MASTER, 0, end).await
}

#[test]
fn a_copy_has_the_masters_bytes_and_gives_the_masters_answers() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let bytes = master_log(&sim, 300).await;
        assert!(bytes.len() as u64 > 3 * FILE_BYTES, "several files");
        let master = Store::open(sim.clone(), small_config(MASTER)).await.unwrap();
        let copy = open_copy(&sim, &config()).await;
        let random = sim.clone();
        let some = || usize::try_from(random.random_u64() % 7).unwrap();
        feed(&copy, &config(), 0, &bytes, some).await.unwrap();
        assert_eq!(copy.appended(), master.appended());
        assert_eq!(queues(&copy).await, queues(&master).await);
        let mut arrived = 0;
        copy.drain_arrivals(|_| arrived += 1);
        assert_eq!(arrived, 300, "consumers are told of every message");
        copy.close().await.unwrap();
        let end = bytes.len() as u64;
        assert!(log_bytes(&sim, "/store", 0, end).await == bytes);
        let copy = Store::open(sim.clone(), config()).await.unwrap();
        assert_eq!(copy.recovered().records_scanned, 0, "the manifest lists all of it");
        assert_eq!(copy.source(), LogSource::Foreign, "kept over the restart");
        assert_eq!(queues(&copy).await, queues(&master).await);
        copy.close().await.unwrap();
        master.close().await.unwrap();
    });
}

#[test]
fn every_cut_byte_of_the_input_is_refused_and_changes_nothing() {
    let sim = Sim::new(2);
    sim.block_on(async {
        let bytes = master_log(&sim, 6).await;
        let ends = boundaries(&bytes);
        for from in [0, ends[2]] {
            let copy = open_copy(&sim, &config()).await;
            if from > 0 {
                copy.append_raw(PhyOffset(0), &bytes[..from]).unwrap();
            }
            let (end, before) = (copy.appended(), queues(&copy).await);
            for cut in from + 1..bytes.len() {
                if ends.contains(&cut) {
                    continue;
                }
                let refused = copy.append_raw(end, &bytes[from..cut]).unwrap_err();
                assert!(matches!(refused, RawError::Record { .. }), "cut at {cut}: {refused}");
            }
            assert_eq!((copy.appended(), queues(&copy).await), (end, before));
            copy.append_raw(end, &bytes[from..]).unwrap();
            copy.truncate(PhyOffset(0)).await.unwrap();
            copy.close().await.unwrap();
        }
    });
}

/// Where a record is covered by a check whatever its queue: TOTALSIZE, magic, BODYCRC,
/// PHYSICALOFFSET, body and its length.
fn is_refused_field(record: &[u8], at: usize) -> bool {
    let body_length = usize::try_from(u32::from_be_bytes(record[84..88].try_into().unwrap()));
    at < 12 || (28..36).contains(&at) || (84..88 + body_length.unwrap()).contains(&at)
}

#[test]
fn every_flipped_bit_of_the_input_is_refused_or_changes_that_bit_alone() {
    let sim = Sim::new(3);
    sim.block_on(async {
        let bytes = master_log(&sim, 3).await;
        let ends = boundaries(&bytes);
        let copy = open_copy(&sim, &config()).await;
        let (mut refused, mut taken) = (0, 0);
        for at in 0..bytes.len() {
            let nth = ends.iter().position(|end| at < *end).unwrap();
            let begin = if nth == 0 { 0 } else { ends[nth - 1] };
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let end = copy.appended();
                match copy.append_raw(PhyOffset(0), &flipped) {
                    Err(error) => {
                        assert_eq!(copy.appended(), end, "{at}/{bit}: {error}");
                        assert!(queues(&copy).await.is_empty(), "{at}/{bit}: {error}");
                        refused += 1;
                    }
                    Ok(_) => {
                        let is_covered = is_refused_field(&bytes[begin..ends[nth]], at - begin);
                        assert!(!is_covered, "byte {at}, bit {bit} of record {nth} was taken");
                        copy.truncate(PhyOffset(0)).await.unwrap();
                        taken += 1;
                    }
                }
            }
        }
        assert!(refused > 1000 && taken > 100, "{refused} refused, {taken} taken");
        copy.append_raw(PhyOffset(0), &bytes).unwrap();
        copy.close().await.unwrap();
        assert!(log_bytes(&sim, "/store", 0, bytes.len() as u64).await == bytes);
    });
}

fn named(topic: &str) -> Vec<u8> {
    record(topic, 0, 0, 0, b"")
}

/// No draft makes such a record; its TOPICLENGTH of two bytes can say it.
fn with_long_topic(topic: &str) -> Vec<u8> {
    let mut bytes = named(&"t".repeat(200));
    let length_at = 88 + b"a body".len();
    let total = bytes.len() - 200 + topic.len();
    bytes.splice(length_at + 2..length_at + 202, topic.bytes());
    bytes[length_at..length_at + 2]
        .copy_from_slice(&u16::try_from(topic.len()).unwrap().to_be_bytes());
    bytes[..4].copy_from_slice(&u32::try_from(total).unwrap().to_be_bytes());
    bytes
}

#[test]
fn topics_that_are_no_folders_and_queue_ids_that_are_none_are_refused() {
    let sim = Sim::new(4);
    sim.block_on(async {
        let copy = open_copy(&sim, &config()).await;
        let long = "t".repeat(300);
        for topic in ["../x", "a/b", "a\0b", "", ".", "..", long.as_str()] {
            let bytes = if topic.len() > 255 { with_long_topic(topic) } else { named(topic) };
            let error = copy.append_raw(PhyOffset(0), &bytes).unwrap_err();
            assert!(matches!(&error, RawError::Topic { topic: found, .. } if found == topic));
            assert!(error.to_string().contains("log offset 0"), "{error}");
        }
        for queue_id in [-1, 65_536, i32::MAX, i32::MIN] {
            let error = copy.append_raw(PhyOffset(0), &record("t", queue_id, 0, 0, b""));
            assert!(matches!(error, Err(RawError::QueueId { found, .. }) if found == queue_id));
        }
        for offset in [-1, 1, i64::MAX, i64::MIN] {
            let error = copy.append_raw(PhyOffset(0), &record("t", 0, offset, 0, b""));
            assert!(matches!(error, Err(RawError::QueueOffset { found, .. }) if found == offset));
        }
        let inner_batch = RecordDraft {
            sys_flag: 0x80,
            queue_offset: 0,
            physical_offset: 0,
            ..draft("t", 0, b"", &[])
        };
        let error = copy.append_raw(PhyOffset(0), &record_with(&inner_batch)).unwrap_err();
        assert!(error.to_string().contains("BatchCQ"), "{error}");
        assert_eq!(copy.appended(), PhyOffset(0));
        assert!(queues(&copy).await.is_empty());
        copy.close().await.unwrap();
    });
}

#[test]
fn all_or_nothing_and_only_at_the_end_of_the_log() {
    let sim = Sim::new(5);
    sim.block_on(async {
        let copy = open_copy(&sim, &config()).await;
        let first = record("t", 0, 0, 0, b"");
        let len = first.len() as u64;
        let error = copy.append_raw(PhyOffset(8), &first).unwrap_err();
        let not_at_end = RawError::NotAtEnd { at: PhyOffset(8), end: PhyOffset(0) };
        assert_eq!(error, not_at_end);
        let mut both = [first.clone(), record("u", 0, 0, len, b"")].concat();
        both[usize::try_from(len).unwrap() + 12] = 0xFF;
        let error = copy.append_raw(PhyOffset(0), &both).unwrap_err();
        assert!(matches!(error, RawError::QueueId { at, .. } if at.0 == len), "{error}");
        assert_eq!(copy.queue_range("t", 0), None, "nothing of the first one either");
        let large = vec![0; config().raw_bytes_max() + 1];
        let error = copy.append_raw(PhyOffset(0), &large).unwrap_err();
        assert!(matches!(error, RawError::TooLarge { .. }), "{error}");
        assert_eq!(copy.append_raw(PhyOffset(0), &[]), Ok(PhyOffset(0)));
        let own = copy.append(&draft("t", 0, b"", &[])).unwrap_err();
        assert_eq!(own, AppendError::Foreign);
        copy.append_raw(PhyOffset(0), &first).unwrap();
        copy.set_source(LogSource::Own).await.unwrap();
        let error = copy.append_raw(PhyOffset(len), &record("t", 0, 1, len, b"")).unwrap_err();
        assert_eq!(error, RawError::NotForeign);
        let own = copy.append(&draft("t", 0, b"", &[])).unwrap();
        assert_eq!(own.queue_offset, QueueOffset(1), "goes on from the copy's");
        copy.close().await.unwrap();
    });
}

#[test]
fn a_record_never_crosses_a_files_end_and_a_blank_fills_it() {
    let sim = Sim::new(6);
    sim.block_on(async {
        let copy = open_copy(&sim, &config()).await;
        let (mut at, mut offset) = (0, 0);
        let body = vec![7; 8 * 1024];
        let full = |offset, at: u64| {
            record_with(&RecordDraft {
                queue_offset: offset,
                physical_offset: i64::try_from(at).unwrap(),
                ..draft("t", 0, &body, &[])
            })
        };
        while at + 9000 < FILE_BYTES {
            let bytes = full(offset, at);
            loop {
                match copy.append_raw(PhyOffset(at), &bytes) {
                    Err(RawError::Append(AppendError::TailFull { .. })) => {
                        copy.wait_writable().await;
                    }
                    taken => break taken.map(|_| ()).unwrap(),
                }
            }
            (at, offset) = (at + bytes.len() as u64, offset + 1);
        }
        let left = usize::try_from(FILE_BYTES - at).unwrap();
        let crossing = copy.append_raw(PhyOffset(at), &full(offset, at)).unwrap_err();
        assert!(crossing.to_string().contains("left of the file"), "{crossing}");
        let blank = |len: usize, says: usize| {
            let head = protocol::record::blank(i32::try_from(says).unwrap());
            [head.to_vec(), vec![0xEE; len - 8]].concat()
        };
        for (len, says) in [(left - 1, left), (left, left - 1), (left - 1, left - 1), (8, left)] {
            let error = copy.append_raw(PhyOffset(at), &blank(len, says)).unwrap_err();
            assert!(matches!(error, RawError::Record { .. }), "{len} {says}: {error}");
        }
        let both = [blank(left, left), record("t", 0, offset, FILE_BYTES, b"")].concat();
        copy.append_raw(PhyOffset(at), &both).unwrap();
        copy.close().await.unwrap();
        assert!(log_bytes(&sim, "/store", at, FILE_BYTES).await == blank(left, left));
        let copy = Store::open(sim.clone(), config()).await.unwrap();
        assert_eq!(copy.queue_range("t", 0).unwrap().max_offset, QueueOffset(offset + 1));
        copy.close().await.unwrap();
    });
}

#[test]
fn a_log_and_queues_may_begin_above_zero_and_have_gaps_over_restarts_too() {
    let begin = 3 * FILE_BYTES;
    let check = async |copy: &Store<Sim>| {
        let range = |min, max| {
            Some(QueueRange { min_offset: QueueOffset(min), max_offset: QueueOffset(max) })
        };
        assert_eq!(copy.log_begin(), PhyOffset(begin));
        assert_eq!(copy.queue_range("t", 1), range(7, 12));
        assert_eq!(queues(copy).await[&("t".to_owned(), 1)].2.len(), 3, "two are missing");
    };
    for is_killed in [false, true] {
        let mut sim = Sim::new(7);
        let offsets = [7, 8, 11];
        sim.block_on(async {
            let copy = open_copy(&sim, &config()).await;
            for wrong in [begin + 1, begin + 4096] {
                let error = copy.begin_at(PhyOffset(wrong)).await.unwrap_err();
                assert!(matches!(error, StoreError::Begin { .. }), "{error}");
            }
            copy.begin_at(PhyOffset(begin)).await.unwrap();
            assert_eq!((copy.log_begin(), copy.appended()), (PhyOffset(begin), PhyOffset(begin)));
            let mut at = begin;
            for offset in offsets {
                let bytes = record("t", 1, offset, at, b"");
                at = copy.append_raw(PhyOffset(at), &bytes).unwrap().0;
            }
            check(&copy).await;
            let error = copy.append_raw(PhyOffset(at), &record("t", 1, 3, at, b"")).unwrap_err();
            let says = "message 3 of queue 1 of topic t; expected 12";
            assert!(error.to_string().contains(says), "{error}");
            let error = copy.begin_at(PhyOffset(2 * begin)).await.unwrap_err();
            assert!(matches!(error, StoreError::Begin { .. }), "not empty any more: {error}");
            sim.sleep(Duration::from_millis(20)).await;
            if !is_killed {
                copy.close().await.unwrap();
            }
        });
        if is_killed {
            sim = sim.kill();
        }
        sim.block_on(async {
            let files = sim.list_dir(Path::new("/store/commitlog")).await.unwrap();
            assert_eq!(files[0].name, format!("{begin:020}"));
            let copy = Store::open(sim.clone(), config()).await.unwrap();
            check(&copy).await;
            copy.close().await.unwrap();
            // As a store of Apache RocketMQ, which has no manifest.
            sim.remove_file(Path::new("/store/consumequeue.manifest")).await.unwrap();
            let copy = Store::open(sim.clone(), config()).await.unwrap();
            assert_eq!(copy.log_begin(), PhyOffset(begin));
            assert_eq!(copy.queue_range("t", 1).unwrap().min_offset, QueueOffset(7));
            copy.close().await.unwrap();
        });
    }
}

#[test]
fn an_empty_log_that_begins_above_zero_stays_so_over_a_restart() {
    for is_killed in [false, true] {
        let mut sim = Sim::new(8);
        sim.block_on(async {
            let copy = open_copy(&sim, &config()).await;
            copy.begin_at(PhyOffset(FILE_BYTES)).await.unwrap();
            if !is_killed {
                copy.close().await.unwrap();
            }
        });
        if is_killed {
            sim = sim.crash().0;
        }
        sim.block_on(async {
            let copy = Store::open(sim.clone(), config()).await.unwrap();
            let ends = (copy.log_begin().0, copy.appended().0, copy.indexed().0);
            assert_eq!(ends, (FILE_BYTES, FILE_BYTES, FILE_BYTES));
            let bytes = record("t", 0, 2, FILE_BYTES, b"");
            copy.append_raw(PhyOffset(FILE_BYTES), &bytes).unwrap();
            copy.close().await.unwrap();
        });
    }
}

#[test]
fn half_messages_have_no_unit_light_queues_have_and_delayed_ones_their_time() {
    let sim = Sim::new(9);
    sim.block_on(async {
        let config = StoreConfig { builds_light_queues: true, ..config() };
        let copy = open_copy(&sim, &config).await;
        let light = b"INNER_MULTI_DISPATCH\x01%LMQ%a\x02INNER_MULTI_QUEUE_OFFSET\x010\x02";
        let mut at = copy.append_raw(PhyOffset(0), &record("t", 0, 0, 0, light)).unwrap();
        let half = RecordDraft {
            sys_flag: 4,
            queue_offset: 0,
            physical_offset: at.as_i64(),
            ..draft("t", 0, b"half", &[])
        };
        at = copy.append_raw(at, &record_with(&half)).unwrap();
        let delayed = record("SCHEDULE_TOPIC_XXXX", 2, 0, at.0, b"DELAY\x013\x02");
        copy.append_raw(at, &delayed).unwrap();
        let ends = ["t", "%LMQ%a"].map(|topic| copy.queue_range(topic, 0).unwrap().max_offset.0);
        assert_eq!(ends, [1, 1]);
        let mut codes = Vec::new();
        copy.drain_arrivals(|arrival| codes.push((arrival.topic.to_owned(), arrival.tags_code)));
        let expected = [("t", 0), ("%LMQ%a", 0), ("SCHEDULE_TOPIC_XXXX", 15_000)];
        assert_eq!(codes, expected.map(|(topic, code)| (topic.to_owned(), Some(code))));
        let read =
            copy.read_cold(request("%LMQ%a", 0, 0, TagFilter::All).to_owned()).await.unwrap();
        assert_eq!((read.status, read.messages), (ReadStatus::Found, 1));
        copy.close().await.unwrap();
    });
}

#[test]
fn the_clock_goes_on_from_the_masters_store_times() {
    let sim = Sim::new(10);
    sim.block_on(async {
        let copy = open_copy(&sim, &config()).await;
        let ahead_ms = sim.wall_ms() + 3_600_000;
        let from_ahead = RecordDraft {
            queue_offset: 0,
            physical_offset: 0,
            store_timestamp_ms: ahead_ms,
            ..draft("t", 0, b"", &[])
        };
        copy.append_raw(PhyOffset(0), &record_with(&from_ahead)).unwrap();
        copy.set_source(LogSource::Own).await.unwrap();
        let own = copy.append(&draft("t", 0, b"", &[])).unwrap();
        assert_eq!(own.store_timestamp_ms, ahead_ms);
        copy.close().await.unwrap();
    });
}

#[test]
fn a_zero_in_foreign_properties_is_data_and_stays_over_restarts_and_rebuilds() {
    let sim = Sim::new(11);
    sim.block_on(async {
        let copy = open_copy(&sim, &config()).await;
        let bytes = record("t", 0, 0, 0, b"a\x01b\x00c\x02");
        copy.append_raw(PhyOffset(0), &bytes).unwrap();
        copy.set_source(LogSource::Own).await.unwrap();
        for folder in [None, Some("/store/consumequeue")] {
            let copy = if folder.is_none() {
                copy.clone()
            } else {
                copy.close().await.unwrap();
                sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
                Store::open(sim.clone(), config()).await.unwrap()
            };
            let found = copy.message_at(PhyOffset(0)).await.unwrap().unwrap();
            assert!(*found == bytes[..]);
            assert_eq!(copy.queue_range("t", 0).unwrap().max_offset, QueueOffset(1));
            assert_eq!(copy.recovered().damaged_stretches, 0);
            if folder.is_some() {
                copy.close().await.unwrap();
            }
        }
    });
}

#[test]
fn records_in_the_log_whose_topics_are_no_folders_make_no_files() {
    let sim = Sim::new(12);
    sim.block_on(async {
        let store = Store::open(sim.clone(), config()).await.unwrap();
        let at = store.append(&draft("aaaa", 0, b"body", &[])).unwrap();
        store.append(&draft("b", 0, b"body", &[])).unwrap();
        store.close().await.unwrap();
        let path = Path::new("/store/commitlog/00000000000000000000");
        let topic_at = at.physical_offset.0 + 88 + 4 + 1;
        crate::oracle::overwrite(&sim, path, topic_at, b"../x").await;
        sim.remove_file(Path::new("/store/consumequeue.manifest")).await.unwrap();
        let store = Store::open(sim.clone(), config()).await.unwrap();
        assert_eq!((store.queue_range("../x", 0), store.queue_range("aaaa", 0)), (None, None));
        assert_eq!(store.recovered().damaged_stretches, 1);
        assert_eq!(store.queue_range("b", 0).unwrap().max_offset, QueueOffset(1));
        store.close().await.unwrap();
        assert!(sim.list_dir(Path::new("/store/x")).await.is_err());
    });
}
