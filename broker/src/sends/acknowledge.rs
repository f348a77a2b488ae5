//! Answers to stored messages, once the watermark that the configuration promises has passed them.

use super::errors::PutError;
use super::finish::{self, Kept};
use super::told::{OwnedTold, Then};
use super::unacknowledged::Row;
use crate::answers::native::NativeRefusal;
use crate::answers::remoting::Refusal;
use crate::answers::ticket::Ticket;
use crate::desk::counts::us_of;
use crate::shard::Shard;
use netcore::Net;
use protocol::codes::response;
use protocol::native::{ErrorCode, Placed};
use rt::Runtime as _;

/// Answers everything that is acknowledged by now. With a poisoned store all that wait are refused:
/// they never will be.
pub(crate) fn acknowledged(shard: &mut Shard, net: &mut Net) {
    if shard.sends.unacknowledged.is_empty() {
        return;
    }
    let (upto, now_nanos) = (shard.cx.store.acknowledged(), shard.cx.core.now_nanos());
    let mut placed = std::mem::take(&mut shard.sends.placed);
    while let Some(row) = shard.sends.unacknowledged.pop_if(|row| row.end <= upto, &mut placed) {
        tell(shard, net, &row, Kept::AfterWaiting { passed_nanos: now_nanos }, &placed, now_nanos);
    }
    if let Some(reason) = shard.cx.store.poisoned() {
        while let Some(row) = shard.sends.unacknowledged.pop_if(|_| true, &mut placed) {
            give_up(shard, net, &row, &reason, now_nanos);
        }
    }
    shard.sends.placed = placed;
}

/// Answers those whose flush takes longer than `syncFlushTimeout` with FLUSH_DISK_TIMEOUT: stored,
/// not known to be durable.
pub(crate) fn overdue(shard: &mut Shard, net: &mut Net) {
    if shard.sends.unacknowledged.is_empty() {
        return;
    }
    let limit_ms = shard.cx.options.process.serve.sync_flush_timeout_ms;
    let limit_nanos = limit_ms.max(0).unsigned_abs().saturating_mul(1_000_000);
    let now_nanos = shard.cx.core.now_nanos();
    let mut placed = std::mem::take(&mut shard.sends.placed);
    let is_late = |row: &Row| now_nanos.saturating_sub(row.since_nanos) >= limit_nanos;
    while let Some(row) = shard.sends.unacknowledged.pop_if(is_late, &mut placed) {
        tell(shard, net, &row, Kept::NotInTime, &placed, now_nanos);
    }
    shard.sends.placed = placed;
}

fn tell(
    shard: &mut Shard,
    net: &mut Net,
    row: &Row,
    kept: Kept,
    placed: &[Placed],
    now_nanos: u64,
) {
    match row.then {
        Then::Answer(ticket) => {
            let (sends, core) = (&mut shard.sends, &shard.cx.core);
            finish::answer(sends, (net, core), &ticket, row.told.lend(), kept, placed);
            shard.desk.ended(&ticket, true, us_of(now_nanos));
        }
        Then::Wake(slot) => {
            let outcome = match kept {
                Kept::AtOnce | Kept::AfterWaiting { .. } => Ok(row.first),
                Kept::NotInTime => Err(PutError::NotFlushedInTime(row.first)),
            };
            shard.sends.slots.settle(slot, outcome);
        }
    }
}

fn give_up(shard: &mut Shard, net: &mut Net, row: &Row, reason: &str, now_nanos: u64) {
    match row.then {
        Then::Answer(ticket) => {
            refuse_poisoned(shard, net, &ticket, &row.told, reason);
            shard.desk.ended(&ticket, false, us_of(now_nanos));
        }
        Then::Wake(slot) => {
            let error = PutError::Poisoned { reason: reason.to_owned() };
            shard.sends.slots.settle(slot, Err(error));
        }
    }
}

fn refuse_poisoned(shard: &Shard, net: &mut Net, to: &Ticket, told: &OwnedTold, reason: &str) {
    let remark = format!(
        "the message was not made durable: {reason}; free or repair the disk, then restart"
    );
    if matches!(told, OwnedTold::Frame(_)) {
        to.refuse_native(net, &NativeRefusal::new(ErrorCode::NotWritable, remark));
    } else {
        let refusal = Refusal::new(response::SERVICE_NOT_AVAILABLE, remark);
        to.refuse(net, &refusal, Some(&shard.sends.answers.fields));
    }
}
