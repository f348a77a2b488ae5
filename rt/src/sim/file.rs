//! An open file of the simulated machine: every operation takes time, may fail as the machine's
//! faults say, and changes the disk only when it completes.

use super::disk::Disk;
use super::{FaultOp, LockGuard, Machine, Sim};
use crate::buf::{AppendBuf, BufSlice};
use crate::runtime::{DIRECT_ALIGN, File, Filesystem, OpenMode, Runtime};
use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// An open file of a [`Sim`].
#[derive(Clone)]
pub struct SimFile {
    handle: Rc<Handle>,
}

/// What clones share: dropping the last one closes the file.
struct Handle {
    sim: Sim,
    path: PathBuf,
    inode: usize,
    mode: OpenMode,
    _lock: Option<LockGuard>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.sim.machine.disk.borrow_mut().closed(self.inode);
    }
}

impl SimFile {
    pub(super) fn new(
        sim: &Sim,
        path: &Path,
        inode: usize,
        mode: OpenMode,
        lock: Option<LockGuard>,
    ) -> Self {
        sim.machine.disk.borrow_mut().opened(inode);
        Self {
            handle: Rc::new(Handle {
                sim: sim.clone(),
                path: path.to_owned(),
                inode,
                mode,
                _lock: lock,
            }),
        }
    }

    fn sim(&self) -> &Sim {
        &self.handle.sim
    }

    fn inode(&self) -> usize {
        self.handle.inode
    }

    fn disk(&self) -> &RefCell<Disk> {
        &self.sim().machine.disk
    }

    async fn operation(&self, op: FaultOp) -> io::Result<()> {
        self.sim().operation(op, &self.handle.path).await
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.handle.mode == OpenMode::Read {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "opened to read only"));
        }
        Ok(())
    }

    fn check_aligned(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let align = DIRECT_ALIGN as u64;
        let aligned = offset.is_multiple_of(align)
            && data.len().is_multiple_of(DIRECT_ALIGN)
            && data.as_ptr().addr().is_multiple_of(DIRECT_ALIGN);
        if self.handle.mode == OpenMode::Direct && !aligned {
            let what = format!(
                "O_DIRECT write of {} bytes at {offset}: not aligned to {align}",
                data.len()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        Ok(())
    }

    fn begin_write(&self, offset: u64, data: &[u8]) -> u64 {
        let is_direct = self.handle.mode == OpenMode::Direct;
        self.disk().borrow_mut().begin_write(self.inode(), offset, data, is_direct)
    }

    /// What changes a file's blocks or length waits for the O_DIRECT writes of a killed process.
    fn wait_for_late_writes(&self) {
        let of_this = |(inode, _): &(usize, u64)| *inode == self.inode();
        let late = self.sim().machine.late_writes.borrow().clone();
        for (inode, seq) in late.into_iter().filter(of_this) {
            self.disk().borrow_mut().land(inode, seq);
        }
    }

    fn touch(&self) {
        self.disk().borrow_mut().touch(self.inode(), self.sim().wall_ms());
    }
}

impl File for SimFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<BufSlice> {
        let mut bytes = Vec::new();
        loop {
            self.operation(FaultOp::Read).await?;
            let part = self.sim().machine.faults.part_of(len - bytes.len(), &self.handle.path);
            let read = self.disk().borrow().read(self.inode(), offset + bytes.len() as u64, part);
            bytes.extend_from_slice(&read);
            if read.len() < part || bytes.len() == len {
                return Ok(AppendBuf::copy_of(&bytes));
            }
        }
    }

    async fn write_at(&self, offset: u64, data: BufSlice) -> io::Result<()> {
        self.check_writable()?;
        self.check_aligned(offset, &data)?;
        let op = self.begin_write(offset, &data);
        let outcome = self.operation(FaultOp::Write).await;
        while self.sim().machine.writes_held.get() {
            self.sim().sleep(Duration::from_micros(100)).await;
        }
        self.touch();
        let faults = &self.sim().machine.faults;
        if let Err(error) = outcome {
            let mut disk = self.disk().borrow_mut();
            if error.kind() == io::ErrorKind::StorageFull {
                disk.stop_write(self.inode(), op, faults.randomness());
            } else {
                disk.fail_write(self.inode(), op, faults.randomness());
            }
            return Err(error);
        }
        faults.note_space(self.disk().borrow_mut().end_write(self.inode(), op))
    }

    async fn sync_data(&self) -> io::Result<()> {
        let upto = self.disk().borrow().done_ops(self.inode());
        let outcome = self.operation(FaultOp::Sync).await;
        if self.disk().borrow_mut().take_failure(self.inode()) {
            return Err(io::Error::other("an earlier writeback of this file failed"));
        }
        match &outcome {
            Ok(()) => self.disk().borrow_mut().sync(self.inode(), &upto),
            Err(_) => {
                let direct = self.handle.mode == OpenMode::Direct;
                self.disk().borrow_mut().fail_sync(
                    self.inode(),
                    &upto,
                    direct,
                    self.sim().machine.faults.randomness(),
                );
            }
        }
        outcome
    }

    async fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.operation(FaultOp::Allocate).await?;
        self.wait_for_late_writes();
        self.touch();
        self.sim()
            .machine
            .faults
            .note_space(self.disk().borrow_mut().allocate(self.inode(), offset + len))
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.operation(FaultOp::Allocate).await?;
        self.wait_for_late_writes();
        self.touch();
        self.disk().borrow_mut().set_len(self.inode(), len);
        Ok(())
    }

    async fn len(&self) -> io::Result<u64> {
        self.sim().io_time().await;
        Ok(self.disk().borrow().len(self.inode()))
    }
}

/// The files below a folder of a [`Sim`]: no more than these is durable after a sync.
#[derive(Clone)]
pub struct SimFilesystem {
    pub(super) sim: Sim,
    pub(super) folder: PathBuf,
}

impl Filesystem for SimFilesystem {
    async fn sync(&self) -> io::Result<()> {
        let Machine { disk, faults, .. } = &*self.sim.machine;
        let upto = disk.borrow().done_below(&self.folder);
        let outcome = self.sim.operation(FaultOp::Sync, &self.folder).await;
        match &outcome {
            Ok(()) => disk.borrow_mut().sync_below(&self.folder, &upto),
            Err(_) => disk.borrow_mut().fail_some(&upto, faults.randomness()),
        }
        outcome
    }
}
