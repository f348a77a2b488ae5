//! SEND_MESSAGE 10, SEND_MESSAGE_V2 310, SEND_BATCH_MESSAGE 320: one message, or a batch, into the
//! log.
//!
//! ```text
//!   receive buffer ──header in place──► checks ──pieces──► Store::append (the one copy) ──► answer
//! ```
//!
//! **Which mark an answer waits for** (`Store::acknowledged`):
//! - ASYNC_FLUSH on `direct`: `appended`. The message is in the broker's memory and visible to
//!   consumers, its write begins when the one in flight ends. A machine or process that dies before
//!   that write ends loses it, as with RocketMQ's ASYNC_FLUSH.
//! - ASYNC_FLUSH on `mmap`: `written`. The system has it: a killed process loses nothing, a dying
//!   machine may.
//! - SYNC_FLUSH: `flushed`. It survives a power cut. A message with `WAIT=false` is answered at
//!   `appended` all the same.
//!
//! Until then the answer waits in [`crate::sends::unacknowledged`].
//!
//! Nothing is allocated for a message in steady state: the header is decoded into a reused scratch,
//! the properties are pieces of the receive buffer, the answer is written into the connection's
//! outgoing bytes.

use super::properties::{self, Said};
use super::send_check::{self, Target};
use super::{send_batch, waiting};
use crate::answers::remoting::{Caller, Refusal};
use crate::sends::unacknowledged::{Pending, ShortText, StoredAt};
use crate::shard::Shard;
use engine::{AppendError, PhyOffset};
use netcore::Net;
use protocol::codes::{request, response};
use protocol::headers::{SendHeader, SendResponseHeader};
use protocol::ids::OffsetMsgId;
use protocol::record::RecordDraft;
use protocol::remoting::{CommandView, ExtWriter, PreparedFields};
use std::net::{Ipv4Addr, SocketAddr};

/// A generated UNIQ_KEY as a property: name, separators and up to 56 digits.
const UNIQUE_KEY_PROPERTY_BYTES: usize = 8 + 1 + 56 + 1;

/// What became of a send.
pub(crate) enum Outcome {
    /// It was answered.
    Answered,
    /// There is no room in the log's tail: it has to wait.
    TailFull,
}

/// A send that arrived just now.
pub(super) fn handle(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
    frame: &[u8],
) {
    // Behind others that wait, so that the order of a connection's sends survives.
    let must_wait = !shard.waiting.is_empty()
        || matches!(process(shard, net, caller, command), Outcome::TailFull);
    if must_wait && !waiting::wait_for_room(shard, caller.conn, frame) {
        refuse(
            shard,
            net,
            caller,
            &Refusal::new(
                response::SYSTEM_BUSY,
                "[OVERLOAD]system busy, start flow control for a while",
            ),
        );
    }
}

