//! Writing the tail's file: a new one, its lines, its watermarks.

use super::format::{
    FLUSHED_AT, Head, LINE_BYTES, LINES_AT, NOTHING, OWN_FROM_AT, TailName, WRITTEN_AT, head_bytes,
    path_at,
};
use crate::config::{FlushPolicy, LogBackend, StoreConfig, TailPlace};
use crate::error::OpenError;
use crate::limits::{BLOCK_BYTES, LENT_CHUNKS_MAX, TAIL_RESERVED_BYTES, TAIL_SLOTS_FACTOR};
use crate::number::exact;
use rt::{
    AppendBuf, ChunkMemory, KeptError, KeptMemory, KeptShape, KeptWord, MemoryAccount, Runtime,
};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};

/// What outlives a killed process of what was not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TailMemory {
    /// Everything: the tail is in this file on tmpfs.
    Kept {
        /// The file.
        path: PathBuf,
    },
    /// Nothing, and nobody minds: answers wait for the log (`mmap`; SYNC_FLUSH, where only a
    /// restart after a kill would find memory warm).
    #[default]
    NotNeeded,
    /// Nothing, as `tailPath` is empty: answers do not wait all the same.
    Private,
    /// Nothing, so answers wait until the message is written.
    NotKept {
        /// Why there is no such file.
        reason: String,
    },
}

/// The tail's file of this life. Its words, and nothing of its chunks.
pub(crate) struct TailFile {
    memory: KeptMemory,
    name: TailName,
}

/// A tail for a store that is being opened at the log's end `log_end`: its file, named, if there is
/// one; what became of the wish for it.
pub(crate) async fn make_tail<R: Runtime>(
    rt: &R,
    config: &StoreConfig,
    log_end: u64,
) -> Result<(Option<TailFile>, TailMemory), OpenError> {
    if config.backend == LogBackend::Mmap {
        return Ok((None, TailMemory::NotNeeded));
    }
    // Where answers wait for the flush, a tail that is kept saves a restart reading, and no more.
    let is_needed = config.flush == FlushPolicy::Async;
    let without = |memory| if is_needed { memory } else { TailMemory::NotNeeded };
    let (folder, is_required) = match &config.tail_place {
        TailPlace::Private => return Ok((None, without(TailMemory::Private))),
        TailPlace::Nowhere { reason } => {
            let reason = reason.clone();
            return Ok((None, without(TailMemory::NotKept { reason })));
        }
        TailPlace::Folder { path, is_required } => (path, *is_required),
    };
    match TailFile::make(rt, config, folder, log_end).await {
        Ok(file) => {
            let path = file.name.path.clone();
            Ok((Some(file), TailMemory::Kept { path }))
        }
        Err(error) if is_required && !matches!(error, KeptError::NoRoom { .. }) => {
            Err(OpenError::TailPath { path: folder.clone(), reason: error.to_string() })
        }
        Err(error) => {
            let reason = format!("{}: {error}", folder.display());
            Ok((None, without(TailMemory::NotKept { reason })))
        }
    }
}

/// Slots of the chunk that is filled and of the next, each as large as the largest record asks.
fn slots_at_least(config: &StoreConfig) -> usize {
    let block: usize = exact(BLOCK_BYTES);
    2 * (config.raw_bytes_max() + 2 * block).div_ceil(config.chunk_bytes)
}

/// Slots that the tail itself may have.
fn slots_of_tail(config: &StoreConfig) -> usize {
    config.tail_bytes_max.div_ceil(config.chunk_bytes).max(slots_at_least(config))
}

fn shape_for(config: &StoreConfig) -> KeptShape {
    let slot_bytes = config.chunk_bytes;
    let of_tail = slots_of_tail(config);
    let reserved_slots =
        of_tail.min((TAIL_RESERVED_BYTES / slot_bytes).max(slots_at_least(config)));
    // A tail that becomes as large as memory allows has chunks to give when readers keep some.
    let for_readers = if config.tail_follows_memory { reserved_slots } else { of_tail };
    let slots = of_tail + (TAIL_SLOTS_FACTOR - 1) * for_readers;
    KeptShape { head_bytes: head_bytes(slots), slot_bytes, slots, reserved_slots }
}

