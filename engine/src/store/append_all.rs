//! Messages of several queues that belong together: all or none.
//!
//! ```text
//!   drafts ─► room for all ─► each: encoded into the tail, next to the one before ─► units ─► arrivals
//! ```
//!
//! A killed process whose tail outlives it leaves all of them or none. A power cut may take some:
//! the last ones, and under SYNC_FLUSH any of those that were not acknowledged.

use super::Store;
use super::append::{Appended, encoded_len};
use super::light::Ahead;
use crate::error::AppendError;
use crate::offset::PhyOffset;
use protocol::record::RecordDraft;
use rt::Runtime;

impl<R: Runtime> Store<R> {
    /// How many bytes the record of a message takes in this store's log.
    pub fn record_bytes(&self, draft: &RecordDraft<'_>) -> Result<usize, AppendError> {
        let has_crc = self.inner.env.config.append_property_crc || draft.needs_crc();
        Ok(encoded_len(draft, has_crc)?)
    }

    /// Stores messages of any queues: all or none, next to each other in one file. `each` is told
    /// where each went, in order; the end of the last is returned. Together they may be as large as
    /// the largest record.
    pub fn append_all(
        &self,
        drafts: &[RecordDraft<'_>],
        each: impl FnMut(&Appended),
    ) -> Result<PhyOffset, AppendError> {
        let inner = &*self.inner;
        if drafts.iter().any(|draft| inner.names_light_queues(draft)) {
            return self.append_all_light(drafts, each);
        }
        self.append_planned(drafts, each)
    }

    /// The same, where one names light message queues.
    #[cold]
    fn append_all_light(
        &self,
        drafts: &[RecordDraft<'_>],
        each: impl FnMut(&Appended),
    ) -> Result<PhyOffset, AppendError> {
        let mut ahead = Ahead::new();
        let mut texts = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let mut text = vec![];
            if self.inner.names_light_queues(draft) {
                self.inner.write_places(draft, &mut ahead, &mut text)?;
            } else {
                text = draft.properties.concat();
            }
            texts.push(text);
        }
        let pieces: Vec<[&[u8]; 1]> = texts.iter().map(|text| [text.as_slice()]).collect();
        let with_places = drafts.iter().zip(&pieces);
        let drafts: Vec<_> =
            with_places.map(|(draft, properties)| RecordDraft { properties, ..*draft }).collect();
        self.append_planned(&drafts, each)
    }

    fn append_planned(
        &self,
        drafts: &[RecordDraft<'_>],
        mut each: impl FnMut(&Appended),
    ) -> Result<PhyOffset, AppendError> {
        let inner = &*self.inner;
        let mut planned = Vec::with_capacity(drafts.len());
        let mut total = 0;
        for draft in drafts {
            draft.check_topic()?;
            let has_crc = inner.env.config.append_property_crc || draft.needs_crc();
            let bytes = encoded_len(draft, has_crc)?;
            total += bytes;
            planned.push((inner.queue_for(draft)?, bytes, has_crc));
        }
        if total == 0 {
            return Err(AppendError::EmptyBatch);
        }
        inner.check_size(total)?;
        inner.make_room(total, |table| {
            planned.iter().find_map(|(queue, ..)| queue.filter(|key| table.is_full(*key)))
        })?;
        let now_ms = inner.store_time_ms();
        let mut end = PhyOffset(0);
        for (draft, (queue, bytes, has_crc)) in drafts.iter().zip(planned) {
            let appended = inner.put(queue, draft, (bytes, has_crc), now_ms);
            end = appended.end();
            each(&appended);
        }
        inner.writing.append_ended();
        Ok(end)
    }
}
