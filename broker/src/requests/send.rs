//! SEND_MESSAGE 10, SEND_MESSAGE_V2 310, SEND_BATCH_MESSAGE 320: one message, or a batch, into the
//! log.
//!
//! ```text
//!   receive buffer ──header in place──► checks ──pieces──► Store::append (the one copy) ──► answer
//! ```
//!
//! Nothing is allocated for a message in steady state: the header is decoded into a reused scratch,
//! the properties are pieces of the receive buffer, the answer is written into the connection's
//! outgoing bytes. Which watermark an answer waits for is said in [`crate::sends`].

use super::send_target::{self, Target};
use super::send_timer::admit;
use crate::answers::remoting::{MessageIds, Refusal, StoredSend};
use crate::answers::ticket::{Done, Ticket};
use crate::sends::backlog::Prepared;
use crate::sends::delay::Waiting;
use crate::sends::drain;
use crate::sends::errors::{NotStored, illegal, refusal_of};
use crate::sends::finish::finish;
use crate::sends::half;
use crate::sends::lite;
use crate::sends::message::Message;
use crate::sends::properties::{self, Change, Delay, Said};
use crate::sends::state::Stored;
use crate::sends::timer::Timer;
use crate::sends::told::{Then, Told};
use crate::services::transactions;
use crate::shard::Shard;
use netcore::Net;
use protocol::batch;
use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use protocol::ids::RecallHandle;
use protocol::limits::TOPIC_BYTES_MAX;
use protocol::names;
use protocol::record::RecordDraft;
use protocol::remoting::CommandView;
use protocol::sys_flag::transaction_type;
use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};

/// A generated UNIQ_KEY as a property: name, separators and up to 56 digits.
const UNIQUE_KEY_PROPERTY_BYTES: usize = 8 + 1 + 56 + 1;

/// A send that arrived just now.
pub(crate) fn handle(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let mut scratch = std::mem::take(&mut shard.scratch.headers);
    let outcome = match SendHeader::decode(&command.ext, &mut scratch) {
        Ok(header) => check_and_store(shard, net, ticket, command, &header),
        Err(error) => Err(error.into()),
    };
    shard.scratch.headers = scratch;
    outcome
}

fn check_and_store(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
    header: &SendHeader<'_>,
) -> Result<Done, Refusal> {
    let born_host = peer_of(net, ticket);
    let target = send_target::check(shard, header, command.version, born_host)?;
    check_size(shard, command.body.len())?;
    let said = properties::read(header.properties);
    if command.code == request::SEND_BATCH_MESSAGE || header.batch {
        check_batch(header, &said, command.body)?;
        // The messages keep the properties they came with: Apache 5.5.0 adds the broker's to single
        // messages only.
        let draft = draft(shard, header, &target, born_host, &[], &[]);
        let message = Message::Batch(&draft, command.body);
        return store(shard, net, ticket, &message, &Answer::of(&target, &said, "", ""));
    }
    let (mut own, mut light) =
        (std::mem::take(&mut shard.scratch.delay), std::mem::take(&mut shard.scratch.light));
    light.clear();
    let what = (command, header, target, &said);
    let done = name_light_queue(shard, header, &said, &mut light).and_then(|()| {
        let of_message = (&mut own, &*light);
        if is_half(&said, header.reconsume_times) {
            check_half(shard, &said).and_then(|()| store_half(shard, net, ticket, what, of_message))
        } else {
            store_single(shard, net, ticket, what, of_message)
        }
    });
    (shard.scratch.delay, shard.scratch.light) = (own, light);
    done
}

/// A message to a lite topic is in that one's queue as well.
fn name_light_queue(
    shard: &Shard,
    header: &SendHeader<'_>,
    said: &Said<'_>,
    property: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let Some(child) = said.lite else { return Ok(()) };
    let is_served = shard.cx.options.process.store.builds_light_queues;
    lite::write_property(property, (header.topic, child), is_served)
}

/// Where one message goes, with which properties: by its priority, or to wait for its delay.
fn store_single(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    (command, header, mut target, said): (&CommandView<'_>, &SendHeader<'_>, Target<'_>, &Said<'_>),
    (delay_properties, light): (&mut Vec<u8>, &[u8]),
) -> Result<Done, Refusal> {
    let priority = said.priority_alone();
    if let Some(priority) = priority {
        target.queue_id = priority.min(target.write_queues - 1).max(0);
        target.answered_queue_id = target.queue_id;
    }
    let (delay, timer) = delay_of(shard, said, &mut target, delay_properties)?;
    let generated = generate_unique_key(shard, said);
    let unique_key = said.unique_key.unwrap_or(generated.key());
    let handle = timer.map(|timer| recall_handle(shard, header.topic, timer, unique_key));
    let keeps_priority = priority.is_some();
    let change = Change { keeps_priority, delay, half: None, lite: is_there(light) };
    let single = (command, header, &target, said);
    store_changed(shard, net, ticket, single, (change, &generated), handle.as_deref())
}

