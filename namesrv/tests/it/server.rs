//! A name server process that a test owns: started on a free port, stopped when dropped, its log
//! kept.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything that should happen soon may take on a loaded machine.
pub const SOON: Duration = Duration::from_secs(20);

pub struct Server {
    child: Child,
    pub addr: SocketAddr,
    /// Its greeting behind the first line.
    pub said: String,
    log: Arc<Mutex<String>>,
}

/// `mqnamesrv` with these arguments and no environment that could change it.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqnamesrv"));
    command.args(args).env_remove("ROCKETMQ_HOME").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// Calls `done` until it says so.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Server {
    /// Starts one with its key-value file in `dir` and these `KEY=VALUE` settings.
    pub fn start(dir: &Path, settings: &[&str]) -> Self {
        let kv_path = format!("kvConfigPath={}", dir.join("namesrv/kvConfig.json").display());
        let mut args =
            vec!["--set", "listenPort=0", "--set", "bindAddress=127.0.0.1", "--set", &kv_path];
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        Self::spawn(command(&args))
    }

    /// Starts one with its key-value file in `dir`, allowed only so many open files: the soft
    /// limit, and the hard one.
    pub fn start_with_files(dir: &Path, soft: u64, hard: u64) -> Self {
        let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
        let mut limited = Command::new("sh");
        limited.args(["-c", &script, env!("CARGO_BIN_EXE_mqnamesrv")]);
        limited.args(["--set", "listenPort=0", "--set", "bindAddress=127.0.0.1", "--set"]);
        limited.arg(format!("kvConfigPath={}", dir.join("namesrv/kvConfig.json").display()));
        limited.env_remove("ROCKETMQ_HOME").env_remove("RUST_LOG").stdin(Stdio::null());
        Self::spawn(limited)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut greeting = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut greeting).unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (mut stderr, kept) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut piece) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        });
        let expected = "The Name Server boot success. serializeType=JSON, address ";
        let addr = greeting.trim().strip_prefix(expected).map(|addr| addr.parse().unwrap());
        let addr =
            addr.unwrap_or_else(|| panic!("it said {greeting:?}, log: {}", log.lock().unwrap()));
        let mut said = String::new();
        while !said.contains("for connections") {
            let bytes = stdout.read_line(&mut said).unwrap();
            assert!(bytes > 0, "it said {said:?}, log: {}", log.lock().unwrap());
        }
        Self { child, addr, said, log }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal by its name and waits for the end; returns the exit code.
    pub fn signal(mut self, name: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
