//! The desk at work: from a frame to its row's handler, and from there to the counts.

use super::admit::{NotAdmitted, admit, admit_role};
use super::counts::us_of;
use super::reply::Reply;
use super::row::{Caller, Row, Run, Task};
use super::rows::{self, ROWS};
use crate::answers::native::NativeRefusal;
use crate::answers::remoting::{Refusal, too_many_reads};
use crate::answers::ticket::{Done, Ticket, Wire};
use crate::reads::admission::Place;
use crate::shard::Shard;
use netcore::{ConnId, Net};
use protocol::codes::response;
use protocol::native::{ErrorCode, FrameView, MAGIC, NativeError, Prefix};
use protocol::remoting::{CommandView, PreparedFields};
use rt::{Priority, Runtime as _};
use std::net::{Ipv4Addr, SocketAddr};

/// Answers a request of RocketMQ's protocol, now or later.
pub(crate) fn remoting(shard: &mut Shard, net: &mut Net, conn: ConnId, command: &CommandView<'_>) {
    let row = rows::of_remoting(command.code);
    let ticket = came(shard, row, conn, command.opaque.cast_unsigned(), Wire::of(command));
    let of = &ROWS[usize::from(row)];
    let outcome = match (admitted(shard, row, of), of.run) {
        (Err(not), _) => Err(not_admitted(row, of.name, not)),
        (Ok(()), Run::Now(run)) => run(shard, net, ticket, command),
        (Ok(()), Run::Task(begin)) => begin(shard, command).map(|task| {
            start(shard, ticket, task, None);
            Done::Waits
        }),
        (Ok(()), Run::TaskOf(begin)) => {
            let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
            let caller = Caller { conn, addr: net.peer(conn).unwrap_or(unknown) };
            begin(shard, caller, command).map(|task| {
                start(shard, ticket, task, None);
                Done::Waits
            })
        }
        (Ok(()), Run::DiskTask(begin)) => begin(shard, command).and_then(|task| {
            let place = shard.reads.admission.try_take().ok_or_else(too_many_reads)?;
            start(shard, ticket, task, Some(place));
            Ok(Done::Waits)
        }),
        (Ok(()), Run::NowNative(_)) => unreachable!("a remoting code leads to a remoting row"),
    };
    match outcome {
        Ok(Done::Answered) => shard.desk.ended_now(&ticket, true),
        Ok(Done::Refused) => shard.desk.ended_now(&ticket, false),
        Ok(Done::Waits) => {}
        Err(refusal) => {
            refuse(shard, net, &ticket, &refusal);
            shard.desk.ended_now(&ticket, false);
        }
    }
}

/// Answers a native frame, now or later. A frame of a kind that is not known is refused; any other
/// that can't be read ends the connection, and so does everything before Hello.
pub(crate) fn native_bytes(shard: &mut Shard, net: &mut Net, conn: ConnId, bytes: &[u8]) {
    let error = match FrameView::parse(bytes) {
        Ok(frame) => return native(shard, net, conn, &frame),
        Err(error) => error,
    };
    shard.peers.log.blame(net.peer(conn), shard.cx.now_ms(), &error);
    let correlation = Prefix::parse(bytes).map_or(0, |prefix| prefix.correlation);
    let is_unknown_kind = matches!(error, NativeError::Kind { .. }) && net.user_data(conn) > 0;
    let code = if is_unknown_kind { ErrorCode::Kind } else { ErrorCode::Request };
    let ticket = came(shard, rows::NOT_A_REQUEST, conn, correlation, Wire::Native);
    ticket.refuse_native(net, &NativeRefusal::new(code, error.to_string()));
    if !is_unknown_kind {
        net.close(conn, "a native frame whose parts contradict each other");
    }
    shard.desk.ended_now(&ticket, false);
}