/// The first half of a transaction: where nobody reads it, until it is committed. Its answer names
/// the queue that it was sent to and its offset among the half messages, as Apache's does.
fn store_half(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    (command, header, mut target, said): (&CommandView<'_>, &SendHeader<'_>, Target<'_>, &Said<'_>),
    (half_properties, light): (&mut Vec<u8>, &[u8]),
) -> Result<Done, Refusal> {
    let generated = generate_unique_key(shard, said);
    let unique_key = said.unique_key.unwrap_or(generated.key());
    half_properties.clear();
    half::write_properties(half_properties, unique_key, &target.topic, target.queue_id);
    (target.topic, target.queue_id) = (Cow::Borrowed(names::TRANS_HALF_TOPIC), half::QUEUE_ID);
    target.sys_flag = half::without_transaction(target.sys_flag);
    let half = Some(half_properties.as_slice());
    let change = Change { half, lite: is_there(light), ..Change::default() };
    let single = (command, header, &target, said);
    store_changed(shard, net, ticket, single, (change, &generated), None)
}

fn is_there(property: &[u8]) -> Option<&[u8]> {
    (!property.is_empty()).then_some(property)
}

/// Stores one message with its properties changed.
fn store_changed(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    (command, header, target, said): (&CommandView<'_>, &SendHeader<'_>, &Target<'_>, &Said<'_>),
    (change, generated): (Change<'_>, &GeneratedKey),
    recall_handle: Option<&str>,
) -> Result<Done, Refusal> {
    let born_host = peer_of(net, ticket);
    let common = shard.sends.properties.clone();
    let sent = (header.properties, said.keeps_all);
    let pieces = properties::pieces(sent, change, generated.as_bytes(), &common);
    let Some(pieces) = pieces else {
        let remark = "the message has too many properties that only brokers set";
        return Err(Refusal::new(response::MESSAGE_ILLEGAL, remark));
    };
    let draft = draft(shard, header, target, born_host, command.body, pieces.as_slice());
    let answer = Answer::of(target, said, generated.key(), recall_handle.unwrap_or_default());
    store(shard, net, ticket, &Message::One(&draft), &answer)
}

/// What becomes of the delay or time that a message asks for. One that waits goes to the queue of
/// its level or to the timers' queue; its answer names the queue that it was sent to, as Apache's
/// does.
fn delay_of<'p>(
    shard: &Shard,
    said: &Said<'_>,
    target: &mut Target<'_>,
    properties: &'p mut Vec<u8>,
) -> Result<(Delay<'p>, Option<Timer>), Refusal> {
    if target.is_dead_letter {
        return Ok((Delay::DeadLetter, None));
    }
    properties.clear();
    let levels = &shard.cx.options.process.store.delay_levels;
    if let Some(waiting) = Waiting::of(said.delay_level, target.sys_flag, levels) {
        waiting.write_properties(properties, &target.topic, target.queue_id);
        (target.topic, target.queue_id) = (Cow::Borrowed(waiting.topic()), waiting.queue_id());
        return Ok((Delay::Waits(properties), None));
    }
    if said.delay_level > 0 || !said.timed.is_there() {
        return Ok((Delay::None, None));
    }
    let Some(timer) = admit(shard, &said.timed, target.sys_flag)? else {
        return Ok((Delay::None, None));
    };
    timer.write_properties(properties, &target.topic, target.queue_id);
    (target.topic, target.queue_id) = (Cow::Borrowed(Timer::topic()), 0);
    Ok((Delay::Timed(properties), Some(timer)))
}

/// With what a timer message can be recalled; a retry can't.
fn recall_handle(shard: &Shard, topic: &str, timer: Timer, unique_key: &str) -> String {
    if names::is_retry_topic(topic) {
        return String::new();
    }
    RecallHandle::write(topic, &shard.cx.options.broker, timer.recall_ms(), unique_key)
}

fn peer_of(net: &Net, ticket: Ticket) -> SocketAddr {
    net.peer(ticket.conn).unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
}

/// What the answer to a send says beside its place in the log.
struct Answer<'a> {
    queue_id: i32,
    unique_key: &'a str,
    recall_handle: &'a str,
    /// For the watermark of its acknowledgement.
    waits: bool,
}

impl<'a> Answer<'a> {
    fn of(
        target: &Target<'_>,
        said: &Said<'a>,
        unique_key: &'a str,
        recall_handle: &'a str,
    ) -> Self {
        Self {
            queue_id: target.answered_queue_id,
            unique_key: said.unique_key.unwrap_or(unique_key),
            recall_handle,
            waits: !said.no_wait,
        }
    }
}

/// Stores and answers, or lets it wait for room. Behind others that wait, so that the order of a
/// connection's sends survives.
fn store(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    message: &Message<'_>,
    answer: &Answer<'_>,
) -> Result<Done, Refusal> {
    if !shard.sends.backlog.is_empty() {
        return wait_for_room(shard, ticket, message, answer);
    }
    match shard.sends.store(&shard.cx.store, message) {
        Ok(stored) => Ok(finish_send(shard, net, ticket, message, (&stored, answer))),
        Err(NotStored::Full) => wait_for_room(shard, ticket, message, answer),
        Err(NotStored::Failed(error)) => {
            Err(refusal_of(&error, shard.cx.options.process.store.message_bytes_max))
        }
    }
}

