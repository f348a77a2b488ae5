//! VIEW_MESSAGE_BY_ID 33: the message at a place of the log.

use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::shard::Shard;
use engine::PhyOffset;
use protocol::codes::response;
use protocol::remoting::CommandView;

/// One message by its physical offset, from memory or from disk.
pub(crate) fn by_id(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let offset = command.ext.require_i64("offset")?;
    let Ok(at) = u64::try_from(offset) else { return Err(not_found(offset)) };
    Ok(task(&shard.cx, |cx| async move {
        let Some(message) = cx.store.message_at(PhyOffset(at)).await? else {
            return Err(not_found(offset));
        };
        let bytes = message.len();
        Ok(Reply::ok().slices(vec![message], bytes))
    }))
}

fn not_found(offset: i64) -> Refusal {
    let remark = format!("can not find message by the offset, {offset}");
    Refusal::new(response::SYSTEM_ERROR, remark)
}
