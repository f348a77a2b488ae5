//! The index folder: files by the time they were made, only the newest grows.
//!
//! Durable order at a checkpoint: entries, slots, header, fdatasync, then the manifest names the
//! files ([`IndexMark`]). What opening keeps ([`Index::open`]):
//!
//! | stop | kept |
//! |---|---|
//! | clean | files that are as the manifest says, or have grown since (Apache RocketMQ had the store), and newer ones |
//! | unclean, with a manifest | full files that are exactly as it says |
//! | unclean, without | files whose last time is not after the checkpoint's `indexMsgTimestamp`, as Apache RocketMQ does |
//!
//! From the first file on that is missing or not as it should be, all are removed and built anew
//! from the log. One caller at a time changes anything: it holds [`Index::turn`].

use super::enter::Counted;
use super::handed::Handed;
use super::layout::{HEADER_BYTES, Header, Shape};
use super::newest::{Newest, Piece};
use crate::error::FileError;
use crate::files::OpenFiles;
use crate::number::exact;
use crate::paths::Paths;
use crate::signal::{Signal, Turn};
use rt::{File, OpenMode, Runtime};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;

/// Open index files kept.
const OPEN_FILES_MAX: usize = 8;
/// Pages of slots in one write.
const SLOT_PAGES_MAX: u64 = 256;
/// Bytes of slots in one read.
const SLOT_READ_BYTES: u64 = 1 << 20;

/// A file as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedFile {
    name: u64,
    begin_ms: i64,
    end_ms: i64,
    begin_phy: u64,
    end_phy: u64,
    used_slots: u32,
    next_entry: u32,
}

/// What the manifest says of the index: its files, and up to where the log is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexMark {
    upto: u64,
    files: Vec<ListedFile>,
}

impl IndexMark {
    /// The last time in the newest file, as RocketMQ's checkpoint has it.
    pub(crate) fn last_ms(&self) -> i64 {
        self.files.last().map_or(0, |file| file.end_ms)
    }

    /// What is left of it when the log ends at `end`: the files from the first on that leads behind
    /// it are built anew.
    pub(crate) fn cut(&mut self, end: u64) {
        let keep = self.files.iter().position(|file| file.end_phy >= end);
        if let Some(keep) = keep {
            self.files.truncate(keep);
            self.upto = self.files.last().map_or(0, |file| file.end_phy);
        }
        self.upto = self.upto.min(end);
    }
}

impl ListedFile {
    fn new(file: IndexFile) -> Self {
        let Header { begin_ms, end_ms, begin_phy, end_phy, used_slots, next_entry } = file.header;
        Self { name: file.name, begin_ms, end_ms, begin_phy, end_phy, used_slots, next_entry }
    }

    fn header(&self) -> Header {
        let Self { begin_ms, end_ms, begin_phy, end_phy, used_slots, next_entry, .. } = *self;
        Header { begin_ms, end_ms, begin_phy, end_phy, used_slots, next_entry }
    }
}

/// How the store stopped, and what is left of its log: decides what opening keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) was_unclean: bool,
    /// The checkpoint's `indexMsgTimestamp`.
    pub(crate) checkpoint_ms: i64,
    pub(crate) log_begin: u64,
    pub(crate) log_end: u64,
}

/// A file and what its header says; of the newest one it is in [`State::newest`] from the first key
/// on.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexFile {
    pub(super) name: u64,
    pub(super) header: Header,
}

pub(super) struct State {
    /// Oldest to newest.
    pub(super) files: Vec<IndexFile>,
    /// Memory of the last of `files`.
    pub(super) newest: Option<Newest>,
    /// The first file that was found to contradict itself: it and the later ones are to be built
    /// anew.
    damaged: Option<u64>,
}

impl State {
    /// All files as they are now, oldest to newest.
    pub(super) fn files(&self) -> Vec<IndexFile> {
        let mut files = self.files.clone();
        if let (Some(last), Some(newest)) = (files.last_mut(), &self.newest) {
            last.header = newest.header;
        }
        files
    }

    pub(super) fn newest_of(&self, name: u64) -> Option<&Newest> {
        self.newest.as_ref().filter(|_| self.files.last().is_some_and(|last| last.name == name))
    }

    fn last(&self) -> Option<IndexFile> {
        let last = self.files.last()?;
        Some(IndexFile {
            name: last.name,
            header: self.newest.as_ref().map_or(last.header, |newest| newest.header),
        })
    }
}

