//! What becomes of a core that panics, and of the others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use futures_lite::future::poll_once;
use rt::real::{Core, CoreFailure, CorePlacement, Running, Sender, launch_watched};
use rt::ring::RingConfig;
use rt::{AppendBuf, File as _, OpenMode, Priority, Runtime as _};
use std::future::Future;
use std::io;
use std::panic::Location;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Two cores: core 0 adds up what it is sent until that is 0, core 1 does what the test says.
struct Cores {
    running: Running,
    sums: Receiver<u32>,
    adds: Sender<u32>,
    ends: Receiver<(usize, String)>,
}

fn cores<F: Future<Output = io::Result<()>> + 'static>(
    second: impl Fn(Core) -> F + Clone + Send + 'static,
) -> Cores {
    let (sums_in, sums) = mpsc::channel();
    let (adds_in, adds) = mpsc::channel();
    let (ends_in, ends) = mpsc::channel();
    let main = move |core: Core, index: usize| {
        let (sums, adds, second) = (sums_in.clone(), adds_in.clone(), second.clone());
        async move {
            if index == 1 {
                return second(core).await;
            }
            let (sender, mailbox) = core.mailbox()?;
            adds.send(sender).unwrap();
            let mut sum = 0;
            loop {
                match mailbox.receive().await? {
                    0 => return Ok(()),
                    number => sum += number,
                }
                sums.send(sum).unwrap();
            }
        }
    };
    let on_end = move |core, outcome: &Result<(), CoreFailure>| {
        let said = outcome.as_ref().map_or_else(ToString::to_string, |()| "as asked".to_owned());
        ends_in.send((core, said)).unwrap();
    };
    let placements = [CorePlacement::Unpinned; 2];
    let running = launch_watched(&placements, RingConfig::default(), main, on_end).unwrap();
    Cores { running, sums, adds: adds.recv().unwrap(), ends }
}

impl Cores {
    /// Core 1 fails saying this, core 0 goes on and ends when it is told to.
    fn core_1_fails_alone(self, expected: &[&str]) {
        let (core, said) = self.ends.recv_timeout(SOON).unwrap();
        assert_eq!(core, 1);
        assert!(expected.iter().all(|part| said.contains(part)), "{said:?}: {expected:?}");
        for sum in [2, 4, 6] {
            self.adds.send(2);
            assert_eq!(self.sums.recv_timeout(SOON).unwrap(), sum, "core 0 lives");
        }
        self.adds.send(0);
        assert_eq!(self.ends.recv_timeout(SOON).unwrap(), (0, "as asked".to_owned()));
        let joined = self.running.join().unwrap_err().to_string();
        assert!(expected.iter().all(|part| joined.contains(part)), "{joined:?}: {expected:?}");
    }
}

#[test]
fn a_task_that_panics_ends_its_core_at_once_and_no_other() {
    let here = Location::caller();
    let cores = cores(|core| async move {
        core.spawn(Priority::Background, async { panic!("a task fails by {}", 7) });
        std::future::pending().await
    });
    cores.core_1_fails_alone(&[&format!("panicked at {}", here.file()), "a task fails by 7"]);
}

#[test]
fn work_on_a_helper_thread_that_panics_ends_its_core() {
    let here = Location::caller();
    let cores = cores(|core| async move {
        core.blocking(|| assert_eq!(1 + 1, 3, "arithmetic")).await;
        Ok(())
    });
    cores.core_1_fails_alone(&[&format!("panicked at {}", here.file()), "arithmetic"]);
}

#[test]
fn an_error_of_a_main_future_is_told_as_it_is() {
    cores(|_| async { Err(io::Error::other("no store here")) })
        .core_1_fails_alone(&["no store here"]);
}

/// Says in a file that it was dropped.
struct Traces(std::path::PathBuf);

impl Drop for Traces {
    fn drop(&mut self) {
        std::fs::write(&self.0, "dropped").unwrap();
    }
}

async fn queues_a_write_and_panics(core: Core, folder: &Path) -> io::Result<()> {
    let _traces = Traces(folder.join("main was dropped"));
    let file = core.open(&folder.join("log"), OpenMode::Buffered).await?;
    core.spawn(Priority::Foreground, async move {
        let write = file.write_at(0, AppendBuf::copy_of(b"queued, not submitted"));
        assert!(poll_once(write).await.is_none());
        panic!("with a write in the queue");
    });
    std::future::pending().await
}

#[test]
fn after_a_panic_a_core_submits_nothing_and_drops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    cores(move |core| {
        let path = path.clone();
        async move { queues_a_write_and_panics(core, &path).await }
    })
    .core_1_fails_alone(&["with a write in the queue"]);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(std::fs::metadata(folder.path().join("log")).unwrap().len(), 0);
    assert!(!folder.path().join("main was dropped").exists());
}
