//! One io_uring of one thread: sockets and log files.
//!
//! ```text
//!   submit side                              kernel            completion side
//!   accept / connect / "readable?"  --SQE-->        --CQE-->  Ring::turn -> Event to a closure
//!   RingFile::{read,write,sync}     --SQE-->        --CQE-->  the waiting future is woken
//!
//!   readable --> recv(2) into the one receive buffer; an Event::Received borrows it while the
//!                closure runs. So half frames of slow peers never hold one.
//!   send     --> send(2) at once; only what the kernel does not take waits in the ring
//! ```
//!
//! SINGLE_ISSUER and DEFER_TASKRUN: completions are only produced inside [`Ring::turn`], on this
//! thread, so nothing interrupts the core while it works on messages.
//!
//! Memory safety in one sentence: whatever the kernel may still read or write (send queues, file
//! slices, socket addresses) is owned by this ring's table of operations until the completion
//! arrives, and the ring, when dropped, waits for all of them.

#![expect(
    unsafe_code,
    reason = "io_uring shares memory with the kernel; every block says why it is sound"
)]

mod durable;
mod files;
mod ops;
mod receive;
mod send;
mod setup;
mod socket;
mod sys;

pub use files::RingFile;
pub(crate) use files::SharedRing;
pub use ops::{Event, ReceiveEnd, Token};
pub use send::SendQueue;
pub use setup::{RingConfig, RingError};
pub use socket::{Socket, connect_socket, listen_socket};
pub(crate) use sys::{EventFd, disk_space, lock_exclusively, utc_offset_seconds};
pub use sys::{FileLimit, raise_file_limit};

use crate::convert::fits;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use ops::Op;
use receive::{Inbox, Read, Receiving};
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

/// Turns that go by without a look into the kernel while received sockets keep the core busy: a
/// disk completion waits so long.
const TURNS_WITHOUT_ENTER: u32 = 4;

/// What the kernel runs of its deferred work in one enter that waits for nothing
/// (IO_LOCAL_TW_DEFAULT_MAX in io_uring/io_uring.c, since Linux 6.13).
const DEFERRED_PER_ENTER: usize = 20;

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
    inbox: Inbox,
    /// Went out at once; told in the next turn.
    sent_at_once: Vec<ops::Sending>,
    turns_since_enter: u32,
    /// Reused between turns.
    completions: Vec<Completion>,
    /// Entries are queued that the kernel has not been given yet.
    has_queued: bool,
    /// The kernel's flag "there is deferred work" was still set after a turn that found none. It
    /// may mean nothing then: the kernel queues a completion first and sets the flag afterwards,
    /// and a turn in between takes the completion and leaves the flag. So the flag is not looked at
    /// again until work comes; [`Ring::run_deferred`] makes sure before the core sleeps.
    stale_taskrun: bool,
    event_fd: Option<EventFd>,
    /// Finished ones, kept to be used again.
    #[expect(
        clippy::vec_box,
        reason = "the kernel is given pointers into an operation: it is used again where it lies"
    )]
    idle_file_ops: Vec<Box<files::FileOp>>,
}

impl Ring {
    /// A ring for this thread. Errors say what to change on the host.
    pub fn new(config: &RingConfig) -> Result<Self, RingError> {
        let uring = setup::build(config)?;
        Ok(Self {
            uring,
            ops: Slab::with_capacity(256),
            inbox: Inbox::new(config.receive_buf_bytes),
            sent_at_once: Vec::with_capacity(64),
            turns_since_enter: 0,
            completions: Vec::with_capacity(256),
            has_queued: false,
            stale_taskrun: false,
            event_fd: None,
            idle_file_ops: Vec::new(),
        })
    }

    /// An eventfd that the kernel signals whenever completions are waiting, so that another event
    /// loop can sleep on it.
    pub(crate) fn event_fd(&mut self) -> io::Result<EventFd> {
        let fd = EventFd::new()?;
        self.uring.submitter().register_eventfd(fd.raw())?;
        self.event_fd = Some(fd.clone());
        Ok(fd)
    }

    /// Whether the kernel signals the eventfd. A core that is awake looks by itself, and a signal
    /// costs whoever causes it: a peer on this host in the middle of its send. The next
    /// [`Ring::turn`] finds what came while it was off; only then may the core sleep.
    pub(crate) fn signal_event_fd(&mut self, on: bool) {
        let completion = self.uring.completion();
        if on {
            completion.enable_eventfd()
        } else {
            completion.disable_eventfd()
        }
        // What follows must not be looked at before the kernel can see this.
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }

