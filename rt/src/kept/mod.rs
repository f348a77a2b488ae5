//! Kept memory: memory of a file on tmpfs, which outlives the process that wrote it.
//!
//! ```text
//!   file:   | head: words of 64 bits | slot | slot | slot | … | slot | … | slot |
//!                                    └── reserved from the start ──┘ └ as readers keep others ┘
//!
//!   life n:    make ─► words and slots are written through a mapping ─► name ─► … ─► killed
//!   life n+1:  open ─► what was left is read, never written ─► remove
//! ```
//!
//! A process that is killed in any way leaves the file as it was at that moment; a power cut and a
//! clean stop leave none. What the words mean is for whoever uses it (the engine's `tail_file`).
//!
//! - The file has no name until [`KeptMemory::name`]: a process that is killed before leaves
//!   nothing. It is locked (flock) as long as its process lives, so nobody takes it for left.
//! - A slot is used only after its pages are reserved (fallocate): a tmpfs that others fill is an
//!   error then, and never SIGBUS. The first ones are reserved when the file is made and never
//!   given back; the others when readers keep so many slots that it needs more.
//! - Pages cost time (0.4 ms for a MiB, 0.2 ms to give them back, on the machine that was
//!   measured). A memory that grows and shrinks has it done off the core, ahead (`slots::Claim`).
//! - Memory that runs out kills a process of its control group without any error, and the next one
//!   too, as the file stays charged. So there must be room to spare before pages are reserved.
//! - A file that the same user cuts short is SIGBUS for its process: nothing can be done about it.

mod slots;

pub use slots::{KeptMemory, KeptShape, KeptWord};
pub(crate) use slots::{SlotRun, WeakKept};

use std::io;
use std::path::Path;

/// Why kept memory could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// No such file.
    #[error("there is no such file or folder")]
    Missing,
    /// A symbolic link, or a file with more than one name.
    #[error("it is a link, and could lead anywhere")]
    Link,
    /// A folder, a device, …
    #[error("it is no plain file")]
    NotAFile,
    /// Another user's.
    #[error("it belongs to user {found}, this process is user {expected}")]
    Owner {
        /// The file's user.
        found: u32,
        /// The process's.
        expected: u32,
    },
    /// Others may write to it.
    #[error("its mode is {mode:o}: others than its owner may open it")]
    Mode {
        /// The permission bits.
        mode: u32,
    },
    /// Not on a tmpfs.
    #[error("it is not on a tmpfs, whose files are memory")]
    NotTmpfs,
    /// A living process has it.
    #[error("another process has it open")]
    Locked,
    /// Too little memory is left.
    #[error("{needed} bytes of memory are needed and {free} can be had")]
    NoRoom {
        /// What it takes.
        needed: u64,
        /// What the tmpfs, the control group or the machine has.
        free: u64,
    },
    /// Anything else that the system said.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What a process left behind, locked for as long as this lives.
pub struct KeptFile(Box<dyn Left>);

/// What a runtime does with a file that was left.
pub(crate) trait Left {
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    fn is_whole(&self, offset: u64, bytes: u64) -> io::Result<bool>;
    fn release(&self, offset: u64, bytes: u64) -> io::Result<()>;
    fn remove(&self) -> io::Result<()>;
}

impl KeptFile {
    pub(crate) fn new(left: impl Left + 'static) -> Self {
        Self(Box::new(left))
    }

    /// Up to `len` bytes from `offset`, fewer only at the file's end. Memory: it does not wait.
    pub fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read(offset, len)
    }

    /// Whether none of the memory of these bytes was given back.
    pub fn is_whole(&self, offset: u64, bytes: u64) -> io::Result<bool> {
        self.0.is_whole(offset, bytes)
    }

    /// Gives the memory of these bytes back to the system: they read as zeros then.
    pub fn release(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.0.release(offset, bytes)
    }

    /// Removes the file.
    pub fn remove(&self) -> io::Result<()> {
        self.0.remove()
    }
}

/// What is done with the memory of some bytes, wherever it is called.
pub(crate) type Work = Box<dyn FnOnce() -> Result<(), KeptError> + Send>;

/// What a runtime does for the memory that it made.
pub(crate) trait Keeper {
    /// Makes sure that the pages can be used.
    fn reserve(&self, offset: usize, bytes: usize) -> Result<(), KeptError>;
    /// Gives them back.
    fn release(&self, offset: usize, bytes: usize);
    /// [`Keeper::reserve`], to be called on any thread.
    fn reserving(&self, offset: usize, bytes: usize) -> Work;
    /// [`Keeper::release`], to be called on any thread.
    fn releasing(&self, offset: usize, bytes: usize) -> Work;
    /// The file's name from now on.
    fn name(&self, path: &Path) -> io::Result<()>;
    /// The file has no name any more.
    fn remove(&self) -> io::Result<()>;
}
