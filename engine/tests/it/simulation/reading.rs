//! Consumers: what they read, and whether it had to be so.

use super::breaking::{LOG, QUEUES, micros};
use super::model::Queue;
use super::world::{World, key_of};
use crate::oracle::{request, split};
use engine::{KeyQuery, PhyOffset, ReadError, ReadSlices, ReadStatus, Store, TagFilter};
use rt::sim::Sim;
use rt::{BufSlice, Runtime};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// What a read was asked for, to judge its failure by.
struct Asked {
    /// The queue's topic and its epoch when the read began.
    of: Option<(Queue, u32)>,
    log_begin: PhyOffset,
}

pub(super) fn key_query(topic: &str, body: &[u8]) -> KeyQuery {
    KeyQuery {
        topic: topic.into(),
        key: key_of(body).into(),
        by_tag: false,
        max_messages: 32,
        begin_ms: 0,
        end_ms: i64::MAX,
    }
}

pub(super) fn places_of(records: &[BufSlice]) -> Vec<u64> {
    records
        .iter()
        .map(|record| {
            u64::try_from(protocol::record::RecordView::parse(record).unwrap().physical_offset())
                .unwrap()
        })
        .collect()
}

impl World {
    pub(super) async fn consume(self: Rc<Self>, sim: Sim, store: Store<Sim>) {
        let mut hot = ReadSlices::default();
        loop {
            sim.sleep(micros(&sim, 3_000)).await;
            match sim.random_u64() % 8 {
                0 => self.look_up(&sim, &store).await,
                1 => self.query(&sim, &store).await,
                _ => self.pull(&sim, &store, &mut hot).await,
            }
        }
    }

    async fn pull(&self, sim: &Sim, store: &Store<Sim>, hot: &mut ReadSlices) {
        let queue = self.some_queue(sim);
        let epoch = self.model.borrow().epoch(queue.0);
        let asked = Asked { of: Some((queue, epoch)), log_begin: store.log_begin() };
        let Some(range) = store.queue_range(queue.0, queue.1) else { return };
        let span = u64::try_from(range.max_offset.0 - range.min_offset.0).unwrap() + 2;
        let offset = range.min_offset.0 - 1 + i64::try_from(sim.random_u64() % span).unwrap();
        let request = request(queue.0, queue.1, offset, TagFilter::All);
        let status = store.read(&request, hot);
        let is_in_range = offset >= range.min_offset.0 && offset < range.max_offset.0;
        let must_give = is_in_range.then_some(offset);
        if status != ReadStatus::Cold {
            self.given(store, queue, must_give, status, &split(&hot.slices));
            self.tally.borrow_mut().hot_reads += 1;
            return;
        }
        match store.read_cold(request.to_owned()).await {
            // The topic was deleted and may have begun anew while the disk was asked.
            Ok(_) if self.model.borrow().epoch(queue.0) != epoch => {}
            Ok(read) => {
                self.given(store, queue, must_give, read.status, &split(&read.slices));
                self.tally.borrow_mut().cold_reads += 1;
            }
            Err(error) => self.tolerate(sim, store, &error, &asked),
        }
    }

    /// What a consumer was given that asked for the messages from `must_give` on: what was sent,
    /// and the message asked for if there is one.
    fn given(
        &self,
        store: &Store<Sim>,
        queue: Queue,
        must_give: Option<i64>,
        status: ReadStatus,
        records: &[Vec<u8>],
    ) {
        assert_eq!(status == ReadStatus::Found, !records.is_empty());
        if let Some(offset) = must_give
            && let Some(at) = self.model.borrow().place_of(queue, offset)
            && at >= store.log_begin().0
            && !self.model.borrow().rotten.contains(&at)
        {
            let first = records
                .first()
                .map(|record| protocol::record::RecordView::parse(record).unwrap().queue_offset());
            assert_eq!(first, Some(offset), "{queue:?} has it at {at}: {status:?}");
        }
        for record in records {
            let end = self.model.borrow_mut().check_given(queue, record);
            assert!(
                end <= store.visible().0 && (!self.is_sync() || end <= store.flushed().0),
                "given before it was flushed"
            );
        }
    }

