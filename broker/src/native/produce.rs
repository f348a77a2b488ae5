//! Produce: records in stored layout, checked where they were received, copied once into the log's
//! tail.
//!
//! ```text
//!   payload ──► every record checked ──► Store::append_records (the one copy, the broker's fields patched) ──► Produced
//!                 │ one is bad: nothing of the frame is stored
//! ```
//!
//! **Which mark an answer waits for**: as a remoting send (`requests/send.rs`):
//! `Store::acknowledged`, which is `appended`, `written` or `flushed` by configuration; with `ack`
//! 1 `appended`, as `WAIT=false`.

use super::pending::{FrameClock, PendingFrame};
use crate::answers::native::{NativeCaller, NativeRefusal};
use crate::requests::{Outcome, wait_for_room};
use crate::shard::Shard;
use engine::AppendError;
use netcore::Net;
use protocol::bodies::perm;
use protocol::names;
use protocol::native::records::{self, RecordFault, RecordPlan};
use protocol::native::{
    Ack, ArchivedProduce, ErrorCode, FrameView, Kind, PLACED_BYTES, Placed, Produced,
    RECORDS_PER_PRODUCE_MAX, Stages, append_frame,
};
use rt::Runtime as _;

/// A frame that arrived just now; `bytes` is all of it.
pub(super) fn handle(
    shard: &mut Shard,
    net: &mut Net,
    caller: NativeCaller,
    frame: &FrameView<'_>,
    bytes: &[u8],
) {
    // Behind others that wait, so that the order of a connection's sends survives.
    let must_wait = !shard.waiting.is_empty()
        || matches!(process(shard, net, caller, frame, None), Outcome::TailFull);
    if must_wait && !wait_for_room(shard, caller.conn, bytes) {
        caller.refuse(
            net,
            &NativeRefusal::new(
                ErrorCode::Busy,
                "too many sends wait for the device: send again later",
            ),
        );
    }
}

/// A frame that waited for room since `received_nanos`. It was read once already.
pub(crate) fn process_waiting(
    shard: &mut Shard,
    net: &mut Net,
    conn: netcore::ConnId,
    bytes: &[u8],
    received_nanos: u64,
) -> Outcome {
    let Ok(frame) = FrameView::parse(bytes) else { return Outcome::Answered };
    process(
        shard,
        net,
        NativeCaller { conn, correlation: frame.correlation },
        &frame,
        Some(received_nanos),
    )
}

/// A frame that waited for too long.
pub(crate) fn refuse_waiting(net: &mut Net, conn: netcore::ConnId, bytes: &[u8], reason: String) {
    if let Ok(frame) = FrameView::parse(bytes) {
        NativeCaller { conn, correlation: frame.correlation }
            .refuse(net, &NativeRefusal::new(ErrorCode::Busy, reason));
    }
}

/// Stores and answers, or tells that there is no room.
fn process(
    shard: &mut Shard,
    net: &mut Net,
    caller: NativeCaller,
    frame: &FrameView<'_>,
    received_nanos: Option<u64>,
) -> Outcome {
    let mut plans = std::mem::take(&mut shard.native.plans);
    let outcome = check_and_append(shard, net, caller, frame, received_nanos, &mut plans);
    shard.native.plans = plans;
    outcome.unwrap_or_else(|refusal| {
        if refusal.code == ErrorCode::Record {
            shard.blame(
                net.peer(caller.conn),
                &format_args!("record {} of a produce frame: {}", refusal.record, refusal.reason),
            );
        }
        caller.refuse(net, &refusal);
        Outcome::Answered
    })
}

