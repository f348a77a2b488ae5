//! The slave of a cluster's broker, of either maker, and the comparison of both logs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::artifacts::workspace_dir;
use crate::cluster::{Cluster, Ending};
use crate::limits::{
    MIGRATED_MAX, PORTS_BACK_MAX, REPLICATED_MAX, START_MAX, STOP_MAX, TABLES_MAX,
};
use crate::options::Against;
use crate::process::{Managed, Stop};
use crate::registration;
use crate::target::SLAVE_HOME;

/// MAGICCODE of what fills a log file's end.
const BLANK_MAGIC: [u8; 4] = [0xCB, 0xD4, 0x31, 0x94];

impl Cluster<'_> {
    /// Starts the slave, on the store that the last one left.
    pub(crate) fn start_slave(&mut self, maker: Against) -> Result<(), Stop> {
        self.start_second(maker, "brokerId=1\nbrokerRole=SLAVE\n")
    }

    /// Ends the slave and starts it again as a master.
    pub(crate) fn promote_slave(&mut self, maker: Against) -> Result<(), Stop> {
        self.end_slave(Ending::Terminated)?;
        self.start_second(maker, "brokerId=0\nbrokerRole=ASYNC_MASTER\n")
    }

    /// Runs `docs/migration/migrate.sh` up to the moment when RingMQ is the master. The script
    /// stays as long as its broker and takes the slave's place here.
    pub(crate) fn migrate(&mut self) -> Result<(), Stop> {
        let ports = self.ports().of_broker(1);
        let master = self.brokers.first().map(Managed::id);
        let Some(master) = master else {
            return Err(Stop::Cannot("there is no broker to migrate from".to_owned()));
        };
        let running = std::mem::replace(&mut self.target.against, Against::Ringmq);
        let file = self.target.second_config(ports, "brokerId=1\nbrokerRole=SLAVE\n");
        self.target.against = running;
        let namesrv = self.ports().namesrv_addr("127.0.0.1");
        // Were the script killed, its broker would outlive the runner.
        let mqbroker = self.target.artifacts.ringmq("mqbroker")?;
        let script = workspace_dir().join("docs/migration/migrate.sh");
        let mut command = Command::new(script);
        command
            .env("NAMESRV", namesrv)
            .env("MASTER", format!("127.0.0.1:{}", self.ports().broker))
            .env("SLAVE", format!("127.0.0.1:{}", ports.broker))
            .env("CONFIG", file?)
            .env("STOP_MASTER", format!("kill {master}"))
            .env("MQBROKER", format!("setpriv --pdeathsig KILL {}", mqbroker.display()))
            .env("MQADMIN", self.target.mqadmin());
        let log = self.dir().join(format!("{SLAVE_HOME}.log"));
        self.slave = Some(Managed::start(SLAVE_HOME, command, self.dir())?);
        let slave = &mut self.slave;
        let is_done = self.interrupt.wait_until(MIGRATED_MAX, || {
            slave.as_mut().is_none_or(|slave| slave.ended().is_some())
                || fs::read_to_string(&log).is_ok_and(|text| text.contains("== migrated"))
        })?;
        if !is_done || slave.as_mut().is_some_and(|slave| slave.ended().is_some()) {
            return Err(Stop::Cannot(format!("{} did not come to its end", log.display())));
        }
        // The script has ended it.
        self.end_broker(Ending::Terminated)
    }

    fn start_second(&mut self, maker: Against, role: &str) -> Result<(), Stop> {
        if self.slave.is_some() {
            return Err(Stop::Cannot("the slave before it was not ended".to_owned()));
        }
        let ports = self.ports().of_broker(1);
        self.interrupt.wait_until(PORTS_BACK_MAX, || !registration::accepts(ports.broker))?;
        let running = std::mem::replace(&mut self.target.against, maker);
        let command: Result<Command, Stop> = self.target.second(ports, role);
        self.target.against = running;
        self.slave = Some(Managed::start(SLAVE_HOME, command?, self.dir())?);
        let namesrv = self.ports().namesrv;
        let address = format!("\"127.0.0.1:{}\"", ports.broker);
        let slave = &mut self.slave;
        let is_there = self.interrupt.wait_until(START_MAX, || {
            slave.as_mut().is_none_or(|slave| slave.ended().is_some())
                || namesrv.iter().all(|&port| registration::names(port, &address))
        })?;
        if is_there && slave.as_mut().is_some_and(|slave| slave.ended().is_none()) {
            return Ok(());
        }
        Err(Stop::Cannot(format!("the slave is not registered as {address}")))
    }

    /// Ends the slave and leaves its store behind.
    pub(crate) fn end_slave(&mut self, ending: Ending) -> Result<(), Stop> {
        let Some(mut slave) = self.slave.take() else {
            return Err(Stop::Cannot("there is no slave".to_owned()));
        };
        match ending {
            Ending::Killed => slave.kill(),
            Ending::Terminated if !slave.stop(STOP_MAX) => {
                return Err(Stop::Cannot(format!("the slave did not end within {STOP_MAX:?}")));
            }
            Ending::Terminated => {}
        }
        Ok(())
    }

    /// Waits until the slave's table of offsets has this group.
    pub(crate) fn slave_has_group(&mut self, group: &str) -> Result<(), Stop> {
        let file = self.target.dir.join(SLAVE_HOME).join("store/config/consumerOffset.json");
        let key = format!("@{group}\"");
        let has = || fs::read_to_string(&file).is_ok_and(|text| text.contains(&key));
        if self.interrupt.wait_until(TABLES_MAX, has)? {
            return Ok(());
        }
        Err(Stop::Cannot(format!("{} has nothing of {group}", file.display())))
    }

    /// Waits until both logs have the same bytes; how many.
    pub(crate) fn same_logs(&mut self) -> Result<String, Stop> {
        let stores = [self.store(), self.target.dir.join(SLAVE_HOME).join("store")];
        let mut ends = [0, 0];
        let are_same = self.interrupt.wait_until(REPLICATED_MAX, || {
            let [master, slave] = [&stores[0], &stores[1]].map(|store| log_of(store));
            ends = [master.len(), slave.len()];
            !master.is_empty() && master == slave
        })?;
        if are_same {
            return Ok(format!("{} bytes", ends[0]));
        }
        Err(Stop::Cannot(format!(
            "the logs differ: the master's has {} bytes, the slave's {}",
            ends[0], ends[1]
        )))
    }
}

