//! Child processes that never outlive the runner, and the flag that Ctrl-C sets.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::limits::POLL;

/// Why the runner could not go on. A failed scenario is not one of these.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// Ctrl-C or SIGTERM.
    #[error("interrupted; everything started has been ended")]
    Interrupted,
    /// Something needed is missing or broken; the text says what and how to get it.
    #[error("{0}")]
    Cannot(String),
}

impl Stop {
    /// A `map_err` for "doing X with Y failed".
    pub(crate) fn while_doing<E: std::fmt::Display>(
        what: impl std::fmt::Display,
    ) -> impl FnOnce(E) -> Self {
        move |error| Self::Cannot(format!("{what}: {error}"))
    }
}

/// Set by SIGINT and SIGTERM; looked at in every wait, so that `Drop` ends the children instead of
/// the shell.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes over both signals for this process.
    pub(crate) fn install() -> Result<Self, Stop> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag))
                .map_err(Stop::while_doing("taking over SIGINT and SIGTERM"))?;
        }
        Ok(Self(flag))
    }

    /// An error once the user wants out.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        if self.0.load(Ordering::Relaxed) { Err(Stop::Interrupted) } else { Ok(()) }
    }

    /// Looks every [`POLL`] until `done` says true (`Ok(true)`), the time is over (`Ok(false)`) or
    /// the user wants out.
    pub(crate) fn wait_until(
        &self,
        limit: Duration,
        mut done: impl FnMut() -> bool,
    ) -> Result<bool, Stop> {
        let end = Instant::now() + limit;
        loop {
            self.check()?;
            if done() {
                return Ok(true);
            }
            if Instant::now() > end {
                return Ok(false);
            }
            thread::sleep(POLL);
        }
    }

    #[cfg(test)]
    pub(crate) fn set_for_test(value: bool) -> Self {
        Self(Arc::new(AtomicBool::new(value)))
    }
}

/// A child with a name and a log; killed when dropped.
#[derive(Debug)]
pub(crate) struct Managed {
    name: String,
    child: Child,
}

impl Managed {
    /// Starts `command` with both outputs going to `dir/name.log` (appended: a restarted server
    /// keeps its history).
    pub(crate) fn start(name: &str, mut command: Command, dir: &Path) -> Result<Self, Stop> {
        let log = dir.join(format!("{name}.log"));
        let out = append_to(&log)?;
        let err =
            out.try_clone().map_err(Stop::while_doing(format!("opening {}", log.display())))?;
        let child =
            command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().map_err(
                Stop::while_doing(format!("starting {name} ({:?})", command.get_program())),
            )?;
        Ok(Self::adopt(name, child))
    }

    /// Takes over a child that was started with pipes.
    pub(crate) fn adopt(name: &str, child: Child) -> Self {
        Self { name: name.to_owned(), child }
    }

    /// Its name in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its pipes, as far as it was started with any.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGTERM, then SIGKILL after `grace`. True: it ended by itself.
    pub(crate) fn stop(&mut self, grace: Duration) -> bool {
        if self.ended().is_some() {
            return true;
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // An error means that it has just ended: the wait below sees that.
            let _ = kill_process(pid, Signal::TERM);
        }
        let end = Instant::now() + grace;
        while Instant::now() < end {
            if self.ended().is_some() {
                return true;
            }
            thread::sleep(POLL);
        }
        self.kill();
        false
    }

    /// SIGKILL, and the process is gone when this returns.
    pub(crate) fn kill(&mut self) {
        // Both fail only for a child that has already been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Opens a log for appending.
pub(crate) fn append_to(log: &Path) -> Result<File, Stop> {
    File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(Stop::while_doing(format!("opening {}", log.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(dir: &Path) -> Managed {
        let mut command = Command::new("sleep");
        command.arg("60");
        Managed::start("sleeper", command, dir).unwrap()
    }

    fn is_running(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let child = sleeper(dir.path());
        let pid = child.id();
        assert!(is_running(pid));
        drop(child);
        assert!(!is_running(pid));
    }

    #[test]
    fn sigterm_comes_before_sigkill() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = sleeper(dir.path());
        let started = Instant::now();
        assert!(child.stop(Duration::from_secs(10)), "sleep ends on SIGTERM");
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn an_interrupt_ends_every_wait() {
        let interrupt = Interrupt::set_for_test(true);
        assert!(matches!(
            interrupt.wait_until(Duration::from_secs(9), || true),
            Err(Stop::Interrupted)
        ));
        let calm = Interrupt::set_for_test(false);
        assert!(!calm.wait_until(Duration::ZERO, || false).unwrap());
    }
}
