//! Kept memory of the simulated machine: it survives a kill and no power cut.

use super::Sim;
use crate::MemoryRoom;
use crate::kept::{Keeper, KeptError, KeptFile, KeptMemory, KeptShape, Left, WeakKept, Work};
use crate::mmap::SharedMemory;
use crate::sim::random::Random;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

/// Every file of kept memory that has a name. Folders are not told apart: each is on a tmpfs.
#[derive(Default)]
pub(super) struct KeptFiles {
    files: RefCell<BTreeMap<PathBuf, Rc<FileOfMemory>>>,
    /// Bytes that may be reserved; `None`: any number.
    room: Cell<Option<usize>>,
}

/// One of them.
struct FileOfMemory {
    content: Content,
    is_locked: Cell<bool>,
    /// What an opening is refused with.
    refusal: Cell<Option<Refusal>>,
    /// Where its content was given back.
    released: RefCell<Vec<std::ops::Range<usize>>>,
}

enum Content {
    /// Of a process of this life; its memory, and who has which part of it.
    Live(Rc<SharedMemory>, RefCell<Option<WeakKept>>),
    /// Left by a process of an earlier life.
    Left(Vec<u8>),
}

/// What is wrong with a file that somebody else put there ([`Sim::spoil_kept`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A link.
    Link,
    /// Another user's.
    Owner,
}

impl FileOfMemory {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = match &self.content {
            Content::Live(memory, _) => memory.snapshot(),
            Content::Left(bytes) => bytes.clone(),
        };
        for range in self.released.borrow().iter() {
            let end = range.end.min(bytes.len());
            bytes[range.start.min(end)..end].fill(0);
        }
        bytes
    }

    /// As a kill leaves it. What nobody had appended to yet may hold anything: the process may have
    /// been in the middle of an append.
    fn after_kill(&self, random: &Random, missing_stores: usize) -> Self {
        let mut bytes = self.bytes();
        if let Content::Live(_, user) = &self.content
            && let Some(user) = &*user.borrow()
        {
            for range in user.unfrozen() {
                bytes[range].chunks_mut(8).for_each(|chunk| {
                    chunk.copy_from_slice(&random.next_u64().to_le_bytes()[..chunk.len()]);
                });
            }
            for (at, before) in user.stored(missing_stores) {
                bytes[at..at + 8].copy_from_slice(&before.to_le_bytes());
            }
        }
        let refusal = Cell::new(self.refusal.get());
        let is_locked = Cell::new(false);
        let released = self.released.clone();
        Self { content: Content::Left(bytes), is_locked, refusal, released }
    }
}

impl KeptFiles {
    /// What the next process of the same system finds.
    pub(super) fn after_kill(&self, random: &Random, missing_stores: usize) -> Self {
        let files = self.files.borrow();
        let left = files
            .iter()
            .map(|(path, file)| (path.clone(), Rc::new(file.after_kill(random, missing_stores))));
        Self { files: RefCell::new(left.collect()), room: self.room.clone() }
    }

    fn check_room(&self, needed: usize) -> Result<(), KeptError> {
        match self.room.get() {
            Some(free) if needed > free => {
                Err(KeptError::NoRoom { needed: needed as u64, free: free as u64 })
            }
            room => {
                self.room.set(room.map(|free| free - needed));
                Ok(())
            }
        }
    }

    fn give_room(&self, bytes: usize) {
        self.room.set(self.room.get().map(|free| free + bytes));
    }
}

impl Sim {
    /// From now on so many more bytes of kept memory can be reserved; `None`: any number.
    pub fn set_kept_room(&self, bytes: Option<usize>) {
        self.machine.kept.room.set(bytes);
    }

    /// What of that is left.
    #[must_use]
    pub fn kept_room(&self) -> Option<usize> {
        self.machine.kept.room.get()
    }

    /// What the machine says of its memory from now on.
    pub fn set_memory_room(&self, room: MemoryRoom) {
        self.machine.memory_room.set(room);
    }

    /// The kept memory that has names.
    #[must_use]
    pub fn kept_files(&self) -> Vec<PathBuf> {
        self.machine.kept.files.borrow().keys().cloned().collect()
    }

    /// How many words were stored in kept memory in this life.
    #[must_use]
    pub fn kept_stores(&self) -> usize {
        let files = self.machine.kept.files.borrow();
        let of_file = |file: &Rc<FileOfMemory>| match &file.content {
            Content::Live(_, user) => user.borrow().as_ref().map_or(0, WeakKept::stores),
            Content::Left(_) => 0,
        };
        files.values().map(of_file).sum()
    }

    /// Somebody put something else there: opening `path` is refused from now on.
    pub fn spoil_kept(&self, path: &Path, refusal: Option<Refusal>) {
        if let Some(file) = self.machine.kept.files.borrow().get(path) {
            file.refusal.set(refusal);
        }
    }

    /// Changes the content of what was left behind.
    pub fn edit_kept(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut files = self.machine.kept.files.borrow_mut();
        let Some(file) = files.get_mut(path) else { panic!("{}: no such file", path.display()) };
        let mut bytes = file.bytes();
        edit(&mut bytes);
        let (is_locked, refusal) = (file.is_locked.clone(), file.refusal.clone());
        let content = Content::Left(bytes);
        *file = Rc::new(FileOfMemory { content, is_locked, refusal, released: RefCell::default() });
    }

