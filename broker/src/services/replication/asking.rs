//! What a slave asks its master, and how.

use super::following::Link;
use crate::peers::answer::ClientAnswer;
use crate::peers::asked::Request;
use crate::shard::Cx;
use crate::tables::epochs::Epochs;
use protocol::bodies::{EpochEntryCache, KvTable};
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

/// The lives of masters that wrote the master's log (GET_BROKER_EPOCH_CACHE); none of an Apache
/// broker without a controller, which answers that there is nothing.
pub(super) async fn ask_epochs(cx: &Cx) -> Result<Epochs, String> {
    let answer = answer(cx, request::GET_BROKER_EPOCH_CACHE).await?;
    if answer.code != response::SUCCESS {
        return Ok(Epochs::default());
    }
    let cache: EpochEntryCache =
        json::from_lenient(&answer.body).map_err(|error| format!("its epochs: {error}"))?;
    let (cluster, broker) = (&cx.options.process.cluster, &cx.options.broker);
    if (&cache.cluster_name, &cache.broker_name) != (cluster, broker) {
        return Err(format!(
            "it is {}/{} and this is a slave of {cluster}/{broker} (brokerClusterName/brokerName). \
             Fix: give the slave its master's names",
            cache.cluster_name, cache.broker_name
        ));
    }
    Epochs::from_entries(&cache.epoch_list)
        .ok_or_else(|| format!("its epochs do not grow: {:?}", cache.epoch_list))
}

/// Asks the master; the body of its answer.
pub(super) async fn ask(cx: &Cx, code: i32) -> Result<Vec<u8>, String> {
    let answer = answer(cx, code).await?;
    if answer.code != response::SUCCESS {
        let remark = answer.remark.unwrap_or_default();
        return Err(format!("it refused request {code}: {} {remark}", answer.code));
    }
    Ok(answer.body)
}

async fn answer(cx: &Cx, code: i32) -> Result<ClientAnswer, String> {
    let deadline_ms = cx.now_ms().saturating_add(ANSWER_MS);
    let awaited = cx.with(|shard, net| {
        let Link::Up(conn) = shard.services.replication.following.link else {
            return Err("there is no link to it".to_owned());
        };
        let question = Request { code, ext: &|_| {}, body: &[] };
        let asked = shard.peers.asked.ask_client(net, conn, deadline_ms, &question);
        asked.map_err(|why| why.to_string())
    })?;
    awaited.await.map_err(|why| format!("request {code}: {why}"))
}
