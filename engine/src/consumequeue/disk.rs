//! ConsumeQueue files: RocketMQ's size exactly, through the page cache, made sparse and filled from
//! their beginning.

use super::table::QueueKey;
use super::unit::{PRE_BLANK, UNIT_BYTES, Unit};
use crate::config::StoreConfig;
use crate::error::FileError;
use crate::files::OpenFiles;
use crate::limits::SYNCS_AT_ONCE;
use crate::number::exact;
use crate::offset::QueueOffset;
use crate::paths::Paths;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use rt::{AppendBuf, File, FileWrite, Filesystem, OpenMode, Runtime};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const UNIT_LEN: u64 = UNIT_BYTES as u64;

/// A queue by name and by key: the name for its folder, the key for its open files.
#[derive(Clone)]
pub(crate) struct QueuePlace {
    pub(crate) key: QueueKey,
    pub(crate) topic: Rc<str>,
    pub(crate) queue_id: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct OpenKey {
    queue: QueueKey,
    file_start: u64,
}

/// What a queue's file has before a unit that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Units of the queue: so the file is there, and whole.
    Units,
    /// The queue begins with this unit, or the file does. What an unclean stop left before it is
    /// none of the queue's.
    Nothing,
    /// Whatever it has.
    Unknown,
}

pub(crate) struct QueueFiles<R: Runtime> {
    rt: R,
    paths: Paths,
    units_per_file: u64,
    few_queues_max: usize,
    /// For reads.
    open: RefCell<OpenFiles<OpenKey, R::File>>,
    /// The file system of all queues, once it was needed.
    filesystem: RefCell<Option<R::Filesystem>>,
    /// Folders of topics, and that of all, with names that no sync has covered.
    unsynced_folders: RefCell<BTreeSet<PathBuf>>,
    /// Deleted topics whose folders are still there, each with the keys its queues had. Nothing is
    /// written for a queue of such a topic: it would go into the old folder, and with it.
    doomed: RefCell<BTreeMap<String, Vec<QueueKey>>>,
    /// Queues whose folders have such names. One that fails does so for its queue alone.
    unsynced_queues: RefCell<HashSet<QueueKey>>,
    /// A life that ended uncleanly may have made files and not synced their names.
    names_are_unsure: Cell<bool>,
}

impl<R: Runtime> QueueFiles<R> {
    pub(crate) fn new(rt: R, paths: Paths, config: &StoreConfig) -> Self {
        let open = RefCell::new(OpenFiles::new(config.consumequeue_open_files_max));
        Self {
            rt,
            paths,
            units_per_file: u64::from(config.consumequeue_file_units),
            few_queues_max: config.few_queues_max,
            open,
            filesystem: RefCell::default(),
            unsynced_folders: RefCell::default(),
            doomed: RefCell::default(),
            unsynced_queues: RefCell::default(),
            names_are_unsure: Cell::new(true),
        }
    }

    /// Every file that was there when the store was opened has a durable name.
    pub(crate) fn names_are_sure(&self) {
        self.names_are_unsure.set(false);
    }

    pub(crate) async fn pause(&self, duration: std::time::Duration) {
        self.rt.sleep(duration).await;
    }

    /// More files than this are synced with their file system.
    pub(crate) fn few_queues_max(&self) -> usize {
        self.few_queues_max
    }

    /// The folder of all queues.
    pub(crate) fn root(&self) -> PathBuf {
        self.paths.consumequeue()
    }