pub(crate) struct Index<R: Runtime> {
    pub(super) rt: R,
    paths: Paths,
    pub(super) shape: Shape,
    pub(super) state: RefCell<State>,
    open: RefCell<OpenFiles<(u64, bool), R::File>>,
    /// Taken by whoever changes files or state over an await.
    pub(crate) turn: Turn,
    upto: Cell<u64>,
    pub(super) counted: Cell<Counted>,
    /// What the append hands over.
    pub(super) handed: RefCell<Handed>,
    /// Much was handed over: the index should get to work.
    pub(crate) filled: Signal,
    names_unsynced: Cell<bool>,
    /// No file made later has this name or a lower one.
    last_name: Cell<u64>,
}

/// The number a file made at this local time is named by: its digits are year, month, day, hour,
/// minute, second, millisecond.
pub(super) fn name_at(local_ms: i64) -> u64 {
    let (days, ms) = (local_ms.div_euclid(86_400_000), local_ms.rem_euclid(86_400_000));
    // Days to a civil date, in eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let number =
        [(month, 100), (day, 100), (hour, 100), (minute, 100), (second, 100), (ms % 1000, 1000)];
    u64::try_from(number.iter().fold(year, |so_far, (part, scale)| so_far * scale + part))
        .unwrap_or(0)
}

/// The number in a file's name, if it is an index file's.
fn parse_name(name: &str) -> Option<u64> {
    (name.len() == 17 && name.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| name.parse().ok())
        .flatten()
}

impl<R: Runtime> Index<R> {
    /// Takes over what can be trusted of the folder and removes the rest.
    pub(crate) async fn open(
        rt: R,
        paths: Paths,
        shape: Shape,
        mark: Option<&IndexMark>,
        opened: Opened,
    ) -> Result<Self, FileError> {
        let state = State { files: Vec::new(), newest: None, damaged: None };
        let open = RefCell::new(OpenFiles::new(OPEN_FILES_MAX));
        let (turn, upto, names_unsynced, last_name) =
            (Turn::default(), Cell::new(opened.log_begin), Cell::new(false), Cell::new(0));
        let index = Self {
            rt,
            paths,
            shape,
            state: RefCell::new(state),
            open,
            turn,
            upto,
            counted: Cell::new(Counted { at: opened.log_end, messages: 0 }),
            handed: RefCell::new(Handed::new()),
            filled: Signal::default(),
            names_unsynced,
            last_name,
        };
        let found = index.list().await?;
        let (kept, complaint) = index.judge_all(&found, mark, opened).await;
        let is_whole = complaint.is_none();
        if let Some((path, reason)) = complaint {
            tracing::warn!(path = %path.display(), %reason, "this index file and the later ones \
                are built anew from the log");
        }
        for (name, _) in found.iter().skip(kept.len()) {
            index.remove(*name).await?;
        }
        index.last_name.set(found.last().map_or(0, |(name, _)| *name));
        let entered = kept
            .iter()
            .rev()
            .find(|file| file.header.has_entries())
            .map_or(opened.log_begin, |file| file.header.end_phy);
        let upto = mark.filter(|_| is_whole).map_or(entered, |mark| mark.upto.max(entered));
        index.upto.set(upto.clamp(opened.log_begin, opened.log_end.max(opened.log_begin)));
        index.state.borrow_mut().files = kept;
        Ok(index)
    }

    /// Names and lengths, oldest first.
    async fn list(&self) -> Result<Vec<(u64, u64)>, FileError> {
        let folder = self.paths.index();
        let entries = match self.rt.list_dir(&folder).await {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(FileError::at("list", &folder, 0))?,
        };
        Ok(entries
            .iter()
            .filter_map(|entry| Some((parse_name(&entry.name)?, entry.bytes)))
            .collect())
    }

    /// The files to keep, and what is wrong with the first that is not kept.
    async fn judge_all(
        &self,
        found: &[(u64, u64)],
        mark: Option<&IndexMark>,
        opened: Opened,
    ) -> (Vec<IndexFile>, Option<(PathBuf, String)>) {
        let mut listed = mark
            .map(|mark| mark.files.as_slice())
            .unwrap_or_default()
            .iter()
            .filter(|file| file.end_phy >= opened.log_begin)
            .peekable();
        let mut kept = Vec::new();
        for (name, bytes) in found {
            let path = self.path(*name);
            while listed.peek().is_some_and(|file| file.name < *name) {
                let Some(missing) = listed.next() else { break };
                if !found.iter().any(|(name, _)| *name == missing.name) {
                    return (kept, Some((self.path(missing.name), "missing".to_owned())));
                }
            }
            let as_listed = listed.peek().filter(|file| file.name == *name).copied();
            match self.judge(*name, *bytes, as_listed, mark, opened).await {
                Ok(header) => kept.push(IndexFile { name: *name, header }),
                Err(reason) => return (kept, Some((path, reason))),
            }
        }
        let later = listed.find(|file| kept.last().is_none_or(|last| file.name > last.name));
        let missing = later.map(|file| (self.path(file.name), "missing".to_owned()));
        (kept, missing)
    }

