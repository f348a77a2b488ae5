//! A core's file: through the ring, or mapped.

use crate::buf::BufSlice;
use crate::mmap::{Lending, Mapping};
use crate::ring::RingFile;
use crate::runtime::File;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// An open file of a [`super::Core`].
#[derive(Clone)]
pub enum CoreFile {
    /// Read, written and synced through the ring.
    Ring(RingFile),
    /// Written by copies into its mapping.
    Mapped(MappedFile),
}

/// Reads and syncs go through the ring (the mapping and the page cache are one); writes are copied
/// on a helper thread.
#[derive(Clone)]
pub struct MappedFile {
    file: RingFile,
    /// Made with the first write: the file has its length then.
    mapping: Rc<RefCell<Option<Arc<Mapping>>>>,
}

impl CoreFile {
    pub(super) fn mapped(file: RingFile) -> Self {
        Self::Mapped(MappedFile { file, mapping: Rc::default() })
    }

    /// The ring's file behind it.
    #[must_use]
    pub fn ring(&self) -> &RingFile {
        match self {
            Self::Ring(file) | Self::Mapped(MappedFile { file, .. }) => file,
        }
    }
}

impl MappedFile {
    async fn mapping(&self) -> io::Result<Arc<Mapping>> {
        let there = self.mapping.borrow().clone();
        if let Some(mapping) = there {
            return Ok(mapping);
        }
        let file = self.file.to_std()?;
        let mapping = glommio::executor().spawn_blocking(move || Mapping::of(&file)).await?;
        Ok(self.mapping.borrow_mut().insert(Arc::new(mapping)).clone())
    }

    async fn copy(&self, offset: u64, first: BufSlice, second: BufSlice) -> io::Result<()> {
        let mapping = self.mapping().await?;
        let end = offset + (first.len() + second.len()) as u64;
        let behind = offset + first.len() as u64;
        if end > mapping.len() {
            let what = format!("a write up to {end} into a file mapped up to {}", mapping.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let lending = Lending::new([first, second]);
        let [first, second] = lending.lent();
        let copied = glommio::executor()
            .spawn_blocking(move || mapping.copy(offset, &first) && mapping.copy(behind, &second))
            .await;
        lending.end();
        if copied { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
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
            Self::Mapped(file) => file.copy(offset, first, second).await,
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
            Self::Mapped(mapped) => {
                mapped.copy(offset, first, second).await?;
                mapped.file.sync_data().await
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
