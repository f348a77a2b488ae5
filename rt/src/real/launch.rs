//! Starting one pinned executor per shard.

use super::core::Core;
use super::driver;
use crate::ring::{RingConfig, RingError};
use std::future::Future;
use std::io;
use std::sync::mpsc;
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
        "shard {shard}: the executor does not start on {placement:?}: {error}. Fix: `ulimit -l` must be at least 512 \
         (KiB; LimitMEMLOCK=infinity in a unit file), io_uring must be allowed, and the core \
         must be in this process's CPU set"
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

/// The threads of the running shards.
pub struct Running {
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// Waits until every shard's main future has ended; the first error wins.
    pub fn join(self) -> io::Result<()> {
        let mut outcome = Ok(());
        for thread in self.threads {
            let ended = thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a shard's thread panicked")));
            outcome = outcome.and(ended);
        }
        outcome
    }
}

/// Starts `main` on one executor per placement. `main` gets its core and the shard's number, and
/// the core stops when it ends. Returns once every ring and executor is up; if one is not, the
/// error says why and the others are not waited for.
pub fn launch<M, F>(
    placements: &[CorePlacement],
    ring: RingConfig,
    main: M,
) -> Result<Running, LaunchError>
where
    M: Fn(Core, usize) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    let mut threads = Vec::new();
    for (shard, &placement) in placements.iter().enumerate() {
        let main = main.clone();
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(format!("shard-{shard}"))
            .spawn(move || run_shard(placement, ring, &ready, |core| main(core, shard)));
        let thread = thread.map_err(|error| LaunchError::Executor {
            shard,
            placement,
            error: error.to_string(),
        })?;
        threads.push(thread);
        match is_ready.recv() {
            Ok(Ok(())) => {}
            Ok(Err(Failure::Ring(error))) => return Err(LaunchError::Ring { shard, error }),
            Ok(Err(Failure::Executor(error))) => {
                return Err(LaunchError::Executor { shard, placement, error });
            }
            Err(_) => {
                let error = "its thread ended before it was ready".to_owned();
                return Err(LaunchError::Executor { shard, placement, error });
            }
        }
    }
    Ok(Running { threads })
}

enum Failure {
    Ring(RingError),
    Executor(String),
}

fn run_shard<F: Future<Output = io::Result<()>> + 'static>(
    placement: CorePlacement,
    ring: RingConfig,
    ready: &mpsc::Sender<Result<(), Failure>>,
    main: impl FnOnce(Core) -> F,
) -> io::Result<()> {
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
    let executor = match builder.make() {
        Ok(executor) => executor,
        Err(error) => {
            let said = error.to_string();
            let _told = ready.send(Err(Failure::Executor(said.clone())));
            return Err(io::Error::other(said));
        }
    };
    executor.run(async move {
        let core = match Core::new(&ring) {
            Ok(core) => core,
            Err(error) => {
                let said = error.to_string();
                let _told = ready.send(Err(Failure::Ring(error)));
                return Err(io::Error::other(said));
            }
        };
        let driving = core.clone();
        let driver = glommio::spawn_local_into(driver::drive(driving), core.foreground())
            .map_err(|e| io::Error::other(e.to_string()))?;
        let _told = ready.send(Ok(()));
        let outcome = main(core.clone()).await;
        core.stop_driver();
        let driven = driver.await;
        outcome.and(driven)
    })
}

/// glommio pins this much per executor for DmaFile buffers, which we do not use.
const GLOMMIO_IO_MEMORY_BYTES: usize = 64 * 1024;
