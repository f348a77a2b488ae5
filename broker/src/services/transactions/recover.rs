//! At a start: which transactions are open.
//!
//! ```text
//!   op messages from the saved offset on ─► what has ended
//!   half messages from the saved offset on, but for those ─► open ─► the newest copy of each counts
//!   the last message of each queue that an open one goes to ─► committed after all?
//! ```
//!
//! A commit, and a copy for a question, are two records next to each other. A power cut may take
//! one of them:
//! - The op message alone: the message that was committed is then the last of its queue, and the
//!   last step finds it. Of two copies of a half message the newer counts.
//! - What it follows from alone (under SYNC_FLUSH, where the log may have holes behind what was
//!   acknowledged): the op message says where that was. Where no record is there, it is not
//!   believed, and the half message has to be copied, so that no later start believes it.

use super::facts::Facts;
use super::halves::{Current, Halves, Look};
use super::progress::Frontier;
use super::{reading, records};
use crate::sends::half::QUEUE_ID;
use engine::{PhyOffset, QueueRange, ReadError, Store};
use protocol::names::{SCHEDULE_TOPIC, TIMER_TOPIC, TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC};
use protocol::properties::{self, names};
use protocol::record::{RecordView, records as records_of};
use protocol::sys_flag::{TRANSACTION_COMMIT, transaction_type};
use rt::Runtime;
use std::collections::{HashMap, HashSet};

/// Op messages read at once.
const OPS_AT_ONCE: usize = 1_024;

/// What a start found.
pub(super) struct Recovered {
    /// Half messages that count no more and that no op message names.
    pub(super) without_op: Vec<i64>,
    /// Of these, transactions that were committed.
    pub(super) were_committed: usize,
    /// Open ones that an op message names which is not believed.
    pub(super) to_copy: Vec<i64>,
}

/// Where a start begins to read: what was saved, as far as the queues have it.
pub(super) fn first<R: Runtime>(store: &Store<R>, half: Option<i64>, op: Option<i64>) -> Frontier {
    let within = |topic, saved: Option<i64>| {
        let range = store.queue_range(topic, QUEUE_ID).unwrap_or_default();
        let QueueRange { min_offset, max_offset } = range;
        let first = saved.unwrap_or(min_offset.0).clamp(min_offset.0, max_offset.0);
        if saved.is_some_and(|saved| saved != first) {
            tracing::warn!(
                "transactions were done up to {saved:?} of {topic}, which has {min_offset} to \
                 {max_offset}: they go on at {first}"
            );
        }
        first
    };
    Frontier { half: within(TRANS_HALF_TOPIC, half), op: within(TRANS_OP_HALF_TOPIC, op) }
}

/// Reads both queues into `halves`, which begins at the frontier.
pub(super) async fn recover<R: Runtime>(
    store: &Store<R>,
    from: Frontier,
    halves: &mut Halves,
) -> Result<Recovered, ReadError> {
    let not_ended = read_ops(store, from.op, halves).await?;
    let mut without_op = vec![];
    let topics = read_halves(store, halves, &mut without_op).await?;
    let committed = committed(store, halves, &topics).await?;
    for offset in &committed {
        halves.ended(*offset);
    }
    without_op.extend(&committed);
    let to_copy = not_ended.into_iter().filter(|offset| halves.is_open(*offset)).collect();
    Ok(Recovered { without_op, were_committed: committed.len(), to_copy })
}

/// The half messages that op messages name which are not believed.
async fn read_ops<R: Runtime>(
    store: &Store<R>,
    mut at: i64,
    halves: &mut Halves,
) -> Result<Vec<i64>, ReadError> {
    let (topic, mut not_ended) = (TRANS_OP_HALF_TOPIC, vec![]);
    while let Some(found) = reading::read(store, topic, QUEUE_ID, at, OPS_AT_ONCE).await? {
        for op in found.slices.iter().flat_map(|slice| records_of(slice)).filter_map(Result::ok) {
            if !records::is_op(&op) {
                continue;
            }
            let offsets = records::op_offsets(op.body());
            if is_alone(store, &op).await? {
                not_ended.extend(offsets);
            } else {
                offsets.for_each(|offset| halves.ended_before(offset));
            }
        }
        at = found.next;
    }
    Ok(not_ended)
}

/// Whether a power cut took what an op message follows from. Only where the start found a hole.
async fn is_alone<R: Runtime>(store: &Store<R>, op: &RecordView<'_>) -> Result<bool, ReadError> {
    let recovered = store.recovered();
    let Some(before) = records::follows(op).filter(|_| recovered.damaged_stretches > 0) else {
        return Ok(false);
    };
    Ok(before.0 >= recovered.scanned_from && store.message_at(before).await?.is_none())
}

/// The topics that open transactions go to.
async fn read_halves<R: Runtime>(
    store: &Store<R>,
    halves: &mut Halves,
    without_op: &mut Vec<i64>,
) -> Result<HashSet<String>, ReadError> {
    let mut topics = HashSet::new();
    let end = reading::end(store, TRANS_HALF_TOPIC);
    while let Some((at, count)) = halves.next_to_look(end) {
        let count = usize::try_from(count).expect("a count is not negative");
        let found = reading::read(store, TRANS_HALF_TOPIC, QUEUE_ID, at, count).await?;
        let Some(found) = found else { break };
        for half in found.slices.iter().flat_map(|slice| records_of(slice)).filter_map(Result::ok) {
            let Some(facts) = Facts::of(&half) else { continue };
            if let Look::Supersedes(older) = halves.look(&facts, facts.stored_ms, false) {
                without_op.push(older);
            }
            let topic = properties::get(half.properties(), names::REAL_TOPIC).unwrap_or_default();
            if !topics.contains(topic) {
                topics.insert(topic.to_owned());
            }
        }
        halves.skip_to(found.next);
    }
    Ok(topics)
}

/// The open transactions whose message is the last of its queue.
async fn committed<R: Runtime>(
    store: &Store<R>,
    halves: &Halves,
    topics: &HashSet<String>,
) -> Result<Vec<i64>, ReadError> {
    if topics.is_empty() {
        return Ok(vec![]);
    }
    let by_place: HashMap<PhyOffset, i64> =
        halves.each().map(|Current { offset, at }| (at, offset)).collect();
    let mut queues = vec![];
    store.for_each_queue(|topic, queue_id, range| {
        let is_possible = [SCHEDULE_TOPIC, TIMER_TOPIC].contains(&topic) || topics.contains(topic);
        if is_possible && range.min_offset < range.max_offset {
            queues.push((topic.to_owned(), queue_id, range.max_offset.0 - 1));
        }
    });
    let mut committed = vec![];
    for (topic, queue_id, last) in queues {
        let Some(found) = reading::read(store, &topic, queue_id, last, 1).await? else { continue };
        let last = found.slices.first().and_then(|slice| RecordView::parse(slice).ok());
        let half = last.filter(|last| transaction_type(last.sys_flag()) == TRANSACTION_COMMIT);
        let half = half.and_then(|last| u64::try_from(last.prepared_transaction_offset()).ok());
        committed.extend(half.and_then(|half| by_place.get(&PhyOffset(half))));
    }
    Ok(committed)
}
