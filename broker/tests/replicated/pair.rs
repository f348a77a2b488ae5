//! A SYNC_MASTER and its slave, each in a place of its own, and a name server.

use crate::networks::Place;
use crate::program;
use protocol::codes::request;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use testkit::remoting::Client;
use testkit::{Broker, BrokerSetup, NameServer, eventually};

/// Tests wait for what these keep short.
const QUICK: [&str; 7] = [
    "haSendHeartbeatInterval=100",
    "haHousekeepingInterval=1500",
    "slaveSyncInterval=200",
    "slaveTimeout=400",
    "inSyncReplicas=2",
    "bindAddress=0.0.0.0",
    "tailCacheBytes=67108864",
];

/// One broker of the pair.
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) broker: Broker,
}

impl Node {
    fn new(nth: u8, role: &[&str], more: &[&str], name_server: SocketAddr) -> Self {
        let place = Place::new(nth);
        let ip = format!("brokerIP1={}", place.ip());
        let ha_ip = format!("brokerIP2={}", place.ip());
        let setup = BrokerSetup::new(program("mqbroker"), 1)
            .through(place.through())
            .settings(QUICK)
            .settings([&ip, &ha_ip])
            .settings(more)
            .settings(role)
            .name_server(name_server);
        Self { broker: Broker::start(setup), place }
    }

    /// Where it answers.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.place.addr(self.broker.setup.port())
    }

    /// What it says of itself.
    pub(crate) fn info(&self) -> BTreeMap<String, String> {
        let reply = Client::connect(self.addr()).call(request::GET_BROKER_RUNTIME_INFO, &[]);
        let table: protocol::bodies::KvTable = protocol::json::from_lenient(&reply.body).unwrap();
        table.table.into_iter().collect()
    }

    /// Where its log ends.
    pub(crate) fn log_end(&self) -> u64 {
        self.info()["commitLogMaxOffset"].parse().unwrap()
    }
}

/// The pair.
pub(crate) struct Pair {
    pub(crate) master: Node,
    pub(crate) slave: Node,
    pub(crate) name_server: NameServer,
    /// Settings of the name server's port when it is started again.
    dir: tempfile::TempDir,
}

impl Pair {
    /// Starts all three.
    pub(crate) fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// Starts all three with more settings for both brokers, and for the slave.
    pub(crate) fn start_with(more: &[&str], of_slave: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = ["bindAddress=0.0.0.0", "listenPort=9876"];
        let name_server = NameServer::start(&program("mqnamesrv"), dir.path(), &settings);
        let addr = SocketAddr::from(([10, 77, 0, 1], 9876));
        // Both reach the name server over the first cable's near end: the router has it.
        let master = Node::new(0, &["brokerRole=SYNC_MASTER"], more, addr);
        let role = ["brokerRole=SLAVE", "brokerId=1"];
        let slave = Node::new(1, &role, &[more, of_slave].concat(), addr);
        let pair = Self { master, slave, name_server, dir };
        pair.slave_follows();
        pair
    }

    /// Waits until the slave follows.
    pub(crate) fn slave_follows(&self) {
        eventually("the slave follows", || {
            let info = self.slave.info();
            info.get("haFollowsMaster").is_some_and(|follows| follows == "true")
        });
    }

    /// Waits until the slave has all that the master had when this was called.
    pub(crate) fn slave_catches_up(&self) {
        let end = self.master.log_end();
        eventually("the slave has the log", || self.slave.log_end() >= end);
    }

    /// Starts the name server again, after it was killed.
    pub(crate) fn restart_name_server(&mut self) {
        let settings = ["bindAddress=0.0.0.0", "listenPort=9876"];
        self.name_server = NameServer::start(&program("mqnamesrv"), self.dir.path(), &settings);
    }

    /// Kills the master, and makes the slave the master; the old one is down, without a store.
    pub(crate) fn promote(&mut self, kill_slave_too: bool) {
        self.master.broker.process.kill();
        match kill_slave_too {
            true => self.slave.broker.process.kill(),
            false => drop(self.slave.broker.process.stop()),
        }
        self.slave.broker.setup.add_settings(&["brokerRole=SYNC_MASTER", "brokerId=0"]);
        self.slave.broker.restart();
        std::mem::swap(&mut self.master, &mut self.slave);
    }

    /// Starts the broker that was the master as a slave with an empty store.
    pub(crate) fn old_master_follows(&mut self) {
        let store = self.slave.broker.setup.store();
        if store.exists() {
            std::fs::remove_dir_all(store).unwrap();
        }
        self.slave.broker.setup.add_settings(&["brokerRole=SLAVE", "brokerId=1"]);
        self.slave.broker.restart();
        self.slave_follows();
        self.slave_catches_up();
    }
}
