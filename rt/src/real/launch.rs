//! Starting one pinned executor for each shard, and telling how each ended.

use super::core::Core;
use super::driver;
use super::failure::{CoreFailure, caught, note_panics};
use crate::ring::{Ring, RingConfig, RingError};
use std::cell::OnceCell;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::thread::JoinHandle;

/// Where the executor of a shard runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorePlacement {
    /// Pinned to this CPU.
    Pinned(usize),
    /// Wherever the scheduler likes (the name server).
    Unpinned,
}

/// Why the executors could not start, with the fix.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The ring could not be had.
    #[error("shard {shard}: {error}")]
    Ring {
        /// Which shard.
        shard: usize,
        /// What the ring said.
        error: RingError,
    },
    /// glommio refused.
    #[error(
        "shard {shard}: the executor does not start on {placement:?}: {error}. Fix: `ulimit -l` \
            must be at least 512 (KiB; LimitMEMLOCK=infinity in a unit file), io_uring must be \
            allowed, and the core must be in this process's CPU set"
    )]
    Executor {
        /// Which shard.
        shard: usize,
        /// Where it was to run.
        placement: CorePlacement,
        /// What glommio said.
        error: String,
    },
}

/// The CPUs that this process may use, in order.
#[must_use]
pub fn available_cores() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if cores.is_empty() { vec![0] } else { cores.into_iter().map(|core| core.id).collect() }
}

/// The threads of the running cores.
pub struct Running {
    threads: Vec<JoinHandle<Result<(), CoreFailure>>>,
}

impl Running {
    /// Waits until every core has ended. Returns the first failure; a panic or a failed ring comes
    /// before errors of main futures, which may follow from it.
    pub fn join(self) -> io::Result<()> {
        let mut failures: Vec<CoreFailure> =
            self.threads.into_iter().filter_map(|thread| ended(thread).err()).collect();
        failures.sort_by_key(|failure| matches!(failure, CoreFailure::Main(_)));
        failures.into_iter().next().map_or(Ok(()), |failure| Err(failure.into()))
    }
}

fn ended(thread: JoinHandle<Result<(), CoreFailure>>) -> Result<(), CoreFailure> {
    let panicked = |_| CoreFailure::Main(io::Error::other("the end of a core could not be told"));
    thread.join().unwrap_or_else(|payload| Err(panicked(payload)))
}

/// [`launch_watched`] without anybody who is told at once: for programs of one core, which wait in
/// [`Running::join`], and for tests.
pub fn launch<M, F>(
    placements: &[CorePlacement],
    ring: RingConfig,
    main: M,
) -> Result<Running, LaunchError>
where
    M: Fn(Core, usize) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    launch_watched(placements, ring, main, |_, _| ())
}

/// Starts `main` on one executor for each placement. `main` gets its core and the core's number,
/// and the core stops when `main` ends. Returns once every ring and executor is up. If one is not,
/// the error says why, and the others are not waited for.
///
/// `on_end` is called on a core's thread as the last thing that happens there: with the core's
/// number, and with what `main` returned or how the core failed. The other cores go on; whoever is
/// told decides what becomes of them.
///
/// After a panic or a failed ring a core does nothing more. Its tasks are not dropped, its queued
/// writes are not submitted, its store is not closed: what a broken program state might do is worse
/// than a store that has to be recovered. Its sockets stay open until the process ends.
pub fn launch_watched<M, F>(
    placements: &[CorePlacement],
    ring: RingConfig,
    main: M,
    on_end: impl Fn(usize, &Result<(), CoreFailure>) + Clone + Send + 'static,
) -> Result<Running, LaunchError>
where
    M: Fn(Core, usize) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    note_panics();
    // glommio makes rings of its own first and panics where it may not. This one says the fix.
    Ring::new(&ring).map_err(|error| LaunchError::Ring { shard: 0, error })?;
    let mut threads = Vec::new();
    for (shard, &placement) in placements.iter().enumerate() {
        let (main, on_end) = (main.clone(), on_end.clone());
        let (ready, is_ready) = mpsc::channel();
        let run = move || {
            let outcome = run_core(placement, ring, &ready, |core| main(core, shard));
            drop(ready); // whoever waits for it must not wait for what `on_end` does
            on_end(shard, &outcome);
            outcome
        };
        let thread = std::thread::Builder::new().name(format!("shard-{shard}")).spawn(run);
        let refused = |error: String| LaunchError::Executor { shard, placement, error };
        threads.push(thread.map_err(|error| refused(error.to_string()))?);
        match is_ready.recv() {
            Ok(Ok(())) => {}
            Ok(Err(NotReady::Ring(error))) => return Err(LaunchError::Ring { shard, error }),
            Ok(Err(NotReady::Executor(error))) => return Err(refused(error)),
            Err(_) => return Err(refused("its thread ended before it was ready".to_owned())),
        }
    }
    Ok(Running { threads })
}

