//! The loop of a core: turn the ring, let other tasks run, spin a little, sleep.

use super::core::Core;
use crate::ring::{EventFd, Wait};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// "Something was queued on the ring outside a turn."
#[derive(Default)]
pub(super) struct Kick {
    pending: Cell<bool>,
    sleeper: RefCell<Option<Waker>>,
}

impl Kick {
    pub(super) fn kick(&self) {
        self.pending.set(true);
        if let Some(waker) = self.sleeper.borrow_mut().take() {
            waker.wake();
        }
    }
}

type EventRead = Pin<Box<dyn Future<Output = glommio::Result<glommio::io::ReadResult, ()>>>>;

/// Sleeping on the ring's eventfd through glommio. The read stays queued while kicks wake us, and is made anew only
/// when it completed.
struct Sleeper {
    file: std::rc::Rc<glommio::io::BufferedFile>,
    read: Option<EventRead>,
}

impl Sleeper {
    fn new(event: &EventFd) -> io::Result<Self> {
        Ok(Self { file: std::rc::Rc::new(event.as_glommio_file()?), read: None })
    }

    /// Until the ring has completions or somebody kicks.
    async fn sleep(&mut self, kick: &Kick) {
        let file = &self.file;
        let read = self.read.get_or_insert_with(|| {
            let file = file.clone();
            Box::pin(async move { file.read_at(0, 8).await })
        });
        let woken_by_ring = std::future::poll_fn(|cx| poll_sleep(kick, read, cx)).await;
        if woken_by_ring {
            self.read = None;
        }
    }
}

fn poll_sleep(kick: &Kick, read: &mut EventRead, cx: &mut Context<'_>) -> Poll<bool> {
    if kick.pending.take() {
        return Poll::Ready(false);
    }
    *kick.sleeper.borrow_mut() = Some(cx.waker().clone());
    read.as_mut().poll(cx).map(|_| true)
}

/// Turns the ring of `core` until it is told to stop.
pub(super) async fn drive(core: Core) -> io::Result<()> {
    let event = core.0.ring.borrow_mut().event_fd()?;
    let mut sleeper = Sleeper::new(&event)?;
    let mut turns_since_yield = 0;
    while !core.0.stopping.get() {
        let completions = turn(&core)?;
        turns_since_yield += u32::from(completions > 0);
        let kicked = core.0.kick.pending.take();
        // What this turn queued goes out with the next one: that comes first, and the tasks that completions woke (the
        // log's writer, cold reads) run when the ring is quiet for a moment, or after enough turns in a row.
        let quiet = completions == 0 && (turns_since_yield > 0 || kicked);
        if quiet || completions >= YIELD_AT_COMPLETIONS || turns_since_yield >= YIELD_AT_TURNS {
            turns_since_yield = 0;
            futures_lite::future::yield_now().await;
        } else if completions == 0 && !spin(&core).await {
            sleep(&core, &mut sleeper).await;
        }
    }
    Ok(())
}

/// A completion's signal is now and then not delivered to a sleeping core (seen on Linux 6.18 as a ring with finished reads, an
/// eventfd that says 1, and nobody awake): with file operations under way the core looks by itself as well.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(2);

async fn sleep(core: &Core, sleeper: &mut Sleeper) {
    let has_files_in_flight = core.0.ring.borrow().has_files_in_flight();
    if has_files_in_flight {
        futures_lite::future::or(sleeper.sleep(&core.0.kick), glommio::timer::sleep(LOOK_AGAIN_AFTER)).await;
    } else {
        sleeper.sleep(&core.0.kick).await;
    }
}

/// A turn with so many completions lets other tasks run before the next.
const YIELD_AT_COMPLETIONS: usize = 24;
/// So do this many busy turns in a row.
const YIELD_AT_TURNS: u32 = 4;

fn turn(core: &Core) -> io::Result<usize> {
    let client = core.0.client.borrow().clone();
    let mut ring = core.0.ring.borrow_mut();
    let Some(client) = client else {
        return ring.turn(Wait::No, &mut |_| ());
    };
    let count = ring.turn(Wait::No, &mut |event| client.on_event(event))?;
    client.end_turn(&mut ring);
    Ok(count)
}

/// Looks for work for the idle window; true when there is some.
async fn spin(core: &Core) -> bool {
    let window = core.0.idle_spin.get();
    let started = Instant::now();
    while started.elapsed() < window {
        // A short stretch at a time: other tasks (timers, files of glommio) must not wait for the whole of a long window.
        let stretch = Instant::now();
        while stretch.elapsed() < Duration::from_micros(5) {
            if core.0.ring.borrow_mut().has_work() || core.0.kick.pending.get() {
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