    /// Runs the work that the kernel has put off until this thread enters it. A core does so before
    /// it sleeps: one enter runs [`DEFERRED_PER_ENTER`] items and leaves the flag set when there
    /// are more, without signalling the eventfd again. The items may be polls that find nothing,
    /// so a turn without completions does not mean that nothing is left.
    pub(crate) fn run_deferred(&mut self) -> io::Result<()> {
        // The flag alone is no proof of work (see `stale_taskrun`): hence the bound.
        let enters_max = self.ops.len() / DEFERRED_PER_ENTER + 1;
        for _ in 0..enters_max {
            if !self.uring.submission().taskrun() {
                break;
            }
            self.enter(Wait::No)?;
        }
        Ok(())
    }

    /// Whether a [`Ring::turn`] would find or submit anything, as far as shared memory tells (no
    /// system call). It may return false although work has just arrived; the eventfd covers that
    /// case while the core sleeps.
    pub fn has_work(&mut self) -> bool {
        if self.has_queued || !self.inbox.is_empty() || !self.sent_at_once.is_empty() {
            return true;
        }
        if !self.stale_taskrun && self.uring.submission().taskrun() {
            return true;
        }
        !self.uring.completion().is_empty()
    }

    /// Closes the ring under the feet of its owner, which must be leaked afterwards.
    #[cfg(test)]
    pub(crate) fn close_descriptor(&self) {
        use std::os::fd::AsRawFd as _;
        // SAFETY: test: nobody drops the ring, so the number is not closed a second time.
        unsafe { libc::close(self.uring.as_raw_fd()) };
    }

