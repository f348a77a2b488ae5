//! A slave's side of the stream: the master's log comes in and is appended as it is; the master is
//! told how far.
//!
//! ```text
//!   tick ──► join: master's offsets (28) ─► where to begin ─► dial ─► first report
//!   transfer ──► whole records ─► the store, which checks each and builds queues and index
//!                  └ no room ─► nothing is read from the master until there is
//!   end of a turn, tick ──► report, when more is there than was told (`slaveAckPolicy`)
//! ```
//!
//! What the master is told is never more than is kept: `memory` is what a send of this broker would
//! be answered for, `disk` what survives a power cut. The first report of a stream says where to
//! begin and counts as an acknowledgement, so it waits until everything there is kept too.

use super::assembly::{Fed, Taken};
use super::following::{Goal, Link, Master, RETRY_MS, Stream};
use super::standing::{down, kept};
use super::taking::Took;
use super::{join, parting};
use crate::peers::dials::Purpose;
use crate::shard::{Cx, Shard};
use engine::{AppendError, PhyOffset, RawError};
use netcore::frame::TRANSFER_HEAD_BYTES;
use netcore::{ConnId, Framing, Net};
use rt::{Priority, Runtime as _};
use std::net::SocketAddr;

/// The name servers say where the master is. `haMasterAddress` counts more, where its log is
/// concerned.
pub(crate) fn told(shard: &mut Shard, ha: Option<String>, requests: Option<String>) {
    let replication = &shard.cx.options.process.replication;
    if !replication.is_slave() {
        return;
    }
    let following = &mut shard.services.replication.following;
    let ha = if replication.master.is_some() { following.configured.clone() } else { ha };
    let (Some(ha), Some(requests)) = (ha, requests.filter(|addr| !addr.is_empty())) else {
        return;
    };
    if !ha.is_empty() && following.told(Master { ha: ha.clone(), requests: requests.clone() }) {
        tracing::info!("the master is {requests}, its log at {ha}");
    }
}

/// What `haMasterAddress` means now; none of it when the name can't be looked up.
pub(crate) fn resolved(shard: &mut Shard, addresses: &[SocketAddr]) {
    let following = &mut shard.services.replication.following;
    let Some(ha) = addresses.first().map(ToString::to_string) else { return };
    let requests = following.master.take().map_or_else(String::new, |master| master.requests);
    following.configured = Some(ha.clone());
    following.told(Master { ha, requests });
}

/// Dials where that is due, reports, and gives up a master that is silent.
pub(crate) fn tick(shard: &mut Shard, net: &mut Net) {
    if !shard.cx.options.process.replication.is_slave() || shard.is_stopping {
        return;
    }
    let now_ms = shard.cx.monotonic_ms();
    dial_link(shard, net, now_ms);
    if shard.services.replication.following.is_due(now_ms) {
        shard.services.replication.following.stream = Stream::Joining;
        let cx = shard.cx.clone();
        shard.cx.core.spawn(Priority::Foreground, join::join(cx));
    }
    report(shard, net);
    look_for_silence(shard, net, now_ms);
}

fn dial_link(shard: &mut Shard, net: &mut Net, now_ms: i64) {
    let following = &mut shard.services.replication.following;
    if let Some(conn) = following.leave_link() {
        net.close(conn, "another broker is the master");
    }
    let is_due = matches!(following.link, Link::Down { retry_ms } if retry_ms <= now_ms);
    let addr = following.master.as_ref().and_then(|master| master.requests.parse().ok());
    if let Some(addr) = addr.filter(|_| is_due) {
        following.begin_link();
        net.dial(addr, Purpose::Master.tag(), Framing::Remoting);
    }
}

/// A dial of a slave succeeded.
pub(crate) fn opened(shard: &mut Shard, net: &mut Net, purpose: Purpose, conn: ConnId) {
    let now_ms = shard.cx.monotonic_ms();
    let bytes_max = shard.cx.options.store_config().raw_bytes_max();
    let following = &mut shard.services.replication.following;
    if purpose == Purpose::Master {
        following.link = Link::Up(conn);
        return;
    }
    let Stream::Dialing(start) = &following.stream else {
        return net.close(conn, "a stream that nobody waits for any more");
    };
    let (from, goal) = (start.from, start.goal);
    let end = shard.cx.store.appended().0;
    following.stream = Stream::Up(start.clone().up(conn, end, bytes_max, now_ms));
    say(net, conn, from);
    if goal == Goal::Follow {
        tracing::info!(from, "this slave follows its master");
    }
}

fn say(net: &mut Net, conn: ConnId, offset: u64) {
    if let Some(out) = net.out(conn) {
        out.bytes().extend_from_slice(&PhyOffset(offset).as_i64().to_be_bytes());
    }
}

/// A dial of a slave failed.
pub(crate) fn unreachable(shard: &mut Shard, purpose: Purpose, error: &std::io::Error) {
    let retry_ms = shard.cx.monotonic_ms().saturating_add(RETRY_MS);
    if purpose == Purpose::Master {
        shard.services.replication.following.link = Link::Down { retry_ms };
    } else {
        down(shard, &format!("its port for slaves can't be reached: {error}"));
    }
}

/// A connection is gone; whether it led to the master.
pub(crate) fn closed(shard: &mut Shard, conn: ConnId, why: &dyn std::fmt::Display) -> bool {
    let retry_ms = shard.cx.monotonic_ms().saturating_add(RETRY_MS);
    let following = &mut shard.services.replication.following;
    if following.link == Link::Up(conn) {
        following.link = Link::Down { retry_ms };
        return true;
    }
    if following.up(conn).is_none() {
        return false;
    }
    down(shard, &format!("the stream ended: {why}"));
    true
}