fn check_and_append(
    shard: &mut Shard,
    net: &mut Net,
    caller: NativeCaller,
    frame: &FrameView<'_>,
    received_nanos: Option<u64>,
    plans: &mut Vec<RecordPlan>,
) -> Result<Outcome, NativeRefusal> {
    let produce = frame.header::<ArchivedProduce>()?;
    let received_nanos =
        produce.wants_stages.then(|| received_nanos.unwrap_or_else(|| shard.core.now_nanos()));
    let waits = match produce.ack {
        ack if ack == Ack::Configured as u8 => true,
        ack if ack == Ack::Appended as u8 => false,
        found => {
            return Err(NativeRefusal::new(
                ErrorCode::Request,
                format!("ack {found}: 0 and 1 are known"),
            ));
        }
    };
    check_accepting(shard)?;
    check_all(shard, frame.payload, produce.records.to_native(), plans)?;
    if shard.pending.is_full() || shard.native.is_full() {
        return Ok(Outcome::TailFull);
    }
    let mut placed = std::mem::take(&mut shard.native.placed);
    placed.clear();
    let mut store_timestamp_ms = 0;
    let appended =
        shard.store.append_records(frame.payload, plans, shard.options.store_host, |appended| {
            store_timestamp_ms = appended.store_timestamp_ms;
            placed.push(Placed {
                queue_offset: appended.queue_offset.0,
                physical_offset: appended.physical_offset.as_i64(),
            });
        });
    let outcome = match appended {
        Ok(end) => {
            let clock = received_nanos.map(|received_nanos| FrameClock {
                received_nanos,
                appended_nanos: shard.core.now_nanos(),
            });
            let pending = PendingFrame {
                caller,
                end,
                records: produce.records.to_native(),
                store_timestamp_ms,
                clock,
            };
            acknowledge_or_wait(shard, net, pending, waits, &placed);
            Ok(Outcome::Answered)
        }
        Err(AppendError::TailFull { .. }) => Ok(Outcome::TailFull),
        Err(error) => Err(refusal_of(&error)),
    };
    shard.native.placed = placed;
    outcome
}

fn check_accepting(shard: &Shard) -> Result<(), NativeRefusal> {
    let from_ms = shard.options.process.serve.accept_sends_from_ms;
    if from_ms > 0 && shard.now_ms() < from_ms {
        return Err(NativeRefusal::new(
            ErrorCode::Busy,
            format!("startAcceptSendRequestTimeStamp: no sends until {from_ms} ms since 1970"),
        ));
    }
    Ok(())
}

/// Checks every record of a payload; `plans` is what to store afterwards.
fn check_all(
    shard: &Shard,
    payload: &[u8],
    announced: u32,
    plans: &mut Vec<RecordPlan>,
) -> Result<(), NativeRefusal> {
    plans.clear();
    if announced == 0 || announced > RECORDS_PER_PRODUCE_MAX {
        return Err(NativeRefusal::new(
            ErrorCode::Request,
            format!(
                "{announced} records announced, 1 to {RECORDS_PER_PRODUCE_MAX} are allowed in a \
                    frame"
            ),
        ));
    }
    let mut rest = payload;
    loop {
        let nth = plans.len();
        let at = payload.len() - rest.len();
        let Some(record) = records::next(&mut rest) else { break };
        let record = record
            .map_err(|error| NativeRefusal::of_record(nth, ErrorCode::Record, error.to_string()))?;
        let checked = records::check(record, shard.options.store_host.is_ipv6())
            .map_err(|fault| fault_refusal(nth, &fault))?;
        let body_bytes = checked.view.body().len();
        let limit = shard.options.process.store.message_bytes_max;
        if body_bytes > limit {
            return Err(NativeRefusal::of_record(
                nth,
                ErrorCode::TooLarge,
                format!("a body of {body_bytes} bytes, maxMessageSize is {limit}"),
            ));
        }
        let plan = checked.plan(at);
        if !plans.last().is_some_and(|before| before.same_queue(&plan, payload)) {
            check_target(shard, nth, checked.view.topic(), plan.queue_id)?;
        }
        if nth >= announced as usize {
            return Err(NativeRefusal::new(
                ErrorCode::Request,
                format!("{announced} records announced, the payload has more"),
            ));
        }
        plans.push(plan);
    }
    if plans.len() != announced as usize {
        return Err(NativeRefusal::new(
            ErrorCode::Request,
            format!("{announced} records announced, the payload has {}", plans.len()),
        ));
    }
    Ok(())
}

