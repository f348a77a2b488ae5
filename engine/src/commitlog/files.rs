//! The files of the log: one size, no gap between them, made ahead of need and off the path.
//!
//! Opened with O_DIRECT, or through the page cache with `logBackend=mmap`. A filesystem that has no
//! O_DIRECT is used through the page cache instead, once and for all files, and
//! [`LogFiles::is_buffered`] says so.

use crate::config::LogBackend;
use crate::error::{FileError, is_no_space};
use crate::files::OpenFiles;
use crate::limits::COMMITLOG_OPEN_FILES_MAX;
use crate::paths::Paths;
use crate::signal::{Turn, TurnGuard};
use rt::{File, OpenMode, Runtime};
use std::cell::{Cell, RefCell};
use std::io;

pub(crate) struct LogFiles<R: Runtime> {
    rt: R,
    paths: Paths,
    file_bytes: u64,
    backend: LogBackend,
    buffered: Cell<bool>,
    open: RefCell<OpenFiles<u64, R::File>>,
    /// Start of the first file.
    begin: Cell<u64>,
    /// End of the last file that exists.
    created_upto: Cell<u64>,
    creating: Turn,
    /// A file that could not be made whole could not be removed either.
    has_unfinished: Cell<bool>,
    /// How often the log was cut, or begun elsewhere.
    cuts: Cell<u64>,
}

impl<R: Runtime> LogFiles<R> {
    /// The files `[begin, created_upto)`, which are there.
    pub(crate) fn new(
        rt: R,
        paths: Paths,
        backend: LogBackend,
        file_bytes: u64,
        begin: u64,
        created_upto: u64,
    ) -> Self {
        Self {
            rt,
            paths,
            file_bytes,
            backend,
            buffered: Cell::new(false),
            open: RefCell::new(OpenFiles::new(COMMITLOG_OPEN_FILES_MAX)),
            begin: Cell::new(begin),
            created_upto: Cell::new(created_upto),
            creating: Turn::default(),
            has_unfinished: Cell::new(false),
            cuts: Cell::new(0),
        }
    }

    /// Whether the log goes through the page cache because the filesystem has no O_DIRECT.
    pub(crate) fn is_buffered(&self) -> bool {
        self.buffered.get()
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Log offset of the first byte there is.
    pub(crate) fn begin(&self) -> u64 {
        self.begin.get()
    }

    pub(crate) fn created_upto(&self) -> u64 {
        self.created_upto.get()
    }

    /// Start of the file that holds `offset`.
    pub(crate) fn start_of(&self, offset: u64) -> u64 {
        offset - offset % self.file_bytes
    }

    pub(crate) fn path_of(&self, offset: u64) -> std::path::PathBuf {
        self.paths.commitlog_file(self.start_of(offset))
    }

    /// What `map_err` needs for an operation at `offset` of the log. The path is made only when
    /// there is an error.
    pub(crate) fn failed(
        &self,
        operation: &'static str,
        offset: u64,
    ) -> impl FnOnce(io::Error) -> FileError {
        move |source| FileError {
            operation,
            path: self.path_of(offset),
            offset: offset % self.file_bytes,
            source,
        }
    }

    /// How often the log was cut. Whoever waits while it reads looks whether this is still the
    /// same: what it read behind a cut is no part of the log any more.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.get()
    }

    /// The log is cut now, or begins elsewhere.
    pub(crate) fn note_cut(&self) {
        self.cuts.set(self.cuts.get() + 1);
    }

