//! A machine whose log writes go nowhere: a bench that appends for seconds must not keep gigabytes
//! of simulated disk.

use rt::sim::{Sim, SimFile, SimFilesystem};
use rt::{
    BufSlice, DirEntry, DiskSpace, File, FileWrite, KeptError, KeptFile, KeptMemory, KeptShape,
    MemoryRoom, OpenMode, Priority, Runtime,
};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A [`Sim`] whose O_DIRECT files, and index files, forget what is written.
#[derive(Clone)]
pub(crate) struct Discard(pub Sim);

/// A file of it.
#[derive(Clone)]
pub(crate) struct DiscardFile {
    file: SimFile,
    forgets: bool,
}

impl Runtime for Discard {
    type File = DiscardFile;
    type Filesystem = SimFilesystem;

    fn now_nanos(&self) -> u64 {
        self.0.now_nanos()
    }
    fn wall_ms(&self) -> i64 {
        self.0.wall_ms()
    }
    fn utc_offset_seconds(&self) -> i64 {
        self.0.utc_offset_seconds()
    }
    fn random_u64(&self) -> u64 {
        self.0.random_u64()
    }
    fn spawn(&self, priority: Priority, task: impl Future<Output = ()> + 'static) {
        self.0.spawn(priority, task);
    }
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        self.0.sleep(duration)
    }
    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<DiscardFile> {
        let file = self.0.open(path, mode).await?;
        Ok(DiscardFile {
            file,
            forgets: mode == OpenMode::Direct || path.starts_with("/bench/index"),
        })
    }
    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path).await
    }
    async fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.list_dir(path).await
    }
    async fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read_file(path).await
    }
    async fn replace_file(
        &self,
        path: &Path,
        content: Vec<u8>,
        keep_backup: bool,
    ) -> io::Result<()> {
        self.0.replace_file(path, content, keep_backup).await
    }
    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path).await
    }
    async fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir_all(path).await
    }
    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path).await
    }
    async fn write_each(&self, writes: Vec<FileWrite>) -> Vec<io::Result<()>> {
        self.0.write_each(writes).await
    }
    async fn open_filesystem(&self, folder: &Path) -> io::Result<SimFilesystem> {
        self.0.open_filesystem(folder).await
    }
    async fn disk_space(&self, path: &Path) -> io::Result<DiskSpace> {
        self.0.disk_space(path).await
    }
    async fn lock_file(&self, path: &Path) -> io::Result<DiscardFile> {
        Ok(DiscardFile { file: self.0.lock_file(path).await?, forgets: false })
    }
    async fn make_kept(&self, folder: &Path, shape: KeptShape) -> Result<KeptMemory, KeptError> {
        self.0.make_kept(folder, shape).await
    }
    async fn reserve_ahead(&self, memory: &KeptMemory, slots: usize) {
        self.0.reserve_ahead(memory, slots).await;
    }
    async fn release_free(&self, memory: &KeptMemory) {
        self.0.release_free(memory).await;
    }
    async fn open_kept(&self, path: &Path) -> Result<KeptFile, KeptError> {
        self.0.open_kept(path).await
    }
    async fn peek_kept(&self, path: &Path, len: usize) -> Result<Vec<u8>, KeptError> {
        self.0.peek_kept(path, len).await
    }
    async fn list_kept(&self, folder: &Path, suffix: &str) -> Vec<PathBuf> {
        self.0.list_kept(folder, suffix).await
    }
    async fn memory_room(&self) -> MemoryRoom {
        self.0.memory_room().await
    }
    fn namespace(&self) -> u64 {
        self.0.namespace()
    }
}

impl File for DiscardFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<BufSlice> {
        self.file.read_at(offset, len).await
    }
    async fn write_at(&self, offset: u64, data: BufSlice) -> io::Result<()> {
        if self.forgets { Ok(()) } else { self.file.write_at(offset, data).await }
    }
    async fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().await
    }
    async fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.allocate(offset, len).await
    }
    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).await
    }
    async fn len(&self) -> io::Result<u64> {
        self.file.len().await
    }
}
