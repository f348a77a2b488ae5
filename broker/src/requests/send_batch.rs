//! Batches: several messages of one producer, stored all or none, one after the other in one queue.

use super::properties::{self, Said};
use super::send::{self, Outcome};
use super::send_check::Target;
use crate::answers::remoting::{Caller, Refusal};
use crate::sends::unacknowledged::{Pending, ShortText, StoredAt};
use crate::shard::Shard;
use engine::AppendedBatch;
use netcore::Net;
use protocol::batch::{self, BatchEntry};
use protocol::codes::response;
use protocol::headers::{SendHeader, SendResponseHeader};
use protocol::ids::OffsetMsgId;
use protocol::limits::TOPIC_BYTES_MAX;
use protocol::names;
use protocol::record::RecordDraft;
use std::net::SocketAddr;

/// Stores a batch that passed the checks of a single message.
pub(super) fn append(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    body: &[u8],
    header: &SendHeader<'_>,
    target: &Target<'_>,
    born_host: SocketAddr,
) -> Result<Outcome, Refusal> {
    let illegal = |remark: String| Refusal::new(response::MESSAGE_ILLEGAL, remark);
    if header.topic.len() > TOPIC_BYTES_MAX {
        return Err(illegal(format!("message topic length too long {}", header.topic.len())));
    }
    if names::is_retry_topic(header.topic) {
        return Err(illegal(format!(
            "batch request does not support retry group {}",
            header.topic
        )));
    }
    batch::check(body).map_err(|error| illegal(error.to_string()))?;
    // The messages keep the properties they came with: Apache 5.5.0 adds the broker's to single
    // messages only.
    let draft = send::draft(shard, header, target, born_host, &[], &[]);
    match shard.store.append_batch(&draft, entries(body)) {
        Ok(appended) => {
            let said = properties::read(header.properties);
            answer(shard, net, caller, &draft, body, &appended, &said);
            Ok(Outcome::Answered)
        }
        Err(error) => send::tail_full_or_refusal(shard, error),
    }
}

/// The entries of a body that was checked.
fn entries(body: &[u8]) -> impl Iterator<Item = BatchEntry<'_>> + Clone {
    batch::entries(body).filter_map(Result::ok)
}

/// The ids of all messages, joined by commas: their records lie one after the other.
fn answer(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    common: &RecordDraft<'_>,
    body: &[u8],
    appended: &AppendedBatch,
    said: &Said<'_>,
) {
    if caller.is_oneway() {
        return;
    }
    let store_host = shard.options.store_host;
    let mut text = std::mem::take(&mut shard.text);
    text.clear();
    let mut physical_offset = appended.first.physical_offset.as_i64();
    for entry in entries(body) {
        if !text.is_empty() {
            text.push(',');
        }
        OffsetMsgId { store_host, physical_offset }.write(&mut text);
        physical_offset += record_bytes(common, &entry);
    }
    let (queue_id, queue_offset) = (common.queue_id, appended.first.queue_offset.0);
    if !said.no_wait && appended.end > shard.store.acknowledged() {
        let (stored_at, unique_key) = (
            StoredAt::Batch(text.as_str().into()),
            ShortText::new(said.unique_key.unwrap_or_default()),
        );
        let since_ms = shard.now_ms();
        shard.pending.push(Pending {
            caller,
            end: appended.end,
            since_ms,
            stored_at,
            queue_id,
            queue_offset,
            unique_key,
        });
    } else {
        let header = SendResponseHeader {
            msg_id: &text,
            queue_id,
            queue_offset,
            transaction_id: said.unique_key,
        };
        send::answer_stored(shard, net, caller, response::SUCCESS, &header);
    }
    shard.text = text;
}

/// How long the record of an entry is.
fn record_bytes(common: &RecordDraft<'_>, entry: &BatchEntry<'_>) -> i64 {
    let draft = RecordDraft { body: entry.body, properties: &[entry.properties], ..*common };
    draft.encoded_len().ok().and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or_default()
}