    pub(super) async fn make_kept_memory(&self, shape: KeptShape) -> Result<KeptMemory, KeptError> {
        self.io_time().await;
        self.machine.kept.check_room(shape.reserved_bytes())?;
        let memory = Rc::new(SharedMemory::private(shape.bytes(), shape.head_bytes));
        let file = Rc::new(FileOfMemory {
            content: Content::Live(memory.clone(), RefCell::default()),
            is_locked: Cell::new(true),
            refusal: Cell::default(),
            released: RefCell::default(),
        });
        let keeper = InMemory {
            file: file.clone(),
            path: RefCell::default(),
            files: Rc::downgrade(&self.machine.kept),
        };
        let kept = KeptMemory::new(memory, shape, Box::new(keeper), true);
        if let Content::Live(_, user) = &file.content {
            *user.borrow_mut() = Some(kept.downgrade());
        }
        Ok(kept)
    }

    async fn kept_file(&self, path: &Path) -> Result<Rc<FileOfMemory>, KeptError> {
        self.io_time().await;
        let file = self.machine.kept.files.borrow().get(path).cloned();
        let file = file.ok_or(KeptError::Missing)?;
        match file.refusal.get() {
            Some(Refusal::Link) => Err(KeptError::Link),
            Some(Refusal::Owner) => Err(KeptError::Owner { found: 1, expected: 0 }),
            None => Ok(file),
        }
    }

    pub(super) async fn peek_kept_file(
        &self,
        path: &Path,
        len: usize,
    ) -> Result<Vec<u8>, KeptError> {
        Ok(part_of(&self.kept_file(path).await?.bytes(), 0, len))
    }

    pub(super) async fn open_kept_file(&self, path: &Path) -> Result<KeptFile, KeptError> {
        let file = self.kept_file(path).await?;
        if file.is_locked.replace(true) {
            return Err(KeptError::Locked);
        }
        let files = Rc::downgrade(&self.machine.kept);
        Ok(KeptFile::new(LeftInMemory { file, path: path.to_owned(), files }))
    }

    pub(super) async fn list_kept_files(&self, folder: &Path, suffix: &str) -> Vec<PathBuf> {
        self.io_time().await;
        let of_folder = |path: &PathBuf| {
            path.parent() == Some(folder) && path.to_string_lossy().ends_with(suffix)
        };
        self.kept_files().into_iter().filter(of_folder).collect()
    }
}

struct InMemory {
    file: Rc<FileOfMemory>,
    path: RefCell<Option<PathBuf>>,
    files: Weak<KeptFiles>,
}

impl Drop for InMemory {
    fn drop(&mut self) {
        self.file.is_locked.set(false);
    }
}

impl Keeper for InMemory {
    fn reserve(&self, offset: usize, bytes: usize) -> Result<(), KeptError> {
        self.files.upgrade().map_or(Ok(()), |files| files.check_room(bytes))?;
        self.file.released.borrow_mut().retain(|released| *released != (offset..offset + bytes));
        Ok(())
    }

    fn release(&self, offset: usize, bytes: usize) {
        self.file.released.borrow_mut().push(offset..offset + bytes);
        if let Some(files) = self.files.upgrade() {
            files.give_room(bytes);
        }
    }

    fn reserving(&self, offset: usize, bytes: usize) -> Work {
        let reserved = self.reserve(offset, bytes);
        Box::new(move || reserved)
    }

    fn releasing(&self, offset: usize, bytes: usize) -> Work {
        self.release(offset, bytes);
        Box::new(|| Ok(()))
    }

    fn name(&self, path: &Path) -> io::Result<()> {
        let Some(files) = self.files.upgrade() else { return Ok(()) };
        if files.files.borrow().contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        files.files.borrow_mut().insert(path.to_owned(), self.file.clone());
        *self.path.borrow_mut() = Some(path.to_owned());
        Ok(())
    }

    fn remove(&self) -> io::Result<()> {
        if let (Some(path), Some(files)) = (self.path.take(), self.files.upgrade()) {
            files.files.borrow_mut().remove(&path);
        }
        Ok(())
    }
}

struct LeftInMemory {
    file: Rc<FileOfMemory>,
    path: PathBuf,
    files: Weak<KeptFiles>,
}

impl Drop for LeftInMemory {
    fn drop(&mut self) {
        self.file.is_locked.set(false);
    }
}

impl Left for LeftInMemory {
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if let (Content::Left(bytes), true) =
            (&self.file.content, self.file.released.borrow().is_empty())
        {
            return Ok(part_of(bytes, offset, len));
        }
        Ok(part_of(&self.file.bytes(), offset, len))
    }

    fn is_whole(&self, offset: u64, bytes: u64) -> io::Result<bool> {
        let at = |place: u64| crate::convert::fits::<usize, _>(place);
        let (from, upto) = (at(offset), at(offset + bytes));
        let released = self.file.released.borrow();
        Ok(released.iter().all(|released| released.end <= from || upto <= released.start))
    }

    fn release(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let at = |place: u64| crate::convert::fits::<usize, _>(place);
        self.file.released.borrow_mut().push(at(offset)..at(offset + bytes));
        Ok(())
    }

    fn remove(&self) -> io::Result<()> {
        if let Some(files) = self.files.upgrade() {
            files.files.borrow_mut().remove(&self.path);
        }
        Ok(())
    }
}

fn part_of(bytes: &[u8], offset: u64, len: usize) -> Vec<u8> {
    let from = usize::try_from(offset).map_or(bytes.len(), |from| from.min(bytes.len()));
    bytes[from..bytes.len().min(from.saturating_add(len))].to_vec()
}
