//! What the answer to a stored message says, and who gets it.

use super::slots::SlotKey;
use crate::answers::remoting::{MessageIds, StoredSend};
use crate::answers::ticket::Ticket;

/// Who is told that a message is acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// A client.
    Answer(Ticket),
    /// A task of the broker, which stored it itself.
    Wake(SlotKey, SinceUs),
}

/// When a task began to store, as a ticket keeps it: microseconds of the monotonic clock.
pub(crate) type SinceUs = u32;

impl Then {
    /// When its message came, as a ticket keeps it.
    pub(crate) fn since_us(&self) -> SinceUs {
        match self {
            Self::Answer(ticket) => ticket.began_us,
            Self::Wake(_, since_us) => *since_us,
        }
    }
}

/// What a client is told of its stored message, borrowed from the request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told<'a> {
    /// A send in RocketMQ's protocol.
    Send(StoredSend<'a>),
    /// A native frame. The places of its records are beside it.
    Frame(Frame),
    /// Nothing: a task of the broker knows what it stored.
    Nothing,
}

/// What the answer to a stored native frame says, but for the places of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// How many records it has.
    pub(crate) records: u32,
    /// Their STORETIMESTAMP: when they were stored, in milliseconds since 1970.
    pub(crate) store_timestamp_ms: i64,
    /// When it was received and in memory, if it asked for its stages.
    pub(crate) clock: Option<FrameClock>,
}

/// Two moments of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameClock {
    /// The broker took the frame up.
    pub(crate) received_nanos: u64,
    /// Its records were in memory.
    pub(crate) appended_nanos: u64,
}

/// [`Told`] with its bytes, while the message is not acknowledged.
#[derive(Debug)]
pub(crate) enum OwnedTold {
    /// One message in RocketMQ's protocol, by its place in the log.
    One(OwnedPlace, i64),
    /// A batch, by its message ids.
    Batch(OwnedPlace, Box<str>),
    /// A native frame.
    Frame(Frame),
    /// Nothing.
    Nothing,
}

/// The place of a message in its queue, and the client's own id of it.
#[derive(Debug)]
pub(crate) struct OwnedPlace {
    queue_id: i32,
    queue_offset: i64,
    unique_key: ShortText,
    /// Of a timer message; no other has one.
    recall_handle: Option<Box<str>>,
}

impl OwnedPlace {
    fn of(stored: &StoredSend<'_>) -> Self {
        let StoredSend { queue_id, queue_offset, unique_key, recall_handle, .. } = *stored;
        let recall_handle = Some(recall_handle).filter(|handle| !handle.is_empty());
        Self {
            queue_id,
            queue_offset,
            unique_key: ShortText::new(unique_key),
            recall_handle: recall_handle.map(Into::into),
        }
    }

    fn lend<'a>(&'a self, ids: MessageIds<'a>) -> StoredSend<'a> {
        let Self { queue_id, queue_offset, unique_key, recall_handle } = self;
        StoredSend {
            ids,
            queue_id: *queue_id,
            queue_offset: *queue_offset,
            unique_key: unique_key.as_str(),
            recall_handle: recall_handle.as_deref().unwrap_or_default(),
        }
    }
}

impl Told<'_> {
    /// A copy that can wait. It allocates nothing for one message whose unique key has the usual
    /// length.
    pub(crate) fn owned(self) -> OwnedTold {
        match self {
            Self::Send(stored) => match stored.ids {
                MessageIds::One(offset) => OwnedTold::One(OwnedPlace::of(&stored), offset),
                MessageIds::Batch(ids) => OwnedTold::Batch(OwnedPlace::of(&stored), ids.into()),
            },
            Self::Frame(frame) => OwnedTold::Frame(frame),
            Self::Nothing => OwnedTold::Nothing,
        }
    }
}

impl OwnedTold {
    /// Lends it.
    pub(crate) fn lend(&self) -> Told<'_> {
        match self {
            Self::One(place, offset) => Told::Send(place.lend(MessageIds::One(*offset))),
            Self::Batch(place, ids) => Told::Send(place.lend(MessageIds::Batch(ids))),
            Self::Frame(frame) => Told::Frame(*frame),
            Self::Nothing => Told::Nothing,
        }
    }
}

/// Longest text kept in place: the unique key that clients make for an IPv6 host.
const SHORT_BYTES: usize = 56;

/// A text kept in place when it is short.
#[derive(Debug)]
pub(crate) enum ShortText {
    /// Its bytes and their number.
    Here([u8; SHORT_BYTES], u8),
    /// It was longer.
    Long(Box<str>),
}

impl ShortText {
    /// A copy of `text`.
    pub(crate) fn new(text: &str) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Here(bytes, len)
            }
            _ => Self::Long(text.into()),
        }
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Here(bytes, len) => {
                let text = std::str::from_utf8(&bytes[..usize::from(*len)]);
                text.expect("the bytes are those of a str")
            }
            Self::Long(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_come_back() {
        for len in [0, 32, 56, 57, 300] {
            let text = "k".repeat(len);
            assert_eq!(ShortText::new(&text).as_str(), text);
        }
    }
}
