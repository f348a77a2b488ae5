//! The two brokers, each in a folder and on ports of its own, and what the kernel counts of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testkit::{Broker, BrokerSetup, Ports, Process, Program};

/// How long a Java virtual machine on a busy machine may take to start.
const START_LIMIT: Duration = Duration::from_secs(180);
/// Ticks of `/proc/PID/stat` in a second (`sysconf(_SC_CLK_TCK)` on every Linux we run on).
const TICKS_PER_SECOND: f64 = 100.0;

/// Which brokers take part.
#[derive(Clone)]
pub(crate) struct Brokers {
    /// The folder with the jars of Apache's broker.
    pub apache_jars: Option<PathBuf>,
    /// The program that runs them.
    pub java: String,
}

/// One that runs. Killed when dropped.
pub(crate) struct Running {
    pub name: &'static str,
    pub addr: SocketAddr,
    kind: Kind,
}

enum Kind {
    Ours(Box<Broker>),
    Apache(Box<Apache>),
}

/// Apache's broker. Its folder and ports are let go of after it.
struct Apache {
    process: Process,
    brokers: Brokers,
    home: tempfile::TempDir,
    _ports: Ports,
}

/// Resident memory in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub anonymous: u64,
    /// Mapped files and shared memory: Apache's log, RingMQ's tail.
    pub shared: u64,
}

impl Brokers {
    /// RingMQ's, then Apache's where it takes part; both with these lines in their configuration.
    pub(crate) fn start(&self, settings: &[&str]) -> Vec<Running> {
        let mut all = vec![ours(settings)];
        all.extend(self.apache(settings));
        all
    }

    /// The same, each started when the one before it is done with.
    pub(crate) fn in_turn(&self, settings: &[&str], mut each: impl FnMut(&mut Running)) {
        each(&mut ours(settings));
        if let Some(mut apache) = self.apache(settings) {
            each(&mut apache);
        }
    }

    fn apache(&self, settings: &[&str]) -> Option<Running> {
        self.apache_jars.as_ref()?;
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (ports, home) = (Ports::claim(1), dir.path());
        let port = ports.first();
        let own = [
            "brokerName=broker-a\nbrokerClusterName=DefaultCluster\nbrokerIP1=127.0.0.1".to_owned(),
            "brokerRole=ASYNC_MASTER\nflushDiskType=ASYNC_FLUSH".to_owned(),
            format!("listenPort={port}\nhaListenPort={}", port + 1),
            format!("storePathRootDir={0}/store\nstorePathCommitLog={0}/store/log", home.display()),
        ];
        let lines: Vec<&str> =
            own.iter().map(String::as_str).chain(settings.iter().copied()).collect();
        std::fs::write(home.join("broker.conf"), lines.join("\n")).unwrap();
        let mut process = Process::spawn(self.apache_command(home)?);
        process.wait_for_within("boot success", 1, START_LIMIT);
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let brokers = self.clone();
        let apache = Apache { process, brokers, home: dir, _ports: ports };
        Some(Running { name: "Apache 5.5.0", addr, kind: Kind::Apache(Box::new(apache)) })
    }

    /// Runs the broker of this folder.
    fn apache_command(&self, home: &Path) -> Option<Command> {
        let jars = self.apache_jars.as_ref()?;
        let mut command = Command::new(&self.java);
        command
            .args(["-Xms2g", "-Xmx2g", "-XX:+UseG1GC"])
            .arg(format!("-Duser.home={}", home.display()))
            .arg(format!("-Drocketmq.home.dir={}", home.display()))
            .arg("-cp")
            .arg(jars.join("*"))
            .arg("org.apache.rocketmq.broker.BrokerStartup")
            .args(["-n", "127.0.0.1:1", "-c"]) // no name server: nobody asks for a route
            .arg(home.join("broker.conf"))
            .envs([("ROCKETMQ_HOME", home), ("HOME", home)]);
        Some(command)
    }
}

fn ours(settings: &[&str]) -> Running {
    let setup = BrokerSetup::new(Program::at(env!("CARGO_BIN_EXE_mqbroker")), 1)
        .settings(["mappedFileSizeCommitLog=1073741824", "flushDiskType=ASYNC_FLUSH"])
        .settings(settings);
    let broker = Broker::start(setup);
    Running { name: "RingMQ", addr: broker.addr(), kind: Kind::Ours(Box::new(broker)) }
}

impl Running {
    fn process(&self) -> &Process {
        match &self.kind {
            Kind::Ours(broker) => &broker.process,
            Kind::Apache(apache) => &apache.process,
        }
    }

    /// Kills it and starts it again on its store; does not wait until it is up.
    pub(crate) fn start_again_after_a_kill(&mut self) {
        match &mut self.kind {
            Kind::Ours(broker) => {
                broker.process.kill();
                broker.process = Process::spawn(broker.setup.command());
            }
            Kind::Apache(apache) => {
                apache.process.kill();
                let command = apache.brokers.apache_command(apache.home.path());
                apache.process = Process::spawn(command.unwrap());
            }
        }
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.process().id())).unwrap()
    }

    /// CPU seconds so far, in user space and in the kernel, those of ended threads too.
    pub(crate) fn cpu_s(&self) -> f64 {
        let stat = self.proc("stat");
        let (_, fields) = stat.rsplit_once(')').unwrap(); // the name may have spaces
        let ticks =
            |nth: usize| fields.split_whitespace().nth(nth).unwrap().parse::<u32>().unwrap();
        f64::from(ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }

    /// CPU seconds so far of the threads that live, to the nanosecond.
    pub(crate) fn threads_cpu_s(&self) -> f64 {
        self.process().cpu_time().as_secs_f64()
    }

    /// What is resident now.
    pub(crate) fn memory(&self) -> Memory {
        let status = self.proc("status");
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0)
        };
        Memory {
            anonymous: kib("RssAnon:") << 10,
            shared: (kib("RssFile:") + kib("RssShmem:")) << 10,
        }
    }
}
