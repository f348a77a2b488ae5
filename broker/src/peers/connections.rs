//! Accepted connections.

use netcore::ConnId;
use std::collections::HashMap;
use std::net::SocketAddr;

/// One accepted connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The peer's address.
    pub(crate) addr: SocketAddr,
    /// It came in on the VIP port, which does not serve pulls.
    is_vip: bool,
}

/// The accepted connections of one shard.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    table: HashMap<ConnId, Connection>,
}

impl Connections {
    /// A peer connected.
    pub(crate) fn opened(&mut self, conn: ConnId, addr: SocketAddr, is_vip: bool) {
        self.table.insert(conn, Connection { addr, is_vip });
    }

    /// It is gone; `None` for one that we dialled.
    pub(crate) fn closed(&mut self, conn: ConnId) -> Option<Connection> {
        self.table.remove(&conn)
    }

    /// Whether it came in on the VIP port.
    pub(crate) fn is_vip(&self, conn: ConnId) -> bool {
        self.table.get(&conn).is_some_and(|connection| connection.is_vip)
    }
}