/// The master sent something.
pub(crate) fn transfer(shard: &mut Shard, net: &mut Net, conn: ConnId, frame: &[u8]) {
    let Some((head, bytes)) = frame.split_first_chunk::<TRANSFER_HEAD_BYTES>() else { return };
    let [offset @ .., _, _, _, _] = *head;
    let offset = u64::from_be_bytes(offset);
    let now_ms = shard.cx.monotonic_ms();
    let Shard { cx, services, .. } = shard;
    let following = &mut services.replication.following;
    let Some(up) = following.up(conn) else { return };
    up.heard_ms = now_ms;
    let end = cx.store.appended();
    let is_new = up.reported == 0 && end == cx.store.log_begin() && up.assembly.expected() == end.0;
    if is_new && offset > 0 {
        return begin_at(shard, net, conn, offset);
    }
    match up.take(offset, bytes, |at, pieces| append(cx, at, pieces)) {
        Took::Known => {}
        Took::Fed { fed, new_bytes } => {
            if new_bytes > 0 {
                following.has_come(new_bytes);
            }
            took(shard, net, conn, fed);
        }
        Took::Compared(verdict) => parting::compared(shard, net, conn, verdict),
        Took::Broken(why) => give_up(shard, net, conn, &why),
    }
}

fn append(cx: &Cx, at: u64, pieces: &[u8]) -> Taken<RawError> {
    match cx.store.append_raw(PhyOffset(at), pieces) {
        Ok(_) => Taken::All,
        Err(RawError::Append(AppendError::TailFull { .. })) => Taken::Later,
        Err(error) => Taken::Never(error),
    }
}

fn took(shard: &mut Shard, net: &mut Net, conn: ConnId, fed: Fed<RawError>) {
    match fed {
        Fed::Whole => go_on(shard, net, conn),
        Fed::Waits => {
            let cx = shard.cx.clone();
            wait(shard, net, conn, async move { cx.store.wait_writable().await });
        }
        Fed::Refused(RawError::QueueOffset { topic, found: 0, .. }) => {
            tracing::info!("topic {topic} began anew at the master: its queues begin anew here");
            let deletion = shard.cx.store.delete_topic(&topic);
            wait(shard, net, conn, async move {
                if let Err(error) = deletion.await {
                    tracing::error!("topic {topic} could not be deleted: {error}");
                }
            });
        }
        Fed::Broken(why) => give_up(shard, net, conn, &why),
        Fed::Refused(why) => give_up(shard, net, conn, &why),
    }
}

/// Takes the master's next transfers.
fn go_on(shard: &mut Shard, net: &mut Net, conn: ConnId) {
    if let Some(up) = shard.services.replication.following.up(conn)
        && std::mem::take(&mut up.is_waiting)
    {
        net.take_frames_again(conn);
    }
}

/// Takes no more of the master until `room` is there; then offers again what waits.
fn wait(shard: &mut Shard, net: &mut Net, conn: ConnId, room: impl Future<Output = ()> + 'static) {
    let Some(up) = shard.services.replication.following.up(conn) else { return };
    up.is_waiting = true;
    net.take_no_frames(conn);
    let cx = shard.cx.clone();
    shard.cx.core.spawn(Priority::Foreground, async move {
        room.await;
        cx.with(|shard, net| again(shard, net, conn));
    });
}

fn again(shard: &mut Shard, net: &mut Net, conn: ConnId) {
    let Shard { cx, services, .. } = shard;
    let Some(up) = services.replication.following.up(conn) else { return };
    let fed = up.assembly.again(&mut |at, pieces: &[u8]| append(cx, at, pieces));
    took(shard, net, conn, fed);
}

/// An empty slave was sent a log that begins later: an Apache master sends its last file only.
fn begin_at(shard: &mut Shard, net: &mut Net, conn: ConnId, offset: u64) {
    net.take_no_frames(conn);
    net.close(conn, "the log begins elsewhere");
    let cx = shard.cx.clone();
    down(shard, &format!("its log begins at {offset} for a slave that has nothing"));
    shard.services.replication.following.stream = Stream::Joining;
    shard.cx.core.spawn(Priority::Foreground, async move {
        let begun = cx.store.begin_at(PhyOffset(offset)).await;
        cx.with(|shard, _| match begun {
            Ok(()) => down(shard, &format!("this log begins at {offset} as well now")),
            Err(error) => down(shard, &error.to_string()),
        });
    });
}

/// What the master sends can't be taken. The next attempt may be refused for the same reason, which
/// is told once.
fn give_up(shard: &mut Shard, net: &mut Net, conn: ConnId, why: &dyn std::fmt::Display) {
    net.take_no_frames(conn);
    net.close(conn, "what the master sends can't be taken");
    down(shard, &why.to_string());
}

/// Tells the master how far this broker has its log.
pub(crate) fn report(shard: &mut Shard, net: &mut Net) {
    let Shard { cx, services, .. } = shard;
    let Stream::Up(up) = &mut services.replication.following.stream else { return };
    let options = &cx.options.process.replication;
    let kept = kept(&cx.store, options.reports_flushed).0;
    if let Some(offset) = up.report(kept, cx.monotonic_ms(), options.heartbeat_ms) {
        say(net, up.conn, offset);
    }
}

fn look_for_silence(shard: &mut Shard, net: &mut Net, now_ms: i64) {
    let limit_ms = shard.cx.options.process.replication.silent_ms_max;
    let Stream::Up(up) = &mut shard.services.replication.following.stream else { return };
    if up.is_waiting {
        // It is this side that does not listen.
        up.heard_ms = now_ms;
    }
    if now_ms - up.heard_ms > limit_ms {
        let why = format!("it said nothing for {limit_ms} ms (haHousekeepingInterval)");
        let conn = up.conn;
        give_up(shard, net, conn, &why);
    }
}
