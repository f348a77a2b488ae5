//! The task that builds the index: from where it is to `visible`, a piece at a time so that others
//! get their turn. It takes what the append handed over; where nothing was, it reads the log, from
//! memory when that has it, from the files when not.
//!
//! A failed write costs the file that was growing: it is removed and built anew. Nothing else of
//! the store waits for the index.

use super::{Inner, Phase, Store};
use crate::error::{FileError, ReadError};
use crate::index::{IndexMark, KeyProperties, hashes_of};
use crate::limits::{BLANK_HEAD_BYTES, INDEX_INTERVAL, INDEX_READ_BYTES};
use crate::offset::PhyOffset;
use futures_lite::future::{or, yield_now};
use protocol::record::{BLANK_MAGIC, MAGIC_AT, PHYSICAL_OFFSET_AT, RecordError, RecordView};
use rt::{BufSlice, Runtime};
use std::rc::Rc;
use std::time::Duration;

/// A message's length while none was appended.
const RECORD_BYTES_ASSUMED: u64 = 1024;
/// Time until a failed round is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Closing says how far the index is when it takes this long, and again each time.
const PROGRESS_NANOS: u64 = 2_000_000_000;

/// Indexes what becomes visible until the store closes.
pub(super) async fn build_index<R: Runtime>(inner: Rc<Inner<R>>) {
    while inner.life.phase.get() == Phase::Open {
        let (seen, stopping) = (inner.writing.appended.seen(), inner.life.stopping.seen());
        let filled = inner.derived.index.filled.seen();
        if let Err(error) = inner.index_round().await {
            tracing::warn!(%error, "the index is behind; trying again");
            inner.pause(RETRY).await;
        }
        if inner.derived.index.upto() >= inner.watermarks.appended().0
            && !inner.derived.index.is_damaged()
        {
            or(
                inner.writing.appended.changed_since(seen),
                inner.life.stopping.changed_since(stopping),
            )
            .await;
        }
        or(inner.pause(INDEX_INTERVAL), inner.derived.index.filled.changed_since(filled)).await;
    }
}

/// What lies at a place of the log.
enum Step {
    /// A record of this many bytes.
    Record(u64),
    /// No record in this many bytes.
    Blank(u64),
    /// The piece is too short: this many bytes are needed.
    Needs(usize),
}

/// How much of the log is not in the index yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexBehind {
    /// Messages: those that were appended since the store was opened are counted, those before it
    /// (after a kill, or with the index switched on anew) taken from their bytes.
    pub messages: u64,
    /// Bytes of the log.
    pub bytes: u64,
}

impl<R: Runtime> Store<R> {
    /// How much of the log is not found by key yet; all zero while the index is switched off. A
    /// query enters what is missing first.
    #[must_use]
    pub fn index_behind(&self) -> IndexBehind {
        let (inner, index) = (&*self.inner, &self.inner.derived.index);
        let appended = inner.watermarks.appended().0;
        if !inner.env.config.index_enabled || index.upto() >= appended {
            return IndexBehind::default();
        }
        let counts = inner.counts.0.get();
        let mean_bytes =
            counts.record_bytes.checked_div(counts.messages).unwrap_or(RECORD_BYTES_ASSUMED);
        let bytes = appended - index.upto();
        IndexBehind { messages: index.messages_behind(counts.messages, mean_bytes), bytes }
    }
}

impl<R: Runtime> Inner<R> {
    /// Tells the index the keys of a record that is being appended: it need not read it again.
    #[inline]
    pub(super) fn hand_to_index(
        &self,
        place: (PhyOffset, usize, i64),
        (topic, sys_flag): (&str, i32),
        properties: &KeyProperties<'_>,
    ) {
        if self.env.config.index_enabled {
            self.derived.index.hand(place, (topic, sys_flag), properties);
        }
    }

    async fn index_round(&self) -> Result<(), ReadError> {
        self.drop_old_index_files().await?;
        while self.life.phase.get() == Phase::Open
            && (self.derived.index.upto() < self.watermarks.visible().0
                || self.derived.index.is_damaged())
        {
            self.index_piece(self.watermarks.visible().0).await?;
            yield_now().await;
        }
        Ok(())
    }

