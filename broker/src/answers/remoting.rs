//! Answers in RocketMQ's protocol, in the serialization in which the request came.

use super::ticket::{Ticket, Wire};
use engine::ReadError;
use netcore::Net;
use protocol::codes::response;
use protocol::headers::SendResponseHeader;
use protocol::ids::OffsetMsgId;
use protocol::remoting::{
    CommandHead, ExtWriter, FLAG_RESPONSE, HeaderError, PreparedFields, SerializeType,
    write_command, write_command_head,
};
use rt::BufSlice;
use std::net::SocketAddr;

impl Ticket {
    /// The fixed fields of the answer.
    pub(crate) fn head<'a>(&self, code: i32, remark: Option<&'a str>) -> CommandHead<'a> {
        let serialize = match self.wire {
            Wire::Binary => SerializeType::RocketMq,
            Wire::Json | Wire::Oneway | Wire::Native => SerializeType::Json,
        };
        CommandHead { serialize, code, opaque: self.id.cast_signed(), flag: FLAG_RESPONSE, remark }
    }

    /// Answers, unless no answer is wanted or the connection is gone.
    pub(crate) fn answer(
        &self,
        net: &mut Net,
        code: i32,
        remark: Option<&str>,
        ext: impl FnOnce(&mut ExtWriter<'_>),
        body: &[u8],
    ) {
        debug_assert_ne!(self.wire, Wire::Native, "a native request is answered natively");
        if self.is_oneway() {
            return;
        }
        if let Some(out) = net.out(self.conn) {
            write_command(out.bytes(), &self.head(code, remark), ext, body);
        }
    }

    /// Answers with a body that lies in the log: nothing of it is copied. `bytes` is its length.
    pub(crate) fn answer_slices(
        &self,
        net: &mut Net,
        head: &CommandHead<'_>,
        ext: impl FnOnce(&mut ExtWriter<'_>),
        bytes: usize,
        slices: impl Iterator<Item = BufSlice>,
    ) {
        if self.is_oneway() {
            return;
        }
        let Some(out) = net.out(self.conn) else { return };
        write_command_head(out.bytes(), head, ext, bytes);
        for slice in slices {
            out.slice(slice);
        }
    }

    /// Answers with SUCCESS and nothing else.
    pub(crate) fn ok(&self, net: &mut Net) {
        self.answer(net, response::SUCCESS, None, |_| {}, &[]);
    }

    /// Answers with SUCCESS and a JSON body.
    pub(crate) fn ok_body(&self, net: &mut Net, body: &[u8]) {
        self.answer(net, response::SUCCESS, None, |_| {}, body);
    }

    /// Answers that the request is not done, and why. `fixed` is what every answer of its family
    /// carries.
    pub(crate) fn refuse(&self, net: &mut Net, refusal: &Refusal, fixed: Option<&PreparedFields>) {
        let ext = |ext: &mut ExtWriter<'_>| {
            if let Some(why) = refusal.forbidden {
                ext.int("forbiddenType", why as i32);
            }
            if let Some(fixed) = fixed {
                ext.prepared(fixed);
            }
        };
        self.answer(net, refusal.code, Some(&refusal.remark), ext, &[]);
    }
}

/// Why a pull is forbidden, in the answer's field `forbiddenType` (Apache's `ForbiddenType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// The broker may not be read.
    Broker = 1,
    /// The group may not consume.
    Group = 2,
    /// The topic may not be read.
    Topic = 3,
    /// The group may not consume by broadcasting.
    Broadcasting = 4,
    /// The group may not read this topic.
    Subscription = 5,
}

/// Why a request is not done: RocketMQ's code and a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The response code.
    pub(crate) code: i32,
    /// The remark.
    pub(crate) remark: String,
    /// What forbids a pull, where something does.
    pub(crate) forbidden: Option<Forbidden>,
    /// It is the disk's or the store's fault: the log says so too.
    pub(crate) is_fault: bool,
}

impl Refusal {
    /// A refusal with a code of `protocol::codes::response` and the remark that clients show.
    pub(crate) fn new(code: i32, remark: impl Into<String>) -> Self {
        Self { code, remark: remark.into(), forbidden: None, is_fault: false }
    }

