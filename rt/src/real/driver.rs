//! The loop of a core: turn the ring, let other tasks run, spin a little, sleep.

use super::core::Core;
use crate::ring::Wait;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// "Something was queued on the ring outside a turn."
#[derive(Default)]
pub(super) struct WakeUp {
    pending: Cell<bool>,
    sleeper: RefCell<Option<Waker>>,
}

impl WakeUp {
    pub(super) fn signal(&self) {
        self.pending.set(true);
        if let Some(waker) = self.sleeper.borrow_mut().take() {
            waker.wake();
        }
    }

    fn keep(&self, waker: &Waker) {
        *self.sleeper.borrow_mut() = Some(waker.clone());
    }
}

/// What a sleeping core waits for through glommio: a read of the ring's eventfd. It stays where it
/// is from one sleep to the next and is made anew only when it completed: it costs glommio a few
/// allocations.
struct Sleeper<'a, E>(Pin<&'a mut Option<E>>);

impl<E: Future> Sleeper<'_, E> {
    /// Until the ring has completions or somebody signals.
    async fn sleep(&mut self, wake_up: &WakeUp, read_event: impl Fn() -> E) {
        if self.0.is_none() {
            self.0.set(Some(read_event()));
        }
        std::future::poll_fn(|cx| self.poll(wake_up, cx)).await;
    }

    fn poll(&mut self, wake_up: &WakeUp, cx: &mut Context<'_>) -> Poll<()> {
        if wake_up.pending.take() {
            return Poll::Ready(());
        }
        wake_up.keep(cx.waker());
        if completed(&mut self.0, cx) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Whether the future is over; then it is gone.
fn completed<F: Future>(place: &mut Pin<&mut Option<F>>, cx: &mut Context<'_>) -> bool {
    let over = place.as_mut().as_pin_mut().is_some_and(|future| future.poll(cx).is_ready());
    if over {
        place.set(None);
    }
    over
}

/// Turns the ring of `core` until it is told to stop.
pub(super) async fn drive(core: Core) -> io::Result<()> {
    let event = core.0.ring.borrow_mut().event_fd()?;
    let file = Rc::new(event.as_glommio_file()?);
    let read_event = || {
        let file = file.clone();
        async move { file.read_at(0, 8).await }
    };
    let mut sleeper = Sleeper(std::pin::pin!(None));
    let mut turns_since_yield = 0;
    core.0.ring.borrow_mut().signal_event_fd(false);
    while !core.0.stopping.get() {
        let completions = turn(&core)?;
        turns_since_yield += u32::from(completions > 0);
        let was_woken = core.0.wake_up.pending.take();
        // What this turn queued goes out with the next one: that comes first, and the tasks that
        // completions woke (the log's writer, cold reads) run when the ring is quiet for a moment,
        // or after enough turns in a row.
        let quiet = completions == 0 && (turns_since_yield > 0 || was_woken);
        if quiet || completions >= YIELD_AT_COMPLETIONS || turns_since_yield >= YIELD_AT_TURNS {
            turns_since_yield = 0;
            futures_lite::future::yield_now().await;
        } else if completions == 0 && !spin(&core).await {
            // What came while nothing was signalled is found by one more turn.
            core.0.ring.borrow_mut().signal_event_fd(true);
            core.0.ring.borrow_mut().run_deferred()?;
            let missed = turn(&core)?;
            turns_since_yield += u32::from(missed > 0);
            if missed == 0 && !core.0.ring.borrow_mut().has_work() {
                sleeper.sleep(&core.0.wake_up, read_event).await;
            }
            core.0.ring.borrow_mut().signal_event_fd(false);
        }
    }
    Ok(())
}

/// A turn with so many completions lets other tasks run before the next.
const YIELD_AT_COMPLETIONS: usize = 24;
/// So do this many busy turns in a row.
const YIELD_AT_TURNS: u32 = 4;

fn turn(core: &Core) -> io::Result<usize> {
    let client = core.0.client.borrow().clone();
    let mut ring = core.0.ring.borrow_mut();
    let count = match client {
        None => ring.turn(Wait::No, &mut |_| ())?,
        Some(client) => {
            let count = ring.turn(Wait::No, &mut |event| client.on_event(event))?;
            client.end_turn(&mut ring);
            count
        }
    };
    core.0.completions.set(core.0.completions.get().wrapping_add(count as u64));
    Ok(count)
}

/// Looks for work for the idle window; true when there is some. Adds up the time that it takes.
async fn spin(core: &Core) -> bool {
    let started = Instant::now();
    let found = look_for_work(core, started).await;
    let spun = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    core.0.idle_spin_nanos.set(core.0.idle_spin_nanos.get().saturating_add(spun));
    found
}

async fn look_for_work(core: &Core, started: Instant) -> bool {
    let window = core.0.idle_spin.get();
    while started.elapsed() < window {
        // A short stretch at a time: other tasks (timers, files of glommio) must not wait for the
        // whole of a long window.
        let stretch = Instant::now();
        while stretch.elapsed() < Duration::from_micros(5) {
            if core.0.ring.borrow_mut().has_work() || core.0.wake_up.pending.get() {
                return true;
            }
            std::hint::spin_loop();
        }
        if window > Duration::from_micros(50) {
            glommio::executor().yield_task_queue_now().await;
        }
    }
    core.0.ring.borrow_mut().has_work()
}
