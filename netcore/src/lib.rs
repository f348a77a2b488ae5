//! One core's network on its ring: connections, frames, limits, dialling.
//!
//! ```text
//!   ring completion          this crate                          the server (broker, namesrv)
//!   Accepted  ───────────▶  Connection in a table ────────────▶  Handler::on_open
//!   Received(bytes) ─────▶  frames split in place ────────────▶  Handler::on_frame(&[u8])
//!                            (rest of a half frame is copied)        │ writes answers into Net::out(conn)
//!   end of the turn ─────▶  one send per connection that has some ◀──┘ Handler::on_turn_end
//!   Sent ────────────────▶  the queue's memory is used again
//! ```
//!
//! This crate knows lengths, first bytes and limits. It does not know commands, topics and offsets.
//!
//! A slow or dead peer costs its own connection only. The rest of a frame that has not come is
//! copied out of the shared receive buffer at once. Answers that the peer does not take and frames
//! that it does not finish are bounded, for one connection and for all of a core ([`limits`]), and
//! the connections that hold most pay for it (`pressure.rs`). Silence ends in a close (`scan.rs`).
//!
//! Reading order: [`Handler`], [`Net`], [`Network`], `frame`, `connection`, `events`, `pressure`,
//! `scan`.

#![forbid(unsafe_code)]

mod config;
mod connection;
mod events;
pub mod frame;
pub mod limits;
mod net;
mod network;
mod pressure;
mod scan;

pub use config::{Listener, NetConfig};
pub use connection::{CloseReason, ConnId, Origin};
pub use frame::{Framing, Protocol};
pub use net::Net;
pub use network::{NetError, Network};
pub use rt::ring::SendQueue as OutQueue;

use std::io;
use std::net::SocketAddr;

/// A server on a [`Network`]. All methods are called on the core's thread, one at a time. None may
/// block: nothing else happens on the core meanwhile.
pub trait Handler: 'static {
    /// A connection is up.
    fn on_open(&mut self, net: &mut Net, conn: ConnId, origin: Origin, peer: SocketAddr);
    /// One remoting frame without its 4-byte length field, borrowed from the receive buffer.
    fn on_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]);
    /// One whole native frame, prefix included, borrowed from the receive buffer. Only where the
    /// [`Framing`] allows the native protocol.
    fn on_native_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        let _ = frame;
        net.close(conn, "the native protocol is not served here");
    }
    /// What a slave says on a listener of [`Framing::Reports`]: [`frame::REPORT_BYTES`] bytes.
    fn on_report(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        let _ = frame;
        net.close(conn, "replication is not served here");
    }
    /// What a master says on a dial of [`Framing::Transfers`]: its head and what it carries.
    fn on_transfer(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        let _ = frame;
        net.close(conn, "replication is not served here");
    }
    /// A connection is gone: exactly once for each that was opened.
    fn on_close(&mut self, net: &mut Net, conn: ConnId, reason: &CloseReason);
    /// A dial did not lead to a connection.
    fn on_dial_failed(&mut self, net: &mut Net, tag: u64, error: &io::Error);
    /// Once per turn of the loop, after its frames and before sends go out.
    fn on_turn_end(&mut self, net: &mut Net) {
        let _ = net;
    }
}
