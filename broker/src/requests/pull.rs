//! PULL_MESSAGE 11 and LITE_PULL_MESSAGE 361: messages of one queue, as slices of the log.
//!
//! ```text
//!   check ──► Store::read ──found──► header + slices of the tail (nothing of a body is touched)
//!                │  └─cold──► task: Store::read_cold ──► the same
//!                └─nothing──► held, when the client lets it ──message or time──► read once more, answered whatever it finds
//! ```
//!
//! An answer of code 0, 19, 20 or 21 always has nextBeginOffset, minOffset, maxOffset and
//! suggestWhichBrokerId: Java's and Node's clients fail without.

use super::pull_check;
use crate::answers::remoting::{Caller, Refusal};
use crate::limits::PULL_MESSAGES_MAX;
use crate::reads::filter::Filter;
use crate::shard::{HeldRequest, Shard};
use engine::{
    ColdRead, OwnedReadRequest, QueueOffset, ReadError, ReadRequest, ReadSlices, ReadStatus,
};
use netcore::{ConnId, Net};
use protocol::codes::response;
use protocol::headers::{PullHeader, PullResponseHeader};
use protocol::remoting::{CommandView, write_command_head};
use protocol::sys_flag::pull::{COMMIT_OFFSET, SUSPEND};
use rt::{Priority, Runtime as _};
use std::rc::Rc;

/// A pull that passed its checks: what is needed to run it, now or when it is woken.
#[derive(Debug)]
pub(crate) struct Pull {
    caller: Caller,
    group: Rc<str>,
    group_sys_flag: i32,
    topic: Rc<str>,
    topic_sys_flag: i32,
    queue_id: i32,
    offset: i64,
    messages_max: usize,
    filter: Filter,
    /// How long it may be held; `None`: not at all.
    hold_ms: Option<i64>,
}

impl Pull {
    /// Whether it came over this connection.
    pub(crate) fn is_of(&self, conn: ConnId) -> bool {
        self.caller.conn == conn
    }
}

/// A pull that arrived just now.
pub(super) fn handle(shard: &mut Shard, net: &mut Net, caller: Caller, command: &CommandView<'_>) {
    if shard.peers.get(&caller.conn).is_some_and(|peer| peer.vip) {
        let remark = format!(" request type {} not supported", command.code);
        return caller.refuse(net, &Refusal::new(response::REQUEST_CODE_NOT_SUPPORTED, remark));
    }
    let mut scratch = std::mem::take(&mut shard.scratch);
    match PullHeader::decode(&command.ext, &mut scratch) {
        Ok(header) => check_and_run(shard, net, caller, command.code, &header),
        Err(error) => caller.refuse(net, &error.into()),
    }
    shard.scratch = scratch;
}

fn check_and_run(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    code: i32,
    header: &PullHeader<'_>,
) {
    let allowed = match pull_check::check(shard, code, header) {
        Ok(allowed) => allowed,
        Err(refusal) => return refusal.answer(net, caller),
    };
    if header.sys_flag & COMMIT_OFFSET != 0 {
        let now_ms = shard.now_ms();
        shard.offsets.commit(
            header.consumer_group,
            header.topic,
            header.queue_id,
            header.commit_offset,
            now_ms,
        );
    }
    let pulls = &shard.options.process.serve.pulls;
    let hold_ms =
        if pulls.long_polling { header.suspend_timeout_ms } else { pulls.short_polling_ms };
    let messages_max = header.max_msg_nums.clamp(1, pulls.messages_max.min(PULL_MESSAGES_MAX));
    let pull = Pull {
        caller,
        group: allowed.group,
        group_sys_flag: allowed.group_sys_flag,
        topic: allowed.topic,
        topic_sys_flag: allowed.topic_sys_flag,
        queue_id: header.queue_id,
        offset: header.queue_offset,
        messages_max: usize::try_from(messages_max).unwrap_or(1),
        filter: allowed.filter,
        hold_ms: (header.sys_flag & SUSPEND != 0).then_some(hold_ms),
    };
    run(shard, net, pull);
}

/// Runs a held pull once more, and for the last time: what it finds is its answer.
pub(crate) fn wake(shard: &mut Shard, net: &mut Net, mut pull: Pull) {
    pull.hold_ms = None;
    let group = pull.group.clone();
    let allowed = pull_check::check_group(shard, &group)
        .and_then(|_| pull_check::check_topic(shard, &pull.topic));
    match allowed {
        Ok(_) => run(shard, net, pull),
        Err(refusal) => refusal.answer(net, pull.caller),
    }
}

fn run(shard: &mut Shard, net: &mut Net, pull: Pull) {
    let mut slices = std::mem::take(&mut shard.slices);
    let request = ReadRequest {
        topic: &pull.topic,
        queue_id: pull.queue_id,
        offset: QueueOffset(pull.offset),
        max_messages: pull.messages_max,
        max_bytes: usize::MAX, // the store's own limits decide, as in RocketMQ
        filter: pull.filter.as_tag_filter(),
        as_asked: false,
    };
    let status = shard.store.read(&request, &mut slices);
    if status == ReadStatus::Cold {
        read_from_disk(shard, net, pull, &slices);
    } else {
        finish(shard, net, pull, status, &mut slices);
    }
    slices.clear();
    shard.slices = slices;
}