/// The records of a store's log files, in order, each file with its name; what fills a file's end
/// counts as long as it says it is.
fn log_of(store: &Path) -> Vec<u8> {
    let Ok(entries) = fs::read_dir(store.join("commitlog")) else { return Vec::new() };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut log = Vec::new();
    for path in paths {
        let bytes = fs::read(&path).unwrap_or_default();
        let end = end_of(&bytes);
        if end > 0 {
            log.extend_from_slice(path.file_name().unwrap_or_default().as_encoded_bytes());
            log.extend_from_slice(&bytes[..end]);
        }
    }
    log
}

/// Where the records of a file end.
fn end_of(file: &[u8]) -> usize {
    let mut at = 0;
    while let Some((size, rest)) = file.get(at..).and_then(|rest| rest.split_first_chunk::<4>()) {
        let size = usize::try_from(u32::from_be_bytes(*size)).unwrap_or(usize::MAX);
        if size < 8 || size > file.len() - at {
            break;
        }
        if rest.starts_with(&BLANK_MAGIC) {
            // Apache's broker leaves what was there behind these eight bytes.
            return at + 8;
        }
        at += size;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ends_with_its_last_record_or_the_head_of_its_blank() {
        let record = |size: u32| [&size.to_be_bytes()[..], &vec![7; size as usize - 4]].concat();
        let blank = [&20_u32.to_be_bytes()[..], &BLANK_MAGIC, &[0; 12]].concat();
        let zeros = vec![0; 50];
        for (file, end) in [
            (vec![], 0),
            (zeros.clone(), 0),
            ([record(30), record(9), zeros.clone()].concat(), 39),
            ([record(30), blank].concat(), 38),
            ([record(30), 90_u32.to_be_bytes().to_vec()].concat(), 30),
        ] {
            assert_eq!(end_of(&file), end, "{file:?}");
        }
    }
}
