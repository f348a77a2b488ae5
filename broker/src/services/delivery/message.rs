//! One message that waited and is due: where it goes, and what becomes of it when it can't.

use crate::limits::QUEUES_PER_TOPIC_MAX;
use crate::sends::errors::PutError;
use crate::shard::Shard;
use crate::tables::files::queues_of_lost_topic;
use engine::AppendError;
use protocol::bodies::{TopicConfig, perm};
use protocol::names::{check_topic, is_not_allowed_send};
use protocol::properties::{self, names};
use protocol::record::RecordView;

/// The checksum of the record that a copy is made of: the copy gets its own.
pub(crate) const CRC_PROPERTY: &str = "__CRC32#";

/// Why a message is not in its topic.
pub(crate) enum NotDelivered {
    /// It never will be: the next one is taken.
    LeftOut,
    /// It is tried again.
    Later,
    /// The log takes nothing any more.
    Never,
}

/// Where the message says that it goes.
pub(crate) fn destination<'r>(record: &RecordView<'r>) -> Result<(&'r str, i32), String> {
    let topic = properties::get(record.properties(), names::REAL_TOPIC).ok_or("no REAL_TOPIC")?;
    check_topic(topic).map_err(|error| format!("REAL_TOPIC: {error}"))?;
    if is_not_allowed_send(topic) {
        return Err(format!("nobody may send to its REAL_TOPIC {topic}"));
    }
    let queue_id = properties::get(record.properties(), names::REAL_QUEUE_ID);
    let queue_id = queue_id.and_then(|text| text.parse().ok());
    match queue_id.filter(|queue_id| (0..QUEUES_PER_TOPIC_MAX).contains(queue_id)) {
        Some(queue_id) => Ok((topic, queue_id)),
        None => Err("no queue's number in REAL_QID".to_owned()),
    }
}

/// The queue to store it in, which exists afterwards. Nothing acknowledged is lost: a topic that is
/// gone comes back, as one does at a start whose messages outlived its settings, and a queue that
/// is gone gives way to another of its topic.
pub(crate) fn queue_there(shard: &mut Shard, name: &str, queue_id: i32) -> Result<i32, String> {
    if let Some(topic) = shard.tables.topics.get(name) {
        let queues = topic.config.write_queue_nums.max(topic.config.read_queue_nums);
        return Ok(if queue_id < queues { queue_id } else { queue_id % queues.max(1) });
    }
    let queues = queues_of_lost_topic(name, queue_id + 1);
    let config = TopicConfig::new(name, queues, perm::READ | perm::WRITE);
    let now_ms = shard.cx.now_ms();
    match shard.tables.topics.create_if_absent(config, now_ms) {
        Ok(_) => {
            tracing::warn!(
                "topic {name} is gone and a delayed message of it is due: put back with {queues} \
                 queues"
            );
            Ok(queue_id)
        }
        Err(error) => Err(format!("topic {name} is gone and can't be put back: {error}")),
    }
}

/// What becomes of a message that could not be stored.
pub(crate) fn fate(error: &PutError) -> NotDelivered {
    match error {
        PutError::NotStored(
            AppendError::TooLarge { .. }
            | AppendError::Record(_)
            | AppendError::NoCrcProperty
            | AppendError::ManyLightQueues { .. }
            | AppendError::EmptyBatch
            | AppendError::QueueId { .. }
            | AppendError::TopicName,
        ) => NotDelivered::LeftOut,
        PutError::NotStored(AppendError::Closed | AppendError::Poisoned { .. })
        | PutError::Poisoned { .. } => NotDelivered::Never,
        PutError::NotStored(
            AppendError::TailFull { .. }
            | AppendError::DiskFull { .. }
            | AppendError::LogBlocked { .. }
            | AppendError::LightQueuesFull { .. }
            | AppendError::QueueStuck { .. }
            | AppendError::DiskNearlyFull { .. }
            | AppendError::Foreign,
        )
        | PutError::Gone(_)
        | PutError::Busy { .. }
        | PutError::BacklogFull
        | PutError::NotFlushedInTime(_) => NotDelivered::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::record::RecordDraft;

    /// Where a message with these properties goes, or why nowhere.
    fn goes(properties: &str) -> Result<(String, i32), String> {
        let host = "127.0.0.1:10911".parse().unwrap();
        let draft = RecordDraft {
            topic: "SCHEDULE_TOPIC_XXXX",
            queue_id: 2,
            flag: 0,
            queue_offset: 7,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp_ms: 1,
            born_host: host,
            store_timestamp_ms: 2,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"body",
            properties: &[properties.as_bytes()],
        };
        let mut bytes = vec![0; draft.encoded_len().unwrap()];
        draft.encode_into(&mut bytes).unwrap();
        let record = RecordView::parse(&bytes).unwrap();
        destination(&record).map(|(topic, queue_id)| (topic.to_owned(), queue_id))
    }

    #[test]
    fn a_message_goes_where_its_properties_say() {
        let properties = "DELAY\u{1}3\u{2}REAL_TOPIC\u{1}%RETRY%g\u{2}REAL_QID\u{1}5";
        assert_eq!(goes(properties), Ok(("%RETRY%g".to_owned(), 5)));
    }

    #[test]
    fn a_message_that_leads_nowhere_is_left_out_with_a_reason() {
        for (properties, why) in [
            ("REAL_QID\u{1}0", "no REAL_TOPIC"),
            ("REAL_TOPIC\u{1}../x\u{2}REAL_QID\u{1}0", "REAL_TOPIC: "),
            ("REAL_TOPIC\u{1}SCHEDULE_TOPIC_XXXX\u{2}REAL_QID\u{1}0", "nobody may send"),
            ("REAL_TOPIC\u{1}RMQ_SYS_TRANS_HALF_TOPIC\u{2}REAL_QID\u{1}0", "nobody may send"),
            ("REAL_TOPIC\u{1}T", "REAL_QID"),
            ("REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}-1", "REAL_QID"),
            ("REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}2147483647", "REAL_QID"),
            ("REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}many", "REAL_QID"),
        ] {
            let error = goes(properties).unwrap_err();
            assert!(error.contains(why), "{properties:?}: {error}");
        }
    }
}
