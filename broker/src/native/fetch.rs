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
use protocol::native::{ArchivedFetch, ErrorCode, FrameView};
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
    let read = Read {
        ticket,
        asked: Asked::Fetch,
        topic,
        queue_id,
        offset: asked.offset.to_native(),
        messages_max: asked.messages_max.to_native().clamp(1, NATIVE_FETCH_MESSAGES_MAX) as usize,
        bytes_max: asked.bytes_max.to_native().min(NATIVE_FETCH_BYTES_MAX) as usize,
        filter,
        poll_ms: Some(i64::from(asked.hold_ms.to_native()).min(LONG_POLL_MS_MAX)),
    };
    Ok(run::run(shard, net, read))
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
