//! Answers to stored messages, once the watermarks that the configuration promises have passed
//! them.

use super::errors::PutError;
use super::finish::{self, Kept};
use super::replicas::{Need, ReplicaCounts, Replicas};
use super::state::Sends;
use super::told::{OwnedTold, Then};
use super::unacknowledged::Row;
use crate::answers::native::NativeRefusal;
use crate::answers::remoting::{Refusal, SendAnswers};
use crate::answers::ticket::Ticket;
use crate::desk::counts::us_of;
use crate::shard::Shard;
use engine::Appended;
use netcore::Net;
use protocol::codes::response;
use protocol::native::ErrorCode;
use rt::Runtime as _;

/// Answers everything that is acknowledged by now: the store's watermark has passed it, and the
/// slaves have it that it waits for. With a poisoned store all are refused that wait for the store:
/// they never will be.
pub(crate) fn acknowledged(shard: &mut Shard, net: &mut Net) {
    if shard.sends.unacknowledged.is_empty() {
        return;
    }
    let (upto, passed_nanos) = (shard.cx.store.acknowledged(), shard.cx.core.now_nanos());
    tell_while(shard, net, "", |row, replicas| {
        let is_replicated = row.need != Need::Slaves || replicas.have(row.end);
        (row.end <= upto && is_replicated).then(|| How::Stored(kept(row, passed_nanos)))
    });
    if let Some(reason) = shard.cx.store.poisoned() {
        tell_while(shard, net, &reason, |row, _| (row.end > upto).then_some(How::Never));
    }
}

/// What is kept of the promise to one that waits for nothing more.
fn kept(row: &Row, passed_nanos: u64) -> Kept {
    match row.need {
        Need::NotThere => Kept::NoSlave,
        need => {
            let (store, slaves) = (row.waits_for_store, need == Need::Slaves);
            Kept::AfterWaiting { passed_nanos, store, slaves }
        }
    }
}

/// Answers those that wait too long: for slaves with FLUSH_SLAVE_TIMEOUT after `slaveTimeout`, for
/// the flush with FLUSH_DISK_TIMEOUT after `syncFlushTimeout`: stored, not known to be kept as was
/// asked for. One that waits for both is told of the slaves, as in Apache.
pub(crate) fn overdue(shard: &mut Shard, net: &mut Net) {
    if shard.sends.unacknowledged.is_empty() {
        return;
    }
    let process = &shard.cx.options.process;
    let flush_us = process.serve.sync_flush_timeout_ms.saturating_mul(1_000);
    let slaves_us = process.replication.slave_timeout_ms.saturating_mul(1_000);
    let (upto, now_us) = (shard.cx.store.acknowledged(), us_of(shard.cx.core.now_nanos()));
    tell_while(shard, net, "", |row, replicas| {
        let waited_us = i64::from(now_us.wrapping_sub(row.then.since_us()));
        let lacks_slaves = row.need == Need::Slaves && !replicas.have(row.end);
        let kept = match row.end <= upto {
            true => (lacks_slaves && waited_us >= slaves_us).then_some(Kept::NotReplicated),
            false if waited_us < flush_us => None,
            false if lacks_slaves => Some(Kept::NotReplicated),
            false => Some(Kept::NotInTime),
        };
        kept.map(How::Stored)
    });
}

/// What becomes of the oldest message.
#[derive(Clone, Copy)]
enum How {
    /// It is stored, and so much of the promise is kept.
    Stored(Kept),
    /// It will not be acknowledged.
    Never,
}

/// Tells the oldest, as long as `how` decides something for them; `reason` is why some never will
/// be acknowledged.
fn tell_while(
    shard: &mut Shard,
    net: &mut Net,
    reason: &str,
    how: impl Fn(&Row, &Replicas) -> Option<How>,
) {
    let Shard { sends, cx, desk, .. } = shard;
    let Sends { unacknowledged, placed, answers, slots, replicas, .. } = sends;
    let now_us = us_of(cx.core.now_nanos());
    while let Some(row) = unacknowledged.first_if(|row| how(row, replicas).is_some(), placed) {
        let Some(how) = how(row, replicas) else { return };
        if let How::Stored(kept) = how {
            count(&mut replicas.counts, kept);
        }
        match (row.then, how) {
            (Then::Answer(to), How::Stored(kept)) => {
                finish::answer(answers, (net, &cx.core), &to, row.told.lend(), kept, placed);
                desk.ended(&to, true, now_us);
            }
            (Then::Answer(to), How::Never) => {
                refuse_poisoned(answers, net, &to, &row.told, reason);
                desk.ended(&to, false, now_us);
            }
            (Then::Wake(slot, _), how) => {
                let first = slots.place(slot);
                slots.settle(slot, outcome(how, first, reason));
            }
        }
        unacknowledged.pop();
    }
}

fn count(counts: &mut ReplicaCounts, kept: Kept) {
    match kept {
        Kept::AfterWaiting { slaves: true, .. } => counts.replicated += 1,
        Kept::NotReplicated => counts.late += 1,
        Kept::NoSlave => counts.not_there += 1,
        Kept::AfterWaiting { slaves: false, .. } | Kept::AtOnce | Kept::NotInTime => {}
    }
}

/// What a task of the broker is told. What slaves lack is no failure to it: the message is stored.
fn outcome(how: How, first: Appended, reason: &str) -> Result<Appended, PutError> {
    match how {
        How::Stored(Kept::NotInTime) => Err(PutError::NotFlushedInTime(first)),
        How::Stored(_) => Ok(first),
        How::Never => Err(PutError::Poisoned { reason: reason.to_owned() }),
    }
}

fn refuse_poisoned(
    answers: &SendAnswers,
    net: &mut Net,
    to: &Ticket,
    told: &OwnedTold,
    reason: &str,
) {
    let remark = format!(
        "the message was not made durable: {reason}; free or repair the disk, then restart"
    );
    if matches!(told, OwnedTold::Frame(_)) {
        to.refuse_native(net, &NativeRefusal::new(ErrorCode::NotWritable, remark));
    } else {
        let refusal = Refusal::new(response::SERVICE_NOT_AVAILABLE, remark);
        to.refuse(net, &refusal, Some(&answers.fields));
    }
}
