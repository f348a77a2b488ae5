//! What was found in a queue is handed out: its checkpoint, its place in the answer.

use super::cursors::Key;
use super::records::ReviveRecord;
use super::retry_message;
use super::sources::Source;
use super::storing::{not_timed, writer};
use super::taken::Taken;
use crate::answers::remoting::Refusal;
use crate::reads::pop_ask::PopAsk;
use crate::shard::Shard;
use engine::ReadSlices;
use protocol::bodies::CheckPoint;
use protocol::codes::response;
use protocol::pop::{Retry, write_offsets, write_start};
use protocol::record::records;

/// Messages of one queue that a pop found.
#[derive(Debug)]
pub(super) struct Batch {
    /// The queue.
    pub(super) source: Source,
    /// The queue offset that the pop began at.
    pub(super) from: i64,
    /// Where the next one begins.
    pub(super) next: i64,
    /// Theirs.
    pub(super) offsets: Vec<i64>,
    /// They.
    pub(super) found: ReadSlices,
}

impl Batch {
    pub(super) fn new(source: Source, from: i64, found: ReadSlices) -> Self {
        let next = found.next_begin_offset.0;
        let offsets = if usize::try_from(next - from) == Ok(found.messages) {
            // One after the other: no record is touched.
            (from..next).collect()
        } else {
            offsets_of(&found)
        };
        Self { source, from, next, offsets, found }
    }

    /// The record of its checkpoint.
    pub(super) fn check_point(
        &self,
        shard: &Shard,
        invisible_ms: i64,
        taken: &Taken,
    ) -> Result<ReviveRecord, Refusal> {
        let too_far = || {
            let remark = "messages of one pop lie further apart than a checkpoint can say";
            Refusal::new(response::SYSTEM_ERROR, remark)
        };
        let diff = |offset: &i64| i32::try_from(offset - self.from).ok();
        let diffs: Option<Vec<i32>> = self.offsets.iter().map(diff).collect();
        let key = &self.source.key;
        let point = CheckPoint {
            broker: Some(shard.cx.options.broker.clone()),
            group: Some(key.group.to_string()),
            topic: Some(key.topic.to_string()),
            messages: i8::try_from(self.offsets.len()).map_err(|_| too_far())?,
            diffs: diffs.ok_or_else(too_far)?,
            invisible_ms,
            pop_time_ms: taken.pop_time_ms,
            queue_id: key.queue_id,
            start_offset: self.from,
            ..CheckPoint::default()
        };
        let topic = protocol::pop::revive_topic(&shard.cx.options.process.cluster);
        let record = writer(shard, &topic).check_point(&point, taken.revive_queue);
        record.map_err(|not| not_timed(shard, not))
    }

    /// Puts its messages into the answer.
    pub(super) fn hand_out(
        self,
        shard: &mut Shard,
        ask: &PopAsk,
        invisible_ms: i64,
        taken: &mut Taken,
    ) {
        let Source { key, retry } = &self.source;
        count(shard, key, self.next, &self.found);
        write_start(&mut taken.starts, *retry, key.queue_id, self.from);
        write_offsets(&mut taken.offsets, *retry, key.queue_id, self.offsets.iter().copied());
        taken.messages += self.offsets.len();
        self.keep(shard, ask, invisible_ms, taken);
    }

    /// Messages of a retry topic are written anew, unless clients want them as they are: with the
    /// topic that was sent to, and the receipt.
    fn keep(self, shard: &Shard, ask: &PopAsk, invisible_ms: i64, taken: &mut Taken) {
        let Self { source, from, found, .. } = self;
        let options = &shard.cx.options;
        if source.retry == Retry::No || options.process.pop.returns_retry_topic {
            taken.bytes += found.bytes;
            taken.slices.extend(found.slices);
            return;
        }
        let handed = retry_message::Handed {
            topic: &ask.topic,
            retry: source.retry,
            start_offset: from,
            pop_time_ms: taken.pop_time_ms,
            invisible_ms,
            revive_queue: taken.revive_queue,
            broker: &options.broker,
        };
        for record in found.slices.iter().flat_map(|slice| records(slice)).filter_map(Result::ok) {
            if let Some(slice) = handed.rewritten(&record) {
                taken.bytes += slice.len();
                taken.slices.push(slice);
            }
        }
    }
}

fn offsets_of(found: &ReadSlices) -> Vec<i64> {
    let records = found.slices.iter().flat_map(|slice| records(slice));
    records.filter_map(|record| record.ok().map(|record| record.queue_offset())).collect()
}

fn count(shard: &mut Shard, key: &Key, next: i64, found: &ReadSlices) {
    let messages = u64::try_from(found.messages).expect("a usize fits a u64");
    shard.reads.messages_out += messages;
    shard.services.pops.counts.popped += messages;
    shard.reads.origins += found.origins;
    let bytes = u64::try_from(found.bytes).expect("a usize fits a u64");
    let got = crate::tables::pull_offsets::Got { messages, bytes, took_ms: 0 };
    shard.tables.pulled.pulled((&key.group, &key.topic), key.queue_id, next, got);
}
