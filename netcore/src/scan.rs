//! What is looked at once a second: connections that are silent, stand still or close too slowly.

use crate::connection::{CloseReason, Connection, Ending};
use crate::net::{Net, conn_id};
use crate::{NetConfig, limits};
use std::net::SocketAddr;
use std::time::Duration;

/// Connections that were refused because as many as allowed were open, since the log told of it.
#[derive(Default)]
pub(crate) struct Refusals {
    count: u64,
    last: Option<SocketAddr>,
    told_ms: Option<u64>,
}

impl Refusals {
    pub(crate) fn add(&mut self, peer: SocketAddr) {
        self.count += 1;
        self.last = Some(peer);
    }

    /// One line for all of them, now and then: a peer that connects in a loop must not fill the
    /// log.
    fn tell(&mut self, now_ms: u64, connections_max: usize) {
        let is_due = self.told_ms.is_none_or(|told| now_ms >= told + limits::REFUSALS_LOG_MS);
        if let Some(last) = self.last.filter(|_| is_due) {
            tracing::warn!(
                refused = self.count,
                %last,
                connections_max,
                "connections were refused: as many as allowed are open. The number follows from \
                    the limit of open files"
            );
            *self = Self { told_ms: Some(now_ms), ..Self::default() };
        }
    }
}

/// Ends connections that are silent, stand still or take too long to close.
pub(crate) fn scan(net: &mut Net) {
    let Net { config, conns, refusals, now_ms, .. } = net;
    let now_ms = *now_ms;
    refusals.tell(now_ms, config.connections_max);
    let (mut late, mut released) = (Vec::new(), Vec::new());
    for (slot, connection) in conns {
        let conn = conn_id(slot, connection.generation);
        connection.look_for_send_progress(now_ms);
        let silent_ms = now_ms.saturating_sub(connection.last_active_ms);
        if let Some(reason) = overdue(connection, config, now_ms) {
            late.push((conn, reason));
        } else if silent_ms >= limits::MEMORY_KEEP_MS && connection.release_spare_memory() {
            released.push(conn);
        }
    }
    released.into_iter().for_each(|conn| net.charge_half_frame(conn));
    for (conn, reason) in late {
        net.shut(conn, reason);
    }
}

/// Why a connection must end now.
fn overdue(connection: &Connection, config: &NetConfig, now_ms: u64) -> Option<CloseReason> {
    match &connection.ending {
        Ending::Draining { since_ms, .. } => {
            let over = now_ms.saturating_sub(*since_ms) >= limits::DRAIN_MS_MAX;
            return over.then_some(CloseReason::Peer); // its own reason is kept by `shut`
        }
        Ending::Shut(_) => return None,
        Ending::No | Ending::AfterFlush(_) => {}
    }
    if let Some(sending) = &connection.outgoing.sending {
        let stalled_ms = now_ms.saturating_sub(sending.progress_ms);
        if stalled_ms > config.send_stall_ms_max {
            return Some(CloseReason::SendStalled(stalled_ms));
        }
    }
    let stalled_ms = connection.incoming.stalled_ms(now_ms);
    if stalled_ms > config.half_frame_stall_ms_max {
        let received = connection.incoming.carry.len();
        return Some(CloseReason::HalfFrameStalled { received, stalled_ms });
    }
    let silent = Duration::from_millis(now_ms.saturating_sub(connection.last_active_ms));
    let seconds = config.idle_timeout.as_secs();
    (silent > config.idle_timeout).then_some(CloseReason::Idle { seconds })
}
