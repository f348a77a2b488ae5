//! Asks a name server which brokers have the queues of a parent topic.

use super::routes::{Brokers, writable};
use crate::peers::asked::Request;
use crate::shard::Cx;
use netcore::Net;
use protocol::bodies::TopicRouteData;
use protocol::codes::{request, response};
use protocol::json;
use protocol::remoting::ExtWriter;

/// A name server may take so long for a route, in milliseconds.
const ROUTE_MS: i64 = 3_000;

/// Of a topic that is known here; from a name server where there is one.
pub(crate) async fn brokers_of(cx: &Cx, topic: &str) -> Brokers {
    let now_ms = cx.now_ms();
    if !cx.with(|shard, _| shard.tables.topics.get(topic).is_some()) {
        return Brokers::from([]);
    }
    if let Some(known) = cx.with(|shard, _| shard.services.lite.routes.get(topic, now_ms)) {
        return known;
    }
    let brokers = Brokers::from(ask(cx, topic).await.unwrap_or_default());
    if !brokers.is_empty() {
        cx.with(|shard, _| shard.services.lite.routes.keep(topic, &brokers, now_ms));
    }
    brokers
}

async fn ask(cx: &Cx, topic: &str) -> Option<Vec<String>> {
    let awaited = cx.with(|shard, net: &mut Net| {
        let conn = shard.peers.name_servers.registered().next()?;
        let ext = |ext: &mut ExtWriter<'_>| ext.str("topic", topic);
        let request = Request { code: request::GET_ROUTEINFO_BY_TOPIC, ext: &ext, body: &[] };
        let deadline_ms = shard.cx.now_ms().saturating_add(ROUTE_MS);
        shard.peers.asked.ask_client(net, conn, deadline_ms, &request).ok()
    })?;
    let answer = awaited.await.ok().filter(|answer| answer.code == response::SUCCESS)?;
    Some(writable(json::from_lenient::<TopicRouteData>(&answer.body).ok()?))
}