    /// No file is made while this lives.
    pub(crate) async fn hold(&self) -> TurnGuard<'_> {
        self.creating.take().await
    }

    /// The file that holds `offset`, which exists.
    pub(crate) async fn file(&self, offset: u64) -> Result<R::File, FileError> {
        let start = self.start_of(offset);
        if let Some(file) = self.cached(start) {
            return Ok(file);
        }
        let cuts = self.cuts.get();
        self.check_there(start)?;
        let file = self.open_or_fall_back(start).await?;
        if self.cuts.get() != cuts || self.check_there(start).is_err() {
            // It went while it was being opened, and opening makes what is missing. It may be made
            // anew by now, or on its way.
            drop(file);
            let _turn = self.creating.take().await;
            if let Err(gone) = self.check_there(start) {
                self.remove_file(start).await?;
                return Err(gone);
            }
            return Err(self.gone(start));
        }
        self.open.borrow_mut().insert(start, file.clone());
        Ok(file)
    }

    fn check_there(&self, start: u64) -> Result<(), FileError> {
        let is_there = start >= self.begin.get() && start < self.created_upto.get();
        if is_there { Ok(()) } else { Err(self.gone(start)) }
    }

    fn gone(&self, start: u64) -> FileError {
        let source = io::Error::new(
            io::ErrorKind::NotFound,
            "the file is removed: its time was up, or the log was cut",
        );
        FileError { operation: "open", path: self.paths.commitlog_file(start), offset: 0, source }
    }

    /// The log begins there from now on: the files before it are not opened any more.
    pub(crate) fn set_begin(&self, begin: u64) {
        assert!(
            begin >= self.begin.get() && begin < self.created_upto.get(),
            "the log would begin at {begin}, outside of it"
        );
        self.begin.set(begin);
    }

    /// Removes the file that begins at `start`, below the log's beginning. Reads under way keep
    /// their handle. One that is gone already is no error.
    pub(crate) async fn remove(&self, start: u64) -> Result<(), FileError> {
        assert!(start < self.begin.get(), "{start} is in the log");
        self.remove_file(start).await
    }

    async fn remove_file(&self, start: u64) -> Result<(), FileError> {
        self.open.borrow_mut().forget(|open| *open == start);
        let path = self.paths.commitlog_file(start);
        match self.rt.remove_file(&path).await {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(FileError::at("remove", &path, 0)),
        }
    }

    fn cached(&self, start: u64) -> Option<R::File> {
        self.open.borrow_mut().get(start)
    }

    async fn open_or_fall_back(&self, start: u64) -> Result<R::File, FileError> {
        let path = self.paths.commitlog_file(start);
        if self.backend == LogBackend::Mmap {
            return self
                .rt
                .open(&path, OpenMode::PageCache)
                .await
                .map_err(FileError::at("open", &path, 0));
        }
        if !self.buffered.get() {
            match self.rt.open(&path, OpenMode::Direct).await {
                Err(refused) if refused.kind() == io::ErrorKind::InvalidInput => {
                    self.fall_back(&path)
                }
                opened => return opened.map_err(FileError::at("open", &path, 0)),
            }
        }
        self.rt.open(&path, OpenMode::Buffered).await.map_err(FileError::at("open", &path, 0))
    }

    fn fall_back(&self, path: &std::path::Path) {
        tracing::warn!(path = %path.display(), "this filesystem has no O_DIRECT: the log goes \
            through the page cache");
        self.buffered.set(true);
    }

    /// Makes the file that begins at `start`, and those before it, unless they are there:
    /// allocated, and its name durable. Makes none once the log is cut meanwhile: whoever wanted
    /// one looks again.
    pub(crate) async fn ensure(&self, start: u64) -> Result<(), FileError> {
        let cuts = self.cuts.get();
        while self.created_upto.get() <= start && self.cuts.get() == cuts {
            let turn = self.creating.take().await;
            let next = self.created_upto.get();
            if next <= start && self.cuts.get() == cuts {
                if self.has_unfinished.get() {
                    self.remove_unfinished(next).await?;
                }
                if let Err(error) = self.create(next).await {
                    self.has_unfinished.set(true);
                    if let Err(error) = self.remove_unfinished(next).await {
                        tracing::debug!(%error, "an unfinished log file stays for now");
                    }
                    return Err(error);
                }
                self.created_upto.set(next + self.file_bytes);
            }
            drop(turn);
        }
        Ok(())
    }

    async fn create(&self, start: u64) -> Result<(), FileError> {
        let (path, folder) = (self.paths.commitlog_file(start), self.paths.commitlog());
        let file = self.open_or_fall_back(start).await?;
        self.open.borrow_mut().insert(start, file.clone());
        file.allocate(0, self.file_bytes).await.map_err(FileError::at("allocate", &path, 0))?;
        // Its length must be durable before another file follows: only the last one may be short
        // after a power cut.
        file.sync_data().await.map_err(FileError::at("fdatasync", &path, 0))?;
        self.rt.sync_dir(&folder).await.map_err(FileError::at("sync folder", &folder, 0))
    }

    /// A file that could not be made whole goes again: part of its space may be taken already (ext4
    /// keeps what fallocate got before the disk was full), and a short file is no log file. Left
    /// over it would only be completed at the next open. Nor is it completed by the next try: of an
    /// fdatasync that failed the kernel tells once.
    async fn remove_unfinished(&self, start: u64) -> Result<(), FileError> {
        self.open.borrow_mut().forget(|open| *open == start);
        let path = self.paths.commitlog_file(start);
        match self.rt.remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError { operation: "remove", path, offset: 0, source: error });
            }
            _ => self.has_unfinished.set(false),
        }
        Ok(())
    }

    /// Makes everything from `end` on zeros, and forgets the files behind: what lies there must not
    /// come back to life when the log grows over it. Cutting and extending does it without writing
    /// the zeros. In an open store the caller [holds](LogFiles::hold) the files.
    ///
    /// The first file stays, be nothing left in it: its name alone may say where the log begins,
    /// when no manifest could be written since what was before it left the log.
    pub(crate) async fn cut(&self, end: u64) -> Result<(), FileError> {
        let folder = self.paths.commitlog();
        let first_end = self.begin.get().saturating_add(self.file_bytes);
        let keep_upto = end.next_multiple_of(self.file_bytes).max(first_end);
        while self.created_upto.get() > keep_upto {
            let last = self.created_upto.get() - self.file_bytes;
            self.created_upto.set(last);
            self.remove_file(last).await?;
        }
        self.rt.sync_dir(&folder).await.map_err(FileError::at("sync folder", &folder, 0))?;
        if end < self.created_upto.get() {
            self.zero_after(end).await?;
        }
        Ok(())
    }

    /// The log, which is empty, begins at `begin`: none of its files is needed any more.
    pub(crate) async fn begin_anew(&self, begin: u64) -> Result<(), FileError> {
        let mut start = self.begin.replace(begin);
        let upto = self.created_upto.replace(begin);
        while start < upto {
            self.remove_file(start).await?;
            start += self.file_bytes;
        }
        let folder = self.paths.commitlog();
        self.rt.sync_dir(&folder).await.map_err(FileError::at("sync folder", &folder, 0))
    }

    /// The bytes of the log's last block, up to its end.
    pub(crate) async fn last_block(&self, end: u64) -> Result<Vec<u8>, FileError> {
        let start = crate::tail::block_floor(end);
        let Ok(len @ 1..) = usize::try_from(end - start) else { return Ok(Vec::new()) };
        let (path, in_file) = (self.path_of(start), start % self.file_bytes);
        let file = self.file(start).await?;
        let bytes =
            file.read_at(in_file, len).await.map_err(FileError::at("read", &path, in_file))?;
        if bytes.len() < len {
            let source = io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("expected {len} bytes, found {}", bytes.len()),
            );
            return Err(FileError { operation: "read", path, offset: in_file, source });
        }
        Ok(bytes.to_vec())
    }

    /// Gives a file of a store that is being opened its full length, behind `at` as a hole where
    /// the disk has no space to reserve: the store starts and is read, and what would be written
    /// there waits for space.
    pub(crate) async fn make_whole(
        &self,
        file: &R::File,
        path: &std::path::Path,
        at: u64,
    ) -> Result<(), FileError> {
        match file.allocate(0, self.file_bytes).await {
            Err(error) if is_no_space(&error) => {
                tracing::warn!(path = %path.display(), offset = at, "no space to reserve the \
                    rest of this log file: messages wait until there is");
                file.set_len(self.file_bytes).await.map_err(FileError::at("extend", path, at))
            }
            reserved => reserved.map_err(FileError::at("allocate", path, at)),
        }
    }

    /// Returns when no O_DIRECT write of a killed process is on its way to the file that holds
    /// `offset` any more: fallocate waits for them. It may take space that the file has already.
    pub(crate) async fn wait_for_writes(&self, offset: u64) -> Result<(), FileError> {
        let (path, file) = (self.path_of(offset), self.file(offset).await?);
        self.make_whole(&file, &path, offset % self.file_bytes).await
    }

    async fn zero_after(&self, end: u64) -> Result<(), FileError> {
        let (path, at) = (self.path_of(end), end % self.file_bytes);
        let file = self.file(end).await?;
        file.set_len(at).await.map_err(FileError::at("truncate", &path, at))?;
        self.make_whole(&file, &path, at).await?;
        file.sync_data().await.map_err(FileError::at("fdatasync", &path, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rt::sim::Sim;

    const FILE_BYTES: u64 = 8192;

    /// After a crash the first file may have no record, and the manifest end below it: without the
    /// file the next open would miss what left the log.
    #[test]
    fn a_log_that_is_cut_to_its_beginning_keeps_its_first_file() {
        let sim = Sim::new(1);
        let paths = Paths::new(std::path::Path::new("/store"));
        sim.block_on(async {
            sim.create_dir_all(&paths.commitlog()).await.unwrap();
            let begin = 5 * FILE_BYTES;
            let (sim, direct) = (sim.clone(), LogBackend::Direct);
            let log = LogFiles::new(sim.clone(), paths.clone(), direct, FILE_BYTES, begin, begin);
            log.ensure(begin + FILE_BYTES).await.unwrap();
            log.cut(begin).await.unwrap();
            assert_eq!(log.created_upto(), begin + FILE_BYTES);
            let left = sim.list_dir(&paths.commitlog()).await.unwrap();
            assert_eq!(left.len(), 1, "{left:?}");
            let file = sim.read_file(&paths.commitlog_file(begin)).await.unwrap();
            assert!(file.len() as u64 == FILE_BYTES && file.iter().all(|byte| *byte == 0));
        });
    }
}
