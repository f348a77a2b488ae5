//! From ring events to handler calls.

use crate::connection::{CloseReason, ConnId, Ending, Origin};
use crate::frame::{self, Protocol};
use crate::net::{DIAL, Dial, LISTENER, Net, Todo};
use crate::{Handler, limits};
use rt::convert::fits;
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
    fits(token & !LISTENER)
}

fn accepted<H: Handler>(net: &mut Net, handler: &mut H, listener: usize, socket: Socket) {
    let Ok(peer) = socket.peer_addr() else { return }; // gone again already
    let Some(framing) = net.config.listen.get(listener).map(|listener| listener.framing) else {
        return;
    };
    if net.conns.len() >= net.config.connections_max {
        net.refusals.add(peer);
        return;
    }
    if let Err(error) = socket.set_nodelay() {
        tracing::debug!(%peer, %error, "TCP_NODELAY");
    }
    let conn = net.insert(socket, peer, framing);
    if let Some(connection) = net.get_mut(conn) {
        connection.accepted = true;
    }
    handler.on_open(net, conn, Origin::Accepted { listener }, peer);
}

fn connected<H: Handler>(
    net: &mut Net,
    handler: &mut H,
    token: u64,
    socket: Socket,
    result: io::Result<()>,
) {
    let Some(Dial { tag, framing }) = net.dials.try_remove(fits(token & !DIAL)) else { return };
    match result.and_then(|()| socket.peer_addr()) {
        Ok(peer) => {
            let conn = net.insert(socket, peer, framing);
            handler.on_open(net, conn, Origin::Dialed { tag }, peer);
        }
        Err(error) => net.failed_dials.push((tag, error)),
    }
}

fn received<H: Handler>(net: &mut Net, handler: &mut H, conn: ConnId, data: &[u8]) {
    let now_ms = net.now_ms;
    let Some(connection) = net.get_mut(conn) else { return };
    connection.last_active_ms = now_ms;
    match &mut connection.ending {
        Ending::No => {}
        Ending::Draining { drained_bytes, .. } => {
            *drained_bytes += data.len();
            if *drained_bytes > limits::DRAIN_BYTES_MAX {
                net.shut(conn, CloseReason::Peer); // its own reason is kept by `shut`
            }
            return;
        }
        Ending::AfterFlush(_) | Ending::Shut(_) => return,
    }
    let mut carry = std::mem::take(&mut connection.incoming.carry);
    let outcome = if connection.incoming.held_back {
        carry.extend_from_slice(data);
        Ok(())
    } else {
        frames(net, handler, conn, &mut carry, data)
    };
    after_frames(net, conn, carry, outcome);
}

/// Hands on the frames that were held back, of those connections that may go on.
pub(crate) fn go_on<H: Handler>(net: &mut Net, handler: &mut H) {
    if !net.waits_for_memory.is_empty() && !net.is_short_of_memory() {
        let mut waiting = std::mem::take(&mut net.waits_for_memory);
        waiting.drain(..).for_each(|conn| net.resume(conn));
        net.waits_for_memory = waiting;
    }
    for _ in 0..net.resumed.len() {
        let Some(conn) = net.resumed.pop() else { return };
        let Some(connection) = net.get_mut(conn) else { continue };
        if connection.incoming.paused {
            continue;
        }
        if !connection.is_open() {
            net.todo.push_back(Todo::Receive(conn)); // what it still sends is dropped
            continue;
        }
        let held_back = std::mem::take(&mut connection.incoming.carry);
        connection.incoming.held_back = false;
        let mut carry = Vec::new();
        let outcome = frames(net, handler, conn, &mut carry, &held_back);
        after_frames(net, conn, carry, outcome);
        net.todo.push_back(Todo::Receive(conn));
    }
}

/// Keeps what is left of what arrived, and charges what the connection holds now.
fn after_frames(
    net: &mut Net,
    conn: ConnId,
    mut carry: Vec<u8>,
    outcome: Result<(), frame::FrameError>,
) {
    let now_ms = net.now_ms;
    if carry.capacity() > limits::CARRY_KEEP_BYTES && carry.is_empty() {
        carry = Vec::new();
    }
    let Some(connection) = net.get_mut(conn) else { return };
    let incoming = &mut connection.incoming;
    incoming.carry = carry;
    if !incoming.carry.is_empty() {
        incoming.note_progress(now_ms);
    }
    if incoming.carry.capacity() != incoming.charged_bytes {
        net.charge_half_frame(conn);
    }
    if net.unsent_bytes(conn) >= limits::OUT_CHARGE_BYTES {
        // Before the next connection's frames: one turn can ask for much.
        net.charge_answers(conn);
        net.relieve_if_pressed();
    }
    if let Err(error) = outcome {
        net.shut(conn, error.into());
    }
}

/// Whether a connection's next frame may be handed on.
enum Next {
    Frame,
    /// It is ending: its frames are dropped.
    Drop,
    /// It has to take its answers first, or memory is short: its frames are kept.
    HoldBack,
}

