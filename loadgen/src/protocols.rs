//! The two lanes that a load can take, as the generator sees them: a request to patch, an answer to
//! read.

use crate::native_wire::{self, NativeTemplate};
use crate::payload::{PayloadWriter, Stamp};
use crate::wire::{self, OPAQUE_SPAN, SendTemplate, code_name, remark_of, seq_low_of};
use clap::ValueEnum;
use protocol::native::Stages;
use serde::Serialize;

/// How a load speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RocketMQ remoting: any compatible broker
    #[default]
    Remoting,
    /// RingMQ's native protocol, on the same port; tells where the time of a send went
    Native,
}

impl Protocol {
    /// Requests of one connection are told apart by their number modulo this.
    #[must_use]
    pub fn seq_span(self) -> u64 {
        match self {
            Self::Remoting => OPAQUE_SPAN,
            Self::Native => native_wire::CORRELATION_SPAN,
        }
    }
}

/// A send request to one queue, ready to be patched.
#[derive(Clone, Debug)]
pub enum Template {
    /// Of remoting.
    Remoting(SendTemplate),
    /// Of the native protocol.
    Native(NativeTemplate),
}

impl Template {
    /// Appends one whole send frame. Allocates nothing once `out` has grown.
    pub fn append(
        &self,
        out: &mut Vec<u8>,
        seq: u64,
        born_ms: i64,
        stamp: &Stamp,
        payload: &PayloadWriter,
    ) {
        match self {
            Self::Remoting(template) => template.append(out, seq, born_ms, stamp, payload),
            Self::Native(template) => template.append(out, seq, born_ms, stamp, payload),
        }
    }
}

/// What an answer to a send says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredSend {
    /// The low part of the request's number.
    pub seq_low: Option<u64>,
    /// What became of the message.
    pub outcome: SendOutcome,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Stored.
    Stored {
        /// Its place in its queue.
        queue_offset: u64,
        /// Where the broker says the time went.
        stages: Option<Stages>,
    },
    /// Not stored, or not as promised.
    Failed {
        /// What it is called in the result.
        what: String,
        /// What the broker said.
        remark: String,
    },
}

/// Reads the answer to a send. `None` for what is no answer.
///
/// # Errors
/// When the bytes are no frame of the lane.
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