    /// A file's header if it can be trusted.
    async fn judge(
        &self,
        name: u64,
        bytes: u64,
        listed: Option<&ListedFile>,
        mark: Option<&IndexMark>,
        opened: Opened,
    ) -> Result<Header, String> {
        let shape = self.shape;
        if bytes != shape.file_bytes() {
            return Err(format!(
                "{bytes} bytes, expected {} for {} slots and {} entries (maxHashSlotNum, \
                    maxIndexNum)",
                shape.file_bytes(),
                shape.slots,
                shape.entries
            ));
        }
        let head = self.read(name, 0, HEADER_BYTES).await.map_err(|error| error.to_string())?;
        let header = Header::decode(&head, shape)?;
        if header.has_entries() && header.end_phy >= opened.log_end {
            return Err(format!(
                "its last entry is for log offset {}, the log ends at {}",
                header.end_phy, opened.log_end
            ));
        }
        let is_full = header.is_full(shape);
        match listed.map(ListedFile::header) {
            Some(listed) if is_full && header == listed => return Ok(header),
            Some(listed) if listed.is_full(shape) => {
                return Err(format!("its header is {header:?}, expected {listed:?}"));
            }
            Some(listed) => {
                let begins_alike = !listed.has_entries()
                    || (header.begin_ms, header.begin_phy) == (listed.begin_ms, listed.begin_phy);
                if header.next_entry < listed.next_entry || !begins_alike {
                    return Err(format!(
                        "its header is {header:?}, expected {listed:?} or a later one"
                    ));
                }
            }
            // Apache RocketMQ may have made it since; but what it made begins behind the mark.
            None if header.has_entries()
                && mark.is_some_and(|mark| header.begin_phy < mark.upto) =>
            {
                return Err("it was given up, and could not be removed".to_owned());
            }
            None => {}
        }
        let is_behind_checkpoint = mark.is_none() && header.end_ms <= opened.checkpoint_ms;
        if opened.was_unclean && !is_behind_checkpoint {
            return Err("it was growing when the store stopped without being closed".to_owned());
        }
        Ok(header)
    }

    /// Up to here the log is in the index.
    pub(crate) fn upto(&self) -> u64 {
        self.upto.get()
    }

    pub(crate) fn set_upto(&self, upto: u64) {
        self.upto.set(upto);
    }

    pub(super) fn path(&self, name: u64) -> PathBuf {
        self.paths.index().join(format!("{name:017}"))
    }

    async fn file(&self, name: u64, writable: bool) -> Result<R::File, FileError> {
        let cached = self.open.borrow_mut().get((name, writable));
        if let Some(file) = cached {
            return Ok(file);
        }
        let path = self.path(name);
        let mode = if writable { OpenMode::Buffered } else { OpenMode::Read };
        let file = self.rt.open(&path, mode).await.map_err(FileError::at("open", &path, 0))?;
        self.open.borrow_mut().insert((name, writable), file.clone());
        Ok(file)
    }

    pub(super) async fn read(
        &self,
        name: u64,
        at: u64,
        len: usize,
    ) -> Result<rt::BufSlice, FileError> {
        let file = self.file(name, false).await?;
        file.read_at(at, len).await.map_err(FileError::at("read", &self.path(name), at))
    }

    async fn write(&self, name: u64, piece: Piece) -> Result<(), FileError> {
        let file = self.file(name, true).await?;
        file.write_at(piece.at, piece.data).await.map_err(FileError::at(
            "write",
            &self.path(name),
            piece.at,
        ))
    }

    async fn remove(&self, name: u64) -> Result<(), FileError> {
        self.open.borrow_mut().forget(|(open, _)| *open == name);
        let path = self.path(name);
        self.names_unsynced.set(true);
        match self.rt.remove_file(&path).await {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(FileError::at("remove", &path, 0)),
        }
    }

