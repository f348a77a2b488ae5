//! A name server, a master and perhaps a slave, started for a matrix: RingMQ's or Apache's.
//!
//! ```text
//!   config/MAKER-FLUSH-SLAVES/  namesrv.properties  master.properties  slave.properties
//!                               namesrv/  master/  slave/                 their logs
//!   STORE/MAKER-FLUSH-SLAVES/   master/  slave/                           removed at the end
//! ```

use super::apache::Java;
use super::asked::{follows, is_registered};
use super::program::Program;
use super::roles::Roles;
use crate::children::{ChildProgram, free_port};
use crate::cli::matrix::{Maker, MatrixArgs, Slaves};
use crate::error::{Error, Result};
use crate::limits::START_TIMEOUT;
use crate::signals::Stop;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A JVM needs longer than [`START_TIMEOUT`] where others use the machine.
const JAVA_START_TIMEOUT: Duration = Duration::from_secs(180);

/// What all clusters of one maker and flush policy have in common.
pub(super) struct Recipe<'a> {
    pub maker: Maker,
    pub flush: &'static str,
    pub args: &'a MatrixArgs,
    pub roles: &'a Roles,
    /// The run's folder of configurations.
    pub config: PathBuf,
    /// The folder of all stores.
    pub stores: PathBuf,
    /// Where Java and the jars are, for Apache's.
    pub java: Option<&'a Java>,
}

const ROLES: [&str; 3] = ["namesrv", "master", "slave"];

/// A cluster in progress. Dropping it stops its programs, the slave first.
pub(super) struct OwnPair {
    slave: Option<(Program, u16)>,
    master: Program,
    _namesrv: Program,
    /// `host:port` of the name server.
    pub namesrv_addr: String,
    /// The master's configuration.
    pub master_config: String,
    store: PathBuf,
    /// Folder of the configuration and the logs.
    config: PathBuf,
}