    /// Index files follow the log's: what they lead to is gone.
    async fn drop_old_index_files(&self) -> Result<(), FileError> {
        let _turn = self.derived.index.turn.take().await;
        self.derived.index.remove_below(self.writing.log.begin()).await
    }

    /// Indexes everything, when the store closes, but not beyond `until_nanos`: the next start goes
    /// on where this stopped. Says how far it is.
    pub(super) async fn finish_index(&self, until_nanos: u64) {
        let (target, mut said) = (self.watermarks.appended().0, self.env.rt.now_nanos());
        while self.env.config.index_enabled
            && !self.is_poisoned()
            && self.env.rt.now_nanos() < until_nanos
            && (self.derived.index.upto() < target || self.derived.index.is_damaged())
        {
            if self.env.rt.now_nanos() - said > PROGRESS_NANOS {
                said = self.env.rt.now_nanos();
                tracing::info!(
                    indexed = self.derived.index.upto(),
                    log_end = target,
                    "closing: messages are indexed"
                );
            }
            if let Err(error) = self.index_piece(target).await {
                tracing::warn!(%error, "the index is not complete; it is completed after the \
                    next start");
                return;
            }
        }
    }

    /// Brings the index up to what a query made now may see, when it is nearly there.
    pub(super) async fn catch_up_index(&self, lag_max: u64) {
        let (target, cuts) = (self.watermarks.visible().0, self.writing.log.cuts());
        while self.env.config.index_enabled
            && self.life.phase.get() == Phase::Open
            && self.derived.index.upto() < target
            && self.writing.log.cuts() == cuts
        {
            if target - self.derived.index.upto() > lag_max
                || self.index_piece(target).await.is_err()
            {
                return;
            }
        }
    }

    /// Indexes a piece of the log, not beyond `target`, a record boundary.
    async fn index_piece(&self, target: u64) -> Result<(), ReadError> {
        let _turn = self.derived.index.turn.take().await;
        // The log may have been cut since.
        let target = target.min(self.watermarks.appended().0);
        self.derived.index.repair(self.writing.log.begin()).await?;
        // The log may begin later than it did: what is gone needs no index.
        let at = self.derived.index.upto().max(self.writing.log.begin());
        self.derived.index.set_upto(at);
        if at >= target {
            return Ok(());
        }
        let handed = self.derived.index.enter_handed(target).await;
        let done = match handed {
            Ok(false) => {
                let piece = self.read_piece(at).await?;
                self.index_records(at, &piece, self.derived.index.read_until(target)).await
            }
            handed => handed.map(|_| ()),
        };
        if let Err(error) = &done {
            tracing::warn!(%error, "this index file is built anew");
            // Which of its entries are on disk nobody knows.
            self.derived.index.forget_newest(self.writing.log.begin()).await?;
        }
        if self.derived.index.upto() == self.watermarks.appended().0 {
            self.derived.index.count_from(self.derived.index.upto(), self.counts.0.get().messages);
        }
        Ok(done?)
    }

    /// Some of the log, at least its first record whole.
    async fn read_piece(&self, at: u64) -> Result<BufSlice, ReadError> {
        let mut needed = INDEX_READ_BYTES;
        loop {
            let piece = self.log_bytes_uncharged(at, needed).await?;
            match self.look_at(&piece, at, &mut Vec::new()).1 {
                Step::Needs(bytes) if bytes > piece.len() && bytes > needed => needed = bytes,
                _ => return Ok(piece),
            }
        }
    }