    /// Loads the newest file's slots, or begins the next file.
    pub(super) async fn make_puttable(&self) -> Result<(), FileError> {
        let last = self.state.borrow().last();
        match last {
            Some(last) if !last.header.is_full(self.shape) => self.load(last).await,
            Some(_) => {
                self.write_out().await?;
                self.sync_last().await?;
                self.begin_next().await
            }
            None => self.begin_next().await,
        }
    }

    async fn load(&self, last: IndexFile) -> Result<(), FileError> {
        let (mut slots, end) =
            (Vec::with_capacity(self.shape.slots as usize), self.shape.slot_at(self.shape.slots));
        let mut at = self.shape.slot_at(0);
        while at < end {
            let bytes = self.read(last.name, at, exact((end - at).min(SLOT_READ_BYTES))).await?;
            slots.extend(
                bytes
                    .chunks_exact(4)
                    .filter_map(|slot| slot.try_into().ok())
                    .map(u32::from_be_bytes),
            );
            at = self.shape.slot_at(exact(slots.len()));
            if bytes.len() < 4 {
                break;
            }
        }
        let used = slots.iter().filter(|slot| **slot != 0).count();
        let is_sound = slots.len() == self.shape.slots as usize
            && used == last.header.used_slots as usize
            && slots.iter().all(|slot| *slot < last.header.next_entry);
        if is_sound {
            self.state.borrow_mut().newest = Some(Newest::of(self.shape, last.header, slots));
            return Ok(());
        }
        let path = self.path(last.name);
        let found = format!(
            "{used} slots in use, expected {} with entries below {}",
            last.header.used_slots, last.header.next_entry
        );
        self.note_damage(last.name, &found);
        Err(FileError {
            operation: "load slots of",
            path,
            offset: HEADER_BYTES as u64,
            source: io::Error::new(io::ErrorKind::InvalidData, found),
        })
    }

    async fn begin_next(&self) -> Result<(), FileError> {
        let name = name_at(self.rt.wall_ms() + self.rt.utc_offset_seconds() * 1000)
            .max(self.last_name.get() + 1);
        self.last_name.set(name);
        let (folder, path) = (self.paths.index(), self.path(name));
        self.rt.create_dir_all(&folder).await.map_err(FileError::at("make folder", &folder, 0))?;
        self.names_unsynced.set(true);
        let file = self.file(name, true).await?;
        // Nothing of a file that was there before may show through.
        file.set_len(0).await.map_err(FileError::at("truncate", &path, 0))?;
        file.set_len(self.shape.file_bytes()).await.map_err(FileError::at("extend", &path, 0))?;
        let mut state = self.state.borrow_mut();
        if let Some(full) = state.last()
            && let Some(last) = state.files.last_mut()
        {
            last.header = full.header;
        }
        state.files.push(IndexFile { name, header: Header::default() });
        state.newest = Some(Newest::empty(self.shape));
        Ok(())
    }

    fn take_piece(&self, take: impl FnOnce(&mut Newest) -> Option<Piece>) -> Option<(u64, Piece)> {
        let mut state = self.state.borrow_mut();
        let name = state.files.last()?.name;
        Some((name, take(state.newest.as_mut()?)?))
    }

    pub(super) async fn write_entries(&self) -> Result<(), FileError> {
        if let Some((name, piece)) = self.take_piece(Newest::entries_to_write) {
            self.write(name, piece).await?;
            if let Some(newest) = self.state.borrow_mut().newest.as_mut() {
                newest.entries_written();
            }
        }
        Ok(())
    }

    /// Everything in memory into the newest file: entries, slots, header.
    async fn write_out(&self) -> Result<(), FileError> {
        self.write_entries().await?;
        while let Some((name, piece)) =
            self.take_piece(|newest| newest.slots_to_write(SLOT_PAGES_MAX))
        {
            self.write(name, piece).await?;
        }
        if let Some((name, piece)) = self.take_piece(|newest| Some(newest.header_to_write())) {
            self.write(name, piece).await?;
        }
        Ok(())
    }

    async fn sync_last(&self) -> Result<(), FileError> {
        let last = self.state.borrow().files.last().map(|file| file.name);
        if let Some(name) = last {
            let file = self.file(name, true).await?;
            file.sync_data().await.map_err(FileError::at("fdatasync", &self.path(name), 0))?;
        }
        if self.names_unsynced.replace(false) {
            for folder in [self.paths.index(), self.paths.root().to_owned()] {
                match self.rt.sync_dir(&folder).await {
                    Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
                    synced => synced.map_err(FileError::at("sync folder", &folder, 0))?,
                }
            }
        }
        Ok(())
    }

