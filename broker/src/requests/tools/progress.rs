//! How far topics are filled and groups have consumed: GET_TOPIC_STATS_INFO 202, GET_CONSUME_STATS
//! 208, QUERY_CONSUME_TIME_SPAN 303, GET_BROKER_CONSUME_STATS 317.
//!
//! Offsets are taken at once; the store times of messages, which may be on disk, are read by a
//! task. It lets others run after each [`QUEUES_AT_ONCE`] queues: a tool that asks for everything
//! holds nobody up.

use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::services::statistics;
use crate::shard::{Cx, Shard};
use engine::{QueueOffset, QueueRange};
use futures_lite::future::yield_now;
use protocol::bodies::{
    ConsumeStats, ConsumeStatsList, MessageQueue, OffsetWrapper, QueryConsumeTimeSpanBody,
    QueueTimeSpan, TopicConfig, TopicOffset, TopicStatsTable,
};
use protocol::codes::response;
use protocol::json;
use protocol::remoting::CommandView;
use std::collections::BTreeMap;

/// Queues whose store times are read before others run.
const QUEUES_AT_ONCE: usize = 64;

/// Where one group is in one queue.
struct Place {
    queue: MessageQueue,
    range: QueueRange,
    /// The group's own offset, if it ever said one.
    committed: Option<i64>,
    pulled: Option<i64>,
}

impl Place {
    fn of(shard: &mut Shard, group: &str, topic: &str, queue_id: i32) -> Self {
        let broker_name = shard.cx.options.broker.clone();
        let tables = &mut shard.tables;
        Self {
            queue: MessageQueue { broker_name, queue_id, topic: topic.to_owned() },
            range: shard.cx.store.queue_range(topic, queue_id).unwrap_or_default(),
            committed: tables.offsets.query(group, topic, queue_id),
            pulled: tables.pulled.get(group, topic, queue_id),
        }
    }

    async fn wrapper(&self, times: &mut Times<'_>) -> Result<OffsetWrapper, Refusal> {
        let consumer_offset = self.committed.unwrap_or(0);
        let last_ms = match consumer_offset {
            0 => None,
            offset => times.at(&self.queue, offset - 1).await?,
        };
        Ok(OffsetWrapper {
            broker_offset: self.range.max_offset.0,
            consumer_offset,
            last_timestamp: last_ms.unwrap_or(0),
            pull_offset: self.pulled.unwrap_or(0).max(consumer_offset),
        })
    }

    async fn time_span(
        &self,
        times: &mut Times<'_>,
        now_ms: i64,
    ) -> Result<QueueTimeSpan, Refusal> {
        let QueueRange { min_offset, max_offset } = self.range;
        let queue = &self.queue;
        let first_ms = times.at(queue, min_offset.0).await?;
        let last_ms = times.at(queue, max_offset.0 - 1).await?;
        let consumed_ms = match self.committed {
            Some(offset) if offset > 0 => times.at(queue, offset - 1).await?,
            _ => first_ms,
        };
        // A group without an offset has everything before it. Apache counts from 1970 there.
        let next = self.committed.unwrap_or(0).max(min_offset.0);
        let next_ms = if next < max_offset.0 { times.at(queue, next).await? } else { None };
        Ok(QueueTimeSpan {
            consume_time_stamp: consumed_ms.unwrap_or(-1),
            delay_time: next_ms.map_or(0, |next_ms| (now_ms - next_ms).max(0)),
            max_time_stamp: last_ms.unwrap_or(-1),
            message_queue: queue.clone(),
            min_time_stamp: first_ms.unwrap_or(-1),
        })
    }
}

/// Reads store times, and lets others run.
struct Times<'c> {
    cx: &'c Cx,
    asked: usize,
}

impl<'c> Times<'c> {
    fn new(cx: &'c Cx) -> Self {
        Self { cx, asked: 0 }
    }

    /// `None` where there is no message.
    async fn at(&mut self, queue: &MessageQueue, offset: i64) -> Result<Option<i64>, Refusal> {
        self.asked += 1;
        if self.asked.is_multiple_of(QUEUES_AT_ONCE) {
            yield_now().await;
        }
        if offset < 0 {
            return Ok(None);
        }
        let offset = QueueOffset(offset);
        Ok(self.cx.store.store_time_at(&queue.topic, queue.queue_id, offset).await?)
    }
}

fn no_topic(topic: &str) -> Refusal {
    Refusal::new(response::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist"))
}

fn config<'s>(shard: &'s Shard, topic: &str) -> Option<&'s TopicConfig> {
    shard.tables.topics.get(topic).map(|topic| &topic.config)
}

/// The bounds of a topic's queues.
pub(crate) fn of_topic(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let topic = command.ext.require("topic")?.into_owned();
    let config = config(shard, &topic).ok_or_else(|| no_topic(&topic))?;
    let queues = config.read_queue_nums.max(config.write_queue_nums);
    let places: Vec<_> = (0..queues).map(|id| Place::of(shard, "", &topic, id)).collect();
    let topic_put_tps = statistics::put_a_second(shard, &topic);
    Ok(task(&shard.cx, |cx| async move {
        let mut times = Times::new(&cx);
        let mut body = TopicStatsTable { topic_put_tps, ..TopicStatsTable::default() };
        for Place { queue, range, .. } in places {
            let last_ms = times.at(&queue, range.max_offset.0 - 1).await?;
            let offset = TopicOffset {
                last_update_timestamp: last_ms.unwrap_or(0),
                max_offset: range.max_offset.0,
                min_offset: range.min_offset.0,
            };
            body.offset_table.insert(queue, offset);
        }
        Ok(Reply::ok().bytes(json::to_fastjson(&body)))
    }))
}

