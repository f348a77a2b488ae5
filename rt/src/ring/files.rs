//! Files read and written through the ring.

use super::Ring;
use super::durable::{Way, Ways};
use super::ops::Op;
use crate::buf::{AppendBuf, BufSlice};
use crate::convert::fits;
use crate::runtime::{DIRECT_ALIGN, File, sync_failed};
use io_uring::{opcode, squeue, types};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// The ring of a core, for the tasks that read and write files through it. Knows how to wake the
/// core's loop, which submits what they queue.
#[derive(Clone)]
pub(crate) struct SharedRing {
    ring: Rc<RefCell<Ring>>,
    wake_loop: Rc<dyn Fn()>,
    /// Of durable writes with O_DIRECT.
    ways: Rc<Ways>,
}

impl SharedRing {
    /// `wake_loop` is called when an operation was queued, so that a sleeping loop turns the ring.
    pub(crate) fn new(ring: Rc<RefCell<Ring>>, wake_loop: Rc<dyn Fn()>) -> Self {
        Self { ring, wake_loop, ways: Rc::default() }
    }

    pub(crate) fn submit(&self, kind: FileOpKind) -> FileFuture {
        let future = self.push(kind);
        (self.wake_loop)();
        future
    }

    /// Both in one submission, which linking needs.
    fn submit_both(&self, first: FileOpKind, second: FileOpKind) -> (FileFuture, FileFuture) {
        self.ring.borrow_mut().make_room(2);
        let both = (self.push(first), self.push(second));
        (self.wake_loop)();
        both
    }

    fn push(&self, kind: FileOpKind) -> FileFuture {
        let mut ring = self.ring.borrow_mut();
        let op = ring.idle_file_ops.pop().unwrap_or_default().begin(kind);
        let state = op.state.clone();
        ring.push_file(op);
        FileFuture { state }
    }
}

/// An open file whose reads, writes and syncs go through the core's ring. Closed with its last
/// clone.
#[derive(Clone)]
pub struct RingFile {
    ops: SharedRing,
    fd: Rc<OwnedFd>,
    direct: bool,
}

impl RingFile {
    pub(crate) fn new(ops: SharedRing, fd: OwnedFd, direct: bool) -> Self {
        Self { ops, fd: Rc::new(fd), direct }
    }

    /// The same open file for blocking calls on another thread.
    pub(crate) fn to_std(&self) -> io::Result<std::fs::File> {
        Ok(self.fd.try_clone()?.into())
    }

    /// A write that is durable when it is done. One operation, so that the kernel goes on to the
    /// flush by itself: a linked fdatasync starts only when the core enters the kernel again.
    /// [`Ways`] has what else tells the two apart.
    async fn write_dsync(&self, offset: u64, first: BufSlice, second: BufSlice) -> io::Result<()> {
        let pieces = [first.clone(), second.clone()];
        let write = FileOpKind::write(&self.fd, offset, pieces, WhenDone::Durable);
        match self.ops.submit(write).await {
            // Nobody knows whether the write or the flush found no space, and only the write may
            // be tried again: one after the other tells.
            Err(error) if is_no_space(&error) => {
                self.write_both_at(offset, first, second).await?;
                self.sync_data().await.map_err(sync_failed)
            }
            done => done.map(drop),
        }
    }

    /// A write with an fdatasync that is linked to it, in one submission.
    ///
    /// Public for the bench `durable_write`, which shows on any host what either way costs.
    pub async fn write_linked_at(
        &self,
        offset: u64,
        first: BufSlice,
        second: BufSlice,
    ) -> io::Result<()> {
        let write = FileOpKind::write(&self.fd, offset, [first, second], WhenDone::SyncFollows);
        let sync = FileOpKind::SyncData { fd: self.fd.clone() };
        let (written, synced) = self.ops.submit_both(write, sync);
        written.await?;
        match synced.await {
            // A short write cancels what is linked to it; the rest of the write went out by itself.
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => self.sync_data().await,
            synced => synced.map(drop),
        }
        .map_err(sync_failed)
    }
}

