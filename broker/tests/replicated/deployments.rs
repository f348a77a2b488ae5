//! RocketMQ's four standard deployments, started, killed and checked through their script.

use crate::stored::queue_of;
use protocol::codes::request;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::eventually;
use testkit::message::message;
use testkit::remoting::Client;

/// What every deployment's parts listen on, before the shift.
const PORTS: [u16; 6] = [9876, 9877, 10911, 10921, 10931, 10941];
const MASTER_A: u16 = 10911;
const MASTER_B: u16 = 10921;
const SLAVE_A: u16 = 10931;
const MESSAGES: usize = 200;
const TOPIC: &str = "orders";

/// A deployment that runs; stopped when dropped.
struct Deployment {
    name: &'static str,
    shift: u16,
    dir: tempfile::TempDir,
}

impl Deployment {
    fn start(name: &'static str) -> Self {
        let this = Self { name, shift: free_shift(), dir: tempfile::tempdir().unwrap() };
        this.script(&["start"]);
        this
    }

    /// Runs the script; what it printed.
    fn script(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{} {words:?}: {said}{log}", self.name);
        said
    }

    fn run(&self, words: &[&str]) -> std::process::Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deployments/deployment.sh");
        let bin = Path::new(env!("CARGO_BIN_EXE_mqbroker")).parent().unwrap();
        let mut command = Command::new(script);
        command.arg(words[0]).arg(self.name).arg(self.dir.path()).args(&words[1..]);
        command.env("BIN", bin).env("PORT_SHIFT", self.shift.to_string());
        // A whole log file is reserved at once.
        command.env("MORE", "mappedFileSizeCommitLog=67108864");
        command.output().unwrap()
    }

    fn addr(&self, port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port + self.shift).into()
    }

    /// Sends so many messages to the master at `port`, each of which must be acknowledged.
    fn send(&self, port: u16, prefix: &str) -> Vec<String> {
        let mut client = Client::connect(self.addr(port));
        let texts: Vec<String> = (0..MESSAGES).map(|nth| format!("{prefix} {nth}")).collect();
        for text in &texts {
            // A slave that has just come may still be catching up: 12 is not acknowledged.
            eventually("an acknowledgement", || {
                let code = client.send_message(&message(TOPIC), text.as_bytes()).code;
                assert!([0, 12].contains(&code), "{code}");
                code == 0
            });
        }
        texts
    }

    /// Whether all of these are at the broker.
    fn has(&self, port: u16, texts: &[String]) -> bool {
        let stored = queue_of(self.addr(port), TOPIC, 0);
        texts.iter().all(|text| stored.contains(text))
    }

    /// Broker ids and addresses by name, from one of the name servers.
    fn route(&self, name_server: u16) -> BTreeMap<String, BTreeMap<i64, String>> {
        let mut client = Client::connect(self.addr(name_server));
        let reply = client.call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", TOPIC)]);
        if reply.code != 0 {
            return BTreeMap::new();
        }
        let route: protocol::bodies::TopicRouteData =
            protocol::json::from_lenient(&reply.body).unwrap();
        let brokers = route.broker_datas.into_iter();
        brokers.map(|it| (it.broker_name, it.broker_addrs.into_iter().collect())).collect()
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        let stopped = self.run(&["stop"]);
        if std::thread::panicking() {
            eprintln!("{}", String::from_utf8_lossy(&stopped.stderr));
            for log in logs(self.dir.path()) {
                eprintln!("---- {}:\n{}", log.display(), std::fs::read_to_string(&log).unwrap());
            }
        }
    }
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    let parts = std::fs::read_dir(dir).into_iter().flatten().flatten();
    parts.map(|part| part.path().join("log")).filter(|log| log.exists()).collect()
}

/// A shift with which every port of a deployment, and those beside a broker's, are free. They stay
/// below the blocks that other tests take.
fn free_shift() -> u16 {
    let free = |port: u16| TcpListener::bind(("0.0.0.0", port)).is_ok();
    let begin = u16::try_from(std::process::id() % 80).unwrap();
    let shifts = (0..80).map(|nth| 1_000 + (begin + nth) % 80 * 100);
    let mut shifts = shifts.filter(|shift| {
        PORTS
            .iter()
            .all(|port| free(port + shift) && free(port + shift + 1) && free(port + shift - 2))
    });
    shifts.next().expect("ports for a deployment")
}

/// One test for all: they take the machine one after the other, and ports are found one at a time.
#[test]
fn the_four_standard_deployments_survive_what_they_promise_to() {
    single_master();
    many_masters();
    masters_with_slaves("masters-slaves-async");
    masters_with_slaves("masters-slaves-sync");
}

fn single_master() {
    let deployment = Deployment::start("single-master");
    let texts = deployment.send(MASTER_A, "before");
    deployment.script(&["kill", "broker-a"]);
    deployment.script(&["begin", "broker-a"]);
    assert!(deployment.has(MASTER_A, &texts), "a killed process loses nothing acknowledged");
    assert!(deployment.has(MASTER_A, &deployment.send(MASTER_A, "after")));
}

fn many_masters() {
    let deployment = Deployment::start("many-masters");
    let of_a = deployment.send(MASTER_A, "to a");
    deployment.script(&["kill", "broker-a"]);
    deployment.script(&["kill", "namesrv-1"]);
    let of_b = deployment.send(MASTER_B, "to b");
    eventually("the other name server knows it", || {
        deployment.route(9877).contains_key("broker-b")
    });
    deployment.script(&["begin", "namesrv-1"]);
    deployment.script(&["begin", "broker-a"]);
    assert!(deployment.has(MASTER_A, &of_a) && deployment.has(MASTER_B, &of_b));
    eventually("both name servers know both", || {
        [9876, 9877].iter().all(|at| deployment.route(*at).len() == 2)
    });
}

fn masters_with_slaves(name: &'static str) {
    let deployment = Deployment::start(name);
    let mut first = deployment.send(MASTER_A, "before");
    // That there is a topic comes with the next slaveSyncInterval.
    eventually("the slave serves the topic", || deployment.has(SLAVE_A, &first));
    first.extend(deployment.send(MASTER_A, "right before the kill"));
    if name == "masters-slaves-async" {
        eventually("the slave has it", || deployment.has(SLAVE_A, &first));
    }
    deployment.script(&["kill", "broker-a"]);
    // Acknowledged by a SYNC_MASTER is at the slave, without any waiting.
    assert!(deployment.has(SLAVE_A, &first), "{name}: consumers read on from the slave");
    let refused = deployment.run(&["follow", "broker-b"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("broker-b still runs"));
    deployment.script(&["promote", "broker-a-s"]);
    deployment.script(&["follow", "broker-a"]);
    let second = deployment.send(SLAVE_A, "after");
    assert!(deployment.has(SLAVE_A, &first) && deployment.has(SLAVE_A, &second));
    let ids = |at| deployment.route(at).get("broker-a").cloned().unwrap_or_default();
    let expected =
        [(0, SLAVE_A), (1, MASTER_A)].map(|(id, port)| (id, deployment.addr(port).to_string()));
    eventually("clients are sent to the new master", || {
        ids(9876) == BTreeMap::from(expected.clone())
    });
    eventually("the old master follows", || deployment.has(MASTER_A, &second));
}