fn fault_refusal(nth: usize, fault: &RecordFault) -> NativeRefusal {
    let code = if matches!(fault, RecordFault::Unsupported(_)) {
        ErrorCode::Unsupported
    } else {
        ErrorCode::Record
    };
    NativeRefusal::of_record(nth, code, fault.to_string())
}

fn check_target(shard: &Shard, nth: usize, name: &str, queue_id: i32) -> Result<(), NativeRefusal> {
    let Some(topic) = shard.topics.get(name) else {
        let reason = format!(
            "topic {name:?} does not exist: Route with create_queues creates it where \
                autoCreateTopicEnable is set"
        );
        return Err(NativeRefusal::of_record(nth, ErrorCode::Topic, reason));
    };
    let may_write =
        shard.options.process.permission & perm::WRITE != 0 && topic.config.perm & perm::WRITE != 0;
    // A retry topic's messages come from RocketMQ's send-back, which counts and ends the retries.
    if !may_write || !topic.accepts_sends || names::is_retry_topic(name) {
        return Err(NativeRefusal::of_record(
            nth,
            ErrorCode::Permission,
            format!("topic {name} may not be written by producers"),
        ));
    }
    let queues = topic.config.write_queue_nums;
    if queue_id < 0 || queue_id >= queues {
        return Err(NativeRefusal::of_record(
            nth,
            ErrorCode::Queue,
            format!("queue {queue_id} of topic {name}: it has {queues} for writing, from 0"),
        ));
    }
    Ok(())
}

fn refusal_of(error: &AppendError) -> NativeRefusal {
    let code = match error {
        AppendError::TailFull { .. } => ErrorCode::Busy,
        AppendError::TooLarge { .. } => ErrorCode::TooLarge,
        AppendError::Record(_) | AppendError::NoCrcProperty => ErrorCode::Record,
        AppendError::QueueId { .. } => ErrorCode::Queue,
        AppendError::EmptyBatch => ErrorCode::Request,
        AppendError::DiskFull { .. }
        | AppendError::DiskNearlyFull { .. }
        | AppendError::Poisoned { .. }
        | AppendError::Closed => ErrorCode::NotWritable,
    };
    NativeRefusal::new(code, error.to_string())
}

fn acknowledge_or_wait(
    shard: &mut Shard,
    net: &mut Net,
    pending: PendingFrame,
    waits: bool,
    placed: &[Placed],
) {
    if waits && pending.end > shard.store.acknowledged() {
        return shard.native.push(pending, placed);
    }
    answer(shard, net, &pending, None, false, placed);
}

/// Answers a stored frame. `flushed_nanos`: when the mark it waited for had passed, if it waited.
pub(super) fn answer(
    shard: &Shard,
    net: &mut Net,
    pending: &PendingFrame,
    flushed_nanos: Option<u64>,
    is_late: bool,
    placed: &[Placed],
) {
    let Some(out) = net.out(pending.caller.conn) else { return };
    let stages = pending.clock.map_or_else(Stages::default, |clock| {
        let since = |nanos: u64| nanos.saturating_sub(clock.received_nanos);
        Stages {
            appended_nanos: since(clock.appended_nanos),
            flushed_nanos: flushed_nanos.map_or(0, since),
            replicated_nanos: 0, // there are no slaves
            // One that did not wait is answered as soon as it is in memory.
            answered_nanos: if flushed_nanos.is_some() || is_late {
                since(shard.core.now_nanos())
            } else {
                since(clock.appended_nanos)
            },
        }
    });
    let header = Produced {
        records: pending.records,
        is_late,
        store_timestamp_ms: pending.store_timestamp_ms,
        stages,
    };
    let bytes = out.bytes();
    let written = append_frame(
        bytes,
        Kind::Produced,
        pending.caller.correlation,
        &header,
        placed.len() * PLACED_BYTES,
    );
    debug_assert_eq!(written, Ok(()), "a header of fixed size fits");
    for place in placed {
        bytes.extend_from_slice(&place.to_bytes());
    }
}

const _: () = assert!(
    RECORDS_PER_PRODUCE_MAX as usize * PLACED_BYTES < netcore::limits::FRAME_BYTES_MAX,
    "an acknowledgement fits a frame"
);
