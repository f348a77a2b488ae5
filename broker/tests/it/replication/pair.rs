//! A master and a slave of one name at one name server.

use crate::client::{Client, Stored, message, pull_from};
use crate::cluster::{eventually, program};
use protocol::codes::request;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use testkit::{Broker, BrokerSetup, NameServer};

pub(super) struct Pair {
    pub(super) master: Broker,
    pub(super) slave: Broker,
    pub(super) name_server: NameServer,
}

/// Tests wait for what these keep short.
const QUICK: [&str; 2] = ["haSendHeartbeatInterval=200", "slaveSyncInterval=200"];

pub(super) fn setup(role: &[&str], settings: &[&str]) -> BrokerSetup {
    let all = role.iter().chain(&QUICK).chain(settings);
    BrokerSetup::new(program("mqbroker"), 1).settings(all)
}

impl Pair {
    pub(super) fn start(settings: &[&str]) -> Self {
        Self::of(&["brokerRole=ASYNC_MASTER"], settings)
    }

    pub(super) fn of(role: &[&str], settings: &[&str]) -> Self {
        let master = setup(role, settings);
        let name_server = NameServer::start(&program("mqnamesrv"), master.dir(), &[]);
        let slave = setup(&["brokerRole=SLAVE", "brokerId=1"], settings);
        let [master, slave] = [master, slave].map(|setup| setup.name_server(name_server.addr));
        let (master, slave) = (Broker::start(master), Broker::start(slave));
        let pair = Self { master, slave, name_server };
        pair.slave_follows();
        pair
    }

    pub(super) fn master_client(&self) -> Client {
        Client::connect(self.master.addr())
    }

    pub(super) fn slave_client(&self) -> Client {
        Client::connect(self.slave.addr())
    }

    /// Waits until the slave's stream runs.
    pub(super) fn slave_follows(&self) {
        eventually("the slave follows", || info(self.slave.addr())["haFollowsMaster"] == "true");
    }

    /// Waits until the slave has all of the master's log; where that ends.
    pub(super) fn slave_has_all(&self) -> u64 {
        let end = end_of(self.master.addr());
        eventually("the slave has the log", || end_of(self.slave.addr()) == end);
        end
    }

    /// The addresses of the broker by id, as the name server tells them.
    pub(super) fn brokers_of(&self, topic: &str) -> BTreeMap<i64, String> {
        let mut client = Client::connect(self.name_server.addr);
        let reply = client.call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)]);
        assert_eq!(reply.code, 0, "{reply:?}");
        let route: protocol::bodies::TopicRouteData =
            protocol::json::from_lenient(&reply.body).unwrap();
        let broker = route.broker_datas.into_iter().next().unwrap();
        broker.broker_addrs.into_iter().collect()
    }
}

/// Sends whatever the answer is; its code.
pub(super) fn code_of(client: &mut Client, text: &str) -> i32 {
    client.send_message(&message("t"), text.as_bytes()).code
}

/// What a broker says of itself.
pub(super) fn info(addr: SocketAddr) -> BTreeMap<String, String> {
    let reply = Client::connect(addr).call(request::GET_BROKER_RUNTIME_INFO, &[]);
    let table: protocol::bodies::KvTable = protocol::json::from_lenient(&reply.body).unwrap();
    table.table.into_iter().collect()
}

pub(super) fn end_of(addr: SocketAddr) -> u64 {
    info(addr)["commitLogMaxOffset"].parse().unwrap()
}

/// Stops both, and compares what their logs' files hold up to `end`.
pub(super) fn logs_are_the_same(one: &mut Broker, other: &mut Broker, end: u64) {
    let logs = [one, other].map(|broker| {
        broker.process.stop();
        log_of(broker, end)
    });
    assert!(logs[0] == logs[1], "the logs differ");
}

/// What its log's files hold up to `end`.
pub(super) fn log_of(broker: &Broker, end: u64) -> Vec<u8> {
    let folder = broker.setup.store().join("commitlog");
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut log: Vec<u8> = names.iter().flat_map(|path| fs::read(path).unwrap()).collect();
    assert!(log.len() as u64 >= end);
    log.truncate(usize::try_from(end).unwrap());
    log
}

/// The messages of queue 0 of a topic, from its beginning.
pub(super) fn messages(client: &mut Client, topic: &str) -> Vec<Stored> {
    let mut all: Vec<Stored> = vec![];
    loop {
        let frame = client.pull(&pull_from(topic, i64::try_from(all.len()).unwrap()));
        match frame.code {
            0 => all.extend(frame.messages()),
            19 | 20 => return all,
            _ => panic!("{frame:?}"),
        }
    }
}

pub(super) fn texts(messages: &[Stored]) -> Vec<String> {
    messages.iter().map(|message| message.text().to_owned()).collect()
}