    async fn index_records(&self, at: u64, piece: &BufSlice, target: u64) -> Result<(), FileError> {
        let (mut done, mut hashes) = (0, Vec::new());
        while at + done < target {
            let rest =
                usize::try_from(done).ok().and_then(|done| piece.get(done..)).unwrap_or_default();
            let (store_ms, step) = self.look_at(rest, at + done, &mut hashes);
            match step {
                Step::Record(bytes) => {
                    self.derived.index.put(&hashes, at + done, store_ms).await?;
                    self.derived.index.passed(at + done, at + done + bytes);
                    self.counts.add(|counts| counts.index_read_again += 1);
                    done += bytes;
                }
                Step::Blank(bytes) => {
                    done += bytes;
                    self.derived.index.set_upto(at + done);
                }
                Step::Needs(_) if done > 0 => return Ok(()),
                Step::Needs(_) => {
                    self.skip_damage(at, piece, target);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What the record at `at` is entered under; nothing when there is none.
    pub(super) async fn hashes_at(&self, at: u64) -> Result<Vec<u32>, ReadError> {
        let mut hashes = Vec::new();
        if at >= self.writing.log.begin() {
            let piece = self.read_piece(at).await?;
            self.look_at(&piece, at, &mut hashes);
        }
        Ok(hashes)
    }

    /// The record at the beginning of `bytes`: its keys' hashes into `hashes`, its store time, and
    /// where to go on.
    fn look_at(&self, bytes: &[u8], at: u64, hashes: &mut Vec<u32>) -> (i64, Step) {
        hashes.clear();
        let left_in_file = self.writing.log.start_of(at) + self.writing.log.file_bytes() - at;
        let magic = bytes
            .get(MAGIC_AT..MAGIC_AT + 4)
            .and_then(|magic| magic.try_into().ok())
            .map(i32::from_be_bytes);
        if left_in_file < BLANK_HEAD_BYTES || magic == Some(BLANK_MAGIC) {
            return (0, Step::Blank(left_in_file));
        }
        match RecordView::parse(bytes) {
            Ok(record) if record.physical_offset() == i64::try_from(at).unwrap_or(-1) => {
                hashes_of(&record, hashes);
                (record.store_timestamp_ms(), Step::Record(record.total_size() as u64))
            }
            Err(RecordError::TooShort { expected, .. })
                if expected <= self.env.config.record_bytes_max() =>
            {
                (0, Step::Needs(expected))
            }
            _ => (0, Step::Needs(0)),
        }
    }

    /// No record lies at `at`: the damage has no keys. Goes on at the next place that looks like a
    /// record's beginning.
    fn skip_damage(&self, at: u64, piece: &BufSlice, target: u64) {
        let offset_at = |skip: usize| {
            piece
                .get(skip + PHYSICAL_OFFSET_AT..skip + PHYSICAL_OFFSET_AT + 8)
                .and_then(|bytes| bytes.try_into().ok())
                .map(u64::from_be_bytes)
        };
        let is_record = |skip: &usize| {
            offset_at(*skip) == Some(at + *skip as u64)
                && matches!(
                    self.look_at(&piece[*skip..], at + *skip as u64, &mut Vec::new()).1,
                    Step::Record(_) | Step::Blank(_) | Step::Needs(1..)
                )
        };
        let next = (1..piece.len())
            .find(is_record)
            .unwrap_or(piece.len().saturating_sub(PHYSICAL_OFFSET_AT + 8).max(1));
        let next = (at + next as u64).min(target);
        let path = self.writing.log.path_of(at);
        tracing::warn!(
            path = %path.display(), offset = at, next,
            "no record here: messages between these offsets cannot be found by key"
        );
        self.derived.index.set_upto(next);
    }

    /// The index's part of a checkpoint. When it fails the old mark stays: opening then finds the
    /// files not as it says.
    pub(super) async fn index_checkpoint(&self) -> Option<IndexMark> {
        if self.env.config.index_enabled {
            match self.derived.index.checkpoint().await {
                Ok(mark) => *self.derived.index_mark.borrow_mut() = Some(mark),
                Err(error) => self.index_failed(&error).await,
            }
        }
        self.derived.index_mark.borrow().clone()
    }

    async fn index_failed(&self, error: &FileError) {
        tracing::warn!(%error, "the index's newest file is built anew");
        let _turn = self.derived.index.turn.take().await;
        if let Err(error) = self.derived.index.forget_newest(self.writing.log.begin()).await {
            tracing::warn!(%error, "the index's newest file stays");
        }
        self.writing.appended.notify();
    }
}