/// Answers a native request, now or later.
fn native(shard: &mut Shard, net: &mut Net, conn: ConnId, frame: &FrameView<'_>) {
    let row = rows::of_native(frame.kind, net.user_data(conn) > 0);
    let ticket = came(shard, row, conn, frame.correlation, Wire::Native);
    let of = &ROWS[usize::from(row)];
    let outcome = match (admitted(shard, row, of), of.run) {
        (Err(not), _) => {
            let code = match not {
                NotAdmitted::TooMany { .. } => ErrorCode::Busy,
                NotAdmitted::Slave => ErrorCode::NotWritable,
            };
            Err(NativeRefusal::new(code, not_admitted(row, of.name, not).remark))
        }
        (Ok(()), Run::NowNative(run)) => run(shard, net, ticket, frame),
        (Ok(()), Run::Now(_) | Run::Task(_) | Run::TaskOf(_) | Run::DiskTask(_)) => {
            unreachable!("a native kind has a native row")
        }
    };
    match outcome {
        Ok(Done::Answered) => shard.desk.ended_now(&ticket, true),
        Ok(Done::Refused) => shard.desk.ended_now(&ticket, false),
        Ok(Done::Waits) => {}
        Err(refusal) => {
            ticket.refuse_native(net, &refusal);
            shard.desk.ended_now(&ticket, false);
        }
    }
}

fn came(shard: &mut Shard, row: u8, conn: ConnId, id: u32, wire: Wire) -> Ticket {
    let core = &shard.cx.core;
    shard.desk.came(row, conn, id, wire, || us_of(core.now_nanos()))
}

fn admitted(shard: &Shard, row: u8, of: &Row) -> Result<(), NotAdmitted> {
    admit(&shard.desk, row, of.under_way_max)?;
    admit_role(of.access, shard.cx.options.process.replication.is_slave())
}

/// In Apache's codes: a slave is busy for senders (`SendMessageProcessor.rejectRequest`), which go
/// to another broker, and no slave for the ends of transactions and recalls.
fn not_admitted(row: u8, name: &str, not: NotAdmitted) -> Refusal {
    match not {
        NotAdmitted::TooMany { limit } => {
            let remark =
                format!("[OVERLOAD]system busy, {limit} requests {name} are under way already");
            Refusal::new(response::SYSTEM_BUSY, remark)
        }
        NotAdmitted::Slave if rows::is_send(row) => {
            let remark = "[REJECTREQUEST]system busy, this broker is a slave and takes no messages";
            Refusal::new(response::SYSTEM_BUSY, remark)
        }
        NotAdmitted::Slave => {
            let remark = format!("this broker is a slave, {name} is for its master");
            Refusal::new(response::SLAVE_NOT_AVAILABLE, remark)
        }
    }
}

/// Refuses a request of RocketMQ's protocol, with what all answers of its family carry.
pub(crate) fn refuse(shard: &Shard, net: &mut Net, ticket: &Ticket, refusal: &Refusal) {
    ticket.refuse(net, refusal, fields_of(shard, ticket.row));
}

fn fields_of(shard: &Shard, row: u8) -> Option<&PreparedFields> {
    rows::is_send(row).then_some(&shard.sends.answers.fields)
}

/// Runs a task beside the loop; its place is given back when it ends or is dropped.
fn start(shard: &Shard, ticket: Ticket, task: Task, place: Option<Place>) {
    let cx = shard.cx.clone();
    shard.cx.core.spawn(Priority::Foreground, async move {
        let outcome = task.await;
        drop(place);
        cx.with(|shard, net| end_task(shard, net, &ticket, outcome));
    });
}

fn end_task(shard: &mut Shard, net: &mut Net, to: &Ticket, outcome: Result<Reply, Refusal>) {
    let is_done = outcome.is_ok();
    match outcome {
        Ok(reply) => reply.write(net, to),
        Err(refusal) => {
            if refusal.is_fault {
                let name = ROWS[usize::from(to.row)].name;
                let what = format_args!("{name} failed: {}", refusal.remark);
                shard.peers.log.blame(net.peer(to.conn), shard.cx.now_ms(), &what);
            }
            refuse(shard, net, to, &refusal);
        }
    }
    shard.desk.ended(to, is_done, us_of(shard.cx.core.now_nanos()));
}

// netcore may not know the protocol: it cuts frames by a magic of its own, which must be this one.
const _: () = assert!(
    u32::from_le_bytes(netcore::frame::NATIVE_MAGIC) == u32::from_le_bytes(MAGIC),
    "both crates mean the same frames"
);
