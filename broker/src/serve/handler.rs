//! A shard as the handler of its core's network.
//!
//! ```text
//!   frame           ──► desk ──► a row's handler ──► answer into the connection's outgoing bytes
//!   end of the turn ──► arrivals wake long polls, changed topics go to the name servers, changed
//!                       tables to their files
//!   connection gone ──► its long polls and memberships end
//! ```

use crate::desk::open as desk;
use crate::peers::dials::Purpose;
use crate::reads::run as reads;
use crate::requests::group;
use crate::services::replication::{master, slave};
use crate::services::{lite, pop, registration, saving};
use crate::shard::Shard;
use netcore::{CloseReason, ConnId, Handler, Net, Origin};
use protocol::remoting::CommandView;
use std::io;
use std::net::SocketAddr;

/// Where slaves dial, among the listeners of a shard. The first is the shard's own.
const HA_LISTENER: usize = 1;
/// For clients before 4.5, which send to it; it is missing where its port is taken.
const VIP_LISTENER: usize = 2;

impl Handler for Shard {
    fn on_open(&mut self, net: &mut Net, conn: ConnId, origin: Origin, peer: SocketAddr) {
        match origin {
            Origin::Accepted { listener: HA_LISTENER } => master::opened(self, net, conn, peer),
            Origin::Accepted { listener } => {
                self.peers.connections.opened(conn, peer, listener == VIP_LISTENER)
            }
            Origin::Dialed { tag } => match Purpose::of_tag(tag) {
                Purpose::NameServer { index } => registration::opened(self, net, index, conn),
                master => slave::opened(self, net, master, conn),
            },
        }
    }

    // A function of its own in every profile: benches/instructions counts from here.
    #[inline(never)]
    fn on_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        let command = match CommandView::parse(frame) {
            Ok(command) => command,
            Err(error) => {
                self.peers.log.blame(net.peer(conn), self.cx.now_ms(), &error);
                return net.close(conn, "its header can't be read");
            }
        };
        if command.is_response() {
            return registration::answered(self, conn, &command);
        }
        desk::remoting(self, net, conn, &command);
    }

    // As above.
    #[inline(never)]
    fn on_native_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        desk::native_bytes(self, net, conn, frame);
    }

    fn on_report(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        master::reported(self, net, conn, frame);
    }

    fn on_transfer(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        slave::transfer(self, net, conn, frame);
    }

    fn on_close(&mut self, net: &mut Net, conn: ConnId, reason: &CloseReason) {
        let gone = self.peers.connections.closed(conn);
        if let CloseReason::Garbage(_)
        | CloseReason::SlowReader { .. }
        | CloseReason::SendStalled(_)
        | CloseReason::PeerMidFrame { .. } = reason
        {
            let addr = gone.as_ref().map(|gone| gone.addr);
            self.peers.log.blame(addr, self.cx.now_ms(), reason);
        }
        if registration::closed(self, conn)
            || master::closed(self, conn)
            || slave::closed(self, conn, reason)
        {
            return;
        }
        reads::closed(self, conn);
        lite::closed(self, conn);
        self.tables.producers.close(conn);
        for group in self.tables.consumers.groups_of(conn) {
            group::leave(self, net, &group, conn);
        }
    }

    fn on_dial_failed(&mut self, _net: &mut Net, tag: u64, error: &io::Error) {
        match Purpose::of_tag(tag) {
            Purpose::NameServer { index } => registration::unreachable(self, index, error),
            master => slave::unreachable(self, master, error),
        }
    }

    // As above.
    #[inline(never)]
    fn on_turn_end(&mut self, net: &mut Net) {
        reads::wake_arrivals(self, net);
        pop::turn_ended(self, net);
        lite::turn_ended(self);
        registration::turn_ended(self, net);
        saving::turn_ended(self);
        master::turn_ended(self, net);
        slave::report(self, net);
        self.desk.turn_ended();
    }
}
