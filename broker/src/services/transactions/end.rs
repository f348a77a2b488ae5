//! A producer ends its transaction.

use super::facts::Facts;
use super::halves::{Current, MayEnd};
use super::records::{self, Op};
use crate::answers::remoting::{Refusal, too_many_reads};
use crate::desk::reply::Reply;
use crate::sends::errors::{PutError, refusal_of};
use crate::sends::half::IMMUNITY;
use crate::sends::message::Message;
use crate::sends::put::put;
use crate::sends::timer::{Asked, Timer};
use crate::services::delivery::message;
use crate::services::timers::admit::may_wait;
use crate::shard::Cx;
use engine::PhyOffset;
use protocol::codes::response;
use protocol::record::RecordView;
use rt::BufSlice;

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its message goes to its topic.
    Commit,
    /// Nobody sees it.
    Rollback,
}

/// What a producer says of its transaction.
#[derive(Debug)]
pub(crate) struct EndRequest {
    /// Its group.
    pub(crate) group: String,
    /// Where the half message is among the half messages.
    pub(crate) half_offset: i64,
    /// Where it is in the log.
    pub(crate) log_offset: i64,
    /// How it ends.
    pub(crate) outcome: Outcome,
    /// The broker had asked.
    pub(crate) was_asked: bool,
}

/// Ends it; completes when that is acknowledged. The checks are Apache's
/// (`EndTransactionProcessor`), in its order.
pub(crate) async fn end(cx: &Cx, request: &EndRequest) -> Result<Reply, Refusal> {
    let half = read(cx, request.log_offset).await?.ok_or_else(not_found)?;
    let record = RecordView::parse(&half).map_err(|_| not_found())?;
    let facts = Facts::of(&record).ok_or_else(not_found)?;
    check(&facts, request)?;
    let current = begin(cx, &facts, request).await?;
    let stored = match request.outcome {
        Outcome::Commit => commit(cx, &record, current).await,
        Outcome::Rollback => put_op(cx, current.offset).await.map_err(|error| not_put(cx, &error)),
    };
    cx.with(|shard, _| {
        let now_ms = shard.cx.now_ms();
        let transactions = &mut shard.services.transactions;
        transactions.under_way -= 1;
        let halves = transactions.halves.as_mut().expect("they were known when it began");
        match (&stored, request.outcome) {
            (Ok(()), Outcome::Commit) => transactions.counts.committed += 1,
            (Ok(()), Outcome::Rollback) => transactions.counts.rolled_back += 1,
            (Err(_), _) => {}
        }
        if stored.is_ok() {
            halves.ended(current.offset);
        } else {
            halves.failed(current.offset, now_ms);
            transactions.work.changed.notify();
        }
        transactions.freed.notify();
    });
    stored.map(|()| Reply::ok())
}

fn not_found() -> Refusal {
    Refusal::new(response::SYSTEM_ERROR, "Find prepared transaction message failed")
}

/// The half message where it lies. It has a place among the reads from disk for as long as it
/// reads.
async fn read(cx: &Cx, at: i64) -> Result<Option<BufSlice>, Refusal> {
    let Ok(at) = u64::try_from(at) else { return Ok(None) };
    let place = cx.with(|shard, _| shard.reads.admission.try_take());
    let _place = place.ok_or_else(too_many_reads)?;
    Ok(cx.store.message_at(PhyOffset(at)).await?)
}

fn check(facts: &Facts<'_>, request: &EndRequest) -> Result<(), Refusal> {
    let wrong = |remark: &str| Err(Refusal::new(response::SYSTEM_ERROR, remark));
    if facts.group != request.group {
        return wrong("The producer group wrong");
    }
    if facts.offset != request.half_offset {
        return wrong("The transaction state table offset wrong");
    }
    Ok(())
}

