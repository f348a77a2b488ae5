//! Finding messages by key: the index gives places, the log gives the messages.
//!
//! As RocketMQ's `queryMessage` answers, except that a message which only shares the key's hash is
//! not returned (clients throw it away), and that a message entered twice is returned once.

use super::{Inner, Store};
use crate::error::ReadError;
use crate::index::{self, KeyKind, Wanted};
use crate::limits::{INDEX_CATCH_UP_BYTES_MAX, QUERY_BYTES_MAX};
use crate::offset::PhyOffset;
use protocol::record::RecordView;
use rt::{BufSlice, Runtime};

/// Which messages are wanted.
#[derive(Clone, Debug)]
pub struct KeyQuery {
    /// Their topic.
    pub topic: Box<str>,
    /// One of their KEYS, their UNIQ_KEY, or with `by_tag` their tag.
    pub key: Box<str>,
    /// Whether `key` is a tag.
    pub by_tag: bool,
    /// At most so many, the newest ones; never more than `query_messages_max`.
    pub max_messages: usize,
    /// Stored at this time or later (ms since 1970; times are kept to the second, rounded down from
    /// the file's first message).
    pub begin_ms: i64,
    /// Stored at this time or earlier.
    pub end_ms: i64,
}

/// What a query found.
#[derive(Debug, Default)]
pub struct Queried {
    /// The records, in the log's order.
    pub records: Vec<BufSlice>,
    /// How many bytes.
    pub bytes: usize,
    /// The store time of the last message that is in the index; 0 when the query found nothing.
    pub index_last_ms: i64,
    /// Its place in the log; 0 when the query found nothing.
    pub index_last_phy: u64,
}

impl<R: Runtime> Store<R> {
    /// Up to here messages are found by key.
    #[must_use]
    pub fn indexed(&self) -> PhyOffset {
        PhyOffset(self.inner.derived.index.upto())
    }

    /// The messages with a key. Everything visible at the call is looked at, unless the index is
    /// far behind (it was deleted, and is being built).
    pub async fn query(&self, query: KeyQuery) -> Result<Queried, ReadError> {
        self.inner.undisturbed(async || self.query_once(&query).await).await
    }

    async fn query_once(&self, query: &KeyQuery) -> Result<Queried, ReadError> {
        let inner = &*self.inner;
        let cuts = inner.writing.log.cuts();
        inner.catch_up_index(INDEX_CATCH_UP_BYTES_MAX).await;
        let kind = if query.by_tag { KeyKind::Tag } else { KeyKind::Key };
        let hash = index::hash_of(&query.topic, &query.key, kind);
        let most = query.max_messages.min(inner.env.config.query_messages_max);
        let found = inner
            .derived
            .index
            .find(Wanted { hash, begin_ms: query.begin_ms, end_ms: query.end_ms, most })
            .await;
        inner.wake_for_damage();
        if found.places.is_empty() {
            return Ok(Queried::default());
        }
        let mut queried = Queried {
            index_last_ms: found.last_ms,
            index_last_phy: found.last_phy,
            ..Queried::default()
        };
        for (file, phy) in found.places {
            let message = self.message_at(PhyOffset(phy)).await?;
            let record = message.as_ref().and_then(|bytes| RecordView::parse(bytes).ok());
            if record.is_none_or(|record| !index::has_key(&record, &query.topic, &query.key, kind))
                && !inner.would_enter(phy, hash).await?
                && inner.writing.log.cuts() == cuts
            {
                inner.derived.index.note_wrong_entry(file, phy);
            }
            let is_wanted = record
                .is_some_and(|record| index::has_key(&record, &query.topic, &query.key, kind));
            let Some(bytes) = message.filter(|_| is_wanted) else { continue };
            if queried.bytes > 0 && queried.bytes + bytes.len() > QUERY_BYTES_MAX {
                break;
            }
            queried.bytes += bytes.len();
            queried.records.push(bytes);
        }
        inner.wake_for_damage();
        queried.records.reverse();
        Ok(queried)
    }
}

impl<R: Runtime> Inner<R> {
    /// Whether a record at `phy` is entered under `hash`, if there is one: an index built anew
    /// would say the same.
    async fn would_enter(&self, phy: u64, hash: u32) -> Result<bool, ReadError> {
        if phy >= self.watermarks.visible().0 {
            return Ok(false);
        }
        let hashes = self.hashes_at(phy).await?;
        Ok(phy < self.writing.log.begin() || hashes.contains(&hash))
    }

    /// The index's task waits for messages; damage is another reason to get to work.
    fn wake_for_damage(&self) {
        if self.derived.index.is_damaged() {
            self.writing.appended.notify();
        }
    }
}
