//! What is not in the log follows by request (Apache's `SlaveSynchronize`): at once when there is a
//! link to the master, when the log has a topic that the tables do not have, and every
//! `slaveSyncInterval` ([`super::rounds`]): topics (21), subscription groups (201), offsets of
//! consumers (43), the progress of delay levels (45) and of timers (60), how groups consume (402);
//! and, by a request of ours, what ordered pops have handed out. How many timers wait (61) is
//! counted anew from the log by whoever becomes a master.
//!
//! Progress must not run ahead of the log: a promoted slave never delivers what its progress calls
//! delivered. So it is taken over once this log has come to where the master's was after it had
//! answered.

use super::asking::{ask, master_log};
use super::following::Link;
use super::rounds::Rounds;
use crate::checked;
use crate::shard::{Cx, Shard};
use crate::tables::files;
use netcore::{ConnId, Net};
use protocol::codes::request;
use protocol::names::LMQ_PREFIX;
use protocol::{bodies, json};
use rt::Runtime as _;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Between two looks at whether the tables are due, and at what has come.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How long progress waits for the log that it speaks of before it is asked for anew.
const LOG_COMES_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of the answer to 60 that a slave takes over: `done_ms`, and later `known`.
const CHECK_POINT_BYTES: usize = 56;

/// Runs as long as the shard, of a slave.
pub(super) async fn run(cx: Cx) {
    let every_ms = checked::millis_i64(cx.options.process.replication.synchronize_every);
    let (mut rounds, mut failing) = (Rounds::new(every_ms), String::new());
    loop {
        cx.core.sleep(LOOK_AGAIN_AFTER).await;
        if !cx.with(|shard, _| is_due(shard, &mut rounds)) {
            continue;
        }
        match synchronize(&cx).await {
            Ok(is_all) => {
                failing.clear();
                rounds.lacks_progress = !is_all;
                cx.with(|shard, _| shard.services.replication.synchronized += 1);
            }
            Err(why) if why != failing => {
                tracing::warn!("the master's tables could not be taken over: {why}");
                failing = why;
            }
            Err(_) => {}
        }
    }
}

/// Whether a round begins now; it is taken to have begun.
fn is_due(shard: &Shard, rounds: &mut Rounds<ConnId>) -> bool {
    let Link::Up(conn) = shard.services.replication.following.link else { return false };
    if shard.is_stopping {
        return false;
    }
    rounds.look(shard.cx.store.topics(), || has_unknown_topic(shard));
    rounds.begin(conn, shard.cx.monotonic_ms())
}

/// Whether the log has messages of a topic that the tables do not have.
fn has_unknown_topic(shard: &Shard) -> bool {
    let (topics, mut is_there) = (&shard.tables.topics, false);
    shard.cx.store.for_each_topic(|name| {
        is_there |= !name.starts_with(LMQ_PREFIX)
            && topics.get(name).is_none()
            && !topics.is_not_served(name);
    });
    is_there
}

/// Takes over the tables. False: without progress, because the log has not come so far.
async fn synchronize(cx: &Cx) -> Result<bool, String> {
    let topics = table(cx, request::GET_ALL_TOPIC_CONFIG).await?;
    cx.with(|shard, net| take_topics(shard, net, topics));
    let groups = table(cx, request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG).await?;
    cx.with(|shard, _| shard.tables.groups.follow(groups));
    let offsets: bodies::ConsumerOffsets = table(cx, request::GET_ALL_CONSUMER_OFFSET).await?;
    let delays: bodies::DelayOffsets = table(cx, request::GET_ALL_DELAY_OFFSET).await?;
    let timers = if cx.options.process.timers.enabled {
        ask(cx, request::GET_TIMER_CHECK_POINT).await.ok()
    } else {
        None
    };
    let modes: bodies::MessageRequestModes =
        table(cx, request::GET_ALL_MESSAGE_REQUEST_MODE).await?;
    cx.with(|shard, _| shard.tables.request_modes.follow(modes));
    // An Apache master does not know this request.
    let orders: Option<bodies::OrderInfos> = table(cx, request::GET_ALL_POP_ORDERS).await.ok();
    if !log_has_come(cx).await? {
        return Ok(false);
    }
    cx.with(|shard, _| {
        if let Some(orders) = orders {
            shard.tables.pop_orders.follow(orders);
        }
        shard.tables.offsets.follow(offsets);
        shard.tables.delay_offsets.follow(delays);
    });
    if let Some(point) = timers {
        take_timers(cx, &point).await?;
    }
    Ok(true)
}

/// Whether this log has come to where the master's is now.
async fn log_has_come(cx: &Cx) -> Result<bool, String> {
    let end = master_log(cx).await?.end;
    let mut waited = Duration::ZERO;
    while cx.store.appended().0 < end {
        if waited >= LOG_COMES_WITHIN {
            return Ok(false);
        }
        cx.core.sleep(LOOK_AGAIN_AFTER).await;
        waited += LOOK_AGAIN_AFTER;
    }
    Ok(true)
}

/// Takes over the topics; those that the master has no more are deleted here too.
fn take_topics(shard: &mut Shard, _: &mut Net, topics: bodies::TopicConfigSerializeWrapper) {
    for name in shard.tables.topics.follow(topics) {
        tracing::info!("topic {name} is gone at the master: it is deleted here");
        let deletion = shard.cx.store.delete_topic(&name);
        shard.cx.core.spawn(rt::Priority::Background, async move {
            if let Err(error) = deletion.await {
                tracing::error!("topic {name} could not be deleted: {error}");
            }
        });
    }
}

/// Writes `timercheck` for the day that this slave becomes a master: how far timers are done.
/// Places in the master's timer log mean nothing here, so those are 0, and the topic is read.
async fn take_timers(cx: &Cx, point: &[u8]) -> Result<(), String> {
    let Some(mut check) = point.first_chunk::<CHECK_POINT_BYTES>().copied() else {
        return Err(format!("a timer checkpoint of {} bytes", point.len()));
    };
    for place in [8..16, 24..32] {
        check[place].fill(0);
    }
    let path = cx.options.store_root.join(files::TIMER_CHECK);
    let written = cx.core.replace_file(&path, check.to_vec(), false).await;
    written.map_err(|error| format!("write {}: {error}", path.display()))
}

async fn table<T: DeserializeOwned>(cx: &Cx, code: i32) -> Result<T, String> {
    let body = ask(cx, code).await?;
    json::from_lenient(&body).map_err(|error| format!("the answer to {code}: {error}"))
}
