//! Two name servers and a broker, or two: started, restarted, killed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::limits::{LOG_TAIL_LINES, PORTS_BACK_MAX, START_MAX, STOP_MAX};
use crate::options::Against;
use crate::ports::{Ports, SHARD_STEP};
use crate::process::{Interrupt, Managed, Stop};
use crate::registration;
use crate::target::{Config, Target, broker_home, master_name};

/// How a broker is made to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// SIGTERM: it may put its store in order.
    Terminated,
    /// SIGKILL.
    Killed,
}

/// A running cluster; everything of it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Cluster<'a> {
    pub(crate) target: Target<'a>,
    ports: Ports,
    config: Config,
    pub(crate) interrupt: Interrupt,
    /// Its slave, if there is one; before the broker: it leaves first.
    pub(crate) slave: Option<Managed>,
    /// The broker's process; of Apache with two shards, one for each master. Before the name
    /// servers: brokers leave first.
    pub(crate) brokers: Vec<Managed>,
    namesrvs: [Option<Managed>; 2],
}

impl<'a> Cluster<'a> {
    /// Starts all three and waits until the broker is registered at both name servers.
    pub(crate) fn start(
        target: Target<'a>,
        ports: Ports,
        config: Config,
        interrupt: &Interrupt,
    ) -> Result<Self, Stop> {
        let mut cluster = Self {
            target,
            ports,
            config,
            interrupt: interrupt.clone(),
            slave: None,
            brokers: Vec::new(),
            namesrvs: [None, None],
        };
        cluster.start_all().map_err(|stop| cluster.explain(stop))?;
        Ok(cluster)
    }

    fn start_all(&mut self) -> Result<(), Stop> {
        fs::create_dir_all(&self.target.dir)
            .map_err(Stop::while_doing(format!("creating {}", self.target.dir.display())))?;
        // Both JVMs start side by side; only then do we wait.
        for i in 0..2 {
            self.spawn_namesrv(i)?;
        }
        for i in 0..2 {
            self.await_namesrv(i)?;
        }
        self.start_brokers()
    }

    /// Where clients find it.
    pub(crate) fn ports(&self) -> Ports {
        self.ports
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.target.dir
    }

    fn spawn_namesrv(&mut self, i: usize) -> Result<(), Stop> {
        let port = self.ports.namesrv[i];
        let command = self.target.namesrv(port, self.config)?;
        self.namesrvs[i] =
            Some(Managed::start(&format!("namesrv-{i}"), command, &self.target.dir)?);
        Ok(())
    }

    fn await_namesrv(&mut self, i: usize) -> Result<(), Stop> {
        let port = self.ports.namesrv[i];
        let server = &mut self.namesrvs[i];
        let up = self
            .interrupt
            .wait_until(START_MAX, || registration::accepts(port) || has_ended(server))?;
        if up && !has_ended(&mut self.namesrvs[i]) {
            return Ok(());
        }
        Err(Stop::Cannot(format!("name server {i} does not accept connections on port {port}")))
    }

    fn start_brokers(&mut self) -> Result<(), Stop> {
        let processes = if self.target.against.our_broker() { 1 } else { self.shards() };
        for nth in 0..processes {
            let command = self.target.broker(self.ports, self.config, nth)?;
            self.brokers.push(Managed::start(broker_home(nth), command, &self.target.dir)?);
        }
        self.await_registered(&[0, 1])
    }

    /// Waits until every shard accepts connections and is known to these name servers.
    fn await_registered(&mut self, at: &[usize]) -> Result<(), Stop> {
        let (ports, names) = (self.broker_ports(), self.broker_names());
        let namesrv = self.ports.namesrv;
        let brokers = &mut self.brokers;
        let there = self.interrupt.wait_until(START_MAX, || {
            any_ended(brokers)
                || (ports.iter().all(|&p| registration::accepts(p))
                    && at.iter().all(|&i| registration::knows(namesrv[i], &names)))
        })?;
        if there && !any_ended(&mut self.brokers) {
            return Ok(());
        }
        Err(Stop::Cannot(format!(
            "the broker is not registered as {names:?} at name servers {at:?}"
        )))
    }

    /// The broker's ports, one for each shard (or master).
    pub(crate) fn broker_ports(&self) -> Vec<u16> {
        (0..self.shards()).map(|k| self.ports.broker + k * SHARD_STEP).collect()
    }

    /// `NAME=HOST:PORT` of each shard (or master), as programs take it.
    pub(crate) fn broker_list(&self) -> String {
        let named = self.broker_names().into_iter().zip(self.broker_ports());
        let list: Vec<String> =
            named.map(|(name, port)| format!("{name}=127.0.0.1:{port}")).collect();
        list.join(",")
    }

    fn shards(&self) -> u16 {
        if let Config::Generated { shards } = self.config { shards } else { 1 }
    }

    /// The names under which the shards (or masters) are registered.
    pub(crate) fn broker_names(&self) -> Vec<String> {
        match self.shards() {
            1 => vec![master_name(0).to_owned()],
            n if !self.target.against.our_broker() => {
                (0..n).map(|nth| master_name(nth).to_owned()).collect()
            }
            n => (0..n).map(|k| format!("broker-a-s{k}")).collect(),
        }
    }