/// Appends and answers, or tells that there is no room.
pub(super) fn process(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Outcome {
    let mut scratch = std::mem::take(&mut shard.scratch);
    let outcome = match SendHeader::decode(&command.ext, &mut scratch) {
        Ok(header) => append(shard, net, caller, command, &header),
        Err(error) => Err(error.into()),
    };
    shard.scratch = scratch;
    outcome.unwrap_or_else(|refusal| {
        refuse(shard, net, caller, &refusal);
        Outcome::Answered
    })
}

fn append(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
    header: &SendHeader<'_>,
) -> Result<Outcome, Refusal> {
    let born_host = net.peer(caller.conn).unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let mut target = send_check::check(shard, header, command.version, born_host)?;
    check_size(shard, command.body.len())?;
    if shard.pending.is_full() || shard.native.is_full() {
        return Ok(Outcome::TailFull);
    }
    if command.code == request::SEND_BATCH_MESSAGE || header.batch {
        return send_batch::append(shard, net, caller, command.body, header, &target, born_host);
    }
    let said = properties::read(header.properties);
    refuse_what_comes_later(&said)?;
    if let Some(priority) = said.priority_alone() {
        target.queue_id = priority.min(target.write_queues - 1).max(0);
    }
    let generated = generate_unique_key(shard, &said);
    let common = shard.common_properties.bytes();
    let pieces = properties::pieces(
        header.properties,
        said.priority_alone().is_some(),
        generated.as_bytes(),
        common,
    )
    .ok_or_else(|| {
        Refusal::new(
            response::MESSAGE_ILLEGAL,
            "the message has too many properties that only brokers set",
        )
    })?;
    let draft = draft(shard, header, &target, born_host, command.body, pieces.as_slice());
    match shard.store.append(&draft) {
        Ok(appended) => {
            let stored = Stored {
                end: appended.end(),
                waits: !said.no_wait,
                physical_offset: appended.physical_offset.as_i64(),
                queue_offset: appended.queue_offset.0,
                queue_id: target.queue_id,
            };
            let unique_key = said.unique_key.unwrap_or_else(|| generated.key());
            answer(shard, net, caller, &stored, unique_key);
            Ok(Outcome::Answered)
        }
        Err(error) => tail_full_or_refusal(shard, error),
    }
}

/// A body, of one message or of a batch, may be as long as `maxMessageSize`.
fn check_size(shard: &Shard, body_bytes: usize) -> Result<(), Refusal> {
    if body_bytes > shard.options.process.store.message_bytes_max {
        return Err(illegal(shard, &format_args!("body of {body_bytes} bytes")));
    }
    Ok(())
}

fn illegal(shard: &Shard, found: &dyn std::fmt::Display) -> Refusal {
    let limit = shard.options.process.store.message_bytes_max;
    let remark = format!(
        "the message is illegal, maybe msg body or properties length not matched. msg body length limit {limit}B, msg properties length \
         limit 32KB. ({found})"
    );
    Refusal::new(response::MESSAGE_ILLEGAL, remark)
}

/// Where a message was stored.
struct Stored {
    end: PhyOffset,
    /// For the mark of an acknowledgement.
    waits: bool,
    physical_offset: i64,
    queue_offset: i64,
    queue_id: i32,
}

fn answer(shard: &mut Shard, net: &mut Net, caller: Caller, stored: &Stored, unique_key: &str) {
    if caller.is_oneway() {
        return;
    }
    if stored.waits && stored.end > shard.store.acknowledged() {
        return shard.pending.push(Pending {
            caller,
            end: stored.end,
            since_ms: shard.now_ms(),
            stored_at: StoredAt::One(stored.physical_offset),
            queue_id: stored.queue_id,
            queue_offset: stored.queue_offset,
            unique_key: ShortText::new(unique_key),
        });
    }
    let mut text = std::mem::take(&mut shard.text);
    text.clear();
    OffsetMsgId { store_host: shard.options.store_host, physical_offset: stored.physical_offset }
        .write(&mut text);
    answer_stored(
        shard,
        net,
        caller,
        response::SUCCESS,
        &SendResponseHeader {
            msg_id: &text,
            queue_id: stored.queue_id,
            queue_offset: stored.queue_offset,
            transaction_id: Some(unique_key).filter(|key| !key.is_empty()),
        },
    );
    shard.text = text;
}

/// The answer to a stored message or batch: SUCCESS, or what is not known of it yet.
pub(super) fn answer_stored(
    shard: &Shard,
    net: &mut Net,
    caller: Caller,
    code: i32,
    header: &SendResponseHeader<'_>,
) {
    let ext = |ext: &mut ExtWriter<'_>| {
        header.write(ext);
        ext.prepared(&shard.send_answer_fields);
    };
    caller.answer(net, code, None, ext, &[]);
}

/// What every answer to a send carries, refusals too: Java's client reads it without looking
/// whether it is there.
pub(crate) fn common_fields(region: &str, trace_on: bool) -> PreparedFields {
    PreparedFields::new(|ext| {
        ext.str("MSG_REGION", region);
        ext.bool("TRACE_ON", trace_on);
    })
}

