//! From a key to places in the log: the newest file first, in each the newest entry first.
//!
//! An entry's time is known to the second, counted from its file's first message and rounded down:
//! a message is taken when that time lies within the range, as RocketMQ takes it.
//!
//! Bounds: each entry names an older one, so a walk ends; one that doesn't is damage. Entries near
//! each other are read together.

use super::files::{Index, IndexFile};
use super::layout::{ENTRY_BYTES, Entry, SLOT_BYTES};
use crate::error::FileError;
use crate::limits::INDEX_WINDOW_ENTRIES;
use rt::{BufSlice, Runtime};
use std::io;

/// Which messages are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) hash: u32,
    pub(crate) begin_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) most: usize,
}

/// Places in the log, newest first, each once; and how far the index is.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Each with the name of the file that said it.
    pub(crate) places: Vec<(u64, u64)>,
    pub(crate) last_ms: i64,
    pub(crate) last_phy: u64,
}

/// Entries of a file, read together.
#[derive(Default)]
struct Window {
    first: u32,
    bytes: Option<BufSlice>,
}

impl Window {
    fn entry(&self, number: u32) -> Option<Entry> {
        let at = number.checked_sub(self.first)? as usize * ENTRY_BYTES;
        Entry::decode(self.bytes.as_ref()?.get(at..)?)
    }
}

impl<R: Runtime> Index<R> {
    /// Looks a key's hash up. A file that cannot be read is skipped and named in the log; one that
    /// is gone has left with its log.
    pub(crate) async fn find(&self, wanted: Wanted) -> Found {
        let mut files = self.state.borrow().files();
        files.retain(|file| file.header.has_entries());
        let last = files.last().map(|file| file.header);
        let mut found = Found {
            places: Vec::new(),
            last_ms: last.map_or(0, |last| last.end_ms),
            last_phy: last.map_or(0, |last| last.end_phy),
        };
        for file in files.iter().rev() {
            if file.header.overlaps(wanted.begin_ms, wanted.end_ms)
                && let Err(error) = self.find_in(file, wanted, &mut found.places).await
                && error.source.kind() != io::ErrorKind::NotFound
            {
                tracing::error!(%error, "a query goes on without this index file");
            }
            if file.header.begin_ms < wanted.begin_ms || found.places.len() >= wanted.most {
                break;
            }
        }
        found
    }

    async fn find_in(
        &self,
        file: &IndexFile,
        wanted: Wanted,
        places: &mut Vec<(u64, u64)>,
    ) -> Result<(), FileError> {
        let slot = self.shape.slot_of(wanted.hash);
        let mut number = self.slot(file, slot).await?;
        let mut window = Window::default();
        while number != 0 && places.len() < wanted.most {
            let is_one = number < self.next_entry(file);
            let entry = if is_one { self.entry(file, number, &mut window).await? } else { None };
            let sound = entry.filter(|entry| {
                entry.before < number
                    && entry.seconds >= 0
                    && self.shape.slot_of(entry.hash) == slot
            });
            let Some(entry) = sound else {
                self.note_damage(
                    file.name,
                    &format!(
                        "slot {slot} leads to entry {number} of {}: {entry:?}",
                        file.header.next_entry
                    ),
                );
                return Ok(());
            };
            let time_ms = file.header.time_of(entry.seconds);
            let is_wanted =
                entry.hash == wanted.hash && (wanted.begin_ms..=wanted.end_ms).contains(&time_ms);
            if is_wanted && !places.iter().any(|(_, phy)| *phy == entry.phy) {
                places.push((file.name, entry.phy));
            }
            if time_ms < wanted.begin_ms {
                return Ok(());
            }
            number = entry.before;
        }
        Ok(())
    }

    /// The file may have grown since it was looked at.
    fn next_entry(&self, file: &IndexFile) -> u32 {
        self.state
            .borrow()
            .newest_of(file.name)
            .map_or(file.header.next_entry, |newest| newest.header.next_entry)
    }

    /// The newest entry of a slot.
    async fn slot(&self, file: &IndexFile, slot: u32) -> Result<u32, FileError> {
        let in_memory = self.state.borrow().newest_of(file.name).map(|newest| newest.slot(slot));
        if let Some(number) = in_memory {
            return Ok(number);
        }
        let bytes = self.read(file.name, self.shape.slot_at(slot), SLOT_BYTES).await?;
        Ok(bytes.first_chunk().map_or(0, |slot| u32::from_be_bytes(*slot)))
    }

    async fn entry(
        &self,
        file: &IndexFile,
        number: u32,
        window: &mut Window,
    ) -> Result<Option<Entry>, FileError> {
        let in_memory =
            self.state.borrow().newest_of(file.name).and_then(|newest| newest.entry(number));
        if let Some(entry) = in_memory.or_else(|| window.entry(number)) {
            return Ok(Some(entry));
        }
        let is_near =
            window.bytes.is_some() && window.first.saturating_sub(number) < INDEX_WINDOW_ENTRIES;
        let first =
            if is_near { number.saturating_sub(INDEX_WINDOW_ENTRIES - 1).max(1) } else { number };
        let count = (number - first + 1) as usize;
        let bytes = self.read(file.name, self.shape.entry_at(first), count * ENTRY_BYTES).await?;
        *window = Window { first, bytes: Some(bytes) };
        Ok(window.entry(number))
    }

    /// A record is not what an entry of this file says.
    pub(crate) fn note_wrong_entry(&self, file: u64, phy: u64) {
        self.note_damage(
            file,
            &format!("an entry for log offset {phy}, where no record has such a key"),
        );
    }
}