impl Recipe<'_> {
    /// Starts a cluster and waits until its slave follows. Its store is new.
    ///
    /// # Errors
    /// When one of its programs does not come up; the error has the end of its log.
    pub(super) fn start(&self, slaves: Slaves, stop: &Stop) -> Result<OwnPair> {
        let name = format!("{}-{}-{}", word(self.maker), flush_word(self.flush), slaves.word());
        let (config, store) = (self.config.join(&name), self.stores.join(&name));
        for role in ROLES {
            let logs = config.join(role);
            fs::create_dir_all(&logs).map_err(Error::file("create", logs))?;
        }
        let port = free_port()?;
        let namesrv_addr = format!("127.0.0.1:{port}");
        write(&config, "namesrv", &format!("listenPort={port}\n"))?;
        let namesrv = self.program("namesrv", &config, &namesrv_addr)?;
        let role = if slaves == Slaves::Sync { "SYNC_MASTER" } else { "ASYNC_MASTER" };
        let more = if slaves == Slaves::Sync { &["inSyncReplicas=2"][..] } else { &[] };
        let (master_port, slave_port) = (free_port()?, free_port()?);
        let of = |role, port| Broker { role, port, namesrv: &namesrv_addr, store: &store };
        let master_config = self.broker_config(&of(role, master_port), more);
        write(&config, "master", &master_config)?;
        let master = self.program("master", &config, &namesrv_addr)?;
        let mut pair = OwnPair {
            slave: None,
            master,
            _namesrv: namesrv,
            namesrv_addr: namesrv_addr.clone(),
            master_config,
            store: store.clone(),
            config: config.clone(),
        };
        self.wait(&mut pair.master, "register with the name server", stop, || {
            is_registered(&namesrv_addr)
        })?;
        if slaves != Slaves::None {
            write(&config, "slave", &self.broker_config(&of("SLAVE", slave_port), &[]))?;
            let mut slave = self.program("slave", &config, &namesrv_addr)?;
            self.wait(&mut slave, "follow its master", stop, || follows(self.maker, master_port))?;
            pair.slave = Some((slave, slave_port));
        }
        Ok(pair)
    }

    fn wait(
        &self,
        program: &mut Program,
        expected: &'static str,
        stop: &Stop,
        done: impl Fn() -> bool,
    ) -> Result<()> {
        let start = Instant::now();
        let limit = if self.maker == Maker::Apache { JAVA_START_TIMEOUT } else { START_TIMEOUT };
        while !done() {
            stop.check()?;
            if program.child.ended().is_some() || start.elapsed() > limit {
                return Err(program.child.failed(expected, start.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Starts the program of a role with its configuration.
    fn program(&self, role: &'static str, config: &Path, namesrv: &str) -> Result<Program> {
        let file = config.join(format!("{role}.properties"));
        let file = fs::canonicalize(&file).map_err(Error::file("resolve", &file))?;
        let core = match role {
            "master" => self.roles.master,
            "slave" => self.roles.slave,
            _ => None,
        };
        let logs = config.join(role);
        if let Some(java) = self.java.filter(|_| self.maker == Maker::Apache) {
            return java.start(role, &file, &logs, core, namesrv, &self.args.apache_heap);
        }
        let name = if role == "namesrv" { "mqnamesrv" } else { "mqbroker" };
        let args = ["-c".to_owned(), file.display().to_string()];
        Ok(Program::of(ChildProgram::start(name, &args, &logs)?))
    }

    fn broker_config(&self, broker: &Broker<'_>, more: &[&str]) -> String {
        let is_slave = broker.role == "SLAVE";
        let store = broker.store.join(if is_slave { "slave" } else { "master" });
        // A slave answers from memory whatever its master promises, with both makers.
        let flush = if is_slave { "ASYNC_FLUSH" } else { self.flush };
        let mut lines = vec![
            "brokerClusterName=DefaultCluster".to_owned(),
            "brokerName=broker-a".to_owned(),
            format!("brokerId={}", u8::from(is_slave)),
            "brokerIP1=127.0.0.1".to_owned(),
            "brokerIP2=127.0.0.1".to_owned(),
            format!("listenPort={}", broker.port),
            format!("haListenPort={}", broker.port + 1),
            format!("namesrvAddr={}", broker.namesrv),
            format!("storePathRootDir={}", store.display()),
            format!("brokerRole={}", broker.role),
            format!("flushDiskType={flush}"),
        ];
        let core = if is_slave { self.roles.slave } else { self.roles.master };
        match self.maker {
            Maker::Ringmq => lines.extend(core.map(|core| format!("shardCores={core}"))),
            Maker::Apache => {
                lines.push(format!("storePathCommitLog={}/commitlog", store.display()));
            }
        }
        lines.extend(more.iter().map(|line| (*line).to_owned()));
        lines.extend(self.args.broker_config.iter().cloned());
        lines.extend(self.args.slave_config.iter().filter(|_| is_slave).cloned());
        lines.join("\n") + "\n"
    }
}

struct Broker<'a> {
    role: &'static str,
    port: u16,
    namesrv: &'a str,
    store: &'a Path,
}

impl OwnPair {
    /// Process of the master.
    pub(super) fn master_pid(&self) -> u32 {
        self.master.pid()
    }

    /// Process of the slave, if it has one.
    pub(super) fn slave_pid(&self) -> Option<u32> {
        self.slave.as_ref().map(|(slave, _)| slave.pid())
    }

    /// Where the slave answers, if it has one.
    pub(super) fn slave_addr(&self) -> Option<String> {
        self.slave.as_ref().map(|(_, port)| format!("127.0.0.1:{port}"))
    }

    /// Stops all and removes the store. Returns what did not go well.
    pub(super) fn stop(mut self) -> Vec<String> {
        let mut notes = Vec::new();
        let slave = self.slave.as_mut().map(|(slave, _)| ("slave", slave));
        for (name, program) in slave.into_iter().chain([("master", &mut self.master)]) {
            if !program.child.stop() {
                notes.push(format!("the {name} did not stop on SIGTERM and was killed"));
            }
        }
        if let Err(error) = fs::remove_dir_all(&self.store) {
            notes.push(format!("cannot remove the store {}: {error}", self.store.display()));
        }
        // Megabytes that Apache's programs wrote beside what they printed: of use after a failure.
        for role in ROLES {
            let _of_ours = fs::remove_dir_all(self.config.join(role).join("logs"));
        }
        notes
    }
}

fn write(folder: &Path, role: &str, text: &str) -> Result<()> {
    let path = folder.join(format!("{role}.properties"));
    fs::write(&path, text).map_err(Error::file("write", path))
}

/// As it stands in names.
pub(super) fn word(maker: Maker) -> &'static str {
    match maker {
        Maker::Ringmq => "ringmq",
        Maker::Apache => "apache",
    }
}

/// As it stands in names.
pub(super) fn flush_word(flush: &str) -> &'static str {
    if flush == "SYNC_FLUSH" { "sync" } else { "async" }
}
