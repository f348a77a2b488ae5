//! CONSUMER_SEND_MSG_BACK (36): a consumer gives a message back, to get it again later.

use super::{Scratch, is_true, opt_i32, req_i32, req_i64};
use crate::remoting::{Ext, ExtWriter, HeaderError};

/// Which message comes back, and when it is to be delivered again
/// (`ConsumerSendMsgBackRequestHeader` of RocketMQ 5.5.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendBackHeader<'s> {
    /// Where the message lies in the CommitLog, in bytes.
    pub offset: i64,
    /// The consumer group that gives it back.
    pub group: &'s str,
    /// 0: the broker chooses by the number of attempts; below 0: to the dead-letter topic at once;
    /// above: the delay level.
    pub delay_level: i32,
    /// The message's offset id.
    pub origin_msg_id: Option<&'s str>,
    /// The topic that the consumer read it from.
    pub origin_topic: Option<&'s str>,
    /// Whether the consumer runs in a unit.
    pub unit_mode: bool,
    /// How often the group may get a message again, from clients since 3.4.9; the group's own
    /// setting counts when absent.
    pub max_reconsume_times: Option<i32>,
    /// `bname`: the broker's name, from 5.x clients.
    pub broker_name: Option<&'s str>,
}

impl<'s> SendBackHeader<'s> {
    /// Reads the header from a request's fields, each looked at once. Fields `offset`, `group` and
    /// `delayLevel` are mandatory.
    pub fn decode(ext: &Ext<'s>, scratch: &'s mut Scratch) -> Result<Self, HeaderError> {
        let [offset, group, level, id, topic, unit_mode, max, broker] = ext.collect(slot);
        let [group, origin_msg_id, origin_topic, broker_name] =
            scratch.resolve([group, id, topic, broker]);
        Ok(Self {
            offset: req_i64("offset", offset)?,
            group: group.ok_or(HeaderError::Missing { field: "group" })?,
            delay_level: req_i32("delayLevel", level)?,
            origin_msg_id,
            origin_topic,
            unit_mode: is_true(unit_mode),
            max_reconsume_times: opt_i32("maxReconsumeTimes", max)?,
            broker_name,
        })
    }

    /// Writes the fields, as a client does.
    pub fn write(&self, ext: &mut ExtWriter<'_>) {
        ext.int("offset", self.offset);
        ext.str("group", self.group);
        ext.int("delayLevel", self.delay_level);
        ext.opt("originMsgId", self.origin_msg_id);
        ext.opt("originTopic", self.origin_topic);
        ext.str("unitMode", if self.unit_mode { "true" } else { "false" });
        if let Some(max) = self.max_reconsume_times {
            ext.int("maxReconsumeTimes", max);
        }
        ext.opt("bname", self.broker_name);
    }
}

fn slot(key: &str) -> Option<usize> {
    Some(match key {
        "offset" => 0,
        "group" => 1,
        "delayLevel" => 2,
        "originMsgId" => 3,
        "originTopic" => 4,
        "unitMode" => 5,
        "maxReconsumeTimes" => 6,
        "bname" => 7,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remoting::{CommandHead, CommandView, SerializeType, write_command};

    fn decoded<T>(
        serialize: SerializeType,
        fields: impl FnOnce(&mut ExtWriter<'_>),
        check: impl FnOnce(Result<SendBackHeader<'_>, HeaderError>) -> T,
    ) -> T {
        let mut frame = Vec::new();
        let head = CommandHead { serialize, code: 36, ..CommandHead::default() };
        write_command(&mut frame, &head, fields, b"");
        let view = CommandView::parse(&frame[4..]).expect("what we write, we read");
        check(SendBackHeader::decode(&view.ext, &mut Scratch::new()))
    }

    #[test]
    fn every_field_survives_both_serialisations() {
        let header = SendBackHeader {
            offset: 1 << 40,
            group: "a \"group\"",
            delay_level: -1,
            origin_msg_id: Some("7F00000100002A9F0000000000000000"),
            origin_topic: Some("TopicTest"),
            unit_mode: true,
            max_reconsume_times: Some(16),
            broker_name: Some("broker-a"),
        };
        for serialize in [SerializeType::Json, SerializeType::RocketMq] {
            decoded(serialize, |ext| header.write(ext), |found| assert_eq!(found, Ok(header)));
        }
    }

    #[test]
    fn the_three_fields_of_an_old_client_suffice_and_each_of_them_is_mandatory() {
        let fields = [("offset", "7"), ("group", "g"), ("delayLevel", "0")];
        let least = SendBackHeader { offset: 7, group: "g", ..SendBackHeader::default() };
        let write = |without: &str, ext: &mut ExtWriter<'_>| {
            for (key, value) in fields.iter().filter(|(key, _)| *key != without) {
                ext.str(key, value);
            }
        };
        decoded(SerializeType::Json, |ext| write("", ext), |found| assert_eq!(found, Ok(least)));
        for (field, _) in fields {
            decoded(
                SerializeType::Json,
                |ext| write(field, ext),
                |found| assert_eq!(found, Err(HeaderError::Missing { field })),
            );
        }
    }

    #[test]
    fn a_number_out_of_range_names_its_field() {
        let write = |ext: &mut ExtWriter<'_>| {
            ext.str("offset", "9223372036854775808");
            ext.str("group", "g");
            ext.str("delayLevel", "0");
        };
        decoded(SerializeType::Json, write, |found| {
            assert_eq!(found.expect_err("too large").field(), "offset");
        });
    }
}
