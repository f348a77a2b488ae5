//! The table of connections, as a handler sees it.

use crate::connection::{CloseReason, ConnId, Connection, Ending};
use crate::{NetConfig, OutQueue, limits};
use rt::ring::{Ring, Socket, Token};
use slab::Slab;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// Tokens of listeners and dials are told from connections by their upper bits.
pub(crate) const LISTENER: u64 = 1 << 62;
pub(crate) const DIAL: u64 = 1 << 63;

/// What waits for the ring at the end of the turn.
pub(crate) enum Todo {
    Dial { addr: SocketAddr, tag: u64 },
    Receive(ConnId),
    StopReceiving(ConnId),
    Shut(ConnId),
}

/// One core's connections: where answers are written, connections opened and closed.
pub struct Net {
    pub(crate) config: NetConfig,
    pub(crate) conns: Slab<Connection>,
    pub(crate) dials: Slab<u64>,
    /// Connections with something new to send.
    pub(crate) dirty: Vec<ConnId>,
    pub(crate) todo: VecDeque<Todo>,
    /// Shut connections whose operations have all finished, and failed dials: to be reported.
    pub(crate) ended: Vec<ConnId>,
    pub(crate) failed_dials: Vec<(u64, std::io::Error)>,
    pub(crate) unsent_total_bytes: usize,
    pub(crate) now_ms: u64,
    next_generation: u32,
}

impl Net {
    pub(crate) fn new(config: NetConfig) -> Self {
        Self {
            config,
            conns: Slab::new(),
            dials: Slab::new(),
            dirty: Vec::new(),
            todo: VecDeque::new(),
            ended: Vec::new(),
            failed_dials: Vec::new(),
            unsent_total_bytes: 0,
            now_ms: 0,
            next_generation: 0,
        }
    }

