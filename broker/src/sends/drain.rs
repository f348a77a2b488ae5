//! The backlog's way out: one task waits for room on behalf of all that wait.

use super::backlog::Prepared;
use super::errors::{Gone, NotStored, PutError, native_refusal_of, refusal_of};
use super::finish::finish;
use super::message::{Message, OwnedMessage};
use super::state::Stored;
use super::told::{Frame, FrameClock, Then, Told};
use crate::answers::native::NativeRefusal;
use crate::answers::remoting::{MessageIds, Refusal, StoredSend};
use crate::answers::ticket::{Done, Ticket, Wire};
use crate::desk::counts::us_of;
use crate::shard::Shard;
use crate::tables::topics::Topics;
use netcore::Net;
use protocol::codes::response;
use protocol::names::{SCHEDULE_TOPIC, TIMER_TOPIC, TRANS_HALF_TOPIC};
use protocol::native::ErrorCode;
use rt::{Priority, Runtime as _};
use std::time::Duration;

/// Between two attempts while the first that waits does not fit.
const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// Keeps a message until there is room; `prepare` says what is to be told of it. False, and nothing
/// is copied, when too much waits already.
pub(crate) fn wait(
    shard: &mut Shard,
    message: &Message<'_>,
    prepare: impl FnOnce(&mut Shard, OwnedMessage) -> Prepared,
) -> bool {
    if !shard.sends.backlog.has_room(message.bytes()) {
        return false;
    }
    let send = prepare(shard, message.owned());
    shard.sends.backlog.push(send);
    if !shard.sends.is_draining {
        shard.sends.is_draining = true;
        start(shard);
    }
    true
}

fn start(shard: &Shard) {
    let cx = shard.cx.clone();
    shard.cx.core.spawn(Priority::Foreground, async move {
        loop {
            cx.store.wait_writable().await;
            if cx.with(drain) {
                return;
            }
            // There is room, but not enough for the first that waits.
            cx.core.sleep(RETRY_PAUSE).await;
        }
    });
}

/// Stores what waits, in order, until there is no room again. True when nothing waits any more.
fn drain(shard: &mut Shard, net: &mut Net) -> bool {
    while let Some(first) = shard.sends.backlog.pop() {
        if let Some(first) = store_one(shard, net, first) {
            shard.sends.backlog.put_back(first);
            return false;
        }
    }
    shard.sends.is_draining = false;
    true
}

/// Stores one that waited; it comes back when there is no room for it.
fn store_one(shard: &mut Shard, net: &mut Net, send: Prepared) -> Option<Prepared> {
    if let Err(gone) = still_there(&shard.tables.topics, &send) {
        refuse(shard, net, send.then, Why::Gone(gone));
        return None;
    }
    let store = shard.cx.store.clone();
    match send.message.with(|message| shard.sends.store(&store, message)) {
        Ok(stored) => finish_one(shard, net, &send, &stored),
        Err(NotStored::Full) => return Some(send),
        Err(NotStored::Failed(error)) => refuse(shard, net, send.then, Why::Failed(error)),
    }
    None
}

fn finish_one(shard: &mut Shard, net: &mut Net, send: &Prepared, stored: &Stored) {
    let now_nanos = shard.cx.core.now_nanos();
    let ids = std::mem::take(&mut shard.sends.batch_ids);
    let of_send = |ids| StoredSend {
        ids,
        queue_id: send.answered_queue.unwrap_or(0),
        queue_offset: stored.first.queue_offset.0,
        unique_key: &send.unique_key,
        recall_handle: &send.recall_handle,
    };
    let of_frame = |records: usize| Frame {
        records: u32::try_from(records).expect("a frame's records were counted by a u32"),
        store_timestamp_ms: stored.first.store_timestamp_ms,
        clock: send
            .received_nanos
            .map(|received_nanos| FrameClock { received_nanos, appended_nanos: now_nanos }),
    };
    let told = match (&send.then, &send.message) {
        (Then::Wake(..), _) => Told::Nothing,
        (_, OwnedMessage::One(_)) => {
            Told::Send(of_send(MessageIds::One(stored.first.physical_offset.as_i64())))
        }
        (_, OwnedMessage::Batch(_)) => Told::Send(of_send(MessageIds::Batch(&ids))),
        (_, OwnedMessage::Records(_, plans)) => Told::Frame(of_frame(plans.len())),
        // Of a native frame with a record that waits for its delay or time.
        (_, OwnedMessage::Several(drafts)) => Told::Frame(of_frame(drafts.len())),
    };
    let Shard { sends, cx, desk, .. } = shard;
    let then = (send.then, send.waits);
    let done = finish(sends, &cx.store, (net, &cx.core), stored, then, told);
    sends.batch_ids = ids;
    if let (Then::Answer(ticket), Done::Answered) = (send.then, done) {
        desk.ended(&ticket, true, us_of(now_nanos));
    }
}

