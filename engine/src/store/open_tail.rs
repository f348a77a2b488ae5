//! Opening's part with the tail: what the process before left of it, and the one of this life.

use super::check_files::LogRange;
use crate::commitlog::files::LogFiles;
use crate::config::{StoreConfig, TailPlace};
use crate::error::{FileError, OpenError};
use crate::flushed_mark::tail_in;
use crate::limits::{CACHE_SPARE_BYTES_MIN, LENT_CHUNKS_MAX};
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
    /// Of the tail that `abort` names, if it names one. `was_sync_flush`: answers of that life
    /// waited for the flush.
    pub(super) async fn find<R: Runtime>(
        rt: &R,
        paths: &Paths,
        config: &StoreConfig,
        abort: Option<&[u8]>,
        range: &LogRange,
        was_sync_flush: bool,
    ) -> Result<Self, OpenError> {
        let Some(name) = abort.and_then(tail_in) else { return Ok(Self::default()) };
        let warm_bytes_max = warm_bytes_max(rt, config).await;
        match tail_file::find(rt, &name, &paths.abort(), warm_bytes_max).await? {
            Found::Tail(tail) => {
                tail.check_log(range.begin, range.created_upto, &paths.abort())?;
                Ok(Self { tail: Some(tail), is_gone: false })
            }
            Found::Silent => Ok(Self::default()),
            // Nothing was acknowledged that the disk has not.
            Found::Gone if was_sync_flush => Ok(Self::default()),
            Found::Gone => {
                tracing::warn!(
                    path = %name.path.display(),
                    "the memory that the last process kept is gone, as a power cut takes it: what \
                        was acknowledged and not written is lost"
                );
                Ok(Self { tail: None, is_gone: true })
            }
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

    /// Gives back what the next tail could have of it; whether there was anything.
    pub(super) fn cool(&mut self) -> bool {
        self.tail.as_mut().is_some_and(OldTail::cool)
    }

    /// Puts into the tail of this life what is still in the memory of the one before. `partial` is
    /// what the disk has of the log's last block.
    pub(super) fn warm(&self, tail: &mut Tail, partial: &[u8]) {
        let Some(old) = self.tail.as_ref().filter(|old| old.appended() == tail.end()) else {
            return;
        };
        let end = tail.end();
        for chunk in old.warm_chunks() {
            let is_there = match chunk {
                Ok(chunk) => tail.put_back(chunk.position, chunk.first, &chunk.bytes),
                Err(error) => {
                    tracing::warn!(%error, "what was in memory before is read from disk");
                    false
                }
            };
            if !is_there {
                return tail.cut(end, partial.to_vec());
            }
        }
        // The block is written again: from what the disk has, which recovery has looked at.
        if tail.end() != end || !tail.has_partial(partial) {
            tail.cut(end, partial.to_vec());
        }
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

/// How much of the written log an old tail may keep for the next one: nothing where memory for both
/// is short.
async fn warm_bytes_max<R: Runtime>(rt: &R, config: &StoreConfig) -> usize {
    let warm_bytes_max = config.tail_floor_bytes();
    let needed = warm_bytes_max as u64 + CACHE_SPARE_BYTES_MIN;
    if rt.memory_room().await.left_bytes >= needed { warm_bytes_max } else { 0 }
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
        tail.grow_ahead();
    }
    tail
}
