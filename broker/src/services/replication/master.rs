//! A master's side of the stream: it sends each slave the log from where that slave is, as it is
//! appended, beside its own writes and flushes.
//!
//! ```text
//!   slave ──report──► Slaves ──► replicated ─► sends that wait
//!   end of a turn ──► [next, end of the log) in memory: head and slice of the tail, nothing copied
//!                     └ on disk: a task reads a piece in the background and comes back
//!   slave takes them slowly ─► `WINDOW_BYTES` under way, the rest stays where it is; nothing waits
//! ```

use super::slaves::{LogRange, Refused, Slave};
use crate::limits::{SLAVE_READ_BYTES, SLAVE_WINDOW_BYTES};
use crate::sends::acknowledge;
use crate::shard::{Cx, Shard};
use engine::{PhyOffset, ReadError};
use netcore::frame::{REPORT_BYTES, TRANSFER_HEAD_BYTES};
use netcore::{ConnId, Net};
use rt::{BufSlice, Priority, Runtime as _};
use std::net::SocketAddr;

/// How long a read from disk waits that found no memory.
const READ_AGAIN_MS: i64 = 50;

/// Somebody dialled the port for slaves.
pub(crate) fn opened(shard: &mut Shard, net: &mut Net, conn: ConnId, peer: SocketAddr) {
    if shard.cx.options.process.replication.is_slave() {
        refuse(shard, net, conn, &"a slave that dialled a slave: slaves follow their master only");
        return;
    }
    let now_ms = shard.cx.monotonic_ms();
    if let Err(refused) = shard.services.replication.slaves.opened(conn, peer, now_ms) {
        refuse(shard, net, conn, &refused);
    }
}

/// A slave says how far it is.
pub(crate) fn reported(shard: &mut Shard, net: &mut Net, conn: ConnId, frame: &[u8]) {
    let Some(bytes) = frame.first_chunk::<REPORT_BYTES>() else { return };
    let (offset, now_ms) = (i64::from_be_bytes(*bytes), shard.cx.monotonic_ms());
    let log = log_range(&shard.cx);
    let slaves = &mut shard.services.replication.slaves;
    match slaves.reported(conn, offset, log, now_ms) {
        Ok(is_first) => {
            if is_first && let Some(Slave { peer, has, .. }) = slaves.get(conn) {
                tracing::info!(%peer, from = *has, end = log.end, "a slave follows");
            }
        }
        Err(refused) => refuse(shard, net, conn, &refused),
    }
    tell_sends(shard);
}

/// Tells the sends how far slaves are. Those that waited are answered at the end of the turn, so
/// that the reports of many slaves and many records are one look.
fn tell_sends(shard: &mut Shard) {
    let Shard { sends, services, .. } = shard;
    let replication = &mut services.replication;
    let wanted = sends.replicas.wanted();
    let nearest = replication.slaves.nearest();
    let replicated = wanted.and_then(|count| replication.slaves.replicated(count));
    replication.has_moved |= sends.replicas.are_at(nearest, replicated);
}

fn log_range(cx: &Cx) -> LogRange {
    let store = &cx.store;
    let (begin, end) = (store.log_begin().0, store.appended().0);
    LogRange { begin, end, file_bytes: store.log_file_bytes() }
}

fn refuse(shard: &mut Shard, net: &mut Net, conn: ConnId, why: &dyn std::fmt::Display) {
    let what = format_args!("a slave is refused: {why}");
    shard.peers.log.blame(net.peer(conn), shard.cx.now_ms(), &what);
    shard.services.replication.refused += 1;
    shard.services.replication.slaves.closed(conn);
    tell_sends(shard);
    net.close(conn, "a slave is refused");
}

/// A connection is gone; whether it was a slave's.
pub(crate) fn closed(shard: &mut Shard, conn: ConnId) -> bool {
    let Some(slave) = shard.services.replication.slaves.closed(conn) else { return false };
    tell_sends(shard);
    if slave.counted() && !shard.is_stopping {
        tracing::warn!(peer = %slave.peer, has = slave.has, "a slave is gone");
    }
    true
}

/// Sends what was appended in this turn, and what slaves have made room for.
pub(crate) fn turn_ended(shard: &mut Shard, net: &mut Net) {
    if std::mem::take(&mut shard.services.replication.has_moved) {
        acknowledge::acknowledged(shard, net);
    }
    if shard.services.replication.slaves.is_empty() {
        return;
    }
    let Shard { cx, services, .. } = shard;
    let now_ms = cx.monotonic_ms();
    for slave in services.replication.slaves.each() {
        send(cx, net, slave, now_ms);
    }
}

