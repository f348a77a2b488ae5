//! The name server as a network handler: it decodes requests, sends answers, and removes the
//! brokers of a closed connection.
//!
//! A change of the key-value table is answered only when its file has been replaced. The file is
//! written by a task (see `run`): changes that arrive during a write are written together by the
//! next one, so a burst costs two writes and not one for each change.

use crate::limits;
use crate::service::{Answer, Asker, NameServer};
use netcore::{CloseReason, ConnId, Handler, Net, Origin};
use protocol::codes::{request as code, response};
use protocol::remoting::{CommandHead, CommandView, FLAG_RESPONSE, SerializeType, write_command};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use tracing::{debug, info, warn};

/// A request to answer once the key-value file is written.
#[derive(Debug, Clone, Copy)]
struct Unanswered {
    conn: ConnId,
    serialize: SerializeType,
    opaque: i32,
}

/// The clock and the wake-up that a processor is given.
pub(crate) struct Hooks {
    /// Monotonic milliseconds.
    pub now_ms: Box<dyn Fn() -> i64>,
    /// Wakes the task that writes the key-value file.
    pub kv_changed: Box<dyn Fn()>,
}

/// A name server behind a [`netcore::Network`]. One core owns it; it lives as long as the network.
pub(crate) struct Processor {
    server: NameServer<ConnId>,
    hooks: Hooks,
    /// The peer of each open connection, for log lines: when `on_close` is called, the network has
    /// forgotten it.
    peers: HashMap<ConnId, SocketAddr>,
    /// Whether the table differs from the content that the writer has.
    kv_dirty: bool,
    /// Answers to changes that no write has taken up yet.
    unanswered: Vec<Unanswered>,
    /// Answers to the changes that are being written.
    in_write: Vec<Unanswered>,
}

impl Processor {
    /// A processor for this server.
    pub(crate) fn new(server: NameServer<ConnId>, hooks: Hooks) -> Self {
        Self {
            server,
            hooks,
            peers: HashMap::new(),
            kv_dirty: false,
            unanswered: Vec::new(),
            in_write: Vec::new(),
        }
    }

    /// The name server.
    pub(crate) fn server(&self) -> &NameServer<ConnId> {
        &self.server
    }

    /// Removes brokers that were silent for too long, and closes their connections.
    pub(crate) fn expire(&mut self, net: &mut Net) {
        for gone in self.server.routes.expire((self.hooks.now_ms)()) {
            let (broker, addr, silent_ms) = (&gone.broker_name, &gone.addr, gone.silent_ms);
            warn!(cluster = %gone.cluster, %broker, %addr, silent_ms, "broker expired");
            net.close(gone.conn, "its broker was silent for longer than its heartbeat timeout");
        }
    }

    /// The content for the key-value file, if it has changed since the last call.
    pub(crate) fn take_kv_to_write(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.kv_dirty) {
            return None;
        }
        self.in_write.append(&mut self.unanswered);
        Some(self.server.kv.to_file())
    }

    /// Answers the changes of the content taken last, which is in the file now or could not be
    /// written. After a failure the next change writes the whole table again.
    pub(crate) fn kv_written(&mut self, net: &mut Net, outcome: &io::Result<()>) {
        let remark = outcome.as_ref().err().map(|error| {
            let path = self.server.config().kv_path.display();
            warn!(%path, %error, "key-value file not written");
            format!("in force, but not kept over a restart: {path}: {error}")
        });
        let code = if remark.is_some() { response::SYSTEM_ERROR } else { response::SUCCESS };
        for Unanswered { conn, serialize, opaque } in self.in_write.drain(..) {
            if let Some(out) = net.out(conn) {
                let head = CommandHead {
                    serialize,
                    code,
                    opaque,
                    flag: FLAG_RESPONSE,
                    remark: remark.as_deref(),
                };
                write_command(out.bytes(), &head, |_| {}, &[]);
            }
        }
    }

    fn answer(&mut self, request: &CommandView<'_>, conn: ConnId, peer: SocketAddr) -> Answer {
        let changes_kv = matches!(request.code, code::PUT_KV_CONFIG | code::DELETE_KV_CONFIG);
        if changes_kv && self.unanswered.len() >= limits::KV_UNANSWERED_MAX {
            return Answer::error(
                response::SYSTEM_BUSY,
                "too many key-value changes wait for the disk",
            );
        }
        self.server.answer(request, Asker { conn, peer, now_ms: (self.hooks.now_ms)() })
    }
}

impl Handler for Processor {
    fn on_open(&mut self, _net: &mut Net, conn: ConnId, _origin: Origin, peer: SocketAddr) {
        self.peers.insert(conn, peer);
        debug!(%peer, "connected");
    }

    fn on_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        let Some(&peer) = self.peers.get(&conn) else { return };
        let request = match CommandView::parse(frame) {
            Ok(command) if command.is_response() => return, // this server asks nobody
            Ok(command) => command,
            Err(error) => {
                warn!(%peer, %error, "frame does not decode, closing");
                net.close(conn, "frame does not decode");
                return;
            }
        };
        let answer = self.answer(&request, conn, peer);
        if answer.after_kv_write {
            self.kv_dirty = true;
            if !request.is_oneway() {
                self.unanswered.push(Unanswered {
                    conn,
                    serialize: request.serialize,
                    opaque: request.opaque,
                });
            }
            (self.hooks.kv_changed)();
        } else if !request.is_oneway()
            && let Some(out) = net.out(conn)
        {
            answer.write(&request, out.bytes());
        }
    }

    fn on_close(&mut self, _net: &mut Net, conn: ConnId, reason: &CloseReason) {
        let peer = self.peers.remove(&conn).map_or_else(String::new, |peer| peer.to_string());
        if reason.is_the_peers_fault() {
            warn!(%peer, %reason, "connection closed");
        } else {
            debug!(%peer, %reason, "connection closed");
        }
        for addr in self.server.routes.connection_lost(conn) {
            info!(%addr, %reason, "broker gone with its connection");
        }
    }

    fn on_dial_failed(&mut self, _net: &mut Net, tag: u64, error: &io::Error) {
        warn!(tag, %error, "a dial failed that this server did not make");
    }
}