/// Makes the transaction busy, once it is not.
async fn begin(cx: &Cx, facts: &Facts<'_>, request: &EndRequest) -> Result<Current, Refusal> {
    loop {
        let (may, freed) = cx.with(|shard, _| {
            let now_ms = shard.cx.now_ms();
            let transactions = &mut shard.services.transactions;
            let freed = (transactions.freed.clone(), transactions.freed.seen());
            let Some(halves) = &mut transactions.halves else { return (Ok(MayEnd::Busy), freed) };
            let waited_ms = now_ms.saturating_sub(facts.stored_ms);
            if facts.immunity_s.is_some()
                && !request.was_asked
                && waited_ms >= halves.immunity_ms(facts)
            {
                return (Err(too_late()), freed);
            }
            let may = halves.begin_end(facts, now_ms);
            transactions.under_way += usize::from(matches!(may, MayEnd::Yes(_)));
            (Ok(may), freed)
        });
        match may? {
            MayEnd::Yes(current) => return Ok(current),
            MayEnd::Busy => freed.0.since(freed.1).await,
            MayEnd::Over => return Err(over()),
        }
    }
}

/// Of a message that says itself how long its producers are not asked.
fn too_late() -> Refusal {
    let remark = format!("the time that {IMMUNITY} allows is over: the broker will ask");
    Refusal::new(response::ILLEGAL_OPERATION, remark)
}

fn over() -> Refusal {
    let remark = "the transaction has ended already, or was given up after transactionCheckMax \
                  questions";
    Refusal::new(response::SYSTEM_ERROR, remark)
}

async fn commit(cx: &Cx, record: &RecordView<'_>, current: Current) -> Result<(), Refusal> {
    let nowhere = |why: String| {
        Refusal::new(response::SYSTEM_ERROR, format!("the message can't be delivered: {why}"))
    };
    let (topic, queue_id) = message::destination(record).map_err(nowhere)?;
    let queue_id =
        cx.with(|shard, _| message::queue_there(shard, topic, queue_id)).map_err(nowhere)?;
    let levels = &cx.options.process.store.delay_levels;
    let timer = timer_of(cx, record)?;
    let copy = records::committed(record, (topic, queue_id), current.at, (levels, timer));
    let (pieces, host) = (copy.pieces(), cx.options.store_host);
    let message = copy.draft(record, &pieces, host);
    let limit = cx.options.process.store.message_bytes_max;
    let bytes = cx.store.record_bytes(&message).map_err(|error| refusal_of(&error, limit))?;
    let op = Op::behind(bytes, current.offset);
    let op_pieces = op.pieces();
    let both = [message, op.draft(&op_pieces, cx.now_ms(), host)];
    match put(cx, &Message::Several(&both)).await {
        // As Apache: stored counts.
        Ok(_) | Err(PutError::NotFlushedInTime(_)) => Ok(()),
        Err(error) => Err(not_put(cx, &error)),
    }
}

/// When the message is due, if that is later: a delay counts from the commit on. While too many
/// wait the transaction stays open: its producer is asked again.
fn timer_of(cx: &Cx, record: &RecordView<'_>) -> Result<Option<Timer>, Refusal> {
    let asked = Asked::of(record.properties());
    cx.with(|shard, _| may_wait(shard, &asked, 0)).map_err(|error| {
        let (code, remark) = error.code_and_remark(&cx.options.process.timers);
        Refusal::new(code, remark)
    })
}

async fn put_op(cx: &Cx, offset: i64) -> Result<(), PutError> {
    let op = Op::of(&[offset]);
    let pieces = op.pieces();
    let draft = op.draft(&pieces, cx.now_ms(), cx.options.store_host);
    match put(cx, &Message::One(&draft)).await {
        Ok(_) | Err(PutError::NotFlushedInTime(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn not_put(cx: &Cx, error: &PutError) -> Refusal {
    let limit = cx.options.process.store.message_bytes_max;
    match error {
        PutError::NotStored(error) => refusal_of(error, limit),
        PutError::Busy { .. } | PutError::BacklogFull => {
            Refusal::new(response::SYSTEM_BUSY, error.to_string())
        }
        PutError::Gone(gone) => gone.refusal(),
        PutError::Poisoned { .. } | PutError::NotFlushedInTime(_) => {
            Refusal::new(response::SERVICE_NOT_AVAILABLE, error.to_string())
        }
    }
}
