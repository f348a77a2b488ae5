//! QUERY_MESSAGE 12: the messages with a key, a unique key or a tag.
//!
//! | asked | looked up as | at most |
//! |---|---|---|
//! | `_UNIQUE_KEY_QUERY=true` | key | `defaultQueryMaxNum` |
//! | `indexType=T` (5.5) | tag | `maxNum` |
//! | anything else | key | `maxNum` |
//!
//! Whatever was asked, not more than `maxMsgsNumBatch`. `lastKey` (5.5) is for the index in
//! RocksDB, which this is not.

use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::shard::Shard;
use engine::{KeyQuery, Queried};
use protocol::codes::response;
use protocol::remoting::CommandView;

/// Looks messages up by key; index and log may be on disk.
pub(crate) fn by_key(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let query = read_query(shard, command)?;
    let is_served = shard.cx.options.process.serve.queries;
    Ok(task(&shard.cx, move |cx| async move {
        Ok(reply(if is_served { cx.store.query(query).await? } else { Queried::default() }))
    }))
}

fn read_query(shard: &Shard, command: &CommandView<'_>) -> Result<KeyQuery, Refusal> {
    let ext = &command.ext;
    let asked = ext.require_i32("maxNum")?;
    let is_unique =
        ext.get("_UNIQUE_KEY_QUERY").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    let max_messages = match usize::try_from(asked) {
        _ if is_unique => shard.cx.options.process.serve.unique_query_messages_max,
        Ok(asked) => asked,
        Err(_) => {
            return Err(Refusal::new(
                response::SYSTEM_ERROR,
                format!("maxNum is {asked}, expected 0 or more"),
            ));
        }
    };
    Ok(KeyQuery {
        topic: ext.require("topic")?.into(),
        key: ext.require("key")?.into(),
        by_tag: !is_unique && ext.get("indexType").is_some_and(|kind| kind == "T"),
        max_messages,
        begin_ms: ext.require_i64("beginTimestamp")?,
        end_ms: ext.require_i64("endTimestamp")?,
    })
}

fn reply(queried: Queried) -> Reply {
    let Queried { records, bytes, index_last_ms, index_last_phy } = queried;
    let index_last_phy = i64::try_from(index_last_phy).expect("a log offset is an i64");
    let reply = Reply::ok()
        .number("indexLastUpdateTimestamp", index_last_ms)
        .number("indexLastUpdatePhyoffset", index_last_phy);
    if records.is_empty() {
        let remark = "can not find message, maybe time range not correct";
        return reply.with_code(response::QUERY_NOT_FOUND, remark);
    }
    reply.slices(records, bytes)
}