    /// NO_PERMISSION of a pull.
    pub(crate) fn forbidden(why: Forbidden, remark: impl Into<String>) -> Self {
        Self { forbidden: Some(why), ..Self::new(response::NO_PERMISSION, remark) }
    }
}

/// A header that can't be read, as Apache RocketMQ answers it: SYSTEM_ERROR with the reason.
impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        Self::new(response::SYSTEM_ERROR, error.to_string())
    }
}

/// SYSTEM_BUSY of a request that finds no place among the reads from disk.
pub(crate) fn too_many_reads() -> Refusal {
    let remark = "too many reads from disk at once: ask again later";
    Refusal::new(response::SYSTEM_BUSY, remark)
}

/// REQUEST_CODE_NOT_SUPPORTED, in Apache's words.
pub(crate) fn not_supported(code: i32) -> Refusal {
    let remark = format!(" request type {code} not supported");
    Refusal::new(response::REQUEST_CODE_NOT_SUPPORTED, remark)
}

/// A read that the disk or the log's state made impossible.
impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        // What other readers hold is no fault: this one asks again later.
        let is_busy = matches!(error, ReadError::TooMuchMemory { .. });
        let code = if is_busy { response::SYSTEM_BUSY } else { response::SYSTEM_ERROR };
        Self { is_fault: !is_busy, ..Self::new(code, error.to_string()) }
    }
}

/// What every answer to a send carries, refusals too: Java's client reads it without looking
/// whether it is there.
pub(crate) fn send_fields(region: &str, trace_on: bool) -> PreparedFields {
    PreparedFields::new(|ext| {
        ext.str("MSG_REGION", region);
        ext.bool("TRACE_ON", trace_on);
    })
}

/// The place of a stored message, or of the first of a batch, for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredSend<'a> {
    /// What the client is told the message's ids are.
    pub(crate) ids: MessageIds<'a>,
    /// Its queue.
    pub(crate) queue_id: i32,
    /// Its (first) place there.
    pub(crate) queue_offset: i64,
    /// The client's own id of it; empty for none.
    pub(crate) unique_key: &'a str,
    /// With what it can be recalled; empty for none.
    pub(crate) recall_handle: &'a str,
}

/// The `msgId` of a send's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MessageIds<'a> {
    /// Of one message at this place of the log.
    One(i64),
    /// Of a batch, joined by commas.
    Batch(&'a str),
}

/// How answers to sends are written on this shard.
#[derive(Debug)]
pub(crate) struct SendAnswers {
    /// See [`send_fields`].
    pub(crate) fields: PreparedFields,
    /// The shard's address in message ids.
    pub(crate) store_host: SocketAddr,
    /// Reused: an id that is being written.
    text: String,
}

impl SendAnswers {
    /// For a shard that is `store_host` in its message ids.
    pub(crate) fn new(fields: PreparedFields, store_host: SocketAddr) -> Self {
        Self { fields, store_host, text: String::new() }
    }

    /// Answers a stored send: SUCCESS, or what is not known of it yet.
    pub(crate) fn stored(&mut self, net: &mut Net, to: &Ticket, code: i32, at: &StoredSend<'_>) {
        if to.is_oneway() {
            return;
        }
        let msg_id = match at.ids {
            MessageIds::One(physical_offset) => {
                self.text.clear();
                OffsetMsgId { store_host: self.store_host, physical_offset }.write(&mut self.text);
                self.text.as_str()
            }
            MessageIds::Batch(ids) => ids,
        };
        let header = SendResponseHeader {
            msg_id,
            queue_id: at.queue_id,
            queue_offset: at.queue_offset,
            transaction_id: Some(at.unique_key).filter(|key| !key.is_empty()),
            recall_handle: Some(at.recall_handle).filter(|handle| !handle.is_empty()),
        };
        let ext = |ext: &mut ExtWriter<'_>| {
            header.write(ext);
            ext.prepared(&self.fields);
        };
        to.answer(net, code, None, ext, &[]);
    }
}
