//! The two name servers, each a process on the first core.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::{NameServer, Ports, Process, Program};

/// How long a Java virtual machine on a busy machine may take to start.
const START_LIMIT: Duration = Duration::from_secs(180);

/// One that runs. Killed when dropped.
pub(crate) struct Server {
    pub name: &'static str,
    pub addr: SocketAddr,
    process: Process,
    /// The port is held for as long as it runs.
    _ports: Option<Ports>,
}

/// The numbers of the cores that this process may use, as the kernel lists them.
fn cores() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().split([',', '-']).map(str::to_owned).collect()
}

/// `taskset` for a process of the first core.
fn on_the_first_core() -> [String; 3] {
    ["taskset".to_owned(), "-c".to_owned(), cores()[0].clone()]
}

/// The client does not take the servers' core, where there are two.
pub(crate) fn stay_on_the_last_core() {
    let pid = std::process::id().to_string();
    let last = cores().pop().unwrap();
    let set = Command::new("taskset").args(["-pc", &last, &pid]).output().unwrap();
    assert!(set.status.success(), "taskset: {}", String::from_utf8_lossy(&set.stderr));
}

impl Server {
    pub(crate) fn ours(dir: &Path) -> Self {
        let program = Program::at(env!("CARGO_BIN_EXE_mqnamesrv"));
        let NameServer { process, addr } =
            NameServer::start_through(&on_the_first_core(), &program, dir, &[]);
        Self { name: "RingMQ", addr, process, _ports: None }
    }

    pub(crate) fn apache(jars: &str, java: &str, dir: &Path) -> Self {
        let (ports, home) = (Ports::claim(1), dir.join("apache"));
        let port = ports.first();
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("namesrv.conf"), format!("listenPort={port}\n")).unwrap();
        let [taskset, flag, core] = on_the_first_core();
        let mut command = Command::new(taskset);
        command
            .args([&flag, &core, java, "-Xmx1g", "-XX:+UseG1GC"])
            .arg(format!("-Duser.home={}", home.display()))
            .arg("-cp")
            .arg(Path::new(jars).join("*"))
            .arg("org.apache.rocketmq.namesrv.NamesrvStartup")
            .arg("-c")
            .arg(home.join("namesrv.conf"))
            .envs([("ROCKETMQ_HOME", &home), ("HOME", &home)]);
        let mut process = Process::spawn(command);
        process.wait_for_within("boot success", 1, START_LIMIT);
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        Self { name: "Apache 5.5.0", addr, process, _ports: Some(ports) }
    }

    /// CPU time so far of the threads that live.
    pub(crate) fn cpu(&self) -> Duration {
        self.process.cpu_time()
    }

    pub(crate) fn resident_bytes(&self) -> f64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
    }
}
