//! From ring events to handler calls.

use crate::connection::{CloseReason, ConnId, Ending, Origin};
use crate::frame::{self, Lane};
use crate::net::{DIAL, LISTENER, Net, Todo};
use crate::{Handler, limits};
use rt::ring::{Event, ReceiveEnd, SendQueue, Socket};
use std::io;

/// Listeners that stopped accepting and must be started again.
pub(crate) type StoppedListeners = Vec<usize>;

pub(crate) fn dispatch<H: Handler>(
    net: &mut Net,
    handler: &mut H,
    stopped: &mut StoppedListeners,
    event: Event<'_>,
) {
    match event {
        Event::Accepted { token, socket } => accepted(net, handler, listener(token), socket),
        Event::AcceptEnded { token, error } => {
            tracing::debug!(%error, "accept ended; it is tried again in a second unless the \
                server stops");
            stopped.push(listener(token));
        }
        Event::Received { token, data } => {
            if let Some(conn) = net.by_token(token) {
                received(net, handler, conn, data);
            }
        }
        Event::ReceiveEnded { token, why } => {
            if let Some(conn) = net.by_token(token) {
                receive_ended(net, conn, why);
            }
        }
        Event::Sent { token, queue, result } => {
            if let Some(conn) = net.by_token(token) {
                sent(net, conn, queue, result);
            }
        }
        Event::Connected { token, socket, result } => {
            connected(net, handler, token, socket, result)
        }
    }
}

fn listener(token: u64) -> usize {
    usize::try_from(token & !LISTENER).unwrap_or(usize::MAX)
}

fn accepted<H: Handler>(net: &mut Net, handler: &mut H, listener: usize, socket: Socket) {
    let Ok(peer) = socket.peer_addr() else { return }; // gone again already
    if net.conns.len() >= net.config.connections_max {
        tracing::warn!(%peer, limit = net.config.connections_max, "connection refused: as many \
            as allowed are open");
        return;
    }
    if let Err(error) = socket.set_nodelay() {
        tracing::debug!(%peer, %error, "TCP_NODELAY");
    }
    let conn = net.insert(socket, peer);
    handler.on_open(net, conn, Origin::Accepted { listener }, peer);
}

fn connected<H: Handler>(
    net: &mut Net,
    handler: &mut H,
    token: u64,
    socket: Socket,
    result: io::Result<()>,
) {
    let key = usize::try_from(token & !DIAL).unwrap_or(usize::MAX);
    let Some(tag) = net.dials.try_remove(key) else { return };
    match result.and_then(|()| socket.peer_addr()) {
        Ok(peer) => {
            let conn = net.insert(socket, peer);
            handler.on_open(net, conn, Origin::Dialed { tag }, peer);
        }
        Err(error) => net.failed_dials.push((tag, error)),
    }
}

fn received<H: Handler>(net: &mut Net, handler: &mut H, conn: ConnId, data: &[u8]) {
    let now_ms = net.now_ms;
    let Some(connection) = net.get_mut(conn) else { return };
    connection.last_active_ms = now_ms;
    if !connection.is_open() {
        return;
    }
    let mut carry = std::mem::take(&mut connection.carry);
    let outcome = frames(net, handler, conn, &mut carry, data);
    if carry.capacity() > limits::CARRY_KEEP_BYTES && carry.is_empty() {
        carry = Vec::new();
    }
    if let Some(connection) = net.get_mut(conn) {
        connection.carry = carry;
    }
    if let Err(error) = outcome {
        net.shut(conn, error.into());
    }
}