    async fn look_up(&self, sim: &Sim, store: &Store<Sim>) {
        let Some(at) = self.model.borrow().some_place(sim.random_u64()) else { return };
        let asked = Asked { of: None, log_begin: store.log_begin() };
        if self.model.borrow().damaged.contains(&at) {
            match store.message_at(PhyOffset(at)).await {
                Ok(found) => assert!(found.is_none(), "{at} is damaged and was served"),
                Err(error) => self.tolerate(sim, store, &error, &asked),
            }
            return;
        }
        let is_visible = store.visible().0 > at;
        match store.message_at(PhyOffset(at)).await {
            Ok(None) if self.model.borrow().rotten.contains(&at) => {}
            Ok(found) if at >= store.log_begin().0 && is_visible => {
                let found = found.unwrap_or_else(|| {
                    panic!("no message at {at} of {}..{}", store.log_begin(), store.visible())
                });
                let view = protocol::record::RecordView::parse(&found).unwrap();
                if let Some(sent) = self.model.borrow().messages.get(&at) {
                    assert!(view.body() == sent.body);
                }
            }
            Ok(_) => {}
            Err(error) => self.tolerate(sim, store, &error, &asked),
        }
    }

    /// The index finds exactly the message of a key. A query that meets an index file being built
    /// anew may find too little, as one behind the index does; the next ones do not.
    async fn query(&self, sim: &Sim, store: &Store<Sim>) {
        let Some(at) = self.model.borrow().some_place(sim.random_u64()) else { return };
        let Some(sent) = self.model.borrow().messages.get(&at).cloned() else { return };
        let asked = Asked { of: None, log_begin: store.log_begin() };
        let is_damaged = self.model.borrow().damaged.contains(&at);
        let is_rotten = self.model.borrow().rotten.contains(&at);
        for _ in 0..20 {
            let must_find = store.visible().0 >= sent.end && store.indexed().0 >= sent.end;
            let places = match store.query(key_query(sent.queue.0, &sent.body)).await {
                Ok(found) => places_of(&found.records),
                Err(error) => return self.tolerate(sim, store, &error, &asked),
            };
            assert!(!is_damaged || places.is_empty(), "{at} is damaged and was served");
            assert!(places.is_empty() || places == [at], "{places:?} for the key of {at}");
            self.tally.borrow_mut().queries += places.len();
            // An index file that can't be read is left out, and said so in the log.
            let counts = sim.fault_counts();
            let is_excused = !must_find
                || is_damaged
                || is_rotten
                || at < store.log_begin().0
                || counts.read_errors + counts.open_errors > 0;
            if !places.is_empty() || is_excused {
                return;
            }
            sim.sleep(Duration::from_millis(5)).await;
        }
        panic!(
            "{at} is not found by its key, indexed up to {}, the log is {}..{}",
            store.indexed(),
            store.log_begin(),
            store.visible()
        );
    }

    /// A read that failed: because the device did, or what it read was removed, by an hour that
    /// came or with its topic. Nothing else makes a read fail, and no file is missing for another
    /// reason.
    fn tolerate(&self, sim: &Sim, store: &Store<Sim>, error: &ReadError, asked: &Asked) {
        let ReadError::File(file) = error else { panic!("{error}") };
        let counts = sim.fault_counts();
        let mut tally = self.tally.borrow_mut();
        match file.source.raw_os_error() {
            Some(5) if counts.read_errors + counts.open_errors > 0 => tally.failed_reads += 1,
            Some(24) if counts.open_errors > 0 => tally.failed_reads += 1,
            _ => {
                assert_eq!(file.source.kind(), std::io::ErrorKind::NotFound, "{error}");
                self.check_was_removed(store, &file.path, asked, error);
                tally.reads_of_removed_files += 1;
            }
        }
    }

    /// The oracle knows why a file is not there.
    fn check_was_removed(&self, store: &Store<Sim>, path: &Path, asked: &Asked, error: &ReadError) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let start: Option<u64> = name.parse().ok();
        if path.starts_with(LOG) {
            assert!(start.is_some_and(|start| start < store.log_begin().0), "{error}");
        } else if path.starts_with(QUEUES) {
            let (queue, epoch) = asked.of.unwrap_or_else(|| panic!("{error}"));
            let min = store.queue_range(queue.0, queue.1).map(|range| range.min_offset.0);
            let units = i64::from(self.config.consumequeue_file_units);
            let is_below = start
                .zip(min)
                .is_some_and(|(start, min)| i64::try_from(start / 20).unwrap() + units <= min);
            let is_deleted = self.model.borrow().epoch(queue.0) != epoch;
            assert!(is_deleted || is_below, "{error}; the queue begins at {min:?}");
        } else {
            // Index files go with the log that they lead to.
            assert!(store.log_begin() > asked.log_begin, "{error}");
        }
    }
}
