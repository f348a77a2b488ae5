//! The service's task: looks at half messages a moment after they were stored, and asks the
//! producers of those that are open too long.

use super::facts::Facts;
use super::halves::{Current, Due, Halves, Look};
use super::offsets::saved;
use super::reading;
use super::records::{self, Copy, Op};
use super::recover::{self, Recovered};
use crate::peers::asked::Request;
use crate::sends::errors::PutError;
use crate::sends::half::QUEUE_ID;
use crate::sends::message::Message;
use crate::sends::put::{append, passed};
use crate::services::delivery::message;
use crate::shard::{Cx, Shard};
use engine::{AppendError, Appended, ReadError};
use futures_lite::future::{or, yield_now};
use netcore::{ConnId, Net};
use protocol::bodies::{TopicConfig, perm};
use protocol::codes::request;
use protocol::ids::OffsetMsgId;
use protocol::names::{TRANS_CHECK_MAX_TIME_TOPIC, TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC};
use protocol::properties::{self, names};
use protocol::record::{RecordDraft, RecordView, records as records_of};
use protocol::remoting::ExtWriter;
use rt::{BufSlice, Runtime as _};
use std::time::Duration;

/// Transactions asked about in one go: their copies wait for one acknowledgement.
const BATCH_MAX: usize = 32;
/// Bytes of their messages together, but for the last.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// A producer that has not taken so many bytes is not asked more.
const UNSENT_BYTES_MAX: usize = 1 << 20;
/// The longest sleep: a clock that is set forward is noticed then.
const SLEEP_MS_MAX: i64 = 10_000;
/// Between two attempts when a read or a copy failed.
const RETRY_MS: i64 = 1_000;
/// Half messages that one op message names (Apache's has up to `transactionOpMsgMaxSize`, 4,096
/// bytes).
const OP_OFFSETS_MAX: usize = 200;

/// What the task waits for.
enum Wait {
    /// Nothing: there is more to do.
    No,
    /// So many milliseconds, or work.
    Ms(i64),
    /// Work.
    Work,
    /// The end: the shard stops, or its log takes nothing any more.
    ForEver,
}

/// A transaction whose copy is in the log and whose producer is to be asked.
struct Asked {
    offset: i64,
    half: BufSlice,
    copy: Appended,
    to: ConnId,
}

/// See the module's text.
pub(super) async fn run(cx: Cx) {
    while !recovered(&cx).await {
        cx.core.sleep(Duration::from_millis(RETRY_MS.unsigned_abs())).await;
    }
    let work = cx.with(|shard, _| shard.services.transactions.work.clone());
    loop {
        let seen = work.changed.seen();
        let wait = match step(&cx).await {
            Wait::No => {
                yield_now().await;
                continue;
            }
            Wait::Ms(ms) => ms.clamp(1, SLEEP_MS_MAX),
            Wait::Work => {
                work.changed.since(seen).await;
                continue;
            }
            Wait::ForEver => return,
        };
        let sleep = cx.core.sleep(Duration::from_millis(wait.unsigned_abs()));
        or(sleep, work.changed.since(seen)).await;
    }
}

/// Reads what is open. False when that failed: it is tried again.
async fn recovered(cx: &Cx) -> bool {
    let from = cx.with(|shard, _| {
        let saved = [TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC].map(|topic| saved(shard, topic));
        recover::first(&shard.cx.store, saved[0], saved[1])
    });
    let mut halves = Halves::new(cx.options.process.transactions, from.half);
    let recovered = match recover::recover(&cx.store, from, &mut halves).await {
        Ok(recovered) => recovered,
        Err(error) => {
            tracing::error!("transactions: reading which are open: {error}");
            return false;
        }
    };
    let open = halves.each().count();
    if open > 0 || recovered.were_committed > 0 {
        let were_committed = recovered.were_committed;
        tracing::info!(open, were_committed, "transactions that had not ended");
    }
    let stored = store_what_is_missing(cx, &recovered, &mut halves).await;
    if let Err(error) = stored {
        tracing::error!("transactions: store what a crash took: {error}");
        return false;
    }
    cx.with(|shard, _| {
        let transactions = &mut shard.services.transactions;
        transactions.progress.begin(from);
        transactions.halves = Some(halves);
        transactions.freed.notify();
    });
    true
}

