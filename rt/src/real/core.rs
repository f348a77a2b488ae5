//! The handle to one running core.

use super::driver::WakeUp;
use super::failure::caught;
use super::file::CoreFile;
use super::mailbox::{self, Mailbox, Sender};
use crate::convert::fits;
use crate::kept::{KeptError, KeptFile, KeptMemory, KeptShape};
use crate::ring::{
    Event, Ring, RingConfig, RingError, RingFile, SharedRing, disk_space, utc_offset_seconds,
};
use crate::runtime::{
    DirEntry, DiskSpace, FileWrite, Filesystem, MemoryRoom, OpenMode, Priority, Runtime,
};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the driver of a core calls for network completions. Implemented by netcore.
pub trait RingClient {
    /// One completion. The ring is busy: queue what should be submitted until
    /// [`RingClient::end_turn`].
    fn on_event(&self, event: Event<'_>);
    /// All completions of this turn are in: submit accepts, receives and sends.
    fn end_turn(&self, ring: &mut Ring);
}

pub(super) struct CoreInner {
    pub(super) ring: Rc<RefCell<Ring>>,
    pub(super) files: SharedRing,
    pub(super) wake_up: Rc<WakeUp>,
    pub(super) client: RefCell<Option<Rc<dyn RingClient>>>,
    pub(super) idle_spin: Cell<Duration>,
    pub(super) idle_spin_nanos: Cell<u64>,
    /// How many the ring had, ever: one that does not change has a core at rest.
    pub(super) completions: Cell<u64>,
    pub(super) stopping: Cell<bool>,
    background: glommio::TaskQueueHandle,
    foreground: glommio::TaskQueueHandle,
    started: Instant,
    randomness: Cell<u64>,
}

/// One running core: [`Runtime`] over glommio and the ring. Cloning gives another handle to the
/// same core; it is not `Send`.
#[derive(Clone)]
pub struct Core(pub(super) Rc<CoreInner>);

impl Core {
    /// Must be called inside a glommio executor.
    pub(super) fn new(config: &RingConfig) -> Result<Self, RingError> {
        let ring = Rc::new(RefCell::new(Ring::new(config)?));
        let wake_up = Rc::new(WakeUp::default());
        let wake = wake_up.clone();
        let files = SharedRing::new(ring.clone(), Rc::new(move || wake.signal()));
        let executor = glommio::executor();
        let matters = glommio::Latency::Matters(Duration::from_millis(2));
        let background = glommio::Latency::NotImportant;
        Ok(Self(Rc::new(CoreInner {
            ring,
            files,
            wake_up,
            client: RefCell::new(None),
            idle_spin: Cell::new(Duration::from_micros(20)),
            idle_spin_nanos: Cell::new(0),
            completions: Cell::new(0),
            stopping: Cell::new(false),
            foreground: executor.create_task_queue(
                glommio::Shares::Static(1000),
                matters,
                "foreground",
            ),
            background: executor.create_task_queue(
                glommio::Shares::Static(100),
                background,
                "background",
            ),
            started: Instant::now(),
            randomness: Cell::new(seed()),
        })))
    }

    /// Gives network completions to `client` from the next turn on.
    pub fn set_client(&self, client: Rc<dyn RingClient>) {
        *self.0.client.borrow_mut() = Some(client);
        self.wake();
    }

    /// How long an idle core looks for work before it sleeps (`idleSpinMicros`).
    pub fn set_idle_spin(&self, window: Duration) {
        self.0.idle_spin.set(window);
    }

    /// How many completions the core's ring had since its start: while the number stays the same,
    /// nothing came from the network or from a file.
    #[must_use]
    pub fn completions(&self) -> u64 {
        self.0.completions.get()
    }

    /// How long this core has looked for work and found none at once, ns since its start. It is CPU
    /// time that no request asked for.
    #[must_use]
    pub fn idle_spin_nanos(&self) -> u64 {
        self.0.idle_spin_nanos.get()
    }

    /// Makes the driver turn the ring soon; needed after queueing sends outside a turn.
    pub fn wake(&self) {
        self.0.wake_up.signal();
    }

    pub(super) fn foreground(&self) -> glommio::TaskQueueHandle {
        self.0.foreground
    }

    pub(super) fn stop_driver(&self) {
        self.0.stopping.set(true);
        self.wake();
    }

    /// A way for other threads to send to this core. It costs the data path nothing: the core
    /// sleeps on an eventfd.
    pub fn mailbox<T: Send + 'static>(&self) -> io::Result<(Sender<T>, Mailbox<T>)> {
        mailbox::mailbox()
    }

    /// As [`Core::blocking`], on a thread of its own: for what may take seconds, which would keep
    /// a helper thread from everybody else.
    async fn blocking_long<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (sender, mailbox) = self.mailbox()?;
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || sender.send(caught(work)))?;
        Ok(mailbox.receive().await?.unwrap_or_else(|panic| panic.rethrow()))
    }

    /// Runs blocking work on one of this core's helper threads. If the work panics, so does the
    /// waiting task, and with it the core.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        // A panic that reached glommio's helper thread would end it, and nobody would be answered.
        let work = glommio::executor().spawn_blocking(move || caught(work));
        work.await.unwrap_or_else(|panic| panic.rethrow())
    }
}

fn seed() -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(
        &(SystemTime::now(), std::process::id(), std::thread::current().id()),
        &mut hasher,
    );
    std::hash::Hasher::finish(&hasher)
}