    /// Where the answers to a connection are queued: append whole frames. They leave at the end of
    /// the turn. `None` when the connection is gone or ending.
    pub fn out(&mut self, conn: ConnId) -> Option<&mut OutQueue> {
        let connection = self.conns.get_mut(conn.slot as usize)?;
        if connection.generation != conn.generation || !connection.is_open() {
            return None;
        }
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(conn);
        }
        Some(&mut connection.out)
    }

    /// Bytes queued on a connection that its peer has not taken yet.
    #[must_use]
    pub fn unsent_bytes(&self, conn: ConnId) -> usize {
        self.get(conn).map_or(0, Connection::unsent_bytes)
    }

    /// The other end's address.
    #[must_use]
    pub fn peer(&self, conn: ConnId) -> Option<SocketAddr> {
        self.get(conn).map(|connection| connection.peer)
    }

    /// This end's address.
    #[must_use]
    pub fn local(&self, conn: ConnId) -> Option<SocketAddr> {
        self.get(conn).and_then(|connection| connection.local)
    }

    /// What [`Net::set_mark`] left on a connection; 0 before, and for one that is gone. A handler's
    /// state of a connection that it needs with every frame, without a table of its own.
    #[must_use]
    pub fn mark(&self, conn: ConnId) -> u32 {
        self.get(conn).map_or(0, |connection| connection.mark)
    }

    /// Leaves a number on a connection.
    pub fn set_mark(&mut self, conn: ConnId, mark: u32) {
        if let Some(connection) = self.get_mut(conn) {
            connection.mark = mark;
        }
    }

    /// Connections at this moment.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.conns.len()
    }

    /// Ends a connection once what is queued has gone out. Frames that arrive meanwhile are
    /// dropped.
    pub fn close(&mut self, conn: ConnId, why: &'static str) {
        self.close_with(conn, CloseReason::Asked(why));
    }

    pub(crate) fn close_with(&mut self, conn: ConnId, reason: CloseReason) {
        let Some(connection) = self.get_mut(conn) else { return };
        if !connection.is_open() {
            return;
        }
        if connection.unsent_bytes() == 0 {
            self.shut(conn, reason);
        } else {
            connection.ending = Ending::AfterFlush(reason);
        }
    }

    /// Ends a connection now; what is queued is lost.
    pub(crate) fn shut(&mut self, conn: ConnId, reason: CloseReason) {
        let Some(connection) = self.get_mut(conn) else { return };
        if matches!(connection.ending, Ending::Shut(_)) {
            return;
        }
        connection.ending = Ending::Shut(reason);
        let quiet = connection.is_quiet();
        if quiet {
            self.ended.push(conn);
        } else {
            self.todo.push_back(Todo::Shut(conn));
        }
    }

    /// Connects to `addr`: `Handler::on_open` with `Origin::Dialed { tag }` follows, or
    /// `Handler::on_dial_failed`.
    pub fn dial(&mut self, addr: SocketAddr, tag: u64) {
        self.todo.push_back(Todo::Dial { addr, tag });
    }

    pub(crate) fn insert(&mut self, socket: Socket, peer: SocketAddr) -> ConnId {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let now_ms = self.now_ms;
        let slot = self.conns.insert(Connection::new(socket, peer, generation, now_ms));
        let slot = u32::try_from(slot).unwrap_or(u32::MAX); // connections_max is far below
        let conn = ConnId { slot, generation };
        self.todo.push_back(Todo::Receive(conn));
        conn
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.conns
            .get(conn.slot as usize)
            .filter(|connection| connection.generation == conn.generation)
    }

    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.conns
            .get_mut(conn.slot as usize)
            .filter(|connection| connection.generation == conn.generation)
    }

    /// The connection's slot and generation travel through the ring as the token.
    pub(crate) fn token(conn: ConnId) -> Token {
        (u64::from(conn.generation & 0x1fff_ffff) << 32) | u64::from(conn.slot)
    }

    pub(crate) fn by_token(&self, token: Token) -> Option<ConnId> {
        let slot = u32::try_from(token & 0xffff_ffff).ok()?;
        let connection = self.conns.get(slot as usize)?;
        let conn = ConnId { slot, generation: connection.generation };
        (Self::token(conn) == token).then_some(conn)
    }

    /// Does what the turn has queued for the ring.
    pub(crate) fn submit(&mut self, ring: &mut Ring) {
        while let Some(todo) = self.todo.pop_front() {
            match todo {
                Todo::Dial { addr, tag } => self.start_dial(ring, addr, tag),
                Todo::Receive(conn) => self.start_receive(ring, conn),
                Todo::StopReceiving(conn) => ring.stop_receiving(Self::token(conn)),
                Todo::Shut(conn) => {
                    if let Some(connection) = self.get(conn) {
                        ring.shut(&connection.socket);
                    }
                }
            }
        }
        self.send_dirty(ring);
    }

    fn start_dial(&mut self, ring: &mut Ring, addr: SocketAddr, tag: u64) {
        match rt::ring::connect_socket(addr) {
            Ok(socket) => {
                let key = self.dials.insert(tag);
                let timeout = Duration::from_millis(limits::CONNECT_TIMEOUT_MS);
                ring.connect(DIAL | key as u64, &socket, addr, timeout);
            }
            Err(error) => self.failed_dials.push((tag, error)),
        }
    }

    fn start_receive(&mut self, ring: &mut Ring, conn: ConnId) {
        let Some(connection) = self.get_mut(conn) else { return };
        if connection.receiving || connection.paused || matches!(connection.ending, Ending::Shut(_))
        {
            return;
        }
        connection.receiving = true;
        ring.receive(Self::token(conn), &connection.socket);
    }

    fn send_dirty(&mut self, ring: &mut Ring) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for conn in dirty.drain(..) {
            if let Some(connection) = self.get_mut(conn) {
                connection.dirty = false;
            }
            self.start_send(ring, conn);
        }
        self.dirty = dirty;
    }

    pub(crate) fn start_send(&mut self, ring: &mut Ring, conn: ConnId) {
        let now_ms = self.now_ms;
        let (pause_bytes, max_bytes) = (self.config.out_pause_bytes, self.config.out_bytes_max);
        let Some(connection) = self.get_mut(conn) else { return };
        let unsent = connection.unsent_bytes();
        if unsent > max_bytes {
            return self.shut(
                conn,
                CloseReason::SlowReader { queued_bytes: unsent, limit_bytes: max_bytes },
            );
        }
        if matches!(connection.ending, Ending::Shut(_)) || connection.out.is_empty() {
            return;
        }
        let pause = unsent > pause_bytes && !connection.paused && connection.receiving;
        if pause {
            connection.paused = true;
        }
        if connection.send_started_ms.is_none() {
            let queue =
                std::mem::replace(&mut connection.out, connection.spare.take().unwrap_or_default());
            connection.in_flight_bytes = queue.queued_bytes();
            connection.send_started_ms = Some(now_ms);
            let sending = connection.in_flight_bytes;
            ring.send(Self::token(conn), &connection.socket, queue);
            self.unsent_total_bytes += sending;
        }
        if pause {
            self.todo.push_back(Todo::StopReceiving(conn));
        }
        if self.unsent_total_bytes > limits::OUT_TOTAL_BYTES_MAX {
            let queued_bytes = self.unsent_total_bytes;
            self.shut(
                conn,
                CloseReason::SlowReader { queued_bytes, limit_bytes: limits::OUT_TOTAL_BYTES_MAX },
            );
        }
    }
}
