//! Opening's part with the tail: what the process before left of it, and the one of this life.

use super::check_files::LogRange;
use crate::commitlog::files::LogFiles;
use crate::config::{StoreConfig, TailPlace};
use crate::error::{FileError, OpenError};
use crate::flushed_mark::tail_in;
use crate::limits::LENT_CHUNKS_MAX;
use crate::paths::Paths;
use crate::tail::Tail;
use crate::tail_file::{self, Found, OldTail, TailFile, remove_orphans};
use rt::{ChunkMemory, MemoryAccount, Runtime};

/// What the process before left of its tail.
#[derive(Default)]
pub(super) struct Left {
    tail: Option<OldTail>,
    /// It left one, and it is gone.
    pub(super) is_gone: bool,
}

impl Left {
    /// Of the tail that `abort` names, if it names one.
    pub(super) async fn find<R: Runtime>(
        rt: &R,
        paths: &Paths,
        abort: Option<&[u8]>,
        range: &LogRange,
    ) -> Result<Self, OpenError> {
        let Some(name) = abort.and_then(tail_in) else { return Ok(Self::default()) };
        match tail_file::find(rt, &name, &paths.abort()).await? {
            Found::Tail(tail) => {
                tail.check_log(range.begin, range.created_upto, &paths.abort())?;
                Ok(Self { tail: Some(tail), is_gone: false })
            }
            Found::Silent => Ok(Self::default()),
            Found::Gone => Ok(Self { tail: None, is_gone: true }),
        }
    }

    /// Writes what only the tail has into the log. Returns where the log ends then; `None` without
    /// a tail. A log that was being cut has none: see [`super::truncate`].
    pub(super) async fn take_over<R: Runtime>(
        &self,
        log: &LogFiles<R>,
        cut_at: Option<u64>,
    ) -> Result<Option<u64>, OpenError> {
        let Some(tail) = self.tail.as_ref().filter(|_| cut_at.is_none()) else { return Ok(None) };
        tail.write_into(log).await?;
        Ok(Some(tail.appended()))
    }

    /// Bytes that only the tail had.
    pub(super) fn taken_over_bytes(&self) -> u64 {
        self.tail.as_ref().map_or(0, OldTail::unwritten_bytes)
    }

    /// `abort` names another tail now, and everything of this one is in the log. It goes, and with
    /// it whatever nobody needs in the folder of tails.
    pub(super) async fn remove<R: Runtime>(self, rt: &R, config: &StoreConfig) {
        if let Some(tail) = self.tail {
            tail.remove(rt, &config.root).await;
        }
        if let TailPlace::Folder { path, .. } = &config.tail_place {
            remove_orphans(rt, path).await;
        }
    }
}

pub(super) async fn replace_abort<R: Runtime>(
    rt: &R,
    paths: &Paths,
    content: Vec<u8>,
) -> Result<(), FileError> {
    let path = paths.abort();
    rt.replace_file(&path, content, false).await.map_err(FileError::at("replace", &path, 0))
}

/// The tail of a log that ends at `end`, where `partial` is what its last block holds.
pub(super) fn new_tail(
    config: &StoreConfig,
    memory: &MemoryAccount,
    (end, partial): (u64, Vec<u8>),
    file: Option<TailFile>,
) -> Tail {
    let chunks = match &file {
        Some(file) => file.chunks(config, memory.clone()),
        None => ChunkMemory::private(config.tail_bytes_max, LENT_CHUNKS_MAX, memory.clone()),
    };
    let mut tail = Tail::new(end, partial, config.chunk_bytes, chunks, file);
    if config.tail_follows_memory {
        // Until memory was looked at.
        tail.set_memory_max(config.tail_floor_bytes());
        tail.bound_unwritten(config.tail_floor_bytes());
    }
    tail
}
