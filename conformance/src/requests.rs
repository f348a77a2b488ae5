//! What programs may ask the runner for: what they cannot do themselves.

use crate::artifacts::Artifacts;
use crate::cluster::{Cluster, Ending};
use crate::options::Against;
use crate::process::{Interrupt, Stop};
use crate::{mqadmin, native, schedule, sockets};

/// One request, and who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// `VERB ARGUMENT`.
    pub(crate) what: &'a str,
    /// The program's process.
    pub(crate) pid: u32,
    /// The program's run, part of file names.
    pub(crate) run_name: &'a str,
    /// What mqadmin is taken from.
    pub(crate) artifacts: &'a Artifacts,
    /// Ends waiting.
    pub(crate) interrupt: &'a Interrupt,
}

impl Asked<'_> {
    fn split(&self) -> (&str, &str) {
        self.what.split_once(' ').unwrap_or((self.what, ""))
    }

    /// Starts and ends servers, for scenarios that have the cluster alone; none of these: `None`.
    pub(crate) fn of_servers(&self, cluster: &mut Cluster<'_>) -> Option<Result<String, Stop>> {
        let (verb, argument) = self.split();
        let done = match verb {
            "restart-broker" => cluster.restart_broker(),
            "switch-broker" => {
                maker(argument).and_then(|to| cluster.switch_broker(to, Ending::Terminated))
            }
            "kill-broker-and-switch" => {
                maker(argument).and_then(|to| cluster.switch_broker(to, Ending::Killed))
            }
            "end-broker" => cluster.end_broker(Ending::Terminated),
            "kill-broker" => cluster.end_broker(Ending::Killed),
            "start-broker" => maker(argument).and_then(|to| cluster.start_broker_of(to)),
            "refused-second-broker" => cluster.second_broker_is_refused(),
            "kill-namesrv" => nth_namesrv(argument).map(|nth| cluster.kill_namesrv(nth)),
            "start-namesrv" => nth_namesrv(argument).and_then(|nth| cluster.start_namesrv(nth)),
            "start-slave" => maker(argument).and_then(|of| cluster.start_slave(of)),
            "kill-slave" => cluster.end_slave(Ending::Killed),
            "promote-slave" => maker(argument).and_then(|of| cluster.promote_slave(of)),
            "migrate" => cluster.migrate(),
            "slave-has-group" => cluster.slave_has_group(argument),
            "same-logs" => return Some(cluster.same_logs()),
            "keep-store" => cluster.keep_store(),
            "put-back-store" => cluster.put_back_store(),
            "slave-said" => return Some(cluster.slave_said(argument)),
            _ => return None,
        };
        Some(done.map(|()| String::new()))
    }

    /// Leaves the servers alone.
    pub(crate) fn of_others(&self, cluster: &Cluster<'_>) -> Result<String, Stop> {
        let (verb, argument) = self.split();
        match verb {
            "mqadmin" => {
                mqadmin::run(self.artifacts, cluster, self.interrupt, argument, self.run_name)
            }
            "schedule-units" => schedule::units(&cluster.store()),
            "forget-manifest" => schedule::forget_manifest(&cluster.store()),
            "native-send" => native::send(&cluster.broker_ports(), argument),
            "native-fetch" => native::fetch(&cluster.broker_ports(), argument),
            "broker-connections" => broker_connections(cluster, self.pid),
            _ => Err(Stop::Cannot(format!(
                "{}: no such request, or not for scenarios that run side by side",
                self.what
            ))),
        }
    }
}

fn nth_namesrv(argument: &str) -> Result<usize, Stop> {
    match argument {
        "0" => Ok(0),
        "1" => Ok(1),
        _ => Err(Stop::Cannot(format!("name server {argument}: expected 0 or 1"))),
    }
}

fn maker(name: &str) -> Result<Against, Stop> {
    match name {
        "ringmq" => Ok(Against::Ringmq),
        "apache" => Ok(Against::RingmqNamesrv),
        _ => Err(Stop::Cannot(format!("a broker called {name}: expected ringmq or apache"))),
    }
}

/// The program must be connected to every shard.
fn broker_connections(cluster: &Cluster<'_>, pid: u32) -> Result<String, Stop> {
    let connected = sockets::remote_ports(pid);
    let expected = cluster.broker_ports();
    if expected.iter().all(|port| connected.contains(port)) {
        return Ok(format!("ports {expected:?}"));
    }
    Err(Stop::Cannot(format!("connections expected to {expected:?}, found to {connected:?}")))
}