impl File for RingFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<BufSlice> {
        let align = DIRECT_ALIGN as u64;
        let from = if self.direct { offset - offset % align } else { offset };
        let skip: usize = fits(offset - from);
        let want = if self.direct { (skip + len).next_multiple_of(DIRECT_ALIGN) } else { len };
        let all = self.ops.submit(FileOpKind::read(&self.fd, from, want, self.direct)).await?;
        if all.len() < want {
            self.check_is_end(from, all.len(), want).await?;
        }
        let end = (skip + len).min(all.len());
        Ok(all.part(skip.min(end)..end))
    }

    async fn write_at(&self, offset: u64, data: BufSlice) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.ops
            .submit(FileOpKind::write(
                &self.fd,
                offset,
                [data, BufSlice::empty()],
                WhenDone::Cached,
            ))
            .await
            .map(drop)
    }

    async fn write_both_at(
        &self,
        offset: u64,
        first: BufSlice,
        second: BufSlice,
    ) -> io::Result<()> {
        if first.is_empty() && second.is_empty() {
            return Ok(());
        }
        self.ops
            .submit(FileOpKind::write(&self.fd, offset, [first, second], WhenDone::Cached))
            .await
            .map(drop)
    }

    async fn write_both_durably_at(
        &self,
        offset: u64,
        first: BufSlice,
        second: BufSlice,
    ) -> io::Result<()> {
        if first.is_empty() && second.is_empty() {
            return Ok(());
        }
        if !self.direct {
            return self.write_linked_at(offset, first, second).await;
        }
        let (way, began) = (self.ops.ways.next(), Instant::now());
        match way {
            Way::Dsync => self.write_dsync(offset, first, second).await?,
            Way::Linked => self.write_linked_at(offset, first, second).await?,
        }
        self.ops.ways.took(way, fits(began.elapsed().as_nanos().min(u128::from(u64::MAX))));
        Ok(())
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.ops.submit(FileOpKind::SyncData { fd: self.fd.clone() }).await.map(drop)
    }

    async fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let reserved = self
            .ops
            .submit(FileOpKind::Allocate { fd: self.fd.clone(), offset, len })
            .await
            .map(drop);
        match reserved {
            // ramfs, NFSv3 and others can't reserve space; the file still has to have its length.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                let end = offset.saturating_add(len);
                if self.len().await? < end { self.set_len(end).await } else { Ok(()) }
            }
            reserved => reserved,
        }
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        // io_uring has ftruncate from 6.9 on only.
        let file = self.to_std()?;
        glommio::executor().spawn_blocking(move || file.set_len(len)).await
    }

    async fn len(&self) -> io::Result<u64> {
        let file = self.to_std()?;
        glommio::executor().spawn_blocking(move || Ok(file.metadata()?.len())).await
    }
}

impl RingFile {
    /// A read that came back short must have met the end of the file: a device that stops in the
    /// middle of it must not make anybody believe that the file ends there.
    async fn check_is_end(&self, from: u64, found: usize, wanted: usize) -> io::Result<()> {
        let there = self.len().await?.saturating_sub(from).min(wanted as u64);
        if there <= found as u64 {
            return Ok(());
        }
        let what = format!(
            "read {found} bytes at {from} where the file has {there}: the device stopped in the \
                middle"
        );
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
    }
}

fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What holds for a write's bytes once it completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenDone {
    /// The device or the page cache has them.
    Cached,
    /// They survive a power cut (RWF_DSYNC: on an extent that was written before, one device write
    /// with FUA or one write and one flush, without a journal commit).
    Durable,
    /// As `Cached`, and the operation pushed next starts only after it (IOSQE_IO_LINK).
    SyncFollows,
}

/// What a file operation does; owns the memory that the kernel reads or writes.
pub(crate) enum FileOpKind {
    Read {
        fd: Rc<OwnedFd>,
        offset: u64,
        buf: Rc<AppendBuf>,
        len: usize,
        direct: bool,
    },
    Write {
        fd: Rc<OwnedFd>,
        offset: u64,
        pieces: [BufSlice; 2],
        when_done: WhenDone,
        vectors: [libc::iovec; 2],
    },
    SyncData {
        fd: Rc<OwnedFd>,
    },
    Allocate {
        fd: Rc<OwnedFd>,
        offset: u64,
        len: u64,
    },
    /// Waiting to be used again.
    Nothing,
}

impl FileOpKind {
    fn read(fd: &Rc<OwnedFd>, offset: u64, len: usize, direct: bool) -> Self {
        Self::Read { fd: fd.clone(), offset, buf: AppendBuf::with_capacity(len), len, direct }
    }

    fn write(fd: &Rc<OwnedFd>, offset: u64, pieces: [BufSlice; 2], when_done: WhenDone) -> Self {
        Self::Write { fd: fd.clone(), offset, pieces, when_done, vectors: [NO_BYTES; 2] }
    }

    /// Bytes to transfer in all.
    fn len(&self) -> usize {
        match self {
            Self::Read { len, .. } => *len,
            Self::Write { pieces: [first, second], .. } => first.len() + second.len(),
            Self::SyncData { .. } | Self::Allocate { .. } | Self::Nothing => 0,
        }
    }
}

