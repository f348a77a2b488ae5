//! A message that passed its checks, as it is stored: borrowed from the receive buffer, or owned
//! while it waits for room.

use protocol::native::records::RecordPlan;
use protocol::record::{RecordDraft, RecordView};
use std::net::SocketAddr;

/// A stored message as it is to be stored again, in another topic or queue; what changes is set
/// over it.
pub(crate) fn draft_of<'a>(record: &RecordView<'a>, store_host: SocketAddr) -> RecordDraft<'a> {
    RecordDraft {
        topic: record.topic(),
        queue_id: record.queue_id(),
        flag: record.flag(),
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: record.sys_flag(),
        born_timestamp_ms: record.born_timestamp_ms(),
        born_host: record.born_host(),
        store_timestamp_ms: 0,
        store_host,
        reconsume_times: record.reconsume_times(),
        prepared_transaction_offset: 0,
        body: record.body(),
        properties: &[],
    }
}

/// What is stored in one go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message<'a> {
    /// One message.
    One(&'a RecordDraft<'a>),
    /// A batch: what its messages have in common, and the entries of its body.
    Batch(&'a RecordDraft<'a>, &'a [u8]),
    /// Records in stored layout, checked: a native frame's payload and where they lie in it.
    Records(&'a [u8], &'a [RecordPlan]),
    /// Messages of any queues that belong together: all are stored or none.
    Several(&'a [RecordDraft<'a>]),
}

/// The same, with its bytes.
#[derive(Debug)]
pub(crate) enum OwnedMessage {
    /// One message.
    One(OwnedDraft),
    /// A batch. The draft's body is the batch's.
    Batch(OwnedDraft),
    /// Records in stored layout.
    Records(Box<[u8]>, Box<[RecordPlan]>),
    /// Messages that belong together.
    Several(Box<[OwnedDraft]>),
}

/// A draft with its bytes; its topic, body and properties are those of a [`RecordDraft`].
#[derive(Debug)]
pub(crate) struct OwnedDraft {
    topic: Box<str>,
    body: Box<[u8]>,
    properties: Box<[u8]>,
    /// The other fields; without topic, body and properties.
    rest: RecordDraft<'static>,
}

impl OwnedDraft {
    fn of(draft: &RecordDraft<'_>, body: &[u8]) -> Self {
        let RecordDraft { topic, properties, .. } = *draft;
        Self {
            topic: topic.into(),
            body: body.into(),
            properties: properties.concat().into(),
            rest: RecordDraft { topic: "", body: &[], properties: &[], ..*draft },
        }
    }

    fn bytes(&self) -> usize {
        self.topic.len() + self.body.len() + self.properties.len()
    }

    fn with<T>(&self, body: &[u8], then: impl FnOnce(&RecordDraft<'_>) -> T) -> T {
        then(&self.lend(body, &[&*self.properties]))
    }

    /// Lends it; `pieces` are its properties, as one piece.
    fn lend<'a>(&'a self, body: &'a [u8], pieces: &'a [&'a [u8]]) -> RecordDraft<'a> {
        let properties = if self.properties.is_empty() { &[] } else { pieces };
        RecordDraft { topic: &self.topic, body, properties, ..self.rest }
    }
}

impl Message<'_> {
    /// Bytes that a copy keeps.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::One(draft) => bytes_of(draft),
            Self::Several(drafts) => drafts.iter().map(bytes_of).sum(),
            Self::Batch(draft, entries) => {
                draft.topic.len() + entries.len() + draft.properties_len()
            }
            Self::Records(payload, plans) => payload.len() + size_of_val(*plans),
        }
    }

    /// A copy that can wait.
    pub(crate) fn owned(self) -> OwnedMessage {
        match self {
            Self::One(draft) => OwnedMessage::One(OwnedDraft::of(draft, draft.body)),
            Self::Batch(draft, entries) => OwnedMessage::Batch(OwnedDraft::of(draft, entries)),
            Self::Records(payload, plans) => OwnedMessage::Records(payload.into(), plans.into()),
            Self::Several(drafts) => OwnedMessage::Several(
                drafts.iter().map(|draft| OwnedDraft::of(draft, draft.body)).collect(),
            ),
        }
    }
}

