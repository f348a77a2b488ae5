//! A child process of a test.

use crate::wait::{SOON, eventually};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Linux's USER_HZ, the unit of the CPU times in `/proc/PID/stat`: 100 on every architecture that
/// it still runs on.
const TICKS_PER_SECOND: u64 = 100;

/// One running program. Killed when dropped; if the test has failed by then, what it logged is
/// printed.
pub struct Process {
    name: String,
    child: Child,
    said: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it with its output kept.
    pub fn spawn(mut command: Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let said = keep(child.stdout.take().unwrap());
        let log = keep(child.stderr.take().unwrap());
        Self { name, child, said, log }
    }

    /// What it has printed so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has printed `text` so many times.
    pub fn wait_for(&mut self, text: &str, times: usize) {
        self.wait_for_within(text, times, SOON);
    }

    /// The same with a limit of the caller's own.
    pub fn wait_for_within(&mut self, text: &str, times: usize, limit: Duration) {
        let start = Instant::now();
        while self.said().matches(text).count() < times {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < limit,
                "no {text:?} ({ended:?}); it said {}, log: {}",
                self.said(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by its name, `TERM` and the like.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for its end; the exit code, or `None` when a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        let mut code = None;
        eventually("the process ends", || {
            let status = self.child.try_wait().unwrap();
            code = status.and_then(|status| status.code());
            status.is_some()
        });
        code
    }

    /// SIGTERM, and the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGSTOP, and waits until every thread stands still: the signal alone may be later than what
    /// is sent next.
    pub fn stand_still(&self) {
        self.signal("STOP");
        let stands = |status: PathBuf| {
            std::fs::read_to_string(status)
                .unwrap()
                .lines()
                .any(|line| line.starts_with("State:") && line.contains("T (stopped)"))
        };
        eventually("every thread stands still", || {
            std::fs::read_dir(self.proc("task"))
                .unwrap()
                .all(|task| stands(task.unwrap().path().join("status")))
        });
    }

    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }

    fn status_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.unwrap_or_else(|| panic!("{} has no {field}: it ended", self.name));
        kib.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// The most memory it had resident so far, in bytes.
    pub fn resident_bytes_peak(&self) -> u64 {
        self.status_kib("VmHWM") * 1024
    }

    /// The memory it has resident now, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status_kib("VmRSS") * 1024
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// CPU time that all its threads have used so far, in user space and in the kernel. In steps of
    /// 10 ms; a slow machine does not add to it, because waiting is not counted.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(self.proc("stat")).unwrap();
        // The name in parentheses may hold blanks; `utime` and `stime` are fields 14 and 15.
        let after_name = stat.rsplit_once(')').unwrap().1;
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {} ({}) logged:\n{}----", self.name, self.child.id(), self.log());
        }
    }
}

/// Reads a stream to its end on a thread of its own.
fn keep(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let kept = Arc::new(Mutex::new(String::new()));
    let to = kept.clone();
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = stream.read_until(b'\n', &mut line) {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    kept
}
