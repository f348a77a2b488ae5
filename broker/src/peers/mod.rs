//! The other ends of connections: who they are ([`connections`]), whom the broker dials itself
//! ([`dials`], [`name_servers`]), what it asks of them ([`asked`], [`answer`], [`routes`]), and the
//! log lines about those that misbehave ([`log`]).

pub(crate) mod answer;
pub(crate) mod asked;
pub(crate) mod connections;
pub(crate) mod dials;
pub(crate) mod log;
pub(crate) mod name_servers;
pub(crate) mod routes;

use asked::Asked;
use connections::Connections;
use log::PeerLog;
use name_servers::NameServers;
use netcore::ConnId;
use routes::Routes;

/// What one shard knows of its peers.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Accepted connections.
    pub(crate) connections: Connections,
    /// The links to the name servers.
    pub(crate) name_servers: NameServers<ConnId>,
    /// Requests of ours without an answer.
    pub(crate) asked: Asked,
    /// What name servers said of topics.
    pub(crate) routes: Routes,
    /// Log lines about peers.
    pub(crate) log: PeerLog,
}

impl Peers {
    /// No connection yet, and links to these name servers.
    pub(crate) fn new(name_servers: &[String]) -> Self {
        Self {
            connections: Connections::default(),
            name_servers: NameServers::new(name_servers),
            asked: Asked::default(),
            routes: Routes::default(),
            log: PeerLog::default(),
        }
    }
}
