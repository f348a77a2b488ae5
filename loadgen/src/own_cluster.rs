//! The name server and the broker that `quick` starts for itself: configuration, ports, cores,
//! store, readiness.

use crate::children::{ChildProgram, free_port};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::limits::START_TIMEOUT;
use crate::signals::Stop;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The broker that `quick` wants.
#[derive(Clone, Debug)]
pub(crate) struct BrokerWish {
    /// `ASYNC_FLUSH` or `SYNC_FLUSH`.
    pub flush_disk_type: &'static str,
    /// Shards, one broker each.
    pub shards: u32,
    /// Cores of the shards, as `0-1`; `None` leaves them to the broker.
    pub cores: Option<String>,
    /// More lines for its configuration.
    pub more: Vec<String>,
}

/// Both programs running. Dropping it stops them.
#[derive(Debug)]
pub(crate) struct OwnCluster {
    // The broker is dropped, and so stopped, first: it tells the name server.
    broker: ChildProgram,
    namesrv: ChildProgram,
    /// `host:port` of the name server.
    pub namesrv_addr: String,
    /// The broker's configuration.
    pub broker_config: String,
    broker_file: String,
    config_folder: PathBuf,
    shards: usize,
}

impl OwnCluster {
    /// Starts both and waits until the broker's shards are registered. Configurations and logs go
    /// to `config`.
    ///
    /// # Errors
    /// When one does not come up; the error contains the end of its log.
    pub(crate) fn start(
        wish: &BrokerWish,
        store: &Path,
        config: &Path,
        stop: &Stop,
    ) -> Result<Self> {
        let namesrv_port = free_port()?;
        let namesrv_addr = format!("127.0.0.1:{namesrv_port}");
        let namesrv_file =
            write_config(config, "namesrv.properties", &format!("listenPort={namesrv_port}\n"))?;
        let namesrv = ChildProgram::start("mqnamesrv", &["-c".into(), namesrv_file], config)?;
        let broker_config = broker_config(wish, store, free_port()?, &namesrv_addr);
        let broker_file = write_config(config, "broker.properties", &broker_config)?;
        let broker = ChildProgram::start("mqbroker", &["-c".into(), broker_file.clone()], config)?;
        let shards = wish.shards as usize;
        let mut cluster = Self {
            broker,
            namesrv,
            namesrv_addr,
            broker_config,
            broker_file,
            config_folder: config.to_owned(),
            shards,
        };
        cluster.wait_until_registered(shards, stop)?;
        Ok(cluster)
    }

    /// Process id of the broker.
    #[must_use]
    pub(crate) fn broker_pid(&self) -> u32 {
        self.broker.pid()
    }

    /// Whether the broker's process is gone.
    pub(crate) fn broker_ended(&mut self) -> bool {
        self.broker.ended().is_some()
    }

    /// Starts a broker that was killed again, on the same port and store, and waits until it is
    /// registered.
    ///
    /// # Errors
    /// When it does not come up; the error contains the end of its log.
    pub(crate) fn restart_broker(&mut self, stop: &Stop) -> Result<()> {
        let start = Instant::now();
        while !self.broker_ended() && start.elapsed() < START_TIMEOUT {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.broker = ChildProgram::start(
            "mqbroker",
            &["-c".into(), self.broker_file.clone()],
            &self.config_folder,
        )?;
        self.wait_until_registered(self.shards, stop)
    }

    /// Stops both. Returns the names of those that had to be killed.
    pub(crate) fn stop(mut self) -> Vec<String> {
        let mut killed = Vec::new();
        for (name, program) in [("mqbroker", &mut self.broker), ("mqnamesrv", &mut self.namesrv)] {
            if !program.stop() {
                killed.push(format!("{name} did not stop on SIGTERM and was killed"));
            }
        }
        killed
    }

    fn wait_until_registered(&mut self, brokers: usize, stop: &Stop) -> Result<()> {
        let start = Instant::now();
        loop {
            stop.check()?;
            for program in [&mut self.namesrv, &mut self.broker] {
                if program.ended().is_some() {
                    return Err(program.failed("stay up", start.elapsed()));
                }
            }
            let seen =
                Cluster::connect(&self.namesrv_addr).and_then(|mut cluster| cluster.brokers());
            if seen.is_ok_and(|seen| seen.len() >= brokers) {
                return Ok(());
            }
            if start.elapsed() > START_TIMEOUT {
                return Err(self.broker.failed("register with the name server", start.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn write_config(folder: &Path, name: &str, text: &str) -> Result<String> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(Error::file("write", &path))?;
    let absolute = fs::canonicalize(&path).map_err(Error::file("resolve", &path))?;
    Ok(absolute.display().to_string())
}

fn broker_config(wish: &BrokerWish, store: &Path, port: u16, namesrv_addr: &str) -> String {
    let mut lines = vec![
        "brokerClusterName=DefaultCluster".to_owned(),
        "brokerName=broker-a".to_owned(),
        "brokerId=0".to_owned(),
        "brokerIP1=127.0.0.1".to_owned(),
        format!("listenPort={port}"),
        format!("namesrvAddr={namesrv_addr}"),
        format!("storePathRootDir={}", store.display()),
        "brokerRole=ASYNC_MASTER".to_owned(),
        format!("flushDiskType={}", wish.flush_disk_type),
        format!("shardCount={}", wish.shards),
    ];
    lines.extend(wish.cores.iter().map(|cores| format!("shardCores={cores}")));
    lines.extend(wish.more.iter().cloned());
    lines.join("\n") + "\n"
}