/// The op messages that a crash took, and copies of what it made look ended.
async fn store_what_is_missing(
    cx: &Cx,
    recovered: &Recovered,
    halves: &mut Halves,
) -> Result<(), PutError> {
    for offsets in recovered.without_op.chunks(OP_OFFSETS_MAX) {
        append_op(cx, offsets).await?;
    }
    for offset in &recovered.to_copy {
        let found = reading::read(&cx.store, TRANS_HALF_TOPIC, QUEUE_ID, *offset, 1).await;
        let Ok(Some(found)) = found else { continue };
        let Some(half) = found.slices.first() else { continue };
        let Ok(record) = RecordView::parse(half) else { continue };
        let Some(facts) = Facts::of(&record) else { continue };
        let copy = records::asked(&record, facts.checks, facts.first);
        let place = store(cx, &copy, &record, *offset).await?;
        let copy = Current { offset: place.queue_offset.0, at: place.physical_offset };
        halves.renewed(*offset, copy, place.store_timestamp_ms);
        tracing::warn!("half message {offset} is open again: a power cut took its end");
    }
    Ok(())
}

/// These half messages count no more.
async fn append_op(cx: &Cx, offsets: &[i64]) -> Result<(), PutError> {
    let op = Op::of(offsets);
    let pieces = op.pieces();
    let draft = op.draft(&pieces, cx.now_ms(), cx.options.store_host);
    append(cx, &Message::One(&draft)).await.map(|_| ())
}

/// Looks, and asks a batch at most.
async fn step(cx: &Cx) -> Wait {
    if cx.with(|shard, _| shard.is_stopping) {
        return Wait::ForEver;
    }
    let look_again_ms = match look(cx).await {
        Ok(ms) => ms,
        Err(ReadError::TooMuchMemory { .. }) => Some(RETRY_MS),
        Err(error) => {
            tracing::error!("transactions: reading half messages: {error}");
            Some(RETRY_MS)
        }
    };
    let due = take_due(cx);
    if !due.is_empty() {
        return check(cx, due).await;
    }
    let due_ms = cx.with(|shard, _| {
        let now_ms = shard.cx.now_ms();
        let due_ms = halves(shard).next_due_ms();
        due_ms.map(|due_ms| due_ms.saturating_sub(now_ms).max(0))
    });
    look_again_ms.into_iter().chain(due_ms).min().map_or(Wait::Work, Wait::Ms)
}

fn halves(shard: &mut Shard) -> &mut Halves {
    shard.services.transactions.halves.as_mut().expect("the task has read them")
}

fn take_due(cx: &Cx) -> Vec<Due> {
    cx.with(|shard, _| {
        let now_ms = shard.cx.now_ms();
        let due: Vec<Due> =
            std::iter::from_fn(|| halves(shard).take_due(now_ms)).take(BATCH_MAX).collect();
        shard.services.transactions.under_way += due.len();
        due
    })
}

/// Looks at the half messages that are old enough; when the next will be, in how many milliseconds.
/// `None` when there are none left.
async fn look(cx: &Cx) -> Result<Option<i64>, ReadError> {
    loop {
        let next = cx.with(|shard, _| {
            let end = reading::end(&shard.cx.store, TRANS_HALF_TOPIC);
            let next = halves(shard).next_to_look(end);
            shard.services.transactions.work.waits_for_halves.set(next.is_none());
            next
        });
        let Some((at, count)) = next else { return Ok(None) };
        let count = usize::try_from(count).expect("a count is not negative");
        let found = reading::read(&cx.store, TRANS_HALF_TOPIC, QUEUE_ID, at, count).await?;
        let Some(found) = found else { return Ok(Some(RETRY_MS)) };
        let mut superseded = vec![];
        let wait = look_at(cx, &found.slices, &mut superseded);
        if !superseded.is_empty()
            && let Err(error) = append_op(cx, &superseded).await
        {
            tracing::error!("transactions: store an op message: {error}");
        }
        if wait.is_some() {
            return Ok(wait);
        }
        cx.with(|shard, _| halves(shard).skip_to(found.next));
    }
}

/// For how many milliseconds the first that is too fresh has to wait.
fn look_at(cx: &Cx, slices: &[BufSlice], superseded: &mut Vec<i64>) -> Option<i64> {
    cx.with(|shard, _| {
        let now_ms = shard.cx.now_ms();
        for half in slices.iter().flat_map(|slice| records_of(slice)).filter_map(Result::ok) {
            let Some(facts) = Facts::of(&half) else { continue };
            match halves(shard).look(&facts, now_ms, true) {
                Look::Wait(ms) => return Some(ms),
                Look::Busy => return Some(RETRY_MS),
                Look::Supersedes(older) => superseded.push(older),
                Look::Open | Look::Known => {}
            }
        }
        None
    })
}

