//! The two protocols that a load can use: for each, a request to patch and an answer to read.

use crate::messages::Drawing;
use crate::native_wire::{self, NativeTemplate};
use crate::payload::{PayloadWriter, Stamp};
use crate::wire::{self, OPAQUE_SPAN, SendTemplate, code_name, remark_of, seq_low_of};
use clap::ValueEnum;
use protocol::native::Stages;
use serde::{Deserialize, Serialize};

/// The protocol of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RocketMQ remoting: any compatible broker
    #[default]
    Remoting,
    /// RingMQ's native protocol, on the same port; tells where the time of a send went
    Native,
}

impl Protocol {
    /// Requests of one connection are identified by their number modulo this.
    #[must_use]
    pub fn seq_span(self) -> u64 {
        match self {
            Self::Remoting => OPAQUE_SPAN,
            Self::Native => native_wire::CORRELATION_SPAN,
        }
    }
}

/// Where the content of messages comes from.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Writes their payloads.
    pub payload: &'a PayloadWriter,
    /// Draws their sizes, tags and keys.
    pub drawing: &'a Drawing,
}

/// A send request to one queue, ready to be patched.
#[derive(Clone, Debug)]
pub enum Template {
    /// A request of remoting.
    Remoting(SendTemplate),
    /// A request of the native protocol.
    Native(NativeTemplate),
}

impl Template {
    /// Appends one whole send frame. Allocates nothing once `out` has grown.
    pub fn append(
        &self,
        out: &mut Vec<u8>,
        seq: u64,
        born_ms: i64,
        first: &Stamp,
        content: &Content<'_>,
    ) {
        match self {
            Self::Remoting(template) => template.append(out, seq, born_ms, first, content),
            Self::Native(template) => template.append(out, seq, born_ms, first, content),
        }
    }
}

/// The answer to a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredSend {
    /// The low part of the request's number.
    pub seq_low: Option<u64>,
    /// The outcome of the message.
    pub outcome: SendOutcome,
}

/// The outcome of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Stored.
    Stored {
        /// Its index in its queue; of a batch, the first message's. The others follow it.
        queue_offset: u64,
        /// Time spent in each stage, as the broker tells it.
        stages: Option<Stages>,
    },
    /// Not stored, or not as promised.
    Failed {
        /// Name of the failure in the result.
        what: String,
        /// The broker's explanation.
        remark: String,
    },
}

/// Reads the answer to a send. `None` if the frame is no answer.
///
/// # Errors
/// When the bytes are no frame of the protocol.
pub fn read_answer(protocol: Protocol, frame: &[u8]) -> Result<Option<AnsweredSend>, String> {
    match protocol {
        Protocol::Remoting => Ok(wire::read_send_answer(frame)?.map(|answer| AnsweredSend {
            seq_low: seq_low_of(answer.opaque),
            outcome: remoting_outcome(&answer, frame),
        })),
        Protocol::Native => native_wire::read_answer(frame).map(Some),
    }
}

fn remoting_outcome(answer: &wire::SendAnswer, frame: &[u8]) -> SendOutcome {
    match (answer.code, answer.queue_offset) {
        (0, Some(queue_offset)) => SendOutcome::Stored { queue_offset, stages: None },
        (0, None) => SendOutcome::Failed {
            what: "success without a queue offset".into(),
            remark: String::new(),
        },
        (code, _) => SendOutcome::Failed {
            what: format!("code {code} {}", code_name(code)),
            remark: remark_of(frame),
        },
    }
}