/// Hands every whole frame of `data` to the handler, in place where possible.
fn frames<H: Handler>(
    net: &mut Net,
    handler: &mut H,
    conn: ConnId,
    carry: &mut Vec<u8>,
    mut data: &[u8],
) -> Result<(), frame::FrameError> {
    let max = net.config.frame_bytes_max;
    let Some(lane) = lane(net, conn, data)? else { return Ok(()) };
    if !carry.is_empty() {
        if !frame::fill(lane, carry, &mut data, max)? {
            return Ok(());
        }
        hand_on(net, handler, conn, lane, carry.get(lane.hidden_bytes()..).unwrap_or_default());
        carry.clear();
    }
    while is_open(net, conn) {
        match frame::take(lane, &mut data, max)? {
            Some(found) => hand_on(net, handler, conn, lane, found),
            None => {
                carry.extend_from_slice(data);
                break;
            }
        }
    }
    Ok(())
}

fn hand_on<H: Handler>(net: &mut Net, handler: &mut H, conn: ConnId, lane: Lane, frame: &[u8]) {
    match lane {
        Lane::Remoting => handler.on_frame(net, conn, frame),
        Lane::Native => handler.on_native_frame(net, conn, frame),
    }
}

fn is_open(net: &Net, conn: ConnId) -> bool {
    net.get(conn).is_some_and(crate::connection::Connection::is_open)
}

fn lane(net: &mut Net, conn: ConnId, data: &[u8]) -> Result<Option<Lane>, frame::FrameError> {
    let speaks_native = net.config.native_lane;
    let Some(connection) = net.get_mut(conn) else { return Ok(None) };
    if connection.lane.is_none()
        && let Some(first) = data.first()
    {
        let lane = frame::detect(*first)?;
        if lane == Lane::Native && !speaks_native {
            return Err(frame::FrameError::UnknownLane(*first));
        }
        connection.lane = Some(lane);
    }
    Ok(connection.lane)
}

fn receive_ended(net: &mut Net, conn: ConnId, why: ReceiveEnd) {
    let Some(connection) = net.get_mut(conn) else { return };
    connection.receiving = false;
    if matches!(connection.ending, Ending::Shut(_)) {
        if connection.is_quiet() {
            net.ended.push(conn);
        }
        return;
    }
    let received = connection.carry.len();
    match why {
        // Stopped: the connection is paused, and may have been resumed meanwhile.
        ReceiveEnd::Stopped => net.todo.push_back(Todo::Receive(conn)),
        ReceiveEnd::Failed(error) => {
            net.shut(conn, CloseReason::Failed { operation: "receive", error })
        }
        ReceiveEnd::Peer if received == 0 => net.shut(conn, CloseReason::Peer),
        ReceiveEnd::Peer => net.shut(conn, CloseReason::PeerMidFrame { received }),
    }
}

fn sent(net: &mut Net, conn: ConnId, mut queue: SendQueue, result: io::Result<()>) {
    let now_ms = net.now_ms;
    let pause_bytes = net.config.out_pause_bytes;
    queue.clear();
    let Some(connection) = net.get_mut(conn) else { return };
    let taken = std::mem::take(&mut connection.in_flight_bytes);
    connection.send_started_ms = None;
    connection.last_active_ms = now_ms;
    connection.spare = Some(queue);
    let resume = connection.paused && connection.unsent_bytes() <= pause_bytes / 2;
    if resume {
        connection.paused = false;
        net.todo.push_back(Todo::Receive(conn));
    }
    net.unsent_total_bytes -= taken.min(net.unsent_total_bytes);
    let Some(connection) = net.get_mut(conn) else { return };
    match (&mut connection.ending, result) {
        (Ending::Shut(_), _) => {
            if connection.is_quiet() {
                net.ended.push(conn);
            }
        }
        (_, Err(error)) => net.shut(conn, CloseReason::Failed { operation: "send", error }),
        (ending @ Ending::AfterFlush(_), Ok(())) if connection.out.is_empty() => {
            if let Ending::AfterFlush(reason) = std::mem::replace(ending, Ending::No) {
                net.shut(conn, reason);
            }
        }
        (_, Ok(())) => {
            if !connection.out.is_empty() && !connection.dirty {
                connection.dirty = true;
                net.dirty.push(conn);
            }
        }
    }
}
