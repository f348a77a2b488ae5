//! What a slave asks its master, and how.

use super::following::Link;
use crate::peers::asked::Request;
use crate::shard::Cx;
use protocol::bodies::KvTable;
use protocol::codes::{request, response};
use protocol::json;

/// How long the master may take to answer.
const ANSWER_MS: i64 = 3_000;
/// What a master's log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MasterLog {
    /// Its first byte.
    pub(super) begin: u64,
    /// Its end.
    pub(super) end: u64,
}

/// What the master says of its log (GET_BROKER_RUNTIME_INFO).
pub(super) async fn master_log(cx: &Cx) -> Result<MasterLog, String> {
    let answer = ask(cx, request::GET_BROKER_RUNTIME_INFO).await?;
    let info: KvTable = json::from_lenient(&answer).map_err(|error| error.to_string())?;
    let number = |key: &str| {
        let text = info.table.get(key);
        let number = text.and_then(|text| text.parse::<i64>().ok());
        number
            .and_then(|number| u64::try_from(number.max(0)).ok())
            .ok_or_else(|| format!("its runtime info has no number {key}: {text:?}"))
    };
    Ok(MasterLog { begin: number("commitLogMinOffset")?, end: number("commitLogMaxOffset")? })
}

/// Asks the master; the body of its answer.
pub(super) async fn ask(cx: &Cx, code: i32) -> Result<Vec<u8>, String> {
    let deadline_ms = cx.now_ms().saturating_add(ANSWER_MS);
    let awaited = cx.with(|shard, net| {
        let Link::Up(conn) = shard.services.replication.following.link else {
            return Err("there is no link to it".to_owned());
        };
        let question = Request { code, ext: &|_| {}, body: &[] };
        let asked = shard.peers.asked.ask_client(net, conn, deadline_ms, &question);
        asked.map_err(|why| why.to_string())
    })?;
    let answer = awaited.await.map_err(|why| format!("request {code}: {why}"))?;
    if answer.code != response::SUCCESS {
        let remark = answer.remark.unwrap_or_default();
        return Err(format!("it refused request {code}: {} {remark}", answer.code));
    }
    Ok(answer.body)
}
