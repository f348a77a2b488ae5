//! A core's file: through the ring, or written by a helper thread.

use crate::buf::BufSlice;
use crate::lent::Lending;
use crate::ring::RingFile;
use crate::runtime::{File, sync_failed};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// An open file of a [`super::Core`].
#[derive(Clone)]
pub enum CoreFile {
    /// Read, written and synced through the ring.
    Ring(RingFile),
    /// Written by a helper thread.
    PageCache(PageCacheFile),
}

/// Reads and syncs go through the ring; writes are copied into the page cache on a helper thread.
///
/// Why pwrite and no mapping: a file that others cut short, an unreadable page or a full disk is
/// SIGBUS, the end of all shards, in a mapping. A pwrite writes on in the first case and is an
/// error in the others. Why not the ring: ext4 takes no buffered write without blocking, so the
/// ring hands it to a kernel thread, which takes three times as long to wake as the helper for a
/// write of 4 KiB.
#[derive(Clone)]
pub struct PageCacheFile {
    ring: RingFile,
    file: Arc<std::fs::File>,
}

impl CoreFile {
    pub(super) fn page_cache(ring: RingFile) -> io::Result<Self> {
        let file = Arc::new(ring.to_std()?);
        Ok(Self::PageCache(PageCacheFile { ring, file }))
    }

    /// The ring's file behind it.
    #[must_use]
    pub fn ring(&self) -> &RingFile {
        match self {
            Self::Ring(ring) | Self::PageCache(PageCacheFile { ring, .. }) => ring,
        }
    }
}

impl PageCacheFile {
    async fn write(&self, offset: u64, first: BufSlice, second: BufSlice) -> io::Result<()> {
        let (file, behind) = (self.file.clone(), offset + first.len() as u64);
        let lending = Lending::new([first, second]);
        let [first, second] = lending.lent();
        let written = glommio::executor()
            .spawn_blocking(move || {
                file.write_all_at(first.bytes(), offset)?;
                file.write_all_at(second.bytes(), behind)
            })
            .await;
        lending.end();
        written
    }
}

impl File for CoreFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<BufSlice> {
        self.ring().read_at(offset, len).await
    }

    async fn write_at(&self, offset: u64, data: BufSlice) -> io::Result<()> {
        self.write_both_at(offset, data, BufSlice::empty()).await
    }

    async fn write_both_at(
        &self,
        offset: u64,
        first: BufSlice,
        second: BufSlice,
    ) -> io::Result<()> {
        match self {
            Self::Ring(file) => file.write_both_at(offset, first, second).await,
            Self::PageCache(file) => file.write(offset, first, second).await,
        }
    }

    async fn write_both_durably_at(
        &self,
        offset: u64,
        first: BufSlice,
        second: BufSlice,
    ) -> io::Result<()> {
        match self {
            Self::Ring(file) => file.write_both_durably_at(offset, first, second).await,
            Self::PageCache(file) => {
                file.write(offset, first, second).await?;
                file.ring.sync_data().await.map_err(sync_failed)
            }
        }
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.ring().sync_data().await
    }

    async fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.ring().allocate(offset, len).await
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.ring().set_len(len).await
    }

    async fn len(&self) -> io::Result<u64> {
        self.ring().len().await
    }
}