impl TailFile {
    async fn make<R: Runtime>(
        rt: &R,
        config: &StoreConfig,
        folder: &Path,
        log_end: u64,
    ) -> Result<Self, KeptError> {
        let shape = shape_for(config);
        let memory = rt.make_kept(folder, shape).await?;
        let head = Head {
            incarnation: rt.random_u64().max(1),
            slot_bytes: shape.slot_bytes as u64,
            slots: shape.slots as u64,
            namespace: rt.namespace(),
            store: std::path::absolute(&config.root)?,
        };
        let (words, path) = head.encode().ok_or_else(|| {
            let what = "the path of the store's folder is too long, or no UTF-8";
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })?;
        for (nth, word) in words.into_iter().enumerate() {
            memory.store(nth * 8, word);
        }
        memory.store_bytes(path_at(), &path);
        let name = TailName::in_folder(&std::path::absolute(folder)?, head.incarnation);
        if name.path.as_os_str().as_bytes().contains(&b'\n') {
            let what = "a path with a line feed, which `abort` can't name";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what).into());
        }
        let file = Self { memory, name };
        file.publish_own_from(log_end);
        file.publish_watermarks(log_end, log_end);
        file.memory.name(&file.name.path)?;
        Ok(file)
    }

    /// What `abort` says of it.
    pub(crate) fn name(&self) -> &TailName {
        &self.name
    }

    /// Chunks of its slots.
    pub(crate) fn chunks(&self, config: &StoreConfig, account: MemoryAccount) -> ChunkMemory {
        let bytes_max = slots_of_tail(config) * self.memory.shape().slot_bytes;
        ChunkMemory::kept(self.memory.clone(), bytes_max, LENT_CHUNKS_MAX, account)
    }

    fn line_of(chunk: &AppendBuf) -> usize {
        match chunk.slot() {
            Some(slot) => LINES_AT + slot * LINE_BYTES,
            None => panic!("{chunk:?} of the tail has no slot"),
        }
    }

    /// `chunk`, empty, takes the log from `position` on. What it held before is not valid any more
    /// before its first byte is written over.
    /// Returns where its end is published: one store for each append.
    pub(crate) fn begin(&self, chunk: &AppendBuf, position: u64) -> KeptWord {
        let line = Self::line_of(chunk);
        let slots = chunk.capacity() / self.memory.shape().slot_bytes;
        // Whatever begins in the slots behind the first is gone too.
        for nth in 0..slots {
            self.memory.store(line + nth * LINE_BYTES, 0);
        }
        for (nth, word) in [position, position, slots as u64].into_iter().enumerate() {
            self.memory.store(line + 8 * (nth + 1), word);
        }
        self.memory.store(line, self.name.incarnation);
        // Later bytes of the chunk must not become visible before the line: a store that releases
        // keeps only earlier ones in front of it.
        fence(Ordering::SeqCst);
        self.memory.word(line + 16)
    }

    pub(crate) fn publish_written(&self, written: u64) {
        self.memory.store(WRITTEN_AT, written);
    }

    pub(crate) fn publish_flushed(&self, flushed: u64) {
        self.memory.store(FLUSHED_AT, flushed);
    }

    /// From here on the chunks hold what this process, or a process before, had appended; what lies
    /// before it in a block is from the disk.
    pub(crate) fn publish_own_from(&self, own_from: u64) {
        self.memory.store(OWN_FROM_AT, own_from);
    }

    /// Both at once: at the beginning, and when the log was cut and ends there.
    pub(crate) fn publish_watermarks(&self, written: u64, flushed: u64) {
        self.publish_flushed(flushed);
        self.publish_written(written);
    }

    /// The file says nothing of the log until [`TailFile::publish_watermarks`].
    pub(crate) fn withdraw(&self) {
        self.publish_written(NOTHING);
    }

    /// What `chunk` holds is not valid any more.
    pub(crate) fn forget_chunk(&self, chunk: &AppendBuf) {
        self.memory.store(Self::line_of(chunk), 0);
    }

    /// What the chunks hold is no part of the log any more.
    pub(crate) fn forget_chunks(&self) {
        for slot in 0..self.memory.shape().slots {
            self.memory.store(LINES_AT + slot * LINE_BYTES, 0);
        }
    }

    /// The store was closed, and everything is in the log.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.memory.remove()
    }
}