/// Asks the producers of those that are due, or gives them up.
async fn check(cx: &Cx, due: Vec<Due>) -> Wait {
    let mut asked: Vec<Asked> = vec![];
    let (mut wait, mut bytes) = (Wait::No, 0);
    let mut rest = due.into_iter();
    for due in rest.by_ref() {
        let offset = due.offset;
        match check_one(cx, due).await {
            Ok(Some(one)) => {
                bytes += one.half.len();
                asked.push(one);
            }
            Ok(None) => {}
            Err(error) => {
                failed(cx, offset);
                match fate(&error) {
                    Fate::Later => tracing::warn!("transactions: store a copy: {error}"),
                    Fate::Never => wait = Wait::ForEver,
                }
                break;
            }
        }
        if bytes >= BATCH_BYTES_MAX {
            break;
        }
    }
    rest.for_each(|due| put_back(cx, due.offset));
    let end = asked.iter().map(|one| one.copy.end()).max();
    if let Some(end) = end
        && passed(cx, end).await.is_err()
    {
        return Wait::ForEver; // poisoned: the copies may be lost
    }
    cx.with(|shard, net| {
        for one in &asked {
            ask(shard, net, one);
        }
        shard.services.transactions.freed.notify();
    });
    wait
}

/// Where the question to a transaction's producers stands.
enum Decided {
    Ask(ConnId),
    GiveUp,
    /// It is parked, or tried again later.
    Wait,
}

/// Stores what becomes of one transaction. `None` when nobody is to be asked about it.
async fn check_one(cx: &Cx, due: Due) -> Result<Option<Asked>, PutError> {
    let offset = due.offset;
    let Some(half) = half_at(cx, offset).await else { return Ok(None) };
    let Some(record) = RecordView::parse(&half).ok() else { return Ok(lost(cx, offset)) };
    let Some(facts) = Facts::of(&record) else { return Ok(lost(cx, offset)) };
    match cx.with(|shard, net| decide(shard, net, &due, &facts)) {
        Decided::Wait => {
            end_of_one(cx);
            Ok(None)
        }
        Decided::GiveUp => {
            give_up(cx, offset, &record).await?;
            Ok(None)
        }
        Decided::Ask(to) => {
            let copy = records::asked(&record, facts.checks.saturating_add(1), facts.first);
            let copy = store(cx, &copy, &record, offset).await?;
            Ok(Some(Asked { offset, half: half.clone(), copy, to }))
        }
    }
}

/// The half message; `None` when it can't be read now, or never (then it is dropped).
async fn half_at(cx: &Cx, offset: i64) -> Option<BufSlice> {
    match reading::read(&cx.store, TRANS_HALF_TOPIC, QUEUE_ID, offset, 1).await {
        Ok(found) => {
            let half = found.and_then(|found| found.slices.into_iter().next());
            if half.is_none() {
                lost(cx, offset);
            }
            half
        }
        Err(error) => {
            tracing::error!("transactions: read half message {offset}: {error}");
            failed(cx, offset);
            None
        }
    }
}

/// A half message that is not there any more: nobody can end it.
fn lost(cx: &Cx, offset: i64) -> Option<Asked> {
    tracing::error!("transactions: half message {offset} is not there any more, it is forgotten");
    cx.with(|shard, _| {
        halves(shard).ended(offset);
        shard.services.transactions.under_way -= 1;
        shard.services.transactions.freed.notify();
    });
    None
}

fn end_of_one(cx: &Cx) {
    cx.with(|shard, _| {
        shard.services.transactions.under_way -= 1;
        shard.services.transactions.freed.notify();
    });
}

fn failed(cx: &Cx, offset: i64) {
    cx.with(|shard, _| {
        let now_ms = shard.cx.now_ms();
        halves(shard).failed(offset, now_ms);
    });
    end_of_one(cx);
}

/// Its turn comes in the next batch.
fn put_back(cx: &Cx, offset: i64) {
    cx.with(|shard, _| {
        let now_ms = shard.cx.now_ms();
        halves(shard).put_back(offset, now_ms);
    });
    end_of_one(cx);
}

fn decide(shard: &mut Shard, net: &Net, due: &Due, facts: &Facts<'_>) -> Decided {
    let now_ms = shard.cx.now_ms();
    let (name, turn) = due.group.as_ref().map_or(("", 0), |(name, turn)| (&**name, *turn));
    let members = shard.tables.producers.members(name).unwrap_or_default();
    let halves = shard.services.transactions.halves.as_mut().expect("the task has read them");
    let too_often = facts.checks >= halves.checks_max().max(1);
    if too_often || due.is_expired && members.is_empty() {
        return Decided::GiveUp;
    }
    if members.is_empty() {
        halves.park(due.offset, now_ms);
        return Decided::Wait;
    }
    let nth = |nth: usize| members[turn.wrapping_add(nth) % members.len()].conn;
    let to = (0..members.len()).map(nth).find(|conn| net.unsent_bytes(*conn) < UNSENT_BYTES_MAX);
    match to {
        Some(conn) => Decided::Ask(conn),
        None => {
            halves.failed(due.offset, now_ms);
            Decided::Wait
        }
    }
}

