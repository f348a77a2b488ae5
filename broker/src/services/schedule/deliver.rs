//! One delayed message that is due: to its own topic and queue, as it was sent.

use super::home::Home;
use crate::sends::errors::PutError;
use crate::sends::message::draft_of;
use crate::services::delivery::message::{CRC_PROPERTY, NotDelivered, destination, fate};
use engine::PhyOffset;
use protocol::properties;
use protocol::record::{RecordDraft, RecordView};

/// Appends the copy; where it ends.
pub(super) async fn deliver<H: Home>(
    home: &H,
    level: i32,
    record: &RecordView<'_>,
    due_ms: i64,
) -> Result<PhyOffset, NotDelivered> {
    let leave_out = |why: &dyn std::fmt::Display| {
        let at = record.physical_offset();
        tracing::error!("the delayed message at {at} of level {level} is left out: {why}");
        home.with_schedule(|schedule, _| schedule.left_out += 1);
        NotDelivered::LeftOut
    };
    let (topic, queue_id) = destination(record).map_err(|why| leave_out(&why))?;
    let queue_id = home.queue_there(topic, queue_id).map_err(|why| leave_out(&why))?;
    let stored = store(home, record, topic, queue_id).await;
    match stored {
        Ok(appended) => {
            let late_ms = appended.store_timestamp_ms.saturating_sub(due_ms).max(0);
            home.with_schedule(|schedule, _| {
                schedule.delivered += 1;
                schedule.lateness.count(late_ms.unsigned_abs());
            });
            Ok(appended.end())
        }
        Err(error) => Err(match fate(&error) {
            NotDelivered::LeftOut => leave_out(&error),
            NotDelivered::Later => {
                tracing::warn!("delay level {level} waits before it delivers: {error}");
                NotDelivered::Later
            }
            NotDelivered::Never => NotDelivered::Never,
        }),
    }
}

async fn store<H: Home>(
    home: &H,
    record: &RecordView<'_>,
    topic: &str,
    queue_id: i32,
) -> Result<engine::Appended, PutError> {
    let mut without_crc = vec![];
    let sent = record.properties();
    let kept = if properties::get_bytes(sent, CRC_PROPERTY).is_some() {
        properties::write_without(&mut without_crc, sent, &[CRC_PROPERTY]);
        &without_crc
    } else {
        sent
    };
    let draft =
        RecordDraft { topic, queue_id, properties: &[kept], ..draft_of(record, home.store_host()) };
    home.append(&draft).await
}
