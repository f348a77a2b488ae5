//! QueryOffset and CommitOffset: the same table as RocketMQ's consumers have.

use super::fetch::readable;
use crate::answers::native::NativeRefusal;
use crate::answers::ticket::{Done, Ticket};
use crate::shard::Shard;
use netcore::Net;
use protocol::native::{
    ArchivedCommitOffset, ArchivedQueryOffset, ErrorCode, FrameView, Kind, OffsetIs,
};

/// Where a group is, and what the queue has.
pub(crate) fn query(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    frame: &FrameView<'_>,
) -> Result<Done, NativeRefusal> {
    let asked = frame.header::<ArchivedQueryOffset>()?;
    let queue_id = asked.queue_id.to_native();
    readable(shard, &asked.topic, queue_id)?;
    let committed = shard.tables.offsets.query(&asked.group, &asked.topic, queue_id).unwrap_or(-1);
    let range = shard.cx.store.queue_range(&asked.topic, queue_id).unwrap_or_default();
    ticket.answer_native(
        net,
        Kind::OffsetIs,
        &OffsetIs { committed, min_offset: range.min_offset.0, max_offset: range.max_offset.0 },
    );
    Ok(Done::Answered)
}

/// A group has consumed up to an offset; an unknown group comes into being where that is allowed.
pub(crate) fn commit(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    frame: &FrameView<'_>,
) -> Result<Done, NativeRefusal> {
    let asked = frame.header::<ArchivedCommitOffset>()?;
    let (queue_id, offset) = (asked.queue_id.to_native(), asked.offset.to_native());
    let topic = readable(shard, &asked.topic, queue_id)?;
    if offset < 0 {
        return Err(NativeRefusal::new(
            ErrorCode::Request,
            format!("offset {offset}: there is none below 0"),
        ));
    }
    let now_ms = shard.cx.now_ms();
    if shard.tables.groups.find_or_create(&asked.group, now_ms).is_none() {
        return Err(NativeRefusal::new(
            ErrorCode::Request,
            format!("consumer group {:?} does not exist and is not created", asked.group.as_str()),
        ));
    }
    // A native consumer asks for its offset and pulls none for its group: a tool's reset that it
    // has not seen would keep its commits out for ever.
    shard.tables.offsets.take_reset(&asked.group, &topic, queue_id);
    shard.tables.offsets.commit(&asked.group, &topic, queue_id, offset, now_ms);
    ticket.answer_native(net, Kind::Committed, &());
    Ok(Done::Answered)
}
