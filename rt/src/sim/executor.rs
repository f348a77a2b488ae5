//! Tasks and virtual time: a ready task is picked at random; when none is ready the clock jumps to
//! the next timer.

use super::random::Random;
use crate::convert::fits;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

type Task = Pin<Box<dyn Future<Output = ()>>>;
type Timers = BTreeMap<(u64, u64), Waker>;

/// The future given to `block_on`, which is no spawned task.
const MAIN: usize = usize::MAX;

/// `Waker` must be `Send`, so the ready list is behind a mutex although one thread uses it.
struct TaskWaker {
    id: usize,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<Arc<TaskWaker>>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            let ready = self.ready.clone();
            ready.lock().unwrap_or_else(PoisonError::into_inner).push(self);
        }
    }
}

struct Slot {
    task: Option<Task>,
    waker: Arc<TaskWaker>,
}

struct Clock {
    now_nanos: Cell<u64>,
    timers: RefCell<Timers>,
    timer_seq: Cell<u64>,
}

pub(super) struct Executor {
    seed: u64,
    tasks: RefCell<Vec<Slot>>,
    ready: Arc<Mutex<Vec<Arc<TaskWaker>>>>,
    clock: Rc<Clock>,
    order: Random,
    digest: Cell<u64>,
}

impl Executor {
    pub(super) fn new(seed: u64, now_nanos: u64) -> Self {
        let clock = Clock {
            now_nanos: Cell::new(now_nanos),
            timers: RefCell::default(),
            timer_seq: Cell::new(0),
        };
        Self {
            seed,
            tasks: RefCell::default(),
            ready: Arc::default(),
            clock: Rc::new(clock),
            order: Random::salted(seed, b"order"),
            digest: Cell::new(seed),
        }
    }

    pub(super) fn now_nanos(&self) -> u64 {
        self.clock.now_nanos.get()
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.get()
    }

    fn waker_of(&self, id: usize) -> Arc<TaskWaker> {
        Arc::new(TaskWaker { id, queued: AtomicBool::new(false), ready: self.ready.clone() })
    }

    pub(super) fn spawn(&self, task: Task) {
        let mut tasks = self.tasks.borrow_mut();
        let waker = self.waker_of(tasks.len());
        tasks.push(Slot { task: Some(task), waker: waker.clone() });
        waker.wake();
    }

    /// Drops every task, as the end of a process does. Outside the borrow: what a task holds may
    /// come back here.
    pub(super) fn drop_tasks(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        self.clock.timers.borrow_mut().clear();
    }

    pub(super) fn sleep(&self, duration: Duration) -> Sleep {
        let nanos = fits::<u64, _>(duration.as_nanos().min(u128::from(u64::MAX / 4)));
        let seq = self.clock.timer_seq.get();
        self.clock.timer_seq.set(seq + 1);
        Sleep { clock: self.clock.clone(), key: (self.now_nanos().saturating_add(nanos), seq) }
    }

    pub(super) fn block_on<T>(&self, main: impl Future<Output = T>) -> T {
        let mut main = pin!(main);
        let main_waker = self.waker_of(MAIN);
        main_waker.clone().wake();
        loop {
            let Some(next) = self.take_ready() else {
                assert!(
                    self.jump_to_next_timer(),
                    "simulation stands still: nothing is ready and no timer is set (seed {})",
                    self.seed
                );
                continue;
            };
            if next.id != MAIN {
                self.run_task(&next);
            } else if Arc::ptr_eq(&next, &main_waker) {
                let waker = Waker::from(next);
                if let Poll::Ready(value) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            }
        }
    }

    fn take_ready(&self) -> Option<Arc<TaskWaker>> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_empty() {
            return None;
        }
        let picked = self.order.index_below(ready.len());
        let next = ready.swap_remove(picked);
        next.queued.store(false, Ordering::Relaxed);
        let seen = self.digest.get() ^ self.now_nanos() ^ next.id as u64;
        self.digest.set(seen.wrapping_mul(0x0000_0100_0000_01B3).rotate_left(17));
        Some(next)
    }

    fn run_task(&self, which: &Arc<TaskWaker>) {
        let taken = self
            .tasks
            .borrow_mut()
            .get_mut(which.id)
            .filter(|slot| Arc::ptr_eq(&slot.waker, which))
            .and_then(|slot| slot.task.take());
        let Some(mut task) = taken else { return };
        let waker = Waker::from(which.clone());
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            && let Some(slot) = self.tasks.borrow_mut().get_mut(which.id)
        {
            slot.task = Some(task);
        }
    }

    fn jump_to_next_timer(&self) -> bool {
        let Some(((at, _), waker)) = self.clock.timers.borrow_mut().pop_first() else {
            return false;
        };
        self.clock.now_nanos.set(at.max(self.now_nanos()));
        waker.wake();
        true
    }
}

/// Completes when the virtual clock has passed its time.
pub(super) struct Sleep {
    clock: Rc<Clock>,
    key: (u64, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.clock.now_nanos.get() >= self.key.0 {
            return Poll::Ready(());
        }
        self.clock.timers.borrow_mut().insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.timers.borrow_mut().remove(&self.key);
    }
}
