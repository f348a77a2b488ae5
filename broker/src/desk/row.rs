//! A row of the table of requests.

use super::admit::{Access, Resource};
use super::code::Code;
use super::reply::Reply;
use crate::answers::native::NativeRefusal;
use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::shard::{Cx, Shard};
use netcore::{ConnId, Net};
use protocol::native::FrameView;
use protocol::remoting::CommandView;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

/// One request that the broker knows.
pub(crate) struct Row {
    /// What it answers.
    pub(crate) code: Code,
    /// Its name in RocketMQ's `RequestCode`, or the native kind's.
    pub(crate) name: &'static str,
    /// What it does. Who may do it is decided by a later issue; a slave stores nothing.
    pub(crate) access: Access,
    /// To what.
    #[expect(dead_code, reason = "the column is there; who may do it is decided by a later issue")]
    pub(crate) resource: Resource,
    /// How many of it may be under way at once; `None`: `REQUESTS_UNDER_WAY_MAX`.
    pub(crate) under_way_max: Option<u32>,
    /// How it is answered.
    pub(crate) run: Run,
}

/// A request answered on the loop, of RocketMQ's protocol.
type Now = for<'a> fn(&mut Shard, &mut Net, Ticket, &CommandView<'a>) -> Result<Done, Refusal>;
/// The same, of the native protocol.
type NowNative =
    for<'a> fn(&mut Shard, &mut Net, Ticket, &FrameView<'a>) -> Result<Done, NativeRefusal>;
/// A request that may wait for the disk: reads its header, and gives back the task.
type Begin = for<'a> fn(&mut Shard, &CommandView<'a>) -> Result<Task, Refusal>;

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// The connection that it came on.
    pub(crate) conn: ConnId,
    /// Its other end.
    pub(crate) addr: SocketAddr,
}

/// The same, for one that needs its sender.
type BeginOf = for<'a> fn(&mut Shard, Caller, &CommandView<'a>) -> Result<Task, Refusal>;

/// The part of a request that runs beside the loop.
pub(crate) type Task = Pin<Box<dyn Future<Output = Result<Reply, Refusal>>>>;

/// Wraps a task's future. `begin` gets the context, because a task holds no part of the shard.
pub(crate) fn task<F>(cx: &Cx, begin: impl FnOnce(Cx) -> F) -> Task
where
    F: Future<Output = Result<Reply, Refusal>> + 'static,
{
    Box::pin(begin(cx.clone()))
}

/// How a request is answered.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// On the loop, with the shard at hand: nothing in it waits.
    Now(Now),
    /// The same, of the native protocol.
    NowNative(NowNative),
    /// By a task beside the loop.
    Task(Begin),
    /// The same, of a request whose sender matters.
    TaskOf(BeginOf),
    /// By a task that reads from disk from its beginning to its end: it has a place among those.
    DiskTask(Begin),
}