pub(crate) struct FileOp {
    kind: FileOpKind,
    done_bytes: usize,
    state: Rc<FileOpState>,
}

impl Default for FileOp {
    fn default() -> Self {
        Self { kind: FileOpKind::Nothing, done_bytes: 0, state: Rc::default() }
    }
}

/// Finished operations that a ring keeps for the next ones, so that a device write allocates
/// nothing. The log has two in flight (write and fdatasync), the rest is for the files beside it;
/// what a wave of cold reads needed on top goes back.
const IDLE_FILE_OPS_MAX: usize = 16;

#[derive(Default)]
struct FileOpState {
    result: Cell<Option<io::Result<BufSlice>>>,
    waker: Cell<Option<Waker>>,
}

/// Completes with the bytes read (empty for other operations). Dropping it leaves the operation to
/// finish by itself.
pub(crate) struct FileFuture {
    state: Rc<FileOpState>,
}

impl Future for FileFuture {
    type Output = io::Result<BufSlice>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                self.state.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

/// The longest single read or write; the kernel's own limit is a page below 2 GiB.
const TRANSFER_MAX: usize = 1 << 30;

const NO_BYTES: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// Whether a write that has `done` bytes behind it is linked to the operation pushed after it. Only
/// its first submission is: the rest of a short write is pushed later, when something else follows.
fn links_next(when_done: WhenDone, done: usize) -> bool {
    when_done == WhenDone::SyncFollows && done == 0
}

/// What is left of `pieces` after `done` bytes, as the kernel takes it: true for two vectors, false
/// for one.
fn vectors_after(pieces: &[BufSlice; 2], done: usize, vectors: &mut [libc::iovec; 2]) -> bool {
    let rest = |piece: &BufSlice, done: usize| {
        let left = piece.get(done..).unwrap_or_default();
        libc::iovec { iov_base: left.as_ptr().cast_mut().cast(), iov_len: left.len() }
    };
    let [first, second] = pieces;
    let (first, second) = (rest(first, done), rest(second, done.saturating_sub(first.len())));
    *vectors = if first.iov_len == 0 { [second, first] } else { [first, second] };
    first.iov_len > 0 && second.iov_len > 0
}

impl FileOp {
    /// Makes this, fresh or used, an operation that has yet to start.
    fn begin(mut self: Box<Self>, kind: FileOpKind) -> Box<Self> {
        match Rc::get_mut(&mut self.state) {
            Some(state) => *state = FileOpState::default(),
            // Whoever waits for the one before has not looked yet.
            None => self.state = Rc::default(),
        }
        self.done_bytes = 0;
        self.kind = kind;
        self
    }

    /// The entry points into `self` and must not outlive its box.
    fn entry(&mut self) -> squeue::Entry {
        let left = (self.kind.len() - self.done_bytes).min(TRANSFER_MAX);
        let len: u32 = fits(left);
        let done = self.done_bytes as u64;
        match &mut self.kind {
            FileOpKind::Read { fd, offset, buf, .. } => {
                let at = buf.unfilled(self.done_bytes);
                opcode::Read::new(types::Fd(fd.as_raw_fd()), at, len).offset(*offset + done).build()
            }
            FileOpKind::Write { fd, offset, pieces, when_done, vectors } => {
                let count = if vectors_after(pieces, self.done_bytes, vectors) { 2 } else { 1 };
                let flags = if *when_done == WhenDone::Durable { libc::RWF_DSYNC } else { 0 };
                let entry = opcode::Writev::new(types::Fd(fd.as_raw_fd()), vectors.as_ptr(), count)
                    .offset(*offset + done)
                    .rw_flags(flags)
                    .build();
                if links_next(*when_done, self.done_bytes) {
                    entry.flags(squeue::Flags::IO_LINK)
                } else {
                    entry
                }
            }
            FileOpKind::SyncData { fd } => opcode::Fsync::new(types::Fd(fd.as_raw_fd()))
                .flags(types::FsyncFlags::DATASYNC)
                .build(),
            FileOpKind::Allocate { fd, offset, len } => {
                opcode::Fallocate::new(types::Fd(fd.as_raw_fd()), *len).offset(*offset).build()
            }
            FileOpKind::Nothing => opcode::Nop::new().build(),
        }
    }