fn finish_send(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    message: &Message<'_>,
    (stored, answer): (&Stored, &Answer<'_>),
) -> Done {
    let Shard { sends, cx, .. } = shard;
    let batch_ids = std::mem::take(&mut sends.batch_ids);
    let ids = match message {
        Message::Batch(..) => MessageIds::Batch(&batch_ids),
        Message::One(_) | Message::Records(..) | Message::Several(_) => {
            MessageIds::One(stored.first.physical_offset.as_i64())
        }
    };
    let told = Told::Send(StoredSend {
        ids,
        queue_id: answer.queue_id,
        queue_offset: stored.first.queue_offset.0,
        unique_key: answer.unique_key,
        recall_handle: answer.recall_handle,
    });
    let then = (Then::Answer(ticket), answer.waits);
    let done = finish(sends, &cx.store, (net, &cx.core), stored, then, told);
    sends.batch_ids = batch_ids;
    done
}

fn wait_for_room(
    shard: &mut Shard,
    ticket: Ticket,
    message: &Message<'_>,
    answer: &Answer<'_>,
) -> Result<Done, Refusal> {
    let is_kept = drain::wait(shard, message, |shard, message| Prepared {
        message,
        then: Then::Answer(ticket),
        waits: answer.waits,
        unique_key: answer.unique_key.into(),
        recall_handle: answer.recall_handle.into(),
        answered_queue: Some(answer.queue_id),
        received_nanos: None,
        since_ms: shard.cx.now_ms(),
    });
    if is_kept {
        return Ok(Done::Waits);
    }
    let remark = "[OVERLOAD]system busy, start flow control for a while";
    Err(Refusal::new(response::SYSTEM_BUSY, remark))
}

/// A body, of one message or of a batch, may be as long as `maxMessageSize`.
pub(super) fn check_size(shard: &Shard, body_bytes: usize) -> Result<(), Refusal> {
    let limit = shard.cx.options.process.store.message_bytes_max;
    if body_bytes > limit {
        return Err(illegal(limit, &format_args!("body of {body_bytes} bytes")));
    }
    Ok(())
}

/// Several messages of one producer, stored all or none, one after the other in one queue.
fn check_batch(header: &SendHeader<'_>, said: &Said<'_>, body: &[u8]) -> Result<(), Refusal> {
    let illegal = |remark: String| Refusal::new(response::MESSAGE_ILLEGAL, remark);
    if header.topic.len() > TOPIC_BYTES_MAX {
        return Err(illegal(format!("message topic length too long {}", header.topic.len())));
    }
    if names::is_retry_topic(header.topic) {
        let remark = format!("batch request does not support retry group {}", header.topic);
        return Err(illegal(remark));
    }
    if said.transactional || transaction_type(header.sys_flag) != 0 {
        return Err(illegal(
            "a batch is in no transaction: send its messages one by one".to_owned(),
        ));
    }
    if said.delay_level > 0 {
        return Err(illegal("a batch is not delayed: send its messages one by one".to_owned()));
    }
    batch::check(body).map(|_| ()).map_err(|error| illegal(error.to_string()))
}

/// The record of a message, or what the records of a batch have in common.
fn draft<'a>(
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
        store_host: shard.sends.answers.store_host,
        reconsume_times: header.reconsume_times,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

/// A retry that clients before 4.6.1 send of a transaction's message still says that it is one.
fn is_half(said: &Said<'_>, reconsume_times: i32) -> bool {
    said.transactional && !(said.delay_level > 0 && reconsume_times > 0)
}

/// Whether a transaction may begin.
fn check_half(shard: &Shard, said: &Said<'_>) -> Result<(), Refusal> {
    if shard.cx.options.process.transactions.are_rejected {
        let host = &shard.cx.options.process.network.advertised_host;
        let remark = format!("the broker[{host}] sending transaction message is forbidden");
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    if said.producer_group.is_none() {
        let remark = "a transactional message without PGROUP: nobody could end its transaction";
        return Err(Refusal::new(response::MESSAGE_ILLEGAL, remark));
    }
    if said.delay_level <= 0 {
        if said.timed.recalls {
            let remark = "a transactional message can't recall a timer message";
            return Err(Refusal::new(response::MESSAGE_ILLEGAL, remark));
        }
        admit(shard, &said.timed, 0)?; // what no commit could deliver is refused at once
    }
    if let Some(limit) = transactions::full(shard) {
        let remark = format!(
            "[OVERLOAD]system busy, {limit} transactions have not ended: their producers have to \
             commit, roll back, or answer the broker's checks"
        );
        return Err(Refusal::new(response::SYSTEM_BUSY, remark));
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
    let now_ms = shard.cx.now_ms();
    let text = &mut shard.scratch.text;
    text.clear();
    text.push_str("UNIQ_KEY\u{1}");
    shard.sends.unique_keys.write_next(now_ms, text);
    text.push('\u{2}');
    generated.property[..text.len()].copy_from_slice(text.as_bytes());
    generated.len = text.len();
    generated
}
