//! Programs that run beside the generator and must not outlive it.
//!
//! Each child is this binary again under a hidden subcommand (cargo builds no other package's
//! binaries). Its standard input is a pipe from this process. When this process ends, by SIGKILL
//! too, the pipe closes and the child stops itself. That needs no `pre_exec` and so no unsafe.

use crate::error::{Error, Result};
use crate::limits::STOP_TIMEOUT;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The flag that makes a hidden subcommand watch its standard input and stop when it ends.
pub const EXIT_WITH_PARENT: &str = "--exit-with-parent";

/// A running child. Stopped, or killed, when dropped.
#[derive(Debug)]
pub struct ChildProgram {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl ChildProgram {
    /// Starts this binary's hidden subcommand `name` with `args`. Its output goes to `<name>.log`
    /// in `log_folder`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(name: &'static str, args: &[String], log_folder: &Path) -> Result<Self> {
        let log = log_folder.join(format!("{name}.log"));
        let output = File::create(&log).map_err(Error::file("create", &log))?;
        let errors = output.try_clone().map_err(Error::file("share", &log))?;
        Self::spawn(name, args, log, Stdio::from(output), Stdio::from(errors))
    }

    /// Starts a child that prints its address as its first line of output (the no-op target).
    ///
    /// # Errors
    /// When it can't be started or prints no address.
    pub fn start_announced(
        name: &'static str,
        args: &[String],
        log_folder: &Path,
    ) -> Result<(Self, SocketAddr)> {
        let log = log_folder.join(format!("{name}.log"));
        let errors = File::create(&log).map_err(Error::file("create", &log))?;
        let mut program = Self::spawn(name, args, log, Stdio::piped(), Stdio::from(errors))?;
        let mut line = String::new();
        if let Some(output) = program.child.stdout.take() {
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(Error::peer("read the address of", name))?;
        }
        match line.trim().parse() {
            Ok(addr) => Ok((program, addr)),
            Err(_) => Err(program.failed("print its address", Duration::ZERO)),
        }
    }

    fn spawn(
        name: &'static str,
        args: &[String],
        log: PathBuf,
        output: Stdio,
        errors: Stdio,
    ) -> Result<Self> {
        let program = std::env::current_exe().map_err(Error::file("find", "the program itself"))?;
        let mut command = Command::new(&program);
        command.arg(name).arg(EXIT_WITH_PARENT).args(args).stdout(output).stderr(errors);
        Self::run(name, command, log)
    }

    /// Starts any program; its output must be set and go to `log`.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn run(name: &'static str, mut command: Command, log: PathBuf) -> Result<Self> {
        command.stdin(Stdio::piped());
        // Its own process group: Ctrl-C reaches us alone, and we stop the children in order.
        command.process_group(0);
        let child = command.spawn().map_err(Error::file("start", command.get_program()))?;
        Ok(Self { name, child, log })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// An error with its exit status and the end of its log.
    #[must_use]
    pub fn failed(&mut self, expected: &'static str, waited: Duration) -> Error {
        let ended =
            self.ended().map(|status| format!(": it ended with {status}")).unwrap_or_default();
        let mut said = String::new();
        if let Ok(mut log) = File::open(&self.log) {
            let _read = log.read_to_string(&mut said);
        }
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(8)..].join("\n    ");
        let hint =
            if tail.is_empty() { ended } else { format!("{ended}. Its last words:\n    {tail}") };
        Error::Child { program: self.name, expected, waited_s: waited.as_secs(), hint }
    }

    /// Asks it to stop, and kills it if it does not stop in time. Returns whether it stopped by
    /// itself.
    pub fn stop(&mut self) -> bool {
        if self.ended().is_some() {
            return true;
        }
        // Its pipe stays open until it has ended: a child signals itself when the pipe closes, and
        // a second SIGTERM means "at once".
        self.signal(rustix::process::Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < STOP_TIMEOUT {
            if self.ended().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
        false
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // ESRCH only says that it has ended already.
            let _sent = rustix::process::kill_process(pid, signal);
        }
    }
}

impl Drop for ChildProgram {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.stop();
        }
    }
}

/// Kills it with SIGKILL, as a crash would. Does nothing if it has ended already.
pub fn kill_hard(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// In a child: stops this process when standard input ends, which is when the parent has.
pub fn watch_parent() {
    let watch = || {
        let mut nothing = [0; 64];
        while !matches!(std::io::stdin().read(&mut nothing), Ok(0) | Err(_)) {}
        // First by the front door, so that a broker closes its store.
        let _asked =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
        std::thread::sleep(STOP_TIMEOUT);
        std::process::exit(1);
    };
    let _watcher = std::thread::Builder::new().name("parent-watch".into()).spawn(watch);
}

/// A free loopback port with the two below and the one above it free too: RocketMQ's brokers also
/// listen on −2 (VIP) and +1 (HA). They lie below the range from which the kernel gives ports to
/// connections (32,768): one of those would take a killed broker's port before it starts again. The
/// ports are not reserved until the child binds them; after a collision the child fails to start.
///
/// # Errors
/// When no such ports are found.
pub fn free_port() -> Result<u16> {
    const FIRST: u32 = 11_000;
    const BLOCK: u32 = 4;
    const BLOCKS: u32 = 2_000;
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: u16| TcpListener::bind(("0.0.0.0", port)).is_ok();
    for _ in 0..BLOCKS {
        // Two processes begin far apart, and no port is given twice in one.
        let nth = ASKED.fetch_add(1, Ordering::Relaxed);
        let block = std::process::id().wrapping_mul(37).wrapping_add(nth) % BLOCKS;
        let Ok(port) = u16::try_from(FIRST + block * BLOCK + 2) else { continue };
        if [port - 2, port, port + 1].into_iter().all(is_free) {
            return Ok(port);
        }
    }
    let last = FIRST + BLOCKS * BLOCK;
    Err(Error::Usage(format!("no free ports with free neighbours from {FIRST} to {last}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a line for each SIGTERM, and one when its pipe ends.
    const COUNTS_SIGNALS: &str = r#"
        trap 'echo TERM >> "$0"' TERM
        exec 3<&0
        (trap '' TERM; cat <&3 > /dev/null; [ -f "$0" ] && echo END >> "$0") &
        echo ready >> "$0"
        while ! grep -q TERM "$0"; do sleep 0.02; done
        sleep 0.3
    "#;

    #[test]
    fn a_child_gets_one_sigterm_and_its_pipe_lives_as_long_as_it() {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("said");
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(COUNTS_SIGNALS).arg(&said);
        let mut child = ChildProgram::run("sh", command, folder.path().join("log")).unwrap();
        let read = || std::fs::read_to_string(&said).unwrap_or_default();
        let start = Instant::now();
        while !read().contains("ready") && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(child.stop(), "it ended by itself");
        assert_eq!(read(), "ready\nTERM\n");
        assert!(child.stop(), "nothing is sent to a process that has ended");
    }
}