impl Runtime for Core {
    type File = CoreFile;
    type Filesystem = CoreFilesystem;

    fn now_nanos(&self) -> u64 {
        fits(self.0.started.elapsed().as_nanos())
    }

    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        fits(since.as_millis())
    }

    fn utc_offset_seconds(&self) -> i64 {
        utc_offset_seconds(self.wall_ms() / 1000)
    }

    fn random_u64(&self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): enough for queue choice and unique keys, one word
        // of state.
        let state = self.0.randomness.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.randomness.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn spawn(&self, priority: Priority, task: impl Future<Output = ()> + 'static) {
        let queue = match priority {
            Priority::Foreground => self.0.foreground,
            Priority::Background => self.0.background,
        };
        match glommio::spawn_local_into(task, queue) {
            Ok(task) => drop(task.detach()),
            Err(error) => panic!("the core's own task queue is gone: {error}"),
        }
    }

    async fn sleep(&self, duration: Duration) {
        glommio::timer::sleep(duration).await;
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<CoreFile> {
        let owned = path.to_owned();
        let fd = self.blocking(move || super::fs::open(&owned, mode)).await?;
        let file = RingFile::new(self.0.files.clone(), fd, mode == OpenMode::Direct);
        match mode {
            OpenMode::PageCache => CoreFile::page_cache(file),
            _ => Ok(CoreFile::Ring(file)),
        }
    }

    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        self.blocking(move || std::fs::create_dir_all(path)).await
    }

    async fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let path = path.to_owned();
        self.blocking(move || super::fs::list_dir(&path)).await
    }

    async fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = path.to_owned();
        self.blocking(move || std::fs::read(path)).await
    }

    async fn replace_file(
        &self,
        path: &Path,
        content: Vec<u8>,
        keep_backup: bool,
    ) -> io::Result<()> {
        let path = path.to_owned();
        self.blocking(move || super::fs::replace_file(&path, &content, keep_backup)).await
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        self.blocking(move || std::fs::remove_file(path)).await
    }

    async fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        self.blocking(move || super::fs::remove_dir_all(&path)).await
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        self.blocking(move || super::fs::sync_dir(&path)).await
    }

    async fn write_each(&self, writes: Vec<FileWrite>) -> Vec<io::Result<()>> {
        self.blocking(move || super::fs::write_each(&writes)).await
    }

    async fn open_filesystem(&self, folder: &Path) -> io::Result<CoreFilesystem> {
        let owned = folder.to_owned();
        let folder = self.blocking(move || std::fs::File::open(owned)).await?;
        Ok(CoreFilesystem { core: self.clone(), folder: Arc::new(folder) })
    }

    async fn disk_space(&self, path: &Path) -> io::Result<DiskSpace> {
        let path = path.to_owned();
        self.blocking(move || disk_space(&path)).await
    }

    async fn lock_file(&self, path: &Path) -> io::Result<CoreFile> {
        let path = path.to_owned();
        let fd = self.blocking(move || super::fs::lock_file(&path)).await?;
        Ok(CoreFile::Ring(RingFile::new(self.0.files.clone(), fd, false)))
    }

    async fn make_kept(&self, folder: &Path, shape: KeptShape) -> Result<KeptMemory, KeptError> {
        let folder = folder.to_owned();
        let file = self.blocking(move || super::kept::make_file(&folder, shape)).await?;
        super::kept::mapped(file, shape)
    }

    async fn reserve_ahead(&self, memory: &KeptMemory, slots: usize) {
        for _ in 0..slots {
            let Some(claim) = memory.claim_empty() else { return };
            if self.blocking(claim.reserving()).await.is_err() {
                return;
            }
            claim.finish(true);
        }
    }

    async fn release_free(&self, memory: &KeptMemory) {
        while let Some(claim) = memory.claim_ready() {
            if self.blocking(claim.releasing()).await.is_err() {
                return;
            }
            claim.finish(false);
        }
    }

    async fn open_kept(&self, path: &Path) -> Result<KeptFile, KeptError> {
        let path = path.to_owned();
        let left = self.blocking(move || super::kept::open_left(&path)).await?;
        Ok(KeptFile::new(left))
    }

    async fn peek_kept(&self, path: &Path, len: usize) -> Result<Vec<u8>, KeptError> {
        let path = path.to_owned();
        self.blocking(move || super::kept::peek(&path, len)).await
    }

    async fn list_kept(&self, folder: &Path, suffix: &str) -> Vec<PathBuf> {
        let (folder, suffix) = (folder.to_owned(), suffix.to_owned());
        self.blocking(move || super::kept::list(&folder, &suffix)).await
    }

    async fn memory_room(&self) -> MemoryRoom {
        self.blocking(super::headroom::memory_room).await
    }

    fn namespace(&self) -> u64 {
        super::kept::mount_namespace()
    }
}

/// The file system with a folder that is open. The kernel tells each open folder once of each error
/// since it was opened, whoever's file it struck.
#[derive(Clone)]
pub struct CoreFilesystem {
    core: Core,
    folder: Arc<std::fs::File>,
}

impl Filesystem for CoreFilesystem {
    async fn sync(&self) -> io::Result<()> {
        let folder = self.folder.clone();
        let synced = self.core.blocking_long("syncfs", move || rustix::fs::syncfs(&*folder));
        Ok(synced.await??)
    }
}