    /// Takes in one completion: `Some` when the operation is over.
    fn advance(&mut self, result: i32) -> Option<io::Result<BufSlice>> {
        let moved = match usize::try_from(result) {
            Ok(moved) => moved,
            Err(_) if result == -libc::EINTR || result == -libc::EAGAIN => return None,
            Err(_) => return Some(Err(io::Error::from_raw_os_error(-result))),
        };
        self.done_bytes += moved;
        match &self.kind {
            FileOpKind::Read { buf, len, direct, .. } => {
                // The rest of an O_DIRECT read can be asked for only where it is aligned; elsewhere
                // that is the file's end.
                let may_go_on = !direct || moved % DIRECT_ALIGN == 0;
                let over = moved == 0 || self.done_bytes >= *len || !may_go_on;
                over.then(|| {
                    // SAFETY: the kernel has written `done_bytes` from the start of the buffer,
                    // which nobody else has seen.
                    unsafe { buf.freeze(self.done_bytes) };
                    Ok(BufSlice::new(buf.clone(), 0..self.done_bytes))
                })
            }
            FileOpKind::Write { .. } if moved == 0 && self.kind.len() > 0 => Some(Err(
                io::Error::new(io::ErrorKind::WriteZero, "the file system took no byte of a write"),
            )),
            _ if self.done_bytes < self.kind.len() => None,
            _ => Some(Ok(BufSlice::empty())),
        }
    }
}

impl Ring {
    fn push_file(&mut self, mut op: Box<FileOp>) {
        let entry = op.entry();
        self.push(entry, Op::File(op));
    }

    pub(super) fn file_done(&mut self, mut op: Box<FileOp>, result: i32) {
        match op.advance(result) {
            None => self.push_file(op),
            Some(outcome) => {
                op.kind = FileOpKind::Nothing; // lets go of the file and the memory
                if Rc::strong_count(&op.state) > 1 {
                    op.state.result.set(Some(outcome));
                }
                if let Some(waker) = op.state.waker.take() {
                    waker.wake();
                }
                if self.idle_file_ops.len() < IDLE_FILE_OPS_MAX {
                    self.idle_file_ops.push(op);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_op(len: usize, direct: bool) -> FileOp {
        let fd = Rc::new(std::fs::File::open("/dev/null").unwrap().into());
        FileOp { kind: FileOpKind::read(&fd, 0, len, direct), done_bytes: 0, state: Rc::default() }
    }

    #[test]
    fn the_rest_of_a_short_write_is_linked_to_nothing() {
        assert!(links_next(WhenDone::SyncFollows, 0));
        assert!(!links_next(WhenDone::SyncFollows, 1) && !links_next(WhenDone::Durable, 0));
    }

    #[test]
    fn an_operation_used_again_knows_nothing_of_the_one_before() {
        let mut op = Box::new(read_op(4096, true));
        op.advance(4096);
        op.state.result.set(Some(Err(io::ErrorKind::Other.into())));
        let nobody_waited = op.begin(FileOpKind::Nothing);
        assert!(nobody_waited.done_bytes == 0 && nobody_waited.state.result.take().is_none());
        let late = FileFuture { state: nobody_waited.state.clone() };
        late.state.result.set(Some(Ok(BufSlice::empty())));
        let used_again = nobody_waited.begin(FileOpKind::Nothing);
        assert!(
            !Rc::ptr_eq(&used_again.state, &late.state) && late.state.result.take().is_some(),
            "who looks late finds its own result"
        );
    }

    #[test]
    fn a_read_is_over_when_it_is_whole_or_the_file_ends_and_not_because_the_device_gave_a_part() {
        for direct in [false, true] {
            let mut op = read_op(16_384, direct);
            assert!(op.advance(8192).is_none(), "the rest is asked for");
            assert_eq!(op.advance(8192).unwrap().unwrap().len(), 16_384);
            let mut op = read_op(16_384, direct);
            assert!(op.advance(4096).is_none());
            assert_eq!(op.advance(0).unwrap().unwrap().len(), 4096, "the file ends");
            let mut op = read_op(16_384, direct);
            assert!(op.advance(4096).is_none());
            assert_eq!(
                op.advance(-libc::EIO).unwrap().unwrap_err().raw_os_error(),
                Some(libc::EIO)
            );
        }
        // A cached page that could not be read ends a read at a page's boundary: any length, seen
        // from its beginning.
        let mut cached = read_op(16_384, false);
        assert!(cached.advance(3996).is_none());
        assert_eq!(
            cached.advance(-libc::EIO).unwrap().unwrap_err().raw_os_error(),
            Some(libc::EIO)
        );
        let mut direct = read_op(16_384, true);
        assert_eq!(direct.advance(3996).unwrap().unwrap().len(), 3996);
    }
}