fn bytes_of(draft: &RecordDraft<'_>) -> usize {
    draft.topic.len() + draft.body.len() + draft.properties_len()
}

impl OwnedMessage {
    /// Bytes that it keeps.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::One(draft) | Self::Batch(draft) => draft.bytes(),
            Self::Several(drafts) => drafts.iter().map(OwnedDraft::bytes).sum(),
            Self::Records(payload, plans) => payload.len() + size_of_val(&**plans),
        }
    }

    /// Lends it as it came.
    pub(crate) fn with<T>(&self, then: impl FnOnce(&Message<'_>) -> T) -> T {
        match self {
            Self::One(owned) => owned.with(&owned.body, |draft| then(&Message::One(draft))),
            Self::Batch(owned) => {
                owned.with(&[], |draft| then(&Message::Batch(draft, &owned.body)))
            }
            Self::Records(payload, plans) => then(&Message::Records(payload, plans)),
            Self::Several(owned) => {
                let pieces: Vec<[&[u8]; 1]> = owned.iter().map(|one| [&*one.properties]).collect();
                let both = owned.iter().zip(&pieces);
                let drafts: Vec<_> = both.map(|(one, own)| one.lend(&one.body, own)).collect();
                then(&Message::Several(&drafts))
            }
        }
    }

    /// Each topic and queue that it goes to, once for neighbours.
    pub(crate) fn each_queue<E>(
        &self,
        mut check: impl FnMut(&str, i32) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::One(owned) | Self::Batch(owned) => check(&owned.topic, owned.rest.queue_id),
            Self::Several(owned) => {
                owned.iter().try_for_each(|one| check(&one.topic, one.rest.queue_id))
            }
            Self::Records(payload, plans) => {
                let mut before: Option<&RecordPlan> = None;
                for plan in plans {
                    if !before.is_some_and(|before| before.same_queue(plan, payload)) {
                        check(plan.topic(payload), plan.queue_id)?;
                    }
                    before = Some(plan);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft<'a>(body: &'a [u8], properties: &'a [&'a [u8]]) -> RecordDraft<'a> {
        let host = "127.0.0.1:1".parse().unwrap();
        RecordDraft {
            topic: "T",
            queue_id: 3,
            flag: 7,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp_ms: 1,
            born_host: host,
            store_timestamp_ms: 0,
            store_host: host,
            reconsume_times: 2,
            prepared_transaction_offset: 0,
            body,
            properties,
        }
    }

    #[test]
    fn what_waited_is_stored_as_it_came() {
        let properties: [&[u8]; 2] = [b"K\x01v\x02", b"TAGS\x01a"];
        let owned = Message::One(&draft(b"body", &properties)).owned();
        let borrowed = Message::One(&draft(b"body", &properties)).bytes();
        assert_eq!((owned.bytes(), borrowed), (1 + 4 + 10, 1 + 4 + 10));
        owned.with(|message| {
            let Message::One(draft) = message else { panic!("another kind: {message:?}") };
            assert_eq!((draft.topic, draft.queue_id, draft.body), ("T", 3, &b"body"[..]));
            assert_eq!((draft.flag, draft.reconsume_times), (7, 2));
            assert_eq!(draft.properties.concat(), b"K\x01v\x02TAGS\x01a");
        });
        let mut queues = vec![];
        let seen: Result<(), ()> = owned.each_queue(|topic, queue_id| {
            queues.push((topic.to_owned(), queue_id));
            Ok(())
        });
        assert_eq!((seen, queues), (Ok(()), vec![("T".to_owned(), 3)]));
    }

    #[test]
    fn a_batch_keeps_its_entries() {
        let owned = Message::Batch(&draft(b"", &[]), b"entries").owned();
        owned.with(|message| {
            let Message::Batch(draft, entries) = message else { panic!("another kind") };
            assert!(draft.body.is_empty() && draft.properties.is_empty());
            assert_eq!(*entries, b"entries");
        });
    }
}