    /// Operations that have not completed yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.ops.len() + self.sent_at_once.len()
    }

    /// Submits what was queued, hands every network completion to `sink` and receives from the
    /// sockets that have bytes; file completions wake their futures. Returns how much there was:
    /// completions and reads.
    pub fn turn(&mut self, wait: Wait, sink: &mut dyn FnMut(Event<'_>)) -> io::Result<usize> {
        let told = self.tell_sent_at_once(sink);
        if self.inbox.is_empty() || self.has_queued || self.turns_since_enter >= TURNS_WITHOUT_ENTER
        {
            self.turns_since_enter = 0;
            let has_work = told > 0 || !self.inbox.is_empty();
            self.enter(if has_work { Wait::No } else { wait })?;
        } else {
            self.turns_since_enter += 1;
        }
        let count = told + self.take_completions(sink) + self.receive_ready(sink);
        self.stale_taskrun = count == 0 && self.uring.submission().taskrun();
        Ok(count)
    }

    fn tell_sent_at_once(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> usize {
        let told = self.sent_at_once.len();
        for send in self.sent_at_once.drain(..) {
            sink(Event::Sent { token: send.token, queue: send.queue, result: Ok(()) });
        }
        told
    }

    fn take_completions(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> usize {
        let mut completions = std::mem::take(&mut self.completions);
        completions.clear();
        completions.extend(self.uring.completion().map(|c| Completion {
            key: fits(c.user_data()),
            result: c.result(),
            flags: c.flags(),
        }));
        for completion in &completions {
            self.complete(completion, sink);
        }
        let count = completions.len();
        self.completions = completions;
        count
    }

    /// Reads from the sockets in the line, as far as this turn goes.
    fn receive_ready(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> usize {
        let (mut reads, mut bytes) = (0, 0);
        while reads < receive::READS_PER_TURN && bytes < receive::BYTES_PER_TURN {
            match self.inbox.read_next(&mut self.ops) {
                None => break,
                Some(Read::Got(token, data)) => {
                    bytes += data.len();
                    sink(Event::Received { token, data });
                }
                Some(Read::Nothing) => {}
                Some(Read::Over(key)) => self.cancel(key),
            }
            reads += 1;
        }
        reads
    }

    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.has_queued = false;
        let outcome = match wait {
            Wait::No => {
                let queued = fits(self.uring.submission().len());
                // IORING_ENTER_GETEVENTS runs deferred work, also when nothing is waited for.
                let get_events = 1;
                // SAFETY: no argument is passed, so nothing has to live across the call.
                unsafe {
                    self.uring.submitter().enter::<libc::sigset_t>(queued, 0, get_events, None)
                }
            }
            Wait::AtMost(limit) => {
                let limit = types::Timespec::from(limit);
                self.uring
                    .submitter()
                    .submit_with_args(1, &types::SubmitArgs::new().timespec(&limit))
            }
        };
        match outcome {
            Ok(_) => Ok(()),
            // ETIME: the wait is over; EINTR: a signal came; EBUSY: completions must be taken
            // first, which is next.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EBUSY)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn complete(&mut self, completion: &Completion, sink: &mut dyn FnMut(Event<'_>)) {
        let more = cqueue::more(completion.flags);
        match self.ops.get_mut(completion.key) {
            Some(Op::Accept { token, .. }) if more => {
                return ops::accepted(*token, completion, more, sink);
            }
            Some(Op::Receive(receiving)) if completion.result >= 0 => {
                self.inbox.readable(completion.key, receiving, completion.result);
                // The kernel may end a poll that nobody cancelled (its completion queue was full):
                // then it begins anew.
                let again = (!more && !receiving.has_ended())
                    .then(|| receiving.entry().user_data(completion.key as u64));
                if let Some(again) = again {
                    // SAFETY: a poll points to no memory.
                    unsafe { self.push_entry(&again) };
                    return;
                }
                if more {
                    return;
                }
            }
            _ if more => return,
            _ => {}
        }
        let Some(op) = self.ops.try_remove(completion.key) else {
            return; // the completion of a cancel or of a link timeout: nobody waits for it
        };
        match op {
            Op::Accept { token, .. } => ops::accepted(token, completion, false, sink),
            Op::Receive(receiving) => {
                self.inbox.forget(completion.key, &receiving);
                sink(Event::ReceiveEnded {
                    token: receiving.token,
                    why: receiving.end(completion.result),
                });
            }
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
            Err(Some(error)) => {
                sink(Event::Sent { token: send.token, queue: send.queue, result: Err(error) })
            }
        }
    }

    /// Accepts connections on `listener` until [`Ring::shut`] or an error: one [`Event::Accepted`]
    /// each.
    pub fn accept(&mut self, token: Token, listener: &Socket) {
        let entry = opcode::AcceptMulti::new(types::Fd(listener.raw()));
        let entry = entry.flags(libc::SOCK_CLOEXEC).build();
        self.push(entry, Op::Accept { token, socket: listener.clone() });
    }

    /// Receives on `socket` until it is closed: one [`Event::Received`] per read, at last
    /// [`Event::ReceiveEnded`].
    pub fn receive(&mut self, token: Token, socket: &Socket) {
        let receiving = Receiving::new(token, socket.clone());
        self.push(receiving.entry(), Op::Receive(receiving));
    }

    /// Sends everything in `queue`, then gives it back in [`Event::Sent`]. One send at a time per
    /// socket, or the bytes mix. Returns whether the kernel took all of it at once; otherwise the
    /// ring sends the rest as the peer makes room for it.
    pub fn send(&mut self, token: Token, socket: &Socket, queue: SendQueue) -> bool {
        let mut send = ops::Sending { token, socket: socket.clone(), queue };
        let whole = send.queue.send_now(&send.socket);
        if whole {
            self.sent_at_once.push(send);
        } else {
            self.push_send(send);
        }
        whole
    }

    fn push_send(&mut self, mut send: ops::Sending) {
        let fd = types::Fd(send.socket.raw());
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = match send.queue.as_single() {
            Some(bytes) => {
                // A longer piece goes out in several sends.
                let len = fits(bytes.len().min(u32::MAX as usize));
                opcode::Send::new(fd, bytes.as_ptr(), len).flags(flags).build()
            }
            None => {
                let flags = fits(flags);
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
        // SAFETY: the timespec that the entry points to lives in the boxed `Connecting`, which the
        // table owns until the connect completes, and the kernel copies it at submission.
        unsafe { self.push_entry(&timeout_entry.user_data(u64::MAX)) };
    }

    /// Ends all that is in flight on `socket`: receives and accepts finish with an event, sends
    /// fail.
    pub fn shut(&mut self, socket: &Socket) {
        socket.shutdown();
        let cancel =
            opcode::AsyncCancel2::new(types::CancelBuilder::fd(types::Fd(socket.raw())).all())
                .build();
        // SAFETY: a cancel points to no memory.
        unsafe { self.push_entry(&cancel.user_data(u64::MAX)) };
    }

    /// Stops only the receive of `token` on `socket` (back-pressure); it finishes with
    /// [`ReceiveEnd::Stopped`].
    pub fn stop_receiving(&mut self, token: Token) {
        let found = self.ops.iter_mut().find_map(|(key, op)| match op {
            Op::Receive(receiving) if receiving.token == token => {
                receiving.stop(ReceiveEnd::Stopped).then_some(key)
            }
            _ => None,
        });
        if let Some(key) = found {
            self.cancel(key);
        }
    }

    fn cancel(&mut self, key: usize) {
        let cancel = opcode::AsyncCancel::new(key as u64).build();
        // SAFETY: a cancel points to no memory.
        unsafe { self.push_entry(&cancel.user_data(u64::MAX)) };
    }

    fn push(&mut self, entry: squeue::Entry, op: Op) -> usize {
        let key = self.ops.insert(op);
        // SAFETY: whatever the entry points to is owned by `op`, which stays in the table until the
        // completion.
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
        self.has_queued = true;
    }

    fn make_room(&mut self, entries: usize) {
        loop {
            let submission = self.uring.submission();
            if submission.capacity() - submission.len() >= entries {
                return;
            }
            drop(submission);
            if let Err(error) = self.uring.submit() {
                // EBUSY and EAGAIN pass once completions are taken; anything else would mean a
                // broken ring.
                let passing =
                    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EAGAIN | libc::EINTR));
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
        }
    }
}

#[cfg(test)]
mod tests;
