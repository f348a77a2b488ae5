//! Produce: records in stored layout, checked where they were received, copied once into the log's
//! tail.
//!
//! ```text
//!   payload ─► every record checked ─► append_records (the one copy, fields patched) ─► Produced
//!                 │ one is bad: nothing of the frame is stored
//! ```
//!
//! A frame with a record that waits for its delay or time is stored the other way, as messages
//! whose topics and properties changed ([`super::waiting`]); all or none as well.
//!
//! Which watermark an answer waits for is said in [`crate::sends`]; with `ack` 1 none, as with
//! `WAIT=false`.

use super::records::check_all;
use super::waiting;
use crate::answers::native::NativeRefusal;
use crate::answers::ticket::{Done, Ticket};
use crate::sends::backlog::Prepared;
use crate::sends::drain;
use crate::sends::errors::{NotStored, native_refusal_of};
use crate::sends::finish::finish;
use crate::sends::message::Message;
use crate::sends::told::{Frame, FrameClock, Then, Told};
use crate::shard::Shard;
use netcore::Net;
use protocol::native::records::RecordPlan;
use protocol::native::{
    Ack, ArchivedProduce, ErrorCode, FrameView, PLACED_BYTES, RECORDS_PER_PRODUCE_MAX,
};
use rt::Runtime as _;

/// A frame that arrived just now.
pub(crate) fn handle(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    frame: &FrameView<'_>,
) -> Result<Done, NativeRefusal> {
    let mut plans = std::mem::take(&mut shard.scratch.plans);
    let outcome = check_and_store(shard, net, ticket, frame, &mut plans);
    shard.scratch.plans = plans;
    outcome.inspect_err(|refusal| {
        if refusal.code == ErrorCode::Record {
            let (peer, now_ms) = (net.peer(ticket.conn), shard.cx.now_ms());
            let NativeRefusal { record, reason, .. } = refusal;
            let what = format_args!("record {record} of a produce frame: {reason}");
            shard.peers.log.blame(peer, now_ms, &what);
        }
    })
}

/// What a frame asks of its answer.
#[derive(Clone, Copy)]
struct Asked {
    /// For the watermark of its acknowledgement.
    waits: bool,
    /// When the broker took it up, if it asked for its stages.
    received_nanos: Option<u64>,
}

fn check_and_store(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    frame: &FrameView<'_>,
    plans: &mut Vec<RecordPlan>,
) -> Result<Done, NativeRefusal> {
    let produce = frame.header::<ArchivedProduce>()?;
    let received_nanos = produce.wants_stages.then(|| shard.cx.core.now_nanos());
    let records = produce.records.to_native();
    let asked = Asked { waits: waits(produce.ack)?, received_nanos };
    check_accepting(shard)?;
    if check_all(shard, frame.payload, records, plans)? {
        let changed = waiting::changed(shard, frame.payload, plans)?;
        return changed.with(frame.payload, plans, shard.sends.answers.store_host, |drafts| {
            store(shard, net, ticket, (&Message::Several(drafts), records), asked)
        });
    }
    store(shard, net, ticket, (&Message::Records(frame.payload, plans), records), asked)
}

/// Stores a message of so many records and answers, or lets it wait for room.
fn store(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    (message, records): (&Message<'_>, u32),
    asked: Asked,
) -> Result<Done, NativeRefusal> {
    if !shard.sends.backlog.is_empty() {
        // Behind others that wait, so that the order of a connection's sends survives.
        return wait_for_room(shard, ticket, message, asked);
    }
    let Shard { sends, cx, .. } = &mut *shard;
    let stored = match sends.store(&cx.store, message) {
        Ok(stored) => stored,
        Err(NotStored::Full) => return wait_for_room(shard, ticket, message, asked),
        Err(NotStored::Failed(error)) => return Err(native_refusal_of(&error)),
    };
    let clock = asked
        .received_nanos
        .map(|received_nanos| FrameClock { received_nanos, appended_nanos: cx.core.now_nanos() });
    let store_timestamp_ms = stored.first.store_timestamp_ms;
    let told = Told::Frame(Frame { records, store_timestamp_ms, clock });
    let then = (Then::Answer(ticket), asked.waits);
    Ok(finish(sends, &cx.store, (net, &cx.core), &stored, then, told))
}

fn waits(ack: u8) -> Result<bool, NativeRefusal> {
    match ack {
        ack if ack == Ack::Configured as u8 => Ok(true),
        ack if ack == Ack::Appended as u8 => Ok(false),
        found => {
            let reason = format!("ack {found}: 0 and 1 are known");
            Err(NativeRefusal::new(ErrorCode::Request, reason))
        }
    }
}

fn wait_for_room(
    shard: &mut Shard,
    ticket: Ticket,
    message: &Message<'_>,
    asked: Asked,
) -> Result<Done, NativeRefusal> {
    let is_kept = drain::wait(shard, message, |shard, message| Prepared {
        message,
        then: Then::Answer(ticket),
        waits: asked.waits,
        unique_key: Box::default(),
        recall_handle: Box::default(),
        answered_queue: None,
        received_nanos: asked.received_nanos,
        since_ms: shard.cx.now_ms(),
    });
    if is_kept {
        return Ok(Done::Waits);
    }
    let reason = "too many sends wait for the device: send again later";
    Err(NativeRefusal::new(ErrorCode::Busy, reason))
}

fn check_accepting(shard: &Shard) -> Result<(), NativeRefusal> {
    let from_ms = shard.cx.options.process.serve.accept_sends_from_ms;
    if from_ms > 0 && shard.cx.now_ms() < from_ms {
        let reason =
            format!("startAcceptSendRequestTimeStamp: no sends until {from_ms} ms since 1970");
        return Err(NativeRefusal::new(ErrorCode::Busy, reason));
    }
    Ok(())
}

const _: () = assert!(
    RECORDS_PER_PRODUCE_MAX as usize * PLACED_BYTES < netcore::limits::FRAME_BYTES_MAX,
    "an acknowledgement fits a frame"
);
