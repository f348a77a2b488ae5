//! RESUME_CHECK_HALF_MESSAGE 323: a half that was given up as checked too often is put back, to be
//! checked from the beginning.

use super::pass_on;
use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::sends::message::{Message, draft_of};
use crate::sends::put::put;
use crate::shard::{Cx, Shard};
use protocol::codes::response;
use protocol::ids::OffsetMsgId;
use protocol::names::{TRANS_CHECK_MAX_TIME_TOPIC, TRANS_HALF_TOPIC};
use protocol::properties;
use protocol::record::{RecordDraft, RecordView};
use protocol::remoting::CommandView;

/// How often a half was checked.
const CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";

/// Puts a copy of the message with this id into the half topic. Apache takes any message; here only
/// one that was a half, in the topic of those that were given up or in the half topic itself: any
/// other would be checked for ever and come to nobody.
pub(crate) fn resume(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let id = command.ext.require("msgId")?.into_owned();
    let at = OffsetMsgId::parse(&id).map_err(|error| failed(&error))?;
    Ok(task(&shard.cx, move |cx| async move { put_back(&cx, at.physical_offset).await }))
}

fn failed(why: &dyn std::fmt::Display) -> Refusal {
    let remark = format!("Put message back to {TRANS_HALF_TOPIC} failed. {why}");
    Refusal::new(response::SYSTEM_ERROR, remark)
}

async fn put_back(cx: &Cx, offset: i64) -> Result<Reply, Refusal> {
    let found = pass_on::message(cx, offset).await?;
    let record = RecordView::parse(&found).map_err(|error| failed(&error))?;
    if ![TRANS_CHECK_MAX_TIME_TOPIC, TRANS_HALF_TOPIC].contains(&record.topic())
        || properties::get_bytes(record.properties(), "REAL_TOPIC").is_none()
    {
        return Err(failed(&format_args!("a message of topic {} is no half", record.topic())));
    }
    let mut out = vec![];
    properties::write_without(&mut out, record.properties(), &[CHECK_TIMES, "__CRC32#"]);
    properties::write(&mut out, CHECK_TIMES, "0");
    let draft = RecordDraft {
        topic: TRANS_HALF_TOPIC,
        queue_id: 0,
        properties: &[&out],
        ..draft_of(&record, record.store_host())
    };
    match put(cx, &Message::One(&draft)).await {
        Ok(_) => Ok(Reply::ok()),
        Err(error) => Err(failed(&error)),
    }
}
