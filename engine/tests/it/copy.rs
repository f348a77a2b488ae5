//! Copying one store's log into another, as a slave does.

use crate::oracle::{request, split};
use engine::{
    AppendError, LogSource, PhyOffset, RawError, ReadStatus, Store, StoreConfig, TagFilter,
};
use rt::Runtime;
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) const FILE_BYTES: u64 = 96 * 1024;

/// `[from, upto)` of the log below `root`, as its files have it.
pub(crate) async fn log_bytes(rt: &impl Runtime, root: &str, from: u64, upto: u64) -> Vec<u8> {
    let (mut bytes, mut at) = (Vec::new(), from);
    while at < upto {
        let start = at - at % FILE_BYTES;
        let path = format!("{root}/commitlog/{start:020}");
        let file = rt.read_file(Path::new(&path)).await.unwrap();
        let end = upto.min(start + FILE_BYTES);
        let [from, upto] = [at, end].map(|at| usize::try_from(at - start).unwrap());
        bytes.extend_from_slice(&file[from..upto]);
        at = end;
    }
    bytes
}

/// Where the records and blanks of `bytes` end, each relative to the first byte.
pub(crate) fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let (mut ends, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        at += usize::try_from(size).unwrap();
        ends.push(at);
    }
    assert_eq!(ends.last().copied().unwrap_or(0), bytes.len(), "whole pieces");
    ends
}

/// Feeds `bytes`, which lie at `at`, in as many whole pieces at once as `at_once` says.
pub(crate) async fn feed<R: Runtime>(
    store: &Store<R>,
    config: &StoreConfig,
    at: u64,
    bytes: &[u8],
    mut at_once: impl FnMut() -> usize,
) -> Result<(), RawError> {
    let ends = boundaries(bytes);
    let (mut from, mut nth) = (0, 0);
    while from < bytes.len() {
        let wanted = at_once().max(1);
        let most = from + config.raw_bytes_max();
        let taken = ends[nth..].iter().take(wanted).take_while(|end| **end <= most).count();
        let upto = ends[nth + taken.max(1) - 1];
        let place = PhyOffset(at + from as u64);
        match store.append_raw(place, &bytes[from..upto]) {
            Ok(end) => assert_eq!(end, PhyOffset(at + upto as u64)),
            Err(RawError::Append(AppendError::TailFull { .. })) => {
                store.wait_writable().await;
                continue;
            }
            Err(error) => return Err(error),
        }
        (from, nth) = (upto, nth + taken.max(1));
    }
    Ok(())
}

/// Every queue with messages: its range, and its records by offset.
pub(crate) async fn queues<R: Runtime>(
    store: &Store<R>,
) -> BTreeMap<(String, i32), (i64, i64, BTreeMap<i64, Vec<u8>>)> {
    let mut ranges = Vec::new();
    store.for_each_queue(|topic, queue_id, range| {
        ranges.push((topic.to_owned(), queue_id, range));
    });
    let mut all = BTreeMap::new();
    for (topic, queue_id, range) in ranges {
        let (mut offset, mut records) = (range.min_offset.0, BTreeMap::new());
        while offset < range.max_offset.0 {
            let wanted = request(&topic, queue_id, offset, TagFilter::All).to_owned();
            let read = store.read_cold(wanted).await.unwrap();
            let may_go_on =
                matches!(read.status, ReadStatus::Found | ReadStatus::MessageWasRemoving);
            assert!(may_go_on, "{topic}/{queue_id} at {offset} of {range:?}: {:?}", read.status);
            for record in split(&read.slices) {
                let view = protocol::record::RecordView::parse(&record).unwrap();
                records.insert(view.queue_offset(), record);
            }
            offset = read.next_begin_offset.0;
        }
        if range.min_offset < range.max_offset {
            let range = (range.min_offset.0, range.max_offset.0, records);
            all.insert((topic, queue_id), range);
        }
    }
    all
}

/// A store that takes another's log.
pub(crate) async fn open_copy<R: Runtime>(rt: &R, config: &StoreConfig) -> Store<R> {
    let store = Store::open(rt.clone(), config.clone()).await.unwrap();
    store.set_source(LogSource::Foreign).await.unwrap();
    store
}