fn next(net: &Net, conn: ConnId) -> Next {
    match net.get(conn) {
        Some(connection) if connection.is_open() => {
            let unsent = connection.outgoing.unsent_bytes();
            let is_asked = connection.incoming.pause_asked;
            if is_asked || unsent > net.config.out_pause_bytes || net.is_short_of_memory() {
                Next::HoldBack
            } else {
                Next::Frame
            }
        }
        _ => Next::Drop,
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
    let Some(protocol) = protocol(net, conn, data)? else { return Ok(()) };
    if !carry.is_empty() {
        if !frame::fill(protocol, carry, &mut data, max)? {
            return Ok(());
        }
        if matches!(next(net, conn), Next::HoldBack) {
            hold_back(net, conn, carry, data);
            return Ok(());
        }
        let whole = carry.get(protocol.hidden_bytes()..).unwrap_or_default();
        hand_on(net, handler, conn, protocol, whole);
        carry.clear();
    }
    loop {
        match next(net, conn) {
            Next::Frame => {}
            Next::Drop => break,
            Next::HoldBack if data.is_empty() => break,
            Next::HoldBack => {
                hold_back(net, conn, carry, data);
                break;
            }
        }
        match frame::take(protocol, &mut data, max)? {
            Some(found) => hand_on(net, handler, conn, protocol, found),
            None if data.is_empty() => break,
            None => {
                keep(net, conn, carry, data);
                break;
            }
        }
    }
    Ok(())
}

/// A frame begins that has not arrived completely.
fn keep(net: &mut Net, conn: ConnId, carry: &mut Vec<u8>, data: &[u8]) {
    carry.extend_from_slice(data);
    let now_ms = net.now_ms;
    if let Some(connection) = net.get_mut(conn) {
        connection.incoming.begin_step(now_ms);
    }
}

/// Keeps frames until the connection is resumed.
fn hold_back(net: &mut Net, conn: ConnId, carry: &mut Vec<u8>, data: &[u8]) {
    carry.extend_from_slice(data);
    let short = net.is_short_of_memory();
    let Some(connection) = net.get_mut(conn) else { return };
    connection.incoming.held_back = true;
    if short {
        net.waits_for_memory.push(conn);
    }
    net.pause(conn);
}

fn hand_on<H: Handler>(
    net: &mut Net,
    handler: &mut H,
    conn: ConnId,
    protocol: Protocol,
    frame: &[u8],
) {
    match protocol {
        Protocol::Remoting => handler.on_frame(net, conn, frame),
        Protocol::Native => handler.on_native_frame(net, conn, frame),
        Protocol::Reports => handler.on_report(net, conn, frame),
        Protocol::Transfers => handler.on_transfer(net, conn, frame),
    }
}

fn protocol(
    net: &mut Net,
    conn: ConnId,
    data: &[u8],
) -> Result<Option<Protocol>, frame::FrameError> {
    let Some(connection) = net.get_mut(conn) else { return Ok(None) };
    let incoming = &mut connection.incoming;
    if incoming.protocol.is_none()
        && let Some(first) = data.first()
    {
        incoming.protocol = Some(incoming.framing.protocol(*first)?);
    }
    Ok(incoming.protocol)
}

fn receive_ended(net: &mut Net, conn: ConnId, why: ReceiveEnd) {
    let Some(connection) = net.get_mut(conn) else { return };
    connection.incoming.receiving = false;
    if connection.is_shut() {
        if connection.is_quiet() {
            net.ended.push(conn);
        }
        return;
    }
    let received = connection.incoming.carry.len();
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
    connection.last_active_ms = now_ms;
    let outgoing = &mut connection.outgoing;
    outgoing.sending = None;
    outgoing.spare = Some(queue);
    let is_charged = outgoing.charged_bytes > 0;
    let incoming = &connection.incoming;
    let may_resume =
        incoming.paused && !incoming.pause_asked && outgoing.unsent_bytes() <= pause_bytes / 2;
    if is_charged {
        net.uncharge_answers(conn);
    }
    if may_resume {
        net.resume(conn);
    }
    let Some(connection) = net.get_mut(conn) else { return };
    match (&mut connection.ending, result) {
        (Ending::Shut(_), _) => {
            if connection.is_quiet() {
                net.ended.push(conn);
            }
        }
        (_, Err(error)) => net.shut(conn, CloseReason::Failed { operation: "send", error }),
        (ending @ Ending::AfterFlush(_), Ok(())) if connection.outgoing.queue.is_empty() => {
            if let Ending::AfterFlush(reason) = std::mem::replace(ending, Ending::No) {
                net.end(conn, reason);
            }
        }
        (_, Ok(())) => {
            let outgoing = &mut connection.outgoing;
            if !outgoing.queue.is_empty() && !outgoing.dirty {
                outgoing.dirty = true;
                net.dirty.push(conn);
            }
        }
    }
}