/// Sends one slave what it lacks, as far as it takes it.
fn send(cx: &Cx, net: &mut Net, slave: &mut Slave<ConnId>, now_ms: i64) {
    let end = cx.store.appended().0;
    let at_once = cx.options.process.replication.transfer_bytes_max;
    while let Some(next) = slave.next.filter(|next| *next < end && !slave.is_reading) {
        if net.unsent_bytes(slave.conn) >= SLAVE_WINDOW_BYTES {
            return;
        }
        match cx.store.log_part_in_memory(PhyOffset(next), at_once) {
            Some(part) => {
                if !transfer(net, slave, part, now_ms) {
                    return;
                }
            }
            None if now_ms < slave.not_before_ms => return,
            None => {
                slave.is_reading = true;
                let (conn, reader) = (slave.conn, cx.clone());
                cx.core.spawn(Priority::Background, read(reader, conn, PhyOffset(next)));
            }
        }
    }
}

/// Queues a piece; false when the connection is ending.
fn transfer(net: &mut Net, slave: &mut Slave<ConnId>, part: BufSlice, now_ms: i64) -> bool {
    let (Some(next), Some(out)) = (slave.next, net.out(slave.conn)) else { return false };
    out.bytes().extend_from_slice(&head(next, part.len()));
    slave.next = Some(next + part.len() as u64);
    slave.told_ms = now_ms;
    out.slice(part);
    true
}

/// Offset and size, big-endian.
fn head(offset: u64, size: usize) -> [u8; TRANSFER_HEAD_BYTES] {
    let size = u32::try_from(size).expect("a transfer is smaller than a file");
    let mut head = [0; TRANSFER_HEAD_BYTES];
    let (at, bytes) = head.split_at_mut(8);
    at.copy_from_slice(&offset.to_be_bytes());
    bytes.copy_from_slice(&size.to_be_bytes());
    head
}

/// Reads for a slave that is behind what memory has.
async fn read(cx: Cx, conn: ConnId, at: PhyOffset) {
    let found = cx.store.log_part(at, SLAVE_READ_BYTES).await;
    cx.with(|shard, net| has_read(shard, net, conn, at, found));
}

fn has_read(
    shard: &mut Shard,
    net: &mut Net,
    conn: ConnId,
    at: PhyOffset,
    found: Result<BufSlice, ReadError>,
) {
    let now_ms = shard.cx.monotonic_ms();
    let at_once = shard.cx.options.process.replication.transfer_bytes_max;
    let Some(slave) = shard.services.replication.slaves.get(conn) else { return };
    slave.is_reading = false;
    match found {
        Ok(whole) => {
            let mut from = 0;
            while from < whole.len() {
                let upto = whole.len().min(from + at_once);
                if !transfer(net, slave, whole.part(from..upto), now_ms) {
                    return;
                }
                from = upto;
            }
        }
        Err(ReadError::TooMuchMemory { .. }) => slave.not_before_ms = now_ms + READ_AGAIN_MS,
        Err(ReadError::File(error)) => {
            let begin = shard.cx.store.log_begin().0;
            if at.0 < begin {
                let refused = Refused::Deleted { found: at.0, begin };
                return refuse(shard, net, conn, &refused);
            }
            refuse(shard, net, conn, &format_args!("the log can't be read for it: {error}"));
        }
    }
}

/// Heartbeats; slaves that fell silent are given up.
pub(crate) fn tick(shard: &mut Shard, net: &mut Net) {
    if shard.services.replication.slaves.is_empty() {
        return;
    }
    let options = &shard.cx.options.process.replication;
    let (heartbeat_ms, silent_ms_max) = (options.heartbeat_ms, options.silent_ms_max);
    let now_ms = shard.cx.monotonic_ms();
    let slaves = &mut shard.services.replication.slaves;
    for slave in slaves.each().filter(|slave| now_ms - slave.told_ms > heartbeat_ms) {
        if let (Some(next), Some(out)) = (slave.next, net.out(slave.conn)) {
            out.bytes().extend_from_slice(&head(next, 0));
            slave.told_ms = now_ms;
        }
    }
    for conn in slaves.silent(now_ms, silent_ms_max) {
        let why = format!("it said nothing for {silent_ms_max} ms (haHousekeepingInterval)");
        refuse(shard, net, conn, &why);
    }
}
