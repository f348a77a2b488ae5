//! One io_uring of one thread: sockets and log files.
//!
//! ```text
//!   submit side                                kernel                    completion side
//!   accept / recv / send / connect  --SQE-->             --CQE-->  Ring::turn -> Event to the caller's closure
//!   RingFile::{read,write,sync}     --SQE-->             --CQE-->  the waiting future is woken
//!
//!   receive buffers: 64 x 64 KiB, given to the kernel in a ring; an Event::Received borrows one for the
//!   length of the closure's call, then it goes back. So half frames of slow peers never hold one.
//! ```
//!
//! SINGLE_ISSUER and DEFER_TASKRUN: completions are only produced inside [`Ring::turn`], on this thread, so nothing
//! interrupts the core while it works on messages.
//!
//! Memory safety in one sentence: whatever the kernel may still read or write (send queues, file slices, socket
//! addresses, the receive buffers) is owned by this ring's table of operations until the completion arrives, and the
//! ring, when dropped, waits for all of them.

#![expect(unsafe_code, reason = "io_uring shares memory with the kernel; every block says why it is sound")]

mod bufs;
mod files;
mod ops;
mod send;
mod setup;
mod sys;

pub use files::{FileOps, RingFile};
pub use ops::{Event, ReceiveEnd, Token};
pub use send::SendQueue;
pub use setup::{RingConfig, RingError};
pub(crate) use sys::{EventFd, disk_space, lock_exclusively, utc_offset_seconds};
pub use sys::{Socket, connect_socket, listen_socket, raise_fd_limit};

use bufs::ReceiveBufs;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use ops::Op;
use slab::Slab;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How [`Ring::turn`] treats an empty completion queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Take what is there.
    No,
    /// Sleep until something completes, at most this long.
    AtMost(Duration),
}

/// A completion as the kernel reported it, copied out before it is handled.
struct Completion {
    key: usize,
    result: i32,
    flags: u32,
}

/// One io_uring and everything in flight on it. Owned by one thread; not `Send`.
pub struct Ring {
    uring: IoUring,
    ops: Slab<Op>,
    bufs: ReceiveBufs,
    /// Reused between turns.
    completions: Vec<Completion>,
    submitted_unseen: bool,
    /// The kernel's "there is deferred work" was set after a turn that found none: it says nothing until work comes. It queues
    /// a completion first and sets the flag then; a turn in between takes the one and leaves the other.
    stale_taskrun: bool,
    event_fd: Option<EventFd>,
    /// File operations that the kernel has.
    files_in_flight: usize,
    /// Finished ones, kept to be used again.
    #[expect(clippy::vec_box, reason = "the kernel is given pointers into an operation: it is used again where it lies")]
    idle_file_ops: Vec<Box<files::FileOp>>,
}

impl Ring {
    /// A ring for this thread. Errors say what to change on the host.
    pub fn new(config: &RingConfig) -> Result<Self, RingError> {
        let uring = setup::build(config)?;
        let bufs = ReceiveBufs::register(&uring, config)?;
        Ok(Self {
            uring,
            ops: Slab::with_capacity(256),
            bufs,
            completions: Vec::with_capacity(256),
            submitted_unseen: false,
            stale_taskrun: false,
            event_fd: None,
            files_in_flight: 0,
            idle_file_ops: Vec::new(),
        })
    }

    /// An eventfd that the kernel signals whenever completions are waiting, so that another event loop can sleep on it.
    pub(crate) fn event_fd(&mut self) -> io::Result<EventFd> {
        let fd = EventFd::new()?;
        self.uring.submitter().register_eventfd(fd.raw())?;
        self.event_fd = Some(fd.clone());
        Ok(fd)
    }

    /// Whether the kernel has file operations that are not over.
    pub fn has_files_in_flight(&self) -> bool {
        self.files_in_flight > 0
    }

    /// Whether a [`Ring::turn`] would find or submit anything, as far as shared memory tells (no system call). False is no
    /// promise: what it misses the eventfd has been signalled for.
    pub fn has_work(&mut self) -> bool {
        if self.submitted_unseen {
            return true;
        }
        if !self.stale_taskrun && self.uring.submission().taskrun() {
            return true;
        }
        !self.uring.completion().is_empty()
    }

