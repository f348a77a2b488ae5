//! Batches: several messages of one producer, stored all or none, one after the other in one queue.

use super::properties::{self, Said};
use super::send::{self, Outcome};
use super::send_check::Target;
use crate::pending::{Pending, ShortText, StoredAt};
use crate::reply::{Caller, Refusal};
use crate::shard::Shard;
use engine::AppendedBatch;
use netcore::Net;
use protocol::batch::{self, BatchEntry};
use protocol::codes::response;
use protocol::headers::{SendHeader, SendResponseHeader};
use protocol::ids::OffsetMsgId;
use protocol::limits::TOPIC_BYTES_MAX;
use protocol::names;
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
    let store_host = shard.options.store_host;
    let mut ids = std::mem::take(&mut shard.text);
    ids.clear();
    let appended = shard.store.append_batch(&draft, entries(body), |at| {
        if !ids.is_empty() {
            ids.push(',');
        }
        let physical_offset = at.physical_offset.as_i64();
        OffsetMsgId { store_host, physical_offset }.write(&mut ids);
    });
    shard.text = ids;
    match appended {
        Ok(appended) => {
            let said = properties::read(header.properties);
            answer(shard, net, caller, draft.queue_id, &appended, &said);
            Ok(Outcome::Answered)
        }
        Err(error) => send::tail_full_or_refusal(shard, error),
    }
}

/// The entries of a body that was checked.
fn entries(body: &[u8]) -> impl Iterator<Item = BatchEntry<'_>> + Clone {
    batch::entries(body).filter_map(Result::ok)
}

/// Answers with the ids of all messages, joined by commas in `shard.text`.
fn answer(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    queue_id: i32,
    appended: &AppendedBatch,
    said: &Said<'_>,
) {
    if caller.is_oneway() {
        return;
    }
    let text = std::mem::take(&mut shard.text);
    let queue_offset = appended.first.queue_offset.0;
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
