//! One core's runtime behind traits: tasks, timers, files, clock and randomness.
//!
//! ```text
//!   engine, netcore, broker, namesrv          (no unsafe, no syscalls of their own)
//!        |            |
//!    trait Runtime   ring::Ring
//!    trait File       |
//!      |      \       |
//!   sim::Sim   real::Core  = one glommio executor + one network-and-disk ring
//! ```
//!
//! What is *not* here: topics, offsets, frames, anything that RocketMQ has a word for.
//! All the `unsafe` of the project is in [`buf`], `lent`, `mmap` and [`ring`].
//!
//! Reading order: [`buf`] (bytes that many may read while one appends), [`kept`] (memory that
//! outlives the process), [`chunk_memory`] (where those of the log's tail come from), [`runtime`]
//! (the traits),
//! [`sim`] (the simulated runtime), [`ring`] (io_uring), [`real`] (the pinned executor).

pub mod buf;
pub mod chunk_memory;
pub mod convert;
pub mod kept;
mod lent;
pub mod memory;
mod mmap;
pub mod real;
pub mod ring;
pub mod runtime;
pub mod sim;

pub use buf::{AppendBuf, BufSlice};
pub use chunk_memory::ChunkMemory;
pub use kept::{KeptError, KeptFile, KeptMemory, KeptShape, KeptWord};
pub use memory::{Charge, MemoryAccount, MemoryUse};
pub use runtime::{
    DirEntry, DiskSpace, File, FileWrite, Filesystem, MemoryRoom, OpenMode, Priority, Runtime,
};
