//! Accepted connections, and what each takes part in: so that the end of one costs only that.

use netcore::ConnId;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// One accepted connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The peer's address.
    pub(crate) addr: SocketAddr,
    /// It came in on the VIP port, which does not serve pulls.
    pub(crate) is_vip: bool,
    /// The consumer groups that it is in.
    pub(crate) consumer_of: HashSet<String>,
    /// The producer groups that it is in.
    pub(crate) producer_of: HashSet<String>,
}

/// In which of a group's two tables a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It consumes.
    Consumer,
    /// It produces.
    Producer,
}

/// The accepted connections of one shard.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    table: HashMap<ConnId, Connection>,
}

impl Connections {
    /// A peer connected.
    pub(crate) fn opened(&mut self, conn: ConnId, addr: SocketAddr, is_vip: bool) {
        let connection =
            Connection { addr, is_vip, consumer_of: HashSet::new(), producer_of: HashSet::new() };
        self.table.insert(conn, connection);
    }

    /// It is gone: what it took part in, unless it was one that we dialled.
    pub(crate) fn closed(&mut self, conn: ConnId) -> Option<Connection> {
        self.table.remove(&conn)
    }

    /// Whether it came in on the VIP port.
    pub(crate) fn is_vip(&self, conn: ConnId) -> bool {
        self.table.get(&conn).is_some_and(|connection| connection.is_vip)
    }

    /// It is in a group from now on.
    pub(crate) fn joined(&mut self, conn: ConnId, group: &str, role: Role) {
        if let Some(groups) = self.groups(conn, role)
            && !groups.contains(group)
        {
            groups.insert(group.to_owned());
        }
    }

    /// It left a group on purpose.
    pub(crate) fn left(&mut self, conn: ConnId, group: &str, role: Role) {
        if let Some(groups) = self.groups(conn, role) {
            groups.remove(group);
        }
    }

    /// In how many groups it is.
    pub(crate) fn groups_of(&self, conn: ConnId, role: Role) -> usize {
        self.table.get(&conn).map_or(0, |connection| match role {
            Role::Consumer => connection.consumer_of.len(),
            Role::Producer => connection.producer_of.len(),
        })
    }

    fn groups(&mut self, conn: ConnId, role: Role) -> Option<&mut HashSet<String>> {
        let connection = self.table.get_mut(&conn)?;
        Some(match role {
            Role::Consumer => &mut connection.consumer_of,
            Role::Producer => &mut connection.producer_of,
        })
    }
}
