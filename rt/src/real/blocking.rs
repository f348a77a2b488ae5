//! Blocking work on helper threads of a core.
//!
//! ```text
//!   core:    blocking(work) ──mpsc──► helper: work()          result in a slot, number to the mailbox
//!            wakes the waiting task ◄──eventfd, glommio's ring──┘
//! ```
//!
//! Not glommio's `spawn_blocking`: in a broker that handed it a copy per message, one job in some ten thousand (0.9.0, with one
//! thread in its pool or two) lay in its queue, the helper asleep, until the next job came; and work that panics is never answered
//! at all (`a_panic_of_blocking_work_is_its_callers` in tests/real_core.rs hangs with it).

use super::mailbox::{Mailbox, Sender, mailbox};
use slab::Slab;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Poll, Waker};

type Work = Box<dyn FnOnce() + Send>;

struct Job {
    number: usize,
    work: Work,
}

/// A job that is not done: who waits for it.
#[derive(Default)]
struct Waiting {
    done: bool,
    waker: Option<Waker>,
    /// Nobody waits any more: the number is free once it is done.
    abandoned: bool,
}

/// One helper thread and the jobs it has.
#[derive(Clone)]
pub(super) struct Helper {
    jobs: mpsc::Sender<Job>,
    waiting: Rc<RefCell<Slab<Waiting>>>,
}

impl Helper {
    /// Starts the thread. Must be called inside a glommio executor; a detached task of it takes the results in. Both end when
    /// the core does: the thread when the last handle is gone.
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (done, results) = mailbox()?;
        std::thread::Builder::new().name(name.to_owned()).spawn(move || work_until_closed(&todo, &done))?;
        let waiting = Rc::new(RefCell::new(Slab::new()));
        glommio::spawn_local(take_results_in(results, waiting.clone())).detach();
        Ok(Self { jobs, waiting })
    }

    /// Runs `work` there. Its panic goes on here.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let slot = Arc::new(Mutex::new(None));
        let place = slot.clone();
        let work: Work = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        });
        let number = self.waiting.borrow_mut().insert(Waiting::default());
        let abandon = AbandonOnDrop { waiting: &self.waiting, number };
        assert!(self.jobs.send(Job { number, work }).is_ok(), "the helper thread lives as long as its handles");
        poll_fn(|context| {
            let mut waiting = self.waiting.borrow_mut();
            let Some(job) = waiting.get_mut(number) else { return Poll::Ready(()) };
            if job.done {
                return Poll::Ready(());
            }
            job.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        drop(abandon);
        let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match result {
            Some(Ok(value)) => value,
            Some(Err(panic)) => resume_unwind(panic),
            None => panic!("a job that is done has a result"),
        }
    }
}

/// Frees a job's number: at once when it is done, else when it will be.
struct AbandonOnDrop<'a> {
    waiting: &'a RefCell<Slab<Waiting>>,
    number: usize,
}

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.get_mut(self.number) {
            Some(job) if job.done => _ = waiting.remove(self.number),
            Some(job) => job.abandoned = true,
            None => {}
        }
    }
}

fn work_until_closed(todo: &mpsc::Receiver<Job>, done: &Sender<usize>) {
    while let Ok(Job { number, work }) = todo.recv() {
        work();
        done.send(number);
    }
}

async fn take_results_in(results: Mailbox<usize>, waiting: Rc<RefCell<Slab<Waiting>>>) {
    while let Ok(number) = results.receive().await {
        let mut waiting = waiting.borrow_mut();
        let Some(job) = waiting.get_mut(number) else { continue };
        job.done = true;
        let waker = job.waker.take();
        if job.abandoned {
            waiting.remove(number);
        }
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
