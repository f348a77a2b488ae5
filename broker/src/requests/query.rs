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

use super::offsets::read_failed;
use crate::answers::remoting::{Caller, Refusal};
use crate::shard::Shard;
use engine::{KeyQuery, Queried};
use netcore::Net;
use protocol::codes::response;
use protocol::remoting::{CommandView, ExtWriter, write_command_head};
use rt::{Priority, Runtime as _};

/// Looks messages up by key: answered by a task, because index and log may be on disk.
pub(super) fn by_key(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let query = read_query(shard, command)?;
    if !shard.options.process.serve.queries {
        answer(net, caller, Queried::default());
        return Ok(());
    }
    let Some(network) = shard.network.clone() else { return Ok(()) };
    if !shard.begin_cold_read() {
        return Err(Refusal::new(response::SYSTEM_BUSY, "too many reads from disk at once"));
    }
    let store = shard.store.clone();
    shard.core.spawn(Priority::Foreground, async move {
        let found = store.query(query).await;
        network.with(|shard, net| {
            shard.cold_reads -= 1;
            match found {
                Ok(queried) => answer(net, caller, queried),
                Err(error) => read_failed(shard, net, caller, &error),
            }
        });
    });
    Ok(())
}

fn read_query(shard: &Shard, command: &CommandView<'_>) -> Result<KeyQuery, Refusal> {
    let ext = &command.ext;
    let asked = ext.require_i32("maxNum")?;
    let is_unique =
        ext.get("_UNIQUE_KEY_QUERY").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    let max_messages = match usize::try_from(asked) {
        _ if is_unique => shard.options.process.serve.unique_query_messages_max,
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

fn answer(net: &mut Net, caller: Caller, queried: Queried) {
    let Queried { records, bytes, index_last_ms, index_last_phy } = queried;
    let header = |ext: &mut ExtWriter<'_>| {
        ext.int("indexLastUpdateTimestamp", index_last_ms);
        ext.int("indexLastUpdatePhyoffset", i64::try_from(index_last_phy).unwrap_or(i64::MAX));
    };
    if records.is_empty() {
        let remark = "can not find message, maybe time range not correct";
        caller.answer(net, response::QUERY_NOT_FOUND, Some(remark), header, &[]);
        return;
    }
    if caller.is_oneway() {
        return;
    }
    if let Some(out) = net.out(caller.conn) {
        write_command_head(out.bytes(), &caller.head(response::SUCCESS, None), header, bytes);
        for record in records {
            out.slice(record);
        }
    }
}