/// A task reads from disk and comes back with what it found.
fn read_from_disk(shard: &mut Shard, net: &mut Net, pull: Pull, at: &ReadSlices) {
    let Some(network) = shard.network.clone() else { return };
    if !shard.begin_cold_read() {
        // Java's consumer asks again at once, others after their pause: nobody is dropped and
        // nothing piles up here.
        return answer_empty(
            net,
            &pull,
            response::PULL_RETRY_IMMEDIATELY,
            "too many reads from disk at once",
            at,
        );
    }
    let request = OwnedReadRequest {
        topic: Box::from(&*pull.topic),
        queue_id: pull.queue_id,
        offset: QueueOffset(pull.offset),
        max_messages: pull.messages_max,
        max_bytes: usize::MAX,
        filter: pull.filter.to_owned_tag_filter(),
        as_asked: false,
    };
    let store = shard.store.clone();
    shard.core.spawn(Priority::Foreground, async move {
        let read = store.read_cold(request).await;
        network.with(|shard, net| {
            shard.cold_reads -= 1;
            finish_cold(shard, net, pull, read);
        });
    });
}

fn finish_cold(shard: &mut Shard, net: &mut Net, pull: Pull, read: Result<ColdRead, ReadError>) {
    match read {
        Ok(ColdRead { status, slices, messages, bytes, next_begin_offset, range }) => {
            let mut read = ReadSlices { slices, messages, bytes, next_begin_offset, range };
            finish(shard, net, pull, status, &mut read);
        }
        Err(error) => super::offsets::read_failed(shard, net, pull.caller, &error),
    }
}

/// The code of an outcome, as RocketMQ has it.
fn code(status: ReadStatus, offset: i64) -> i32 {
    match status {
        ReadStatus::Found => response::SUCCESS,
        ReadStatus::NoMatchedMessage | ReadStatus::MessageWasRemoving | ReadStatus::Cold => {
            response::PULL_RETRY_IMMEDIATELY
        }
        ReadStatus::NoMatchedLogicQueue | ReadStatus::NoMessageInQueue if offset == 0 => {
            response::PULL_NOT_FOUND
        }
        ReadStatus::NoMatchedLogicQueue | ReadStatus::NoMessageInQueue => {
            response::PULL_OFFSET_MOVED
        }
        ReadStatus::OffsetFoundNull | ReadStatus::OffsetOverflowOne => response::PULL_NOT_FOUND,
        ReadStatus::OffsetOverflowBadly | ReadStatus::OffsetTooSmall => response::PULL_OFFSET_MOVED,
    }
}

fn finish(shard: &mut Shard, net: &mut Net, pull: Pull, status: ReadStatus, read: &mut ReadSlices) {
    match code(status, pull.offset) {
        response::SUCCESS => answer_found(net, &pull, read),
        response::PULL_NOT_FOUND => hold_or_answer(shard, net, pull, status, read),
        code => answer_empty(net, &pull, code, status.name(), read),
    }
}

fn hold_or_answer(
    shard: &mut Shard,
    net: &mut Net,
    pull: Pull,
    status: ReadStatus,
    read: &ReadSlices,
) {
    let Some(hold_ms) = pull.hold_ms.filter(|_| !pull.caller.is_oneway()) else {
        return answer_empty(net, &pull, response::PULL_NOT_FOUND, status.name(), read);
    };
    if let Some(peer) = shard.peers.get_mut(&pull.caller.conn) {
        peer.pulls = true;
    }
    let now_ms = shard.now_ms();
    let (topic, queue_id, want) =
        (pull.topic.clone(), pull.queue_id, (pull.offset, pull.filter.clone()));
    if let Err(pull) =
        shard.held.hold(&topic, queue_id, want, hold_ms, now_ms, HeldRequest::Pull(pull))
    {
        let HeldRequest::Pull(pull) = pull else { return };
        answer_empty(net, &pull, response::PULL_NOT_FOUND, status.name(), read);
    }
}

fn header(pull: &Pull, read: &ReadSlices) -> PullResponseHeader {
    PullResponseHeader {
        suggest_which_broker_id: 0, // the master: there are no slaves
        next_begin_offset: read.next_begin_offset.0,
        min_offset: read.range.min_offset.0,
        max_offset: read.range.max_offset.0,
        topic_sys_flag: Some(pull.topic_sys_flag),
        group_sys_flag: Some(pull.group_sys_flag),
        forbidden_type: None,
    }
}

fn answer_found(net: &mut Net, pull: &Pull, read: &mut ReadSlices) {
    if pull.caller.is_oneway() {
        return;
    }
    let Some(out) = net.out(pull.caller.conn) else { return };
    let head = pull.caller.head(response::SUCCESS, Some(ReadStatus::Found.name()));
    write_command_head(out.bytes(), &head, |ext| header(pull, read).write(ext), read.bytes);
    for slice in read.slices.drain(..) {
        out.slice(slice);
    }
}

fn answer_empty(net: &mut Net, pull: &Pull, code: i32, remark: &str, read: &ReadSlices) {
    pull.caller.answer(net, code, Some(remark), |ext| header(pull, read).write(ext), &[]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_rocketmqs_codes() {
        use ReadStatus::*;
        let at_zero = [NoMatchedLogicQueue, NoMessageInQueue, OffsetFoundNull, OffsetOverflowOne];
        assert!(at_zero.iter().all(|status| code(*status, 0) == response::PULL_NOT_FOUND));
        let moved = [NoMatchedLogicQueue, NoMessageInQueue, OffsetOverflowBadly, OffsetTooSmall];
        assert!(moved.iter().all(|status| code(*status, 7) == response::PULL_OFFSET_MOVED));
        assert_eq!(code(OffsetOverflowOne, 7), response::PULL_NOT_FOUND);
        assert_eq!(
            [code(NoMatchedMessage, 7), code(MessageWasRemoving, 7)],
            [response::PULL_RETRY_IMMEDIATELY; 2]
        );
        assert_eq!(code(Found, 7), response::SUCCESS);
    }
}
