//! The table of connections, as a handler sees it.

use crate::connection::{CloseReason, ConnId, Connection, Ending};
use crate::frame::Framing;
use crate::pressure::Held;
use crate::scan::Refusals;
use crate::{NetConfig, OutQueue, limits};
use rt::convert::fits;
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
    Dial { addr: SocketAddr, dial: Dial },
    Receive(ConnId),
    StopReceiving(ConnId),
    Shut(ConnId),
}

/// A connection that is being made.
#[derive(Clone, Copy)]
pub(crate) struct Dial {
    pub(crate) tag: u64,
    pub(crate) framing: Framing,
}

/// One core's connections: where answers are written, connections opened and closed.
pub struct Net {
    pub(crate) config: NetConfig,
    pub(crate) conns: Slab<Connection>,
    pub(crate) dials: Slab<Dial>,
    /// Connections with something new to send.
    pub(crate) dirty: Vec<ConnId>,
    pub(crate) todo: VecDeque<Todo>,
    /// Connections whose frames were held back and may go on.
    pub(crate) resumed: Vec<ConnId>,
    /// Connections whose frames wait until memory is free.
    pub(crate) waits_for_memory: Vec<ConnId>,
    /// Shut connections whose operations have all finished, and failed dials: to be reported.
    pub(crate) ended: Vec<ConnId>,
    pub(crate) failed_dials: Vec<(u64, std::io::Error)>,
    pub(crate) held: Held,
    pub(crate) refusals: Refusals,
    pub(crate) now_ms: u64,
    next_generation: u32,
}

/// A connection's name from its place in the table.
pub(crate) fn conn_id(slot: usize, generation: u32) -> ConnId {
    ConnId { slot: fits(slot), generation }
}

impl Net {
    pub(crate) fn new(config: NetConfig) -> Self {
        Self {
            held: Held::new(config.memory.clone()),
            config,
            conns: Slab::new(),
            dials: Slab::new(),
            dirty: Vec::new(),
            todo: VecDeque::new(),
            resumed: Vec::new(),
            waits_for_memory: Vec::new(),
            ended: Vec::new(),
            failed_dials: Vec::new(),
            refusals: Refusals::default(),
            now_ms: 0,
            next_generation: 0,
        }
    }

    /// The queue of what a connection is sent. Append whole frames; they leave at the end of the
    /// turn. `None` when the connection is gone or ending.
    pub fn out(&mut self, conn: ConnId) -> Option<&mut OutQueue> {
        let connection = self.conns.get_mut(conn.slot as usize)?;
        if connection.generation != conn.generation || !connection.is_open() {
            return None;
        }
        let outgoing = &mut connection.outgoing;
        if !outgoing.dirty {
            outgoing.dirty = true;
            self.dirty.push(conn);
        }
        Some(&mut outgoing.queue)
    }

    /// Bytes queued on a connection that its peer has not taken yet.
    #[must_use]
    pub fn unsent_bytes(&self, conn: ConnId) -> usize {
        self.get(conn).map_or(0, |connection| connection.outgoing.unsent_bytes())
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

    /// The number that [`Net::set_user_data`] left on a connection; 0 before, and for one that is
    /// gone. For what a handler has to know of a connection with every frame: it saves a table.
    #[must_use]
    pub fn user_data(&self, conn: ConnId) -> u32 {
        self.get(conn).map_or(0, |connection| connection.user_data)
    }

    /// Leaves a number on a connection.
    pub fn set_user_data(&mut self, conn: ConnId, user_data: u32) {
        if let Some(connection) = self.get_mut(conn) {
            connection.user_data = user_data;
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
        match connection.ending {
            Ending::No if connection.outgoing.unsent_bytes() > 0 => {
                connection.ending = Ending::AfterFlush(reason);
            }
            Ending::No => self.end(conn, reason),
            // Whoever is still waited for when the server stops is not waited for any longer.
            Ending::Draining { .. } if matches!(reason, CloseReason::Stopping) => {
                self.shut(conn, reason);
            }
            _ => {}
        }
    }

    /// Ends a connection that has nothing left to send.
    pub(crate) fn end(&mut self, conn: ConnId, reason: CloseReason) {
        let since_ms = self.now_ms;
        let Some(connection) = self.get_mut(conn) else { return };
        if connection.accepted && matches!(reason, CloseReason::Asked(_)) {
            connection.socket.shutdown_write();
            connection.incoming.carry = Vec::new();
            connection.ending = Ending::Draining { reason, since_ms, drained_bytes: 0 };
            self.charge_half_frame(conn);
        } else {
            self.shut(conn, reason);
        }
    }

    /// Ends a connection now; what is queued is lost.
    pub(crate) fn shut(&mut self, conn: ConnId, reason: CloseReason) {
        let Some(connection) = self.get_mut(conn) else { return };
        let reason = match std::mem::replace(&mut connection.ending, Ending::No) {
            Ending::Shut(first) => {
                connection.ending = Ending::Shut(first);
                return;
            }
            Ending::Draining { reason: asked, .. } => asked,
            Ending::No | Ending::AfterFlush(_) => reason,
        };
        connection.ending = Ending::Shut(reason);
        let quiet = connection.is_quiet();
        if quiet {
            self.ended.push(conn);
        } else {
            self.todo.push_back(Todo::Shut(conn));
        }
    }

    /// Connects to `addr`: `Handler::on_open` with `Origin::Dialed { tag }` follows, or
    /// `Handler::on_dial_failed`. What the peer sends is cut into frames as `framing` says.
    pub fn dial(&mut self, addr: SocketAddr, tag: u64, framing: Framing) {
        self.todo.push_back(Todo::Dial { addr, dial: Dial { tag, framing } });
    }

    pub(crate) fn insert(&mut self, socket: Socket, peer: SocketAddr, framing: Framing) -> ConnId {
        let silence = Duration::from_millis(limits::KEEPALIVE_SILENCE_MS);
        let interval = Duration::from_millis(limits::KEEPALIVE_INTERVAL_MS);
        if let Err(error) = socket.set_keepalive(silence, interval) {
            tracing::debug!(%peer, %error, "SO_KEEPALIVE");
        }
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let now_ms = self.now_ms;
        let connection = Connection::new(socket, peer, generation, framing, now_ms);
        let conn = conn_id(self.conns.insert(connection), generation);
        self.todo.push_back(Todo::Receive(conn));
        conn
    }

    /// Takes a connection that is over off the table.
    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        self.get(conn)?;
        let mut gone = self.conns.try_remove(conn.slot as usize)?;
        self.uncharge_gone(&mut gone);
        Some(gone)
    }

    pub(crate) fn of(conns: &mut Slab<Connection>, conn: ConnId) -> Option<&mut Connection> {
        conns
            .get_mut(conn.slot as usize)
            .filter(|connection| connection.generation == conn.generation)
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.conns
            .get(conn.slot as usize)
            .filter(|connection| connection.generation == conn.generation)
    }

    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        Self::of(&mut self.conns, conn)
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
        self.send_dirty(ring);
        self.relieve_if_pressed();
        while let Some(todo) = self.todo.pop_front() {
            match todo {
                Todo::Dial { addr, dial } => self.start_dial(ring, addr, dial),
                Todo::Receive(conn) => self.start_receive(ring, conn),
                Todo::StopReceiving(conn) => ring.stop_receiving(Self::token(conn)),
                Todo::Shut(conn) => {
                    if let Some(connection) = self.get(conn) {
                        ring.shut(&connection.socket);
                    }
                }
            }
        }
    }

