//! What one shard keeps for its sends, and the one way of a message into the log.

use super::backlog::Backlog;
use super::errors::NotStored;
use super::message::Message;
use super::properties;
use super::replicas::Replicas;
use super::slots::Slots;
use super::unacknowledged::Unacknowledged;
use crate::answers::remoting::{SendAnswers, send_fields};
use crate::config::ShardOptions;
use crate::tables::rates::puts::Puts;
use engine::{Appended, PhyOffset, Store};
use protocol::batch::{self, BatchEntry};
use protocol::ids::{OffsetMsgId, UniqKeys};
use protocol::native::Placed;
use protocol::native::records::RecordPlan;
use protocol::record::RecordDraft;
use rt::real::Core;
use std::rc::Rc;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Sends {
    /// Those that wait for room.
    pub(crate) backlog: Backlog,
    /// Whether a task waits for room on behalf of all of them.
    pub(crate) is_draining: bool,
    /// Those that wait for a watermark.
    pub(crate) unacknowledged: Unacknowledged,
    /// How far its slaves are.
    pub(crate) replicas: Replicas,
    /// Where the broker's own tasks wait for theirs.
    pub(crate) slots: Slots,
    /// Makes the unique keys of messages that came without.
    pub(crate) unique_keys: UniqKeys,
    /// What was stored, by topic.
    pub(crate) puts: Puts,
    /// What the broker adds to every message.
    pub(crate) properties: Rc<[u8]>,
    /// How sends are answered.
    pub(crate) answers: SendAnswers,
    /// Reused: the places of the records that were stored last.
    pub(crate) placed: Vec<Placed>,
    /// Reused: the ids of the batch that was stored last, joined by commas.
    pub(crate) batch_ids: String,
}

/// Where a message, batch or frame was stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    /// Its first message.
    pub(crate) first: Appended,
    /// Where its last record ends: the watermark of its acknowledgement has to pass this.
    pub(crate) end: PhyOffset,
}

impl Sends {
    /// For a shard with these options; `seed` makes its unique keys its own.
    pub(crate) fn new(options: &ShardOptions, seed: u32) -> Self {
        let process = &options.process;
        let (region, trace_on) = (process.serve.region.as_str(), process.serve.trace_on);
        Self {
            backlog: Backlog::default(),
            is_draining: false,
            unacknowledged: Unacknowledged::default(),
            replicas: Replicas::new(&process.replication),
            slots: Slots::default(),
            unique_keys: UniqKeys::new(process.network.advertised_ip, std::process::id(), seed),
            puts: Puts::default(),
            properties: properties::common(region, trace_on, &process.cluster),
            answers: SendAnswers::new(send_fields(region, trace_on), options.store_host),
            placed: vec![],
            batch_ids: String::new(),
        }
    }

    /// Stores a message: the one copy of its bytes. The places of records, and of several messages,
    /// are in `placed` afterwards, the ids of a batch in `batch_ids`.
    pub(crate) fn store(
        &mut self,
        store: &Store<Core>,
        message: &Message<'_>,
    ) -> Result<Stored, NotStored> {
        if self.unacknowledged.is_full() {
            return Err(NotStored::Full);
        }
        match *message {
            Message::One(draft) => {
                let first = store.append(draft)?;
                self.puts.count(draft.topic, 1, first.bytes as u64);
                Ok(Stored { first, end: first.end() })
            }
            Message::Batch(common, entries) => self.store_batch(store, common, entries),
            Message::Several(drafts) => {
                let (mut first, mut nth, puts) = (None, 0, &mut self.puts);
                let placed = &mut self.placed;
                placed.clear();
                let end = store.append_all(drafts, |appended| {
                    first.get_or_insert(*appended);
                    placed.push(place_of(appended));
                    puts.count(drafts[nth].topic, 1, appended.bytes as u64);
                    nth += 1;
                })?;
                Ok(Stored { first: first.expect("several messages are not none"), end })
            }
            Message::Records(payload, plans) => {
                let (host, placed) = (self.answers.store_host, &mut self.placed);
                placed.clear();
                let mut first = None;
                let end = store.append_records(payload, plans, host, |appended| {
                    first.get_or_insert(*appended);
                    placed.push(place_of(appended));
                })?;
                let first = first.expect("a stored frame has a record");
                for run in plans.chunk_by(|one, next| one.same_queue(next, payload)) {
                    let bytes = run.iter().map(RecordPlan::bytes).sum::<usize>() as u64;
                    self.puts.count(run[0].topic(payload), run.len(), bytes);
                }
                Ok(Stored { first, end })
            }
        }
    }

    fn store_batch(
        &mut self,
        store: &Store<Core>,
        common: &RecordDraft<'_>,
        body: &[u8],
    ) -> Result<Stored, NotStored> {
        let (ids, store_host) = (&mut self.batch_ids, self.answers.store_host);
        ids.clear();
        let appended = store.append_batch(common, entries(body), |at| {
            if !ids.is_empty() {
                ids.push(',');
            }
            let physical_offset = at.physical_offset.as_i64();
            OffsetMsgId { store_host, physical_offset }.write(ids);
        })?;
        let bytes = appended.end.0 - appended.first.physical_offset.0;
        self.puts.count(common.topic, appended.count, bytes);
        Ok(Stored { first: appended.first, end: appended.end })
    }
}

fn place_of(appended: &Appended) -> Placed {
    Placed {
        queue_offset: appended.queue_offset.0,
        physical_offset: appended.physical_offset.as_i64(),
    }
}

/// The entries of a body that was checked.
fn entries(body: &[u8]) -> impl Iterator<Item = BatchEntry<'_>> + Clone {
    batch::entries(body).filter_map(Result::ok)
}