    /// Length of a file in bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.units_per_file * UNIT_LEN
    }

    /// Byte offset, in the queue, of the file with `offset`'s unit: the number in its name.
    pub(crate) fn file_start(&self, offset: QueueOffset) -> u64 {
        let unit: u64 = exact(offset.0);
        unit / self.units_per_file * self.file_bytes()
    }

    /// Where in its file the unit of `offset` is.
    pub(super) fn at_in_file(&self, offset: QueueOffset) -> u64 {
        exact::<_, u64>(offset.0) % self.units_per_file * UNIT_LEN
    }

    /// Units from `offset` to the end of its file.
    pub(crate) fn left_in_file(&self, offset: QueueOffset) -> usize {
        exact((self.file_bytes() - self.at_in_file(offset)) / UNIT_LEN)
    }

    pub(crate) fn path(&self, place: &QueuePlace, file_start: u64) -> PathBuf {
        self.paths.queue(&place.topic, place.queue_id).join(crate::paths::offset_name(file_start))
    }

    fn cached(&self, key: OpenKey) -> Option<R::File> {
        self.open.borrow_mut().get(key)
    }

    async fn to_write(
        &self,
        place: &QueuePlace,
        first: QueueOffset,
        before: Before,
    ) -> Result<R::File, FileError> {
        let path = self.path(place, self.file_start(first));
        let file = self.open_or_make(place, &path).await?;
        let is_unsure = self.names_are_unsure.get();
        let found = file.len().await.map_err(FileError::at("length", &path, 0))?;
        if found != self.file_bytes() {
            file.set_len(self.file_bytes()).await.map_err(FileError::at("extend", &path, 0))?;
        }
        if found == 0 || is_unsure && before == Before::Nothing {
            self.write_pre_blanks(&file, &path, self.at_in_file(first)).await?;
        }
        if is_unsure || found != self.file_bytes() {
            self.note_unsynced(place);
        }
        Ok(file)
    }

    async fn open_or_make(&self, place: &QueuePlace, path: &Path) -> Result<R::File, FileError> {
        match self.rt.open(path, OpenMode::Buffered).await {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.map_err(FileError::at("open", path, 0)),
        }
        let folder = self.paths.queue(&place.topic, place.queue_id);
        self.rt.create_dir_all(&folder).await.map_err(FileError::at("make folder", &folder, 0))?;
        self.rt.open(path, OpenMode::Buffered).await.map_err(FileError::at("open", path, 0))
    }

    /// The names of its files, or its own, have changed.
    fn note_unsynced(&self, place: &QueuePlace) {
        self.note_unsynced_folders(place);
        self.unsynced_queues.borrow_mut().insert(place.key);
    }

    fn note_unsynced_folders(&self, place: &QueuePlace) {
        let folders = [self.paths.topic(&place.topic), self.paths.consumequeue()];
        self.unsynced_folders.borrow_mut().extend(folders);
    }

    /// Removes a queue. [`QueueFiles::sync_folders`] makes that durable.
    pub(crate) async fn remove_queue(&self, place: &QueuePlace) -> Result<(), FileError> {
        self.forget(&[place.key]);
        self.note_unsynced_folders(place);
        let folder = self.paths.queue(&place.topic, place.queue_id);
        let removed = self.rt.remove_dir_all(&folder).await;
        removed.map_err(FileError::at("remove folder", &folder, 0))
    }

    /// A queue whose first message is not at a file's beginning has pre-blanks before it, as
    /// RocketMQ writes them.
    async fn write_pre_blanks(
        &self,
        file: &R::File,
        path: &Path,
        bytes: u64,
    ) -> Result<(), FileError> {
        let blanks = exact(bytes / UNIT_LEN);
        if blanks == 0 {
            return Ok(());
        }
        let bytes: Vec<u8> = std::iter::repeat_n(PRE_BLANK.encode(), blanks).flatten().collect();
        let written = file.write_at(0, AppendBuf::copy_of(&bytes)).await;
        written.map_err(FileError::at("write", path, 0))
    }

    /// Whether the file of such a write is there, whole and under a durable name:
    /// [`QueueFiles::write_each`] may write it.
    pub(crate) fn is_there(&self, before: Before) -> bool {
        before == Before::Units && !self.names_are_unsure.get()
    }

    /// Writes units into files that are there, each from its queue offset on. The outcome of each;
    /// `None`: the file is gone, and [`QueueFiles::write`] makes it.
    pub(crate) async fn write_each(
        &self,
        writes: Vec<(QueuePlace, QueueOffset, Vec<u8>)>,
    ) -> Vec<Option<Result<(), FileError>>> {
        let to_file = |(place, first, bytes): (QueuePlace, QueueOffset, Vec<u8>)| FileWrite {
            path: self.path(&place, self.file_start(first)),
            offset: self.at_in_file(first),
            bytes,
        };
        let writes: Vec<FileWrite> = writes.into_iter().map(to_file).collect();
        let places: Vec<_> =
            writes.iter().map(|write| (write.path.clone(), write.offset)).collect();
        let outcomes = self.rt.write_each(writes).await;
        let with_place = |(outcome, (path, at)): (io::Result<()>, (PathBuf, u64))| match outcome {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => None,
            outcome => Some(outcome.map_err(FileError::at("write", &path, at))),
        };
        outcomes.into_iter().zip(places).map(with_place).collect()
    }

    /// Writes the units from `first` on, which lie in one file; makes the file when it has to.
    pub(crate) async fn write(
        &self,
        place: &QueuePlace,
        first: QueueOffset,
        units: &[u8],
        before: Before,
    ) -> Result<(), FileError> {
        let file = self.to_write(place, first, before).await?;
        let at = self.at_in_file(first);
        let path = self.path(place, self.file_start(first));
        file.write_at(at, AppendBuf::copy_of(units))
            .await
            .map_err(FileError::at("write", &path, at))
    }

    /// Syncs the files with the units `[from, upto)`, and the names of those made since the last
    /// sync; the queue's folder itself is one of those for [`QueueFiles::sync_folders`].
    pub(crate) async fn sync(
        &self,
        place: &QueuePlace,
        from: QueueOffset,
        upto: QueueOffset,
    ) -> Result<(), FileError> {
        let mut at = from;
        while at < upto {
            // Not made: a file that is gone must be an error here.
            let file = self.to_read(place, at).await?;
            let path = self.path(place, self.file_start(at));
            file.sync_data().await.map_err(FileError::at("fdatasync", &path, 0))?;
            at = at.plus(self.left_in_file(at));
        }
        let is_unsynced = self.unsynced_queues.borrow_mut().remove(&place.key);
        if is_unsynced { self.sync_queue_folder(place).await } else { Ok(()) }
    }

    /// Makes the names in a queue's folder durable.
    async fn sync_queue_folder(&self, place: &QueuePlace) -> Result<(), FileError> {
        self.sync_folder(&self.paths.queue(&place.topic, place.queue_id)).await
    }

    /// Makes the names in a folder durable, unless it is gone.
    pub(crate) async fn sync_folder(&self, folder: &Path) -> Result<(), FileError> {
        match self.rt.sync_dir(folder).await {
            Err(deleted) if deleted.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced.map_err(FileError::at("sync folder", folder, 0)),
        }
    }

    /// Makes all that is in files durable, names included, with one call: the file system takes
    /// tens of thousands of files at the price of a few.
    pub(crate) async fn sync_all(&self) -> Result<(), FileError> {
        let filesystem = self.filesystem().await?;
        let folders = std::mem::take(&mut *self.unsynced_folders.borrow_mut());
        let queues = std::mem::take(&mut *self.unsynced_queues.borrow_mut());
        let synced = filesystem.sync().await;
        if synced.is_err() {
            self.unsynced_folders.borrow_mut().extend(folders);
            self.unsynced_queues.borrow_mut().extend(queues);
        }
        synced.map_err(FileError::at("syncfs", &self.root(), 0))
    }

    async fn filesystem(&self) -> Result<R::Filesystem, FileError> {
        if let Some(filesystem) = &*self.filesystem.borrow() {
            return Ok(filesystem.clone());
        }
        let root = self.root();
        let opened = self.rt.open_filesystem(&root).await;
        let filesystem = opened.map_err(FileError::at("open", &root, 0))?;
        *self.filesystem.borrow_mut() = Some(filesystem.clone());
        Ok(filesystem)
    }

    /// Makes the names of new queues and topics durable.
    pub(crate) async fn sync_folders(&self) -> Result<(), FileError> {
        let folders = std::mem::take(&mut *self.unsynced_folders.borrow_mut());
        let syncs =
            stream::iter(folders).map(|folder| async move { self.sync_folder(&folder).await });
        syncs.buffer_unordered(SYNCS_AT_ONCE).try_collect().await
    }

    /// At most `most` units from `from` on, up to the end of its file or the first that is none.
    pub(crate) async fn read(
        &self,
        place: &QueuePlace,
        from: QueueOffset,
        most: usize,
    ) -> Result<Vec<Unit>, FileError> {
        let file = self.to_read(place, from).await?;
        let count = most.min(self.left_in_file(from));
        let at = self.at_in_file(from);
        let path = self.path(place, self.file_start(from));
        let bytes =
            file.read_at(at, count * UNIT_BYTES).await.map_err(FileError::at("read", &path, at))?;
        Ok(bytes.chunks_exact(UNIT_BYTES).map_while(Unit::decode).collect())
    }

    async fn to_read(&self, place: &QueuePlace, from: QueueOffset) -> Result<R::File, FileError> {
        let key = OpenKey { queue: place.key, file_start: self.file_start(from) };
        if let Some(file) = self.cached(key) {
            return Ok(file);
        }
        let path = self.path(place, key.file_start);
        let file =
            self.rt.open(&path, OpenMode::Read).await.map_err(FileError::at("open", &path, 0))?;
        self.open.borrow_mut().insert(key, file.clone());
        Ok(file)
    }

    /// The topic with these queues is deleted: [`QueueFiles::remove_doomed`] removes its folder.
    pub(crate) fn doom(&self, topic: &str, queues: &[QueueKey]) {
        self.doomed.borrow_mut().entry(topic.to_owned()).or_default().extend(queues);
        self.forget(queues);
    }

    /// Whether a folder that an earlier topic of this name left is still there.
    pub(crate) fn is_doomed(&self, topic: &str) -> bool {
        self.doomed.borrow().contains_key(topic)
    }

    pub(crate) fn doomed_topics(&self) -> Vec<String> {
        self.doomed.borrow().keys().cloned().collect()
    }

    /// Removes the folder of a deleted topic, durably. One caller at a time, and nobody writes
    /// queues meanwhile. What a failure leaves is removed by the next call.
    pub(crate) async fn remove_doomed(&self, topic: &str) -> Result<(), FileError> {
        let (folder, parent) = (self.paths.topic(topic), self.paths.consumequeue());
        self.rt.remove_dir_all(&folder).await.map_err(FileError::at(
            "remove folder",
            &folder,
            0,
        ))?;
        self.rt.sync_dir(&parent).await.map_err(FileError::at("sync folder", &parent, 0))?;
        // A read that began before the deletion may have opened a file since.
        let queues = self.doomed.borrow_mut().remove(topic).unwrap_or_default();
        self.forget(&queues);
        Ok(())
    }

    /// Closes what is open of deleted queues.
    pub(crate) fn forget(&self, queues: &[QueueKey]) {
        self.open.borrow_mut().forget(|key| queues.contains(&key.queue));
        self.unsynced_queues.borrow_mut().retain(|key| !queues.contains(key));
    }

    /// The files of a queue by their first byte, in order.
    pub(super) async fn starts(&self, place: &QueuePlace) -> Result<Vec<u64>, FileError> {
        let folder = self.paths.queue(&place.topic, place.queue_id);
        let entries = self.rt.list_dir(&folder).await.map_err(FileError::at("list", &folder, 0))?;
        Ok(entries
            .iter()
            .filter_map(|entry| crate::paths::parse_offset_name(&entry.name))
            .collect())
    }

    /// Removes one file. One that is gone already is no error: its topic may have been deleted
    /// meanwhile.
    pub(super) async fn remove(&self, place: &QueuePlace, start: u64) -> Result<(), FileError> {
        self.open.borrow_mut().forget(|key| key.queue == place.key && key.file_start == start);
        let path = self.path(place, start);
        match self.rt.remove_file(&path).await {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(FileError::at("remove", &path, 0)),
        }
    }

    /// Closes everything.
    pub(crate) fn forget_all(&self) {
        self.open.borrow_mut().forget(|_| true);
        self.unsynced_queues.borrow_mut().clear();
    }

    /// Makes everything from `next` on zeros and removes later files: after an unclean stop units
    /// may be there whose records are not. The caller writes no unit meanwhile. Returns the file
    /// that was cut, for the caller to sync; the folder too, for an earlier life may have removed a
    /// file and not said so durably.
    pub(crate) async fn cut(
        &self,
        place: &QueuePlace,
        next: QueueOffset,
    ) -> Result<Option<(R::File, PathBuf)>, FileError> {
        let starts = match self.starts(place).await {
            Err(gone) if gone.source.kind() == io::ErrorKind::NotFound => return Ok(None),
            starts => starts?,
        };
        let mut cut = None;
        for start in starts {
            let path = self.path(place, start);
            if start > self.file_start(next) {
                self.remove(place, start).await?;
            } else if start == self.file_start(next) {
                cut = Some((self.zero_after(&path, self.at_in_file(next)).await?, path));
            }
        }
        Ok(cut)
    }

    /// As [`QueueFiles::cut`], durably.
    pub(crate) async fn cut_and_sync(
        &self,
        place: &QueuePlace,
        next: QueueOffset,
    ) -> Result<(), FileError> {
        let cut = self.cut(place, next).await?;
        self.sync_cut(place, cut.as_ref()).await
    }

    /// Makes durable what [`QueueFiles::cut`] did.
    pub(crate) async fn sync_cut(
        &self,
        place: &QueuePlace,
        cut: Option<&(R::File, PathBuf)>,
    ) -> Result<(), FileError> {
        if let Some((file, path)) = cut {
            file.sync_data().await.map_err(FileError::at("fdatasync", path, 0))?;
        }
        self.sync_queue_folder(place).await
    }

    async fn zero_after(&self, path: &Path, at: u64) -> Result<R::File, FileError> {
        let file =
            self.rt.open(path, OpenMode::Buffered).await.map_err(FileError::at("open", path, 0))?;
        file.set_len(at).await.map_err(FileError::at("truncate", path, at))?;
        file.set_len(self.file_bytes()).await.map_err(FileError::at("extend", path, at))?;
        Ok(file)
    }

    /// Whether the files of the units `[min, max)` are all there, and the first and last unit in
    /// each are units whose messages lie in order and end at or below `log_end`. Only the last file
    /// may be shorter than a file is: a kill while it was cut behind its units leaves it so.
    pub(crate) async fn holds(
        &self,
        place: &QueuePlace,
        min: QueueOffset,
        max: QueueOffset,
        log_end: u64,
    ) -> Result<bool, FileError> {
        if min >= max {
            return Ok(min == max);
        }
        let folder = self.paths.queue(&place.topic, place.queue_id);
        let entries = match self.rt.list_dir(&folder).await {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(false),
            // A folder that can't be looked at now is no reason to build all anew.
            entries => entries.map_err(FileError::at("list", &folder, 0))?,
        };
        let (mut at, mut begins_at, mut ends_at) = (min, 0, 0);
        while at < max {
            let name = crate::paths::offset_name(self.file_start(at));
            let last = QueueOffset(at.plus(self.left_in_file(at)).min(max).0 - 1);
            let lengths = self.at_in_file(last) + UNIT_LEN..=self.file_bytes();
            if !entries.iter().any(|entry| entry.name == name && lengths.contains(&entry.bytes)) {
                return Ok(false);
            }
            for looked_at in [at, last] {
                let units = self.read(place, looked_at, 1).await?;
                let Some(unit) = units.first().filter(|unit| unit.at.0 >= begins_at) else {
                    return Ok(false);
                };
                (begins_at, ends_at) = (unit.at.0, unit.end());
            }
            at = last.plus(1);
        }
        Ok(ends_at <= log_end)
    }
}