    /// SIGTERM, then the same command again on the same store; both masters, when there are two.
    pub(crate) fn restart_broker(&mut self) -> Result<(), Stop> {
        self.end_broker(Ending::Terminated)?;
        self.start_brokers()
    }

    /// Ends the broker, then starts that of another maker on its store.
    pub(crate) fn switch_broker(&mut self, to: Against, ending: Ending) -> Result<(), Stop> {
        self.end_broker(ending)?;
        self.start_broker_of(to)
    }

    /// Starts the broker of this maker on the store that the last one left.
    pub(crate) fn start_broker_of(&mut self, maker: Against) -> Result<(), Stop> {
        if !self.brokers.is_empty() {
            return Err(Stop::Cannot("the broker before it was not ended".to_owned()));
        }
        self.target.against = maker;
        // The kernel gives a killed process's ports back a moment after it has gone.
        let ports = self.ports;
        self.interrupt.wait_until(PORTS_BACK_MAX, || !registration::accepts(ports.broker))?;
        self.start_brokers()
    }

    /// The store of the (first) broker.
    pub(crate) fn store(&self) -> PathBuf {
        self.target.dir.join(broker_home(0)).join("store")
    }

    /// Starts RingMQ's broker on the store of the one that runs: it must end by itself and say why.
    pub(crate) fn second_broker_is_refused(&mut self) -> Result<(), Stop> {
        let name = "second-broker";
        let running = std::mem::replace(&mut self.target.against, Against::Ringmq);
        let command = self.target.broker(self.ports, self.config, 0);
        self.target.against = running;
        let mut second = Managed::start(name, command?, &self.target.dir)?;
        let ended = self.interrupt.wait_until(START_MAX, || second.ended().is_some())?;
        let log = tail(&self.target.dir.join(format!("{name}.log")));
        let refused = ended
            && second.ended().is_some_and(|status| !status.success())
            && log.contains("another process has this store open");
        if refused {
            Ok(())
        } else {
            Err(Stop::Cannot(format!(
                "a second broker on the store was not refused: {:?}\n{log}",
                second.ended()
            )))
        }
    }

    /// Ends the broker in good order and leaves its store behind; where that is.
    pub(crate) fn finish(mut self) -> Result<PathBuf, Stop> {
        self.end_broker(Ending::Terminated)?;
        Ok(self.store())
    }

    /// Ends the broker and leaves its store behind.
    pub(crate) fn end_broker(&mut self, ending: Ending) -> Result<(), Stop> {
        for mut broker in self.brokers.drain(..) {
            match ending {
                Ending::Killed => broker.kill(),
                Ending::Terminated if !broker.stop(STOP_MAX) => {
                    return Err(Stop::Cannot(format!(
                        "the broker did not end within {STOP_MAX:?} of SIGTERM"
                    )));
                }
                Ending::Terminated => {}
            }
        }
        Ok(())
    }

    /// SIGKILL: no goodbye to anybody.
    pub(crate) fn kill_namesrv(&mut self, i: usize) {
        self.namesrvs[i] = None;
    }

    /// Starts it again, empty, and waits until the broker has registered there.
    pub(crate) fn start_namesrv(&mut self, i: usize) -> Result<(), Stop> {
        self.spawn_namesrv(i)?;
        self.await_namesrv(i)?;
        self.await_registered(&[i])
    }

    /// The servers that have ended although nobody told them to.
    pub(crate) fn dead(&mut self) -> Vec<String> {
        let all = self.namesrvs.iter_mut().flatten().chain(&mut self.brokers);
        let all = all.chain(&mut self.slave);
        all.filter_map(|m| m.ended().map(|status| format!("{} ended: {status}", m.name())))
            .collect()
    }

    /// The ends of the servers' logs.
    pub(crate) fn log_tails(&self) -> String {
        let logs = ["broker.log", "broker-b.log", "slave.log", "namesrv-0.log", "namesrv-1.log"];
        logs.iter().map(|name| tail(&self.target.dir.join(name))).collect()
    }

    fn explain(&self, stop: Stop) -> Stop {
        match stop {
            Stop::Interrupted => Stop::Interrupted,
            Stop::Cannot(why) => Stop::Cannot(format!("{why}\n{}", self.log_tails())),
        }
    }
}

fn has_ended(server: &mut Option<Managed>) -> bool {
    server.as_mut().is_none_or(|m| m.ended().is_some())
}

/// Also true when there is none.
fn any_ended(servers: &mut [Managed]) -> bool {
    servers.is_empty() || servers.iter_mut().any(|m| m.ended().is_some())
}

/// Apache's logging library tells its own set-up on standard output, hundreds of lines of it.
const NOISE: &str = " |-INFO in ";

/// The last lines of a log under its name; nothing for an empty or missing one.
pub(crate) fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains(NOISE)).collect();
    if lines.is_empty() {
        return String::new();
    }
    let from = lines.len().saturating_sub(LOG_TAIL_LINES);
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    format!("--- end of {name}\n{}\n", lines[from..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_has_the_last_lines_only() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        let text: String = (0..100).map(|i| format!("line {i}\n")).collect();
        fs::write(&log, text).unwrap();
        let shown = tail(&log);
        assert!(shown.starts_with("--- end of x.log\n"));
        assert!(
            shown.contains("line 99") && shown.contains("line 75") && !shown.contains("line 74\n")
        );
        assert_eq!(tail(&dir.path().join("none.log")), "");
    }
}