    fn start_dial(&mut self, ring: &mut Ring, addr: SocketAddr, dial: Dial) {
        match rt::ring::connect_socket(addr) {
            Ok(socket) => {
                let key = self.dials.insert(dial);
                let timeout = Duration::from_millis(limits::CONNECT_TIMEOUT_MS);
                ring.connect(DIAL | key as u64, &socket, addr, timeout);
            }
            Err(error) => self.failed_dials.push((dial.tag, error)),
        }
    }

    fn start_receive(&mut self, ring: &mut Ring, conn: ConnId) {
        let Some(connection) = self.get_mut(conn) else { return };
        if connection.incoming.receiving || connection.incoming.paused || connection.is_shut() {
            return;
        }
        connection.incoming.receiving = true;
        ring.receive(Self::token(conn), &connection.socket);
    }

    /// Nothing more is read from a connection until [`Net::resume`].
    pub(crate) fn pause(&mut self, conn: ConnId) {
        let Some(connection) = self.get_mut(conn) else { return };
        let incoming = &mut connection.incoming;
        if !std::mem::replace(&mut incoming.paused, true) && incoming.receiving {
            self.todo.push_back(Todo::StopReceiving(conn));
        }
    }

    /// Hands on no more frames of a connection until [`Net::take_frames_again`]. Frames that have
    /// come already wait, and no more is read.
    pub fn take_no_frames(&mut self, conn: ConnId) {
        if let Some(connection) = self.get_mut(conn) {
            connection.incoming.pause_asked = true;
        }
        self.pause(conn);
    }

    /// See [`Net::take_no_frames`].
    pub fn take_frames_again(&mut self, conn: ConnId) {
        let Some(connection) = self.get_mut(conn) else { return };
        if std::mem::replace(&mut connection.incoming.pause_asked, false) {
            self.resume(conn);
        }
    }

    /// Reads from a paused connection again, once the frames that were held back are handed on.
    pub(crate) fn resume(&mut self, conn: ConnId) {
        let now_ms = self.now_ms;
        let Some(connection) = self.get_mut(conn) else { return };
        let incoming = &mut connection.incoming;
        incoming.paused = false;
        incoming.begin_step(now_ms);
        if incoming.held_back {
            self.resumed.push(conn);
        } else {
            self.todo.push_back(Todo::Receive(conn));
        }
    }

    fn send_dirty(&mut self, ring: &mut Ring) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for conn in dirty.drain(..) {
            self.start_send(ring, conn);
        }
        self.dirty = dirty;
    }

    fn start_send(&mut self, ring: &mut Ring, conn: ConnId) {
        let now_ms = self.now_ms;
        let (pause_bytes, max_bytes) = (self.config.out_pause_bytes, self.config.out_bytes_max);
        let Some(connection) = self.get_mut(conn) else { return };
        let outgoing = &mut connection.outgoing;
        outgoing.dirty = false;
        let unsent = outgoing.unsent_bytes();
        let pause = unsent > pause_bytes && !connection.incoming.paused;
        if unsent > max_bytes {
            let reason = CloseReason::SlowReader { queued_bytes: unsent, limit_bytes: max_bytes };
            return self.shut(conn, reason);
        }
        if outgoing.queue.is_empty() || matches!(connection.ending, Ending::Shut(_)) {
            return;
        }
        let mut whole = false;
        if outgoing.sending.is_none() {
            let queue = outgoing.begin_send(now_ms);
            whole = ring.send(Self::token(conn), &connection.socket, queue);
        }
        if !whole || outgoing.charged_bytes > 0 {
            self.charge_answers(conn);
        }
        if pause {
            self.pause(conn);
        }
    }
}
