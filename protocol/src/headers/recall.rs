//! RECALL_MESSAGE (370): a producer takes a timer message back before its time.

use super::Scratch;
use crate::remoting::{Ext, ExtWriter, HeaderError};

/// Which message is taken back (`RecallMessageRequestHeader` of RocketMQ 5.5.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecallHeader<'s> {
    /// The topic that it was sent to.
    pub topic: &'s str,
    /// The handle that its send was answered with ([`crate::ids::RecallHandle`]).
    pub recall_handle: &'s str,
    /// The producer's group.
    pub producer_group: Option<&'s str>,
}

impl<'s> RecallHeader<'s> {
    /// Reads the header from a request's fields. `topic` and `recallHandle` are mandatory.
    pub fn decode(ext: &Ext<'s>, scratch: &'s mut Scratch) -> Result<Self, HeaderError> {
        let (mut topic, mut recall_handle, mut producer_group) = (None, None, None);
        for (key, value) in ext.entries() {
            match &*key.to_cow() {
                "topic" => topic = Some(value),
                "recallHandle" => recall_handle = Some(value),
                "producerGroup" => producer_group = Some(value),
                _ => {}
            }
        }
        let [topic, recall_handle, producer_group] =
            scratch.resolve([topic, recall_handle, producer_group]);
        let missing = |field| HeaderError::Missing { field };
        Ok(Self {
            topic: topic.ok_or(missing("topic"))?,
            recall_handle: recall_handle.ok_or(missing("recallHandle"))?,
            producer_group,
        })
    }

    /// Writes the fields, as a client does.
    pub fn write(&self, ext: &mut ExtWriter<'_>) {
        ext.opt("producerGroup", self.producer_group);
        ext.str("topic", self.topic);
        ext.str("recallHandle", self.recall_handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remoting::{CommandHead, CommandView, SerializeType, write_command};

    #[test]
    fn both_serialisations_carry_it_and_topic_and_handle_are_mandatory() {
        let header =
            RecallHeader { topic: "T", recall_handle: "djEg", producer_group: Some("p \"1\"") };
        for serialize in [SerializeType::Json, SerializeType::RocketMq] {
            let mut frame = Vec::new();
            let head = CommandHead { serialize, code: 370, ..CommandHead::default() };
            write_command(&mut frame, &head, |ext| header.write(ext), b"");
            let view = CommandView::parse(&frame[4..]).expect("what we write, we read");
            assert_eq!(RecallHeader::decode(&view.ext, &mut Scratch::new()), Ok(header));
        }
        for (only, missing) in [("topic", "recallHandle"), ("recallHandle", "topic")] {
            let mut frame = Vec::new();
            let head = CommandHead { code: 370, ..CommandHead::default() };
            write_command(&mut frame, &head, |ext| ext.str(only, "x"), b"");
            let view = CommandView::parse(&frame[4..]).expect("what we write, we read");
            let mut scratch = Scratch::new();
            let found = RecallHeader::decode(&view.ext, &mut scratch);
            assert_eq!(found, Err(HeaderError::Missing { field: missing }));
        }
    }
}