/// Its topic may have been deleted, closed or made smaller while it waited. What the broker stores
/// itself may go to topics that are closed to clients. Of a delayed message the topic is looked up
/// when it is due, of a half message when it is committed; clients can't name the ones that these
/// wait in.
fn still_there(topics: &Topics, send: &Prepared) -> Result<(), Gone> {
    let is_own = matches!(send.then, Then::Wake(..));
    send.message.each_queue(|name, queue_id| {
        if [SCHEDULE_TOPIC, TIMER_TOPIC, TRANS_HALF_TOPIC].contains(&name) {
            return Ok(());
        }
        let topic = || name.to_owned();
        let Some(found) = topics.get(name) else { return Err(Gone::Topic { topic: topic() }) };
        let queues = found.config.write_queue_nums.max(found.config.read_queue_nums);
        if queue_id >= queues {
            return Err(Gone::Queue { topic: topic(), queue_id, queues });
        }
        if !found.accepts_sends && !is_own {
            return Err(Gone::Closed { topic: topic() });
        }
        Ok(())
    })
}

/// Refuses those that waited too long (`waitTimeMillsInSendQueue`) with SYSTEM_BUSY, as RocketMQ
/// cleans its send queue.
pub(crate) fn refuse_overdue(shard: &mut Shard, net: &mut Net) {
    let Some(limit_ms) = shard.cx.options.process.serve.send_wait_ms else { return };
    let now_ms = shard.cx.now_ms();
    while let Some(late) = shard.sends.backlog.pop_overdue(limit_ms, now_ms) {
        let waited_ms = now_ms.saturating_sub(late.since_ms);
        let behind = shard.sends.backlog.len();
        refuse(shard, net, late.then, Why::TooLate { waited_ms, behind });
    }
}

/// Why a send that waited is not stored.
enum Why {
    Gone(Gone),
    Failed(engine::AppendError),
    TooLate { waited_ms: i64, behind: usize },
}

impl Why {
    fn refusal(&self, limit: usize) -> Refusal {
        match self {
            Self::Gone(gone) => gone.refusal(),
            Self::Failed(error) => refusal_of(error, limit),
            Self::TooLate { waited_ms, behind } => {
                Refusal::new(response::SYSTEM_BUSY, too_late(*waited_ms, *behind))
            }
        }
    }

    fn native_refusal(&self) -> NativeRefusal {
        match self {
            Self::Gone(gone) => gone.native_refusal(),
            Self::Failed(error) => native_refusal_of(error),
            Self::TooLate { waited_ms, behind } => {
                NativeRefusal::new(ErrorCode::Busy, too_late(*waited_ms, *behind))
            }
        }
    }
}

/// In Apache's words.
fn too_late(waited_ms: i64, behind: usize) -> String {
    format!(
        "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: \
         {waited_ms}ms, size of queue: {behind}"
    )
}

fn refuse(shard: &mut Shard, net: &mut Net, then: Then, why: Why) {
    match then {
        Then::Answer(ticket) => {
            refuse_client(shard, net, &ticket, &why);
            shard.desk.ended(&ticket, false, us_of(shard.cx.core.now_nanos()));
        }
        Then::Wake(slot, _) => {
            let error = match why {
                Why::Gone(gone) => PutError::Gone(gone),
                Why::Failed(error) => PutError::NotStored(error),
                Why::TooLate { waited_ms, .. } => PutError::Busy { waited_ms },
            };
            shard.sends.slots.settle(slot, Err(error));
        }
    }
}

fn refuse_client(shard: &Shard, net: &mut Net, to: &Ticket, why: &Why) {
    if to.wire == Wire::Native {
        return to.refuse_native(net, &why.native_refusal());
    }
    let limit = shard.cx.options.process.store.message_bytes_max;
    to.refuse(net, &why.refusal(limit), Some(&shard.sends.answers.fields));
}
