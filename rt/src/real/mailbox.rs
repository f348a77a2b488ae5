//! From any thread to one core: the control plane between shards, and the stop signal.
//!
//! The queue has a lock, but the core touches it only after the eventfd said that something is
//! there: the data path pays nothing for it.
//!
//! The eventfd is read through glommio's ring, not ours: a read that waits on one eventfd in a ring
//! that itself signals an eventfd is a nested signal, which Linux 6.18 was seen not to deliver to a
//! sleeping core.

use crate::ring::EventFd;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

struct Shared<T> {
    queue: Mutex<VecDeque<T>>,
    event: EventFd,
}

/// The sending end; clone it for every thread.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Sender<T> {
    /// Queues `message` and wakes the core. Never blocks for longer than another sender's push.
    pub fn send(&self, message: T) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(message);
        self.0.event.signal();
    }
}

/// The receiving end, on its core.
pub struct Mailbox<T> {
    shared: Arc<Shared<T>>,
    event: glommio::io::BufferedFile,
}

impl<T> Mailbox<T> {
    /// The next message; waits until there is one.
    pub async fn receive(&self) -> io::Result<T> {
        loop {
            if let Some(message) = self.take() {
                return Ok(message);
            }
            self.event.read_at(0, 8).await.map_err(io::Error::from)?;
        }
    }

    fn take(&self) -> Option<T> {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

pub(super) fn mailbox<T>() -> io::Result<(Sender<T>, Mailbox<T>)> {
    let event = EventFd::new()?;
    let file = event.as_glommio_file()?;
    let shared = Arc::new(Shared { queue: Mutex::new(VecDeque::new()), event });
    Ok((Sender(shared.clone()), Mailbox { shared, event: file }))
}