/// Answers a send that is not done.
pub(super) fn refuse(shard: &Shard, net: &mut Net, caller: Caller, refusal: &Refusal) {
    caller.answer(
        net,
        refusal.code,
        Some(&refusal.remark),
        |ext| ext.prepared(&shard.send_answer_fields),
        &[],
    );
}

/// The record of a message, or what the records of a batch have in common.
pub(super) fn draft<'a>(
    shard: &Shard,
    header: &SendHeader<'_>,
    target: &'a Target<'a>,
    born_host: SocketAddr,
    body: &'a [u8],
    properties: &'a [&'a [u8]],
) -> RecordDraft<'a> {
    RecordDraft {
        topic: &target.topic,
        queue_id: target.queue_id,
        flag: header.flag,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: target.sys_flag,
        born_timestamp_ms: header.born_timestamp_ms,
        born_host,
        store_timestamp_ms: 0,
        store_host: shard.options.store_host,
        reconsume_times: header.reconsume_times,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

/// Why an append failed, in RocketMQ's codes; a full tail is no failure.
pub(super) fn tail_full_or_refusal(shard: &Shard, error: AppendError) -> Result<Outcome, Refusal> {
    let code = match error {
        AppendError::TailFull { .. } => return Ok(Outcome::TailFull),
        AppendError::TooLarge { .. }
        | AppendError::Record(_)
        | AppendError::NoCrcProperty
        | AppendError::EmptyBatch => return Err(illegal(shard, &error)),
        AppendError::QueueId { .. } => response::INVALID_PARAMETER,
        AppendError::DiskFull { .. }
        | AppendError::DiskNearlyFull { .. }
        | AppendError::Poisoned { .. }
        | AppendError::Closed => response::SERVICE_NOT_AVAILABLE,
    };
    Err(Refusal::new(code, format!("service not available now: {error}")))
}

/// Delays and transactions have issues of their own. Storing such a message as a plain one would
/// deliver it too early, or deliver what is rolled back: an error is what a client can act on.
fn refuse_what_comes_later(said: &Said<'_>) -> Result<(), Refusal> {
    if said.transactional {
        return Err(Refusal::new(
            response::NO_PERMISSION,
            "sending transaction message is forbidden: transactions are not in this version of \
                RingMQ",
        ));
    }
    if said.delayed || said.timed {
        return Err(Refusal::new(
            response::MESSAGE_ILLEGAL,
            "delayed and timed messages are not in this version of RingMQ",
        ));
    }
    Ok(())
}

/// The property UNIQ_KEY of a message that came without, on the stack.
struct GeneratedKey {
    property: [u8; UNIQUE_KEY_PROPERTY_BYTES],
    len: usize,
}

impl GeneratedKey {
    fn as_bytes(&self) -> &[u8] {
        self.property.get(..self.len).unwrap_or_default()
    }

    /// The key without name and separators.
    fn key(&self) -> &str {
        let key = self.as_bytes().get(b"UNIQ_KEY\x01".len()..self.len.saturating_sub(1));
        key.and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default()
    }
}

fn generate_unique_key(shard: &mut Shard, said: &Said<'_>) -> GeneratedKey {
    let mut generated = GeneratedKey { property: [0; UNIQUE_KEY_PROPERTY_BYTES], len: 0 };
    if said.unique_key.is_some() {
        return generated;
    }
    shard.text.clear();
    shard.text.push_str("UNIQ_KEY\u{1}");
    let now_ms = shard.now_ms();
    shard.unique_keys.write_next(now_ms, &mut shard.text);
    shard.text.push('\u{2}');
    if let Some(place) = generated.property.get_mut(..shard.text.len()) {
        place.copy_from_slice(shard.text.as_bytes());
        generated.len = shard.text.len();
    }
    generated
}