    /// Makes what is entered durable and says what that is. Takes the turn for writing, not for the
    /// fdatasync: a full file is synced before the next one begins, and one that grows is only
    /// trusted after a clean stop.
    pub(crate) async fn checkpoint(&self) -> Result<IndexMark, FileError> {
        let turn = self.turn.take().await;
        let mark = IndexMark {
            upto: self.upto.get(),
            files: self.state.borrow().files().into_iter().map(ListedFile::new).collect(),
        };
        self.write_out().await?;
        drop(turn);
        if self.state.borrow().newest.is_some() || self.names_unsynced.get() {
            self.sync_last().await?;
        }
        Ok(mark)
    }

    /// Remembers that a file contradicts itself, so that the index's task builds it anew.
    pub(super) fn note_damage(&self, name: u64, found: &str) {
        let mut state = self.state.borrow_mut();
        if state.damaged.is_none_or(|known| name < known) {
            state.damaged = Some(name);
            tracing::error!(path = %self.path(name).display(), found, "this index file is \
                damaged: it and the later ones are built anew from the log");
        }
    }

    /// Whether [`Index::repair`] has something to do.
    pub(crate) fn is_damaged(&self) -> bool {
        self.state.borrow().damaged.is_some()
    }

    /// Forgets damaged files. The caller has the turn, and reads the log from [`Index::upto`] on.
    pub(crate) async fn repair(&self, log_begin: u64) -> Result<(), FileError> {
        let damaged = self.state.borrow_mut().damaged.take();
        match damaged {
            Some(name) => self.forget_from(name, log_begin).await,
            None => Ok(()),
        }
    }

    /// Forgets the file that grows: after a failed write nobody knows what is in it. The caller has
    /// the turn.
    pub(crate) async fn forget_newest(&self, log_begin: u64) -> Result<(), FileError> {
        let last = self.state.borrow().files.last().map(|file| file.name);
        match last {
            Some(name) => self.forget_from(name, log_begin).await,
            None => Ok(()),
        }
    }

    async fn forget_from(&self, name: u64, log_begin: u64) -> Result<(), FileError> {
        let gone = {
            let mut state = self.state.borrow_mut();
            let keep = state.files.partition_point(|file| file.name < name);
            if keep < state.files.len() {
                state.newest = None;
            }
            state.files.split_off(keep)
        };
        let entered = self
            .state
            .borrow()
            .files
            .iter()
            .rev()
            .find(|file| file.header.has_entries())
            .map(|file| file.header.end_phy);
        self.upto
            .set(entered.unwrap_or(log_begin).clamp(log_begin, self.upto.get().max(log_begin)));
        for file in gone {
            self.remove(file.name).await?;
        }
        Ok(())
    }

    /// Forgets what lies at `end` in the log or behind it: the files from the first on that leads
    /// there are built anew. The caller has the turn.
    pub(crate) async fn cut(&self, end: u64, log_begin: u64) -> Result<(), FileError> {
        self.upto.set(self.upto.get().min(end));
        let leads_behind =
            |file: &IndexFile| file.header.has_entries() && file.header.end_phy >= end;
        let first = self.state.borrow().files().into_iter().find(leads_behind);
        match first {
            Some(first) => self.forget_from(first.name, log_begin).await,
            None => Ok(()),
        }
    }

    /// Removes files whose every message lies below `log_begin`, never the newest. The caller has
    /// the turn.
    pub(crate) async fn remove_below(&self, log_begin: u64) -> Result<(), FileError> {
        let gone = {
            let mut state = self.state.borrow_mut();
            let all_but_last = state.files.len().saturating_sub(1);
            let below = state
                .files
                .iter()
                .take(all_but_last)
                .take_while(|file| file.header.end_phy < log_begin)
                .count();
            state.files.drain(..below).collect::<Vec<_>>()
        };
        for file in gone {
            self.remove(file.name).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_the_moment_it_was_made() {
        assert_eq!(name_at(0), 19_700_101_000_000_000);
        assert_eq!(name_at(951_782_399_999), 20_000_228_235_959_999);
        assert_eq!(name_at(951_868_800_001), 20_000_301_000_000_001);
        assert_eq!(name_at(1_700_000_000_123), 20_231_114_221_320_123);
        assert_eq!(parse_name("20231114221320123"), Some(20_231_114_221_320_123));
        assert_eq!((parse_name("2023111422132012"), parse_name("2023111422132012x")), (None, None));
    }
}