async fn store(
    cx: &Cx,
    copy: &Copy<'_>,
    record: &RecordView<'_>,
    offset: i64,
) -> Result<Appended, PutError> {
    let (pieces, host) = (copy.pieces(), cx.options.store_host);
    let message = copy.draft(record, &pieces, host);
    let op = Op::behind(cx.store.record_bytes(&message)?, offset);
    let op_pieces = op.pieces();
    let both = [message, op.draft(&op_pieces, cx.now_ms(), host)];
    append(cx, &Message::Several(&both)).await
}

async fn give_up(cx: &Cx, offset: i64, record: &RecordView<'_>) -> Result<(), PutError> {
    let config = TopicConfig::new(TRANS_CHECK_MAX_TIME_TOPIC, 1, perm::READ | perm::WRITE);
    cx.with(|shard, _| {
        let now_ms = shard.cx.now_ms();
        if let Err(error) = shard.tables.topics.create_if_absent(config, now_ms) {
            tracing::error!("topic {TRANS_CHECK_MAX_TIME_TOPIC} is not created: {error}");
        }
    });
    let appended = store(cx, &records::given_up(record), record, offset).await?;
    if passed(cx, appended.end()).await.is_err() {
        return Ok(()); // poisoned: the start after this decides
    }
    let said = |name| properties::get(record.properties(), name).unwrap_or_default();
    tracing::warn!(
        "a transaction of {} was given up: half message {offset} for topic {}, key {}, is in {}",
        said(names::PRODUCER_GROUP),
        said(names::REAL_TOPIC),
        said(names::UNIQ_KEY),
        TRANS_CHECK_MAX_TIME_TOPIC
    );
    cx.with(|shard, _| {
        halves(shard).ended(offset);
        shard.services.transactions.counts.given_up += 1;
    });
    end_of_one(cx);
    Ok(())
}

/// The copy counts from now on, and its producer is asked.
fn ask(shard: &mut Shard, net: &mut Net, one: &Asked) {
    let copy = Current { offset: one.copy.queue_offset.0, at: one.copy.physical_offset };
    halves(shard).renewed(one.offset, copy, one.copy.store_timestamp_ms);
    shard.services.transactions.under_way -= 1;
    shard.services.transactions.counts.asked += 1;
    let Ok(record) = RecordView::parse(&one.half) else { return };
    let Ok((topic, queue_id)) = message::destination(&record) else { return };
    let Some(facts) = Facts::of(&record) else { return };
    let question = records::question(&record, facts.checks.saturating_add(1), (topic, queue_id));
    let pieces = question.pieces();
    let draft = RecordDraft {
        queue_offset: copy.offset,
        physical_offset: copy.at.as_i64(),
        store_timestamp_ms: record.store_timestamp_ms(),
        ..question.draft(&record, &pieces, record.store_host())
    };
    let mut body = vec![0; draft.encoded_len().unwrap_or_default()];
    if draft.encode_into(&mut body).is_err() {
        return;
    }
    let store_host = shard.cx.options.store_host;
    let mut id = String::new();
    OffsetMsgId { store_host, physical_offset: copy.at.as_i64() }.write(&mut id);
    let key = properties::get(record.properties(), names::UNIQ_KEY);
    let broker = shard.cx.options.clone();
    let ext = |ext: &mut ExtWriter<'_>| {
        ext.str("topic", TRANS_HALF_TOPIC);
        ext.int("tranStateTableOffset", copy.offset);
        ext.int("commitLogOffset", copy.at.as_i64());
        ext.opt("msgId", key);
        ext.opt("transactionId", key);
        ext.str("offsetMsgId", &id);
        ext.str("bname", &broker.broker);
    };
    let news = Request { code: request::CHECK_TRANSACTION_STATE, ext: &ext, body: &body };
    shard.peers.asked.tell(net, one.to, &news);
}

enum Fate {
    Later,
    Never,
}

fn fate(error: &PutError) -> Fate {
    match error {
        PutError::NotStored(AppendError::Closed | AppendError::Poisoned { .. })
        | PutError::Poisoned { .. } => Fate::Never,
        _ => Fate::Later,
    }
}