enum NotReady {
    Ring(RingError),
    Executor(String),
}

type Ready = mpsc::Sender<Result<(), NotReady>>;

/// The life of a core's thread.
fn run_core<F: Future<Output = io::Result<()>> + 'static>(
    placement: CorePlacement,
    ring: RingConfig,
    ready: &Ready,
    main: impl FnOnce(Core) -> F,
) -> Result<(), CoreFailure> {
    let executor = executor(placement).map_err(|said| {
        let _told = ready.send(Err(NotReady::Executor(said.clone())));
        CoreFailure::Main(io::Error::other(said))
    })?;
    // Keeps the ring beyond a panic: dropping it would turn it once more.
    let kept = OnceCell::new();
    let outcome = caught(|| executor.run(live(ring, ready, &kept, main)));
    let outcome = outcome.unwrap_or_else(|panic| Err(panic.into()));
    if matches!(outcome, Err(CoreFailure::Panicked { .. } | CoreFailure::Ring(_))) {
        std::mem::forget((executor, kept));
    }
    outcome
}

fn executor(placement: CorePlacement) -> Result<glommio::LocalExecutor, String> {
    let placed = match placement {
        CorePlacement::Pinned(cpu) => glommio::Placement::Fixed(cpu),
        CorePlacement::Unpinned => glommio::Placement::Unbound,
    };
    // The log and the sockets have rings of their own: glommio's registered memory would only be
    // resident and idle.
    let builder = glommio::LocalExecutorBuilder::new(placed)
        .io_memory(GLOMMIO_IO_MEMORY_BYTES)
        .ring_depth(64);
    // Two helper threads, so that a write to the page cache (logBackend=mmap) does not wait
    // for a rename.
    let builder = builder.blocking_thread_pool_placement(glommio::PoolPlacement::Unbound(2));
    match caught(|| builder.make()) {
        Ok(made) => made.map_err(|error| error.to_string()),
        Err(panic) => Err(CoreFailure::from(panic).to_string()),
    }
}

/// Runs the driver and `main` until `main` ends or the ring fails.
async fn live<F: Future<Output = io::Result<()>> + 'static>(
    ring: RingConfig,
    ready: &Ready,
    kept: &OnceCell<Core>,
    main: impl FnOnce(Core) -> F,
) -> Result<(), CoreFailure> {
    let core = match Core::new(&ring) {
        Ok(core) => kept.get_or_init(|| core).clone(),
        Err(error) => {
            let said = error.to_string();
            let _told = ready.send(Err(NotReady::Ring(error)));
            return Err(CoreFailure::Main(io::Error::other(said)));
        }
    };
    let driver = glommio::spawn_local_into(driver::drive(core.clone()), core.foreground());
    let mut driver =
        driver.map_err(|error| CoreFailure::Main(io::Error::other(error.to_string())))?;
    super::pulse::start(&core.0);
    let _told = ready.send(Ok(()));
    // Not dropped unless it has ended: see `launch_watched`.
    let mut main = ManuallyDrop::new(Box::pin(main(core.clone())));
    let first = poll_fn(|cx| match Pin::new(&mut driver).poll(cx) {
        Poll::Ready(driven) => Poll::Ready(Err(driven)),
        Poll::Pending => main.as_mut().poll(cx).map(Ok),
    });
    match first.await {
        Ok(outcome) => {
            drop(ManuallyDrop::into_inner(main));
            core.stop_driver();
            driver.await.map_err(CoreFailure::Ring)?;
            outcome.map_err(CoreFailure::Main)
        }
        Err(Err(error)) => Err(CoreFailure::Ring(error)),
        Err(Ok(())) => Err(CoreFailure::Ring(io::Error::other("its driver ended by itself"))),
    }
}

/// glommio pins this much per executor for DmaFile buffers, which we do not use.
const GLOMMIO_IO_MEMORY_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_core_whose_ring_fails_is_told_at_once_and_its_main_is_not_polled_any_more() {
        let (told_in, told) = mpsc::channel();
        let main = |core: Core, _| async move {
            core.0.ring.borrow().close_descriptor();
            core.wake();
            std::future::pending::<io::Result<()>>().await
        };
        let on_end = move |core, outcome: &Result<(), CoreFailure>| {
            told_in.send((core, format!("{outcome:?}"))).expect("the test waits");
        };
        let placements = [CorePlacement::Unpinned];
        let running = launch_watched(&placements, RingConfig::default(), main, on_end);
        let running = running.expect("starts");
        let (core, outcome) = told.recv_timeout(Duration::from_secs(60)).expect("it is told");
        assert!(core == 0 && outcome.contains("Ring("), "{outcome}");
        let said = running.join().expect_err("it failed").to_string();
        assert!(said.contains("the ring of a core failed"), "{said}");
    }
}
