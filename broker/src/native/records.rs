//! The records of a Produce frame, checked where they were received.

use crate::answers::native::NativeRefusal;
use crate::shard::Shard;
use protocol::bodies::perm;
use protocol::names;
use protocol::native::records::{self, RecordFault, RecordPlan};
use protocol::native::{ErrorCode, RECORDS_PER_PRODUCE_MAX};

/// Checks every record of a payload; `plans` is what to store afterwards. Whether one asks to wait
/// for its delay or time.
pub(super) fn check_all(
    shard: &Shard,
    payload: &[u8],
    announced: u32,
    plans: &mut Vec<RecordPlan>,
) -> Result<bool, NativeRefusal> {
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
    let (mut rest, mut one_asks_to_wait) = (payload, false);
    loop {
        let nth = plans.len();
        let at = payload.len() - rest.len();
        let Some(record) = records::next(&mut rest) else { break };
        let record = record
            .map_err(|error| NativeRefusal::of_record(nth, ErrorCode::Record, error.to_string()))?;
        let checked = records::check(record, shard.cx.options.store_host.is_ipv6())
            .map_err(|fault| fault_refusal(nth, &fault))?;
        let body_bytes = checked.view.body().len();
        let limit = shard.cx.options.process.store.message_bytes_max;
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
        one_asks_to_wait |= plan.asks_to_wait;
        plans.push(plan);
    }
    if plans.len() != announced as usize {
        return Err(NativeRefusal::new(
            ErrorCode::Request,
            format!("{announced} records announced, the payload has {}", plans.len()),
        ));
    }
    Ok(one_asks_to_wait)
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
    let Some(topic) = shard.tables.topics.get(name) else {
        let reason = format!(
            "topic {name:?} does not exist: Route with create_queues creates it where \
                autoCreateTopicEnable is set"
        );
        return Err(NativeRefusal::of_record(nth, ErrorCode::Topic, reason));
    };
    let may_write = shard.cx.options.process.permission & perm::WRITE != 0
        && topic.config.perm & perm::WRITE != 0;
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