    /// Operations that have not completed yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.ops.len()
    }

    /// Submits what was queued and hands every network completion to `sink`; file completions wake their futures.
    /// Returns how many completions there were.
    pub fn turn(&mut self, wait: Wait, sink: &mut dyn FnMut(Event<'_>)) -> io::Result<usize> {
        self.enter(wait)?;
        let mut completions = std::mem::take(&mut self.completions);
        completions.clear();
        completions.extend(self.uring.completion().map(|c| Completion {
            key: usize::try_from(c.user_data()).unwrap_or(usize::MAX),
            result: c.result(),
            flags: c.flags(),
        }));
        for completion in &completions {
            self.complete(completion, sink);
        }
        self.bufs.publish();
        let count = completions.len();
        self.stale_taskrun = count == 0 && self.uring.submission().taskrun();
        self.completions = completions;
        Ok(count)
    }

    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.submitted_unseen = false;
        let outcome = match wait {
            Wait::No => {
                let queued = u32::try_from(self.uring.submission().len()).unwrap_or(u32::MAX);
                let get_events = 1; // IORING_ENTER_GETEVENTS: runs the deferred task work even when nothing is waited for
                // SAFETY: no argument is passed, so nothing has to live across the call.
                unsafe { self.uring.submitter().enter::<libc::sigset_t>(queued, 0, get_events, None) }
            }
            Wait::AtMost(limit) => {
                let limit = types::Timespec::from(limit);
                self.uring.submitter().submit_with_args(1, &types::SubmitArgs::new().timespec(&limit))
            }
        };
        match outcome {
            Ok(_) => Ok(()),
            // ETIME: the wait is over; EINTR: a signal came; EBUSY: completions must be taken first, which is next.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn complete(&mut self, completion: &Completion, sink: &mut dyn FnMut(Event<'_>)) {
        let more = cqueue::more(completion.flags);
        if more {
            // A multishot operation that goes on: it stays in the table.
            if let Some(op) = self.ops.get(completion.key) {
                ops::multishot_event(op, completion, &mut self.bufs, sink);
            }
            return;
        }
        let Some(op) = self.ops.try_remove(completion.key) else {
            return; // the completion of a cancel or of a link timeout: nobody waits for it
        };
        match op {
            Op::Accept { .. } | Op::Receive { .. } => ops::multishot_end(&op, completion, &mut self.bufs, sink),
            Op::Connect(connect) => sink(connect.into_event(completion.result)),
            Op::Send(send) => self.sent(send, completion.result, sink),
            Op::File(file) => self.file_done(file, completion.result),
        }
    }

    fn sent(&mut self, mut send: ops::Sending, result: i32, sink: &mut dyn FnMut(Event<'_>)) {
        let outcome = match usize::try_from(result) {
            Ok(bytes) => {
                send.queue.advance(bytes);
                if send.queue.unsent_bytes() == 0 { Ok(()) } else { Err(None) }
            }
            Err(_) if result == -libc::EINTR || result == -libc::EAGAIN => Err(None),
            Err(_) => Err(Some(io::Error::from_raw_os_error(-result))),
        };
        match outcome {
            Ok(()) => sink(Event::Sent { token: send.token, queue: send.queue, result: Ok(()) }),
            Err(None) => self.push_send(send), // a short send: the rest follows
            Err(Some(error)) => sink(Event::Sent { token: send.token, queue: send.queue, result: Err(error) }),
        }
    }

    /// Accepts connections on `listener` until [`Ring::shut`] or an error: one [`Event::Accepted`] each.
    pub fn accept(&mut self, token: Token, listener: &Socket) {
        let entry = opcode::AcceptMulti::new(types::Fd(listener.raw()));
        let entry = entry.flags(libc::SOCK_CLOEXEC).build();
        self.push(entry, Op::Accept { token, socket: listener.clone() });
    }

    /// Receives on `socket` until it is closed: one [`Event::Received`] per buffer filled, at last [`Event::ReceiveEnded`].
    pub fn receive(&mut self, token: Token, socket: &Socket) {
        let entry = opcode::RecvMulti::new(types::Fd(socket.raw()), ReceiveBufs::GROUP).build();
        self.push(entry, Op::Receive { token, socket: socket.clone() });
    }

    /// Sends everything in `queue`, then gives it back in [`Event::Sent`]. One send at a time per socket, or the bytes mix.
    pub fn send(&mut self, token: Token, socket: &Socket, queue: SendQueue) {
        self.push_send(ops::Sending { token, socket: socket.clone(), queue });
    }

    fn push_send(&mut self, mut send: ops::Sending) {
        let fd = types::Fd(send.socket.raw());
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = match send.queue.as_single() {
            Some(bytes) => {
                let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX); // a longer one goes out in several sends
                opcode::Send::new(fd, bytes.as_ptr(), len).flags(flags).build()
            }
            None => {
                let flags = u32::try_from(flags).unwrap_or(0);
                opcode::SendMsg::new(fd, send.queue.message_header()).flags(flags).build()
            }
        };
        self.push(entry, Op::Send(send));
    }

    /// Connects `socket` to `addr`, giving up after `timeout`: one [`Event::Connected`].
    pub fn connect(&mut self, token: Token, socket: &Socket, addr: SocketAddr, timeout: Duration) {
        let connect = ops::Connecting::new(token, socket.clone(), addr, timeout);
        let (connect_entry, timeout_entry) = connect.entries();
        // Both entries must reach the kernel in one submission to be linked.
        self.make_room(2);
        self.push(connect_entry, Op::Connect(connect));
        // SAFETY: the timespec that the entry points to lives in the boxed `Connecting`, which the table owns until the
        // connect completes, and the kernel copies it at submission.
        unsafe { self.push_entry(&timeout_entry.user_data(u64::MAX)) };
    }

    /// Ends all that is in flight on `socket`: receives and accepts finish with an event, sends fail.
    pub fn shut(&mut self, socket: &Socket) {
        socket.shutdown();
        let cancel = opcode::AsyncCancel2::new(types::CancelBuilder::fd(types::Fd(socket.raw())).all()).build();
        // SAFETY: a cancel points to no memory.
        unsafe { self.push_entry(&cancel.user_data(u64::MAX)) };
    }

    /// Stops only the receive of `token` on `socket` (back-pressure); it finishes with [`ReceiveEnd::Stopped`].
    pub fn stop_receiving(&mut self, token: Token) {
        let found = self.ops.iter().find(|(_, op)| matches!(op, Op::Receive { token: t, .. } if *t == token));
        if let Some((key, _)) = found {
            let cancel = opcode::AsyncCancel::new(key as u64).build();
            // SAFETY: a cancel points to no memory.
            unsafe { self.push_entry(&cancel.user_data(u64::MAX)) };
        }
    }

    fn push(&mut self, entry: squeue::Entry, op: Op) -> usize {
        let key = self.ops.insert(op);
        // SAFETY: whatever the entry points to is owned by `op`, which stays in the table until the completion.
        unsafe { self.push_entry(&entry.user_data(key as u64)) };
        key
    }

    /// # Safety
    /// What `entry` points to must stay valid until its completion has been taken.
    unsafe fn push_entry(&mut self, entry: &squeue::Entry) {
        self.make_room(1);
        // SAFETY: the caller's promise.
        let pushed = unsafe { self.uring.submission().push(entry) };
        assert!(pushed.is_ok(), "the submission queue has room: make_room saw to it");
        self.submitted_unseen = true;
    }

    fn make_room(&mut self, entries: usize) {
        loop {
            let submission = self.uring.submission();
            if submission.capacity() - submission.len() >= entries {
                return;
            }
            drop(submission);
            if let Err(error) = self.uring.submit() {
                // EBUSY and EAGAIN pass once completions are taken; anything else would mean a broken ring.
                let passing = matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EAGAIN | libc::EINTR));
                assert!(passing, "io_uring refuses submissions: {error}");
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let sockets: Vec<Socket> = self.ops.iter().filter_map(|(_, op)| op.socket()).collect();
        for socket in &sockets {
            self.shut(socket);
        }
        let mut turns = 0;
        while !self.ops.is_empty() && turns < 100 {
            turns += 1;
            if self.turn(Wait::AtMost(Duration::from_millis(50)), &mut |_| ()).is_err() {
                break;
            }
        }
        if !self.ops.is_empty() {
            // Something hangs in the kernel: leak what it may still touch rather than free it.
            std::mem::forget(std::mem::take(&mut self.ops));
            self.bufs.leak();
        }
    }
}