/// How far a group is: in one topic, in a list of topics, or in all that it has offsets for.
pub(crate) fn of_group(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let group = command.ext.require("consumerGroup")?.into_owned();
    let list = command.ext.get("topicList").unwrap_or_default();
    let list: Vec<_> = list.split(';').filter(|topic| !topic.is_empty()).collect();
    let topics: Vec<String> = if !list.is_empty() {
        list.into_iter().map(str::to_owned).collect()
    } else {
        let asked = command.ext.get("topic").filter(|topic| !topic.trim().is_empty());
        let mut topics = match asked {
            Some(topic) => vec![topic.into_owned()],
            None => Vec::from_iter(shard.tables.offsets.topics_of(&group)),
        };
        topics.retain(|topic| is_wanted(shard, &group, topic));
        topics
    };
    let (mut places, mut consume_tps) = (vec![], 0.0);
    for topic in topics {
        let Some(config) = config(shard, &topic) else { continue };
        let queues = config.read_queue_nums;
        consume_tps += statistics::got_a_second(shard, &group, &topic);
        places.extend((0..queues).map(|id| Place::of(shard, &group, &topic, id)));
    }
    Ok(task(&shard.cx, |cx| async move {
        let mut times = Times::new(&cx);
        let mut body = ConsumeStats { consume_tps, ..ConsumeStats::default() };
        for place in places {
            let wrapper = place.wrapper(&mut times).await?;
            body.offset_table.insert(place.queue, wrapper);
        }
        Ok(Reply::ok().bytes(json::to_fastjson(&body)))
    }))
}

/// Whether a topic counts for a group: while the group is online, one that it subscribes to.
fn is_wanted(shard: &Shard, group: &str, topic: &str) -> bool {
    shard.tables.consumers.get(group).is_none_or(|group| {
        group.subscriptions().next().is_none() || group.subscription(topic).is_some()
    })
}

/// How far every group is in every topic that it has offsets for; `isOrder`: in ordered ones only.
pub(crate) fn of_broker(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let only_ordered = command.ext.require("isOrder")?.eq_ignore_ascii_case("true");
    let groups: Vec<_> = shard.tables.groups.names().map(str::to_owned).collect();
    let broker_addr = shard.cx.options.address.clone();
    Ok(task(&shard.cx, move |cx| async move {
        let mut times = Times::new(&cx);
        let mut body = ConsumeStatsList { broker_addr, ..ConsumeStatsList::default() };
        for group in groups {
            let mut of_topics = vec![];
            for of_topic in cx.with(|shard, _| places_of(shard, &group, only_ordered)) {
                let (places, consume_tps) = of_topic;
                let mut stats = ConsumeStats { consume_tps, ..ConsumeStats::default() };
                for place in places {
                    let wrapper = place.wrapper(&mut times).await?;
                    body.total_diff += wrapper.broker_offset - wrapper.consumer_offset;
                    body.total_inflight_diff += wrapper.pull_offset - wrapper.consumer_offset;
                    stats.offset_table.insert(place.queue, wrapper);
                }
                of_topics.push(stats);
            }
            body.consume_stats_list.push(BTreeMap::from([(group, of_topics)]));
        }
        Ok(Reply::ok().bytes(json::to_fastjson(&body)))
    }))
}

/// Where a group is, and how many messages a second it gets, by topic.
fn places_of(shard: &mut Shard, group: &str, only_ordered: bool) -> Vec<(Vec<Place>, f64)> {
    let mut places = vec![];
    for topic in shard.tables.offsets.topics_of(group) {
        let Some(config) = config(shard, &topic) else { continue };
        if (only_ordered && !config.order) || !is_wanted(shard, group, &topic) {
            continue;
        }
        let queues = config.write_queue_nums;
        let of_topic = (0..queues).map(|id| Place::of(shard, group, &topic, id)).collect();
        places.push((of_topic, statistics::got_a_second(shard, group, &topic)));
    }
    places
}

/// Between which times the queues of a topic were filled, and where a group is between them.
pub(crate) fn time_span(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let topic = command.ext.require("topic")?.into_owned();
    let group = command.ext.require("group")?.into_owned();
    let config = config(shard, &topic).ok_or_else(|| no_topic(&topic))?;
    let queues = config.write_queue_nums;
    let places: Vec<_> = (0..queues).map(|id| Place::of(shard, &group, &topic, id)).collect();
    Ok(task(&shard.cx, |cx| async move {
        let mut times = Times::new(&cx);
        let mut body = QueryConsumeTimeSpanBody::default();
        for place in places {
            let now_ms = cx.now_ms();
            body.consume_time_span_set.push(place.time_span(&mut times, now_ms).await?);
        }
        Ok(Reply::ok().bytes(json::to_fastjson(&body)))
    }))
}
