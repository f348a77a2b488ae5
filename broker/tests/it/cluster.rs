//! A cluster that a test owns: a name server and a broker process on free loopback ports, with a
//! store in a temporary folder. Killed when dropped; a test that failed prints what they logged.

use crate::client::Client;
use protocol::codes::request;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use testkit::{BrokerSetup, NameServer, Program};
pub(crate) use testkit::{Process, eventually};

/// A program of the workspace, from the folder this test's own broker was built into.
pub(crate) fn program(name: &str) -> Program {
    Program::at(Path::new(env!("CARGO_BIN_EXE_mqbroker")).with_file_name(name))
}

/// `mqbroker` with these arguments, run to its end.
pub(crate) fn run_broker(args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    program("mqbroker").command(&[], &args).stdin(Stdio::null()).output().unwrap()
}

/// A name server and a broker.
pub struct Cluster {
    pub broker: Process,
    pub name_server: Process,
    pub name_server_addr: SocketAddr,
    pub shards: u16,
    pub port: u16,
    /// Last: fields are dropped in order, and it owns the folder of the store.
    setup: BrokerSetup,
}

impl Cluster {
    /// Starts both; `settings` are `key=value`. Returns when the broker serves and is registered.
    pub fn start(shards: u16, settings: &[&str]) -> Self {
        Self::start_with(shards, settings, |setup| setup)
    }

    /// The same with a broker that is set up by `change`.
    pub fn start_with(
        shards: u16,
        settings: &[&str],
        change: impl FnOnce(BrokerSetup) -> BrokerSetup,
    ) -> Self {
        let setup = BrokerSetup::new(program("mqbroker"), shards).settings(settings);
        let NameServer { process: name_server, addr } =
            NameServer::start(&program("mqnamesrv"), setup.dir(), &[]);
        let setup = change(setup.name_server(addr));
        Self {
            broker: setup.start(),
            name_server,
            name_server_addr: addr,
            shards,
            port: setup.port(),
            setup,
        }
    }

    /// Starts the broker anew on the same ports and store, after it ended.
    pub fn restart_broker(&mut self) {
        self.broker = self.setup.start();
    }

    /// The same with more settings from now on; a later setting of a key wins.
    pub fn restart_broker_with(&mut self, settings: &[&str]) {
        self.setup.add_settings(settings);
        self.restart_broker();
    }

    /// Starts the broker, which is expected to refuse: its exit code and what it logged.
    pub fn refused_broker(&self) -> (Option<i32>, String) {
        self.refused(self.broker_command())
    }

    /// The same with a command of the test's own.
    pub fn refused(&self, command: Command) -> (Option<i32>, String) {
        let mut broker = Process::spawn(command);
        let code = broker.wait();
        // Its last words may still be on their way from the pipe.
        eventually("the reason", || broker.log().contains("mqbroker: "));
        (code, broker.log())
    }

    /// The command that starts the broker.
    pub fn broker_command(&self) -> Command {
        self.setup.command()
    }

    /// The folder of the store and of the name server's file.
    pub fn dir(&self) -> &Path {
        self.setup.dir()
    }

    /// The broker's store.
    pub fn store(&self) -> PathBuf {
        self.setup.store()
    }

    /// Where a shard listens.
    pub fn shard_addr(&self, shard: u16) -> SocketAddr {
        self.setup.shard_addr(shard)
    }

    /// A connection to a shard.
    pub fn client(&self, shard: u16) -> Client {
        Client::connect(self.shard_addr(shard))
    }

    /// The brokers that the name server names for a topic.
    pub fn brokers_of(&self, topic: &str) -> Vec<String> {
        let reply = Client::connect(self.name_server_addr)
            .call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)]);
        if reply.code != 0 {
            return vec![];
        }
        let route: protocol::bodies::TopicRouteData =
            protocol::json::from_lenient(&reply.body).unwrap();
        let mut brokers: Vec<_> =
            route.queue_datas.into_iter().map(|queues| queues.broker_name).collect();
        brokers.sort();
        brokers
    }
}

/// Shard 0, so that a native client connects to a cluster.
impl From<&Cluster> for SocketAddr {
    fn from(cluster: &Cluster) -> Self {
        cluster.shard_addr(0)
    }
}
