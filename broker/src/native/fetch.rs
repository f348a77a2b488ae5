//! Fetch: records of one queue. The checks are here; the read itself is `reads::run`.

use crate::answers::native::NativeRefusal;
use crate::answers::ticket::{Done, Ticket};
use crate::limits::{
    LONG_POLL_MS_MAX, NATIVE_FETCH_BYTES_MAX, NATIVE_FETCH_MESSAGES_MAX, TAGS_PER_SUBSCRIPTION_MAX,
};
use crate::reads::allowed;
use crate::reads::filter::Filter;
use crate::reads::read::{Asked, Read};
use crate::reads::run;
use crate::shard::Shard;
use netcore::Net;
use protocol::bodies::perm;
use protocol::native::{ArchivedFetch, ArchivedFetchSql, ErrorCode, FrameView};
use std::rc::Rc;

/// A fetch that arrived just now.
pub(crate) fn handle(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    frame: &FrameView<'_>,
) -> Result<Done, NativeRefusal> {
    let asked = frame.header::<ArchivedFetch>()?;
    let queue_id = asked.queue_id.to_native();
    let topic = readable(shard, &asked.topic, queue_id)?;
    if asked.tags.len() > TAGS_PER_SUBSCRIPTION_MAX {
        let found = asked.tags.len();
        let reason = format!("{found} tags, at most {TAGS_PER_SUBSCRIPTION_MAX} are allowed");
        return Err(NativeRefusal::new(ErrorCode::TooLarge, reason));
    }
    let filter = if asked.tags.is_empty() {
        Filter::All
    } else {
        Filter::Codes(asked.tags.iter().map(|tag| tag.to_native()).collect())
    };
    let limits = Limits {
        offset: asked.offset.to_native(),
        messages_max: asked.messages_max.to_native(),
        bytes_max: asked.bytes_max.to_native(),
        hold_ms: asked.hold_ms.to_native(),
    };
    Ok(run::run(shard, net, limits.read(ticket, (topic, queue_id), filter)))
}

/// A fetch by a SQL92 expression. Like that of a pull it is compiled once while it is in use.
pub(crate) fn by_expression(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    frame: &FrameView<'_>,
) -> Result<Done, NativeRefusal> {
    let asked = frame.header::<ArchivedFetchSql>()?;
    let queue_id = asked.queue_id.to_native();
    let topic = readable(shard, &asked.topic, queue_id)?;
    if !shard.cx.options.process.serve.pulls.sql {
        let reason = "filters by SQL92 are switched off: enablePropertyFilter=true allows them";
        return Err(NativeRefusal::new(ErrorCode::Unsupported, reason));
    }
    let filter = shard.reads.carried.filter(&asked.expression).map_err(|error| {
        NativeRefusal::new(ErrorCode::Expression, format!("the expression: {error}"))
    })?;
    let limits = Limits {
        offset: asked.offset.to_native(),
        messages_max: asked.messages_max.to_native(),
        bytes_max: asked.bytes_max.to_native(),
        hold_ms: asked.hold_ms.to_native(),
    };
    let read = limits.read(ticket, (topic, queue_id), Filter::Records(filter));
    Ok(run::run(shard, net, read))
}

/// What fetches of both kinds ask for.
struct Limits {
    offset: i64,
    messages_max: u32,
    bytes_max: u32,
    hold_ms: u32,
}

impl Limits {
    fn read(&self, ticket: Ticket, (topic, queue_id): (Rc<str>, i32), filter: Filter) -> Read {
        Read {
            ticket,
            asked: Asked::Fetch,
            topic,
            queue_id,
            offset: self.offset,
            messages_max: self.messages_max.clamp(1, NATIVE_FETCH_MESSAGES_MAX) as usize,
            bytes_max: self.bytes_max.min(NATIVE_FETCH_BYTES_MAX) as usize,
            filter,
            poll_ms: Some(i64::from(self.hold_ms).min(LONG_POLL_MS_MAX)),
        }
    }
}

/// The name of a topic that may be read, shared with its table.
pub(super) fn readable(shard: &Shard, name: &str, queue_id: i32) -> Result<Rc<str>, NativeRefusal> {
    let topic = allowed::topic(&shard.tables.topics, name).map_err(|not| not.native_refusal())?;
    if shard.cx.options.process.permission & perm::READ == 0 {
        let reason = format!("topic {name} may not be read");
        return Err(NativeRefusal::new(ErrorCode::Permission, reason));
    }
    let replication = &shard.cx.options.process.replication;
    if replication.is_slave() && !replication.slaves_are_read {
        let reason = "this broker is a slave and is not read (slaveReadEnable=false)";
        return Err(NativeRefusal::new(ErrorCode::Busy, reason));
    }
    topic.queue(queue_id, "").map_err(|not| not.native_refusal())?;
    Ok(topic.name)
}
