//! Answers to stored messages, once the watermark that the configuration promises has passed them.

use super::errors::PutError;
use super::finish::{self, Kept};
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

/// Answers everything that is acknowledged by now. With a poisoned store all that wait are refused:
/// they never will be.
pub(crate) fn acknowledged(shard: &mut Shard, net: &mut Net) {
    if shard.sends.unacknowledged.is_empty() {
        return;
    }
    let (upto, now_nanos) = (shard.cx.store.acknowledged(), shard.cx.core.now_nanos());
    let kept = Kept::AfterWaiting { passed_nanos: now_nanos };
    tell_while(shard, net, now_nanos, &How::Stored(kept), |row| row.end <= upto);
    if let Some(reason) = shard.cx.store.poisoned() {
        tell_while(shard, net, now_nanos, &How::Never(reason), |_| true);
    }
}

/// Answers those whose flush takes longer than `syncFlushTimeout` with FLUSH_DISK_TIMEOUT: stored,
/// not known to be durable.
pub(crate) fn overdue(shard: &mut Shard, net: &mut Net) {
    if shard.sends.unacknowledged.is_empty() {
        return;
    }
    let limit_ms = shard.cx.options.process.serve.sync_flush_timeout_ms;
    let limit_us = limit_ms.saturating_mul(1_000);
    let now_nanos = shard.cx.core.now_nanos();
    let now_us = us_of(now_nanos);
    tell_while(shard, net, now_nanos, &How::Stored(Kept::NotInTime), |row| {
        i64::from(now_us.wrapping_sub(row.then.since_us())) >= limit_us
    });
}

/// What becomes of the oldest messages.
enum How {
    /// They are stored, and so much of the promise is kept.
    Stored(Kept),
    /// They will not be acknowledged, for this reason.
    Never(String),
}

/// Tells the oldest, as long as `which` holds for them.
fn tell_while(
    shard: &mut Shard,
    net: &mut Net,
    now_nanos: u64,
    how: &How,
    which: impl Fn(&Row) -> bool,
) {
    let Shard { sends, cx, desk, .. } = shard;
    let Sends { unacknowledged, placed, answers, slots, .. } = sends;
    let now_us = us_of(now_nanos);
    while let Some(row) = unacknowledged.first_if(&which, placed) {
        match (row.then, how) {
            (Then::Answer(to), How::Stored(kept)) => {
                finish::answer(answers, (net, &cx.core), &to, row.told.lend(), *kept, placed);
                desk.ended(&to, true, now_us);
            }
            (Then::Answer(to), How::Never(reason)) => {
                refuse_poisoned(answers, net, &to, &row.told, reason);
                desk.ended(&to, false, now_us);
            }
            (Then::Wake(slot, _), how) => slots.settle(slot, outcome(how, slots.place(slot))),
        }
        unacknowledged.pop();
    }
}

/// What a task of the broker is told.
fn outcome(how: &How, first: Appended) -> Result<Appended, PutError> {
    match how {
        How::Stored(Kept::AtOnce | Kept::AfterWaiting { .. }) => Ok(first),
        How::Stored(Kept::NotInTime) => Err(PutError::NotFlushedInTime(first)),
        How::Never(reason) => Err(PutError::Poisoned { reason: reason.clone() }),
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
