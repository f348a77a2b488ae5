//! The life of a client: HEART_BEAT 34, UNREGISTER_CLIENT 35, CHECK_CLIENT_CONFIG 46.

use super::send_target::SYS_FLAG_UNIT_SUB;
use super::{body, group, subscription};
use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::limits::GROUPS_PER_HEARTBEAT_MAX;
use crate::shard::Shard;
use crate::tables::consumers::{GroupHeartbeat, Member, NotTaken, Style};
use netcore::{ConnId, Net};
use protocol::bodies::{CheckClientRequestBody, ConsumerData, HeartbeatData, TopicConfig, perm};
use protocol::codes::response;
use protocol::names;
use protocol::remoting::CommandView;

/// Takes a client into its groups; the group's retry topic exists from then on.
pub(crate) fn heartbeat(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let beat: HeartbeatData = body::read(command)?;
    if beat.consumer_data_set.len() + beat.producer_data_set.len() > GROUPS_PER_HEARTBEAT_MAX {
        return Err(Refusal::new(
            response::SYSTEM_ERROR,
            format!("a heartbeat for more than {GROUPS_PER_HEARTBEAT_MAX} groups"),
        ));
    }
    let member = Member::new(ticket.conn, &beat.client_id);
    let member = member.speaking(command.language, command.version);
    let mut changed = beat.heartbeat_fingerprint == 0;
    let mut refused = None;
    for consumer in &beat.consumer_data_set {
        match consumer_heartbeat(shard, net, &member, &beat, consumer) {
            Ok(differs) => changed |= differs,
            Err(why) => refused = not_taken(shard, net, &member, &consumer.group_name, &why),
        }
    }
    let now_ms = shard.cx.now_ms();
    for producer in &beat.producer_data_set {
        let heard = shard.tables.producers.heartbeat(&producer.group_name, &member, now_ms);
        shard.services.transactions.producer_came(&producer.group_name, now_ms);
        if let Err(why) = heard {
            refused = not_taken(shard, net, &member, &producer.group_name, &why).or(refused);
        }
    }
    if let Some(refusal) = refused {
        return Err(refusal);
    }
    let ext = |ext: &mut protocol::remoting::ExtWriter<'_>| {
        ext.str("IS_SUPPORT_HEART_BEAT_V2", "true");
        ext.bool("IS_SUB_CHANGE", changed);
    };
    ticket.answer(net, response::SUCCESS, None, ext, &[]);
    Ok(Done::Answered)
}

/// A client is not taken into a group. Apache has no limits, and answers nothing to names that
/// can't be; a limit is told, so that the client's log has the reason. What else the heartbeat says
/// counts.
fn not_taken(
    shard: &mut Shard,
    net: &Net,
    member: &Member<ConnId>,
    group: &str,
    why: &NotTaken,
) -> Option<Refusal> {
    let client = &member.client_id;
    let what = format_args!("client {client} is not taken into group {group}: {why}");
    shard.peers.log.blame(net.peer(member.conn), shard.cx.now_ms(), &what);
    why.is_limit().then(|| Refusal::new(response::SYSTEM_BUSY, format!("[OVERLOAD]{what}")))
}

/// Whether the client should send its subscriptions again.
fn consumer_heartbeat(
    shard: &mut Shard,
    net: &mut Net,
    member: &Member<ConnId>,
    beat: &HeartbeatData,
    consumer: &ConsumerData,
) -> Result<bool, NotTaken> {
    let now_ms = shard.cx.now_ms();
    let name = consumer.group_name.as_str();
    let groups = &mut shard.tables.groups;
    if groups.find_or_create(name, now_ms).is_none() {
        return if groups.is_full() {
            Err(NotTaken::TooManyGroups(groups.max()))
        } else {
            Ok(false)
        };
    }
    let Some(group) = groups.get(name) else { return Ok(false) };
    let (retry_queues, notify) =
        (group.config.retry_queue_nums, group.config.notify_consumer_ids_changed_enable);
    ensure_retry_topic(shard, consumer, retry_queues, now_ms);
    let without = beat.heartbeat_fingerprint != 0 && beat.without_sub;
    let known = shard.tables.consumers.get(name);
    let subscriptions = consumer.subscription_data_set.iter().filter_map(|data| {
        let known = known.and_then(|group| group.subscription(&data.topic));
        subscription::of_heartbeat(data, known)
    });
    let group_beat = GroupHeartbeat {
        style: Style {
            model: consumer.message_model,
            consume_type: consumer.consume_type,
            from: consumer.consume_from_where,
        },
        subscriptions: (!without).then(|| subscriptions.collect()),
        fingerprint: beat.heartbeat_fingerprint,
    };
    let changed = shard.tables.consumers.heartbeat(name, member, group_beat, now_ms)?;
    if changed.notify && notify {
        group::notify_members(shard, net, name);
    }
    Ok(changed.subscriptions)
}

/// A retry topic must be in the route from a group's first heartbeat on: clients look it up every
/// 30 s.
fn ensure_retry_topic(shard: &mut Shard, consumer: &ConsumerData, queues: i32, now_ms: i64) {
    let name = names::retry_topic(&consumer.group_name);
    let ordered = consumer
        .subscription_data_set
        .iter()
        .any(|sub| shard.tables.topics.get(&sub.topic).is_some_and(|topic| topic.config.order));
    let known = shard.tables.topics.get(&name).map(|topic| topic.config.clone());
    if let Some(config) = known {
        if config.order != ordered {
            shard.tables.topics.put(TopicConfig { order: ordered, ..config }, now_ms);
        }
        return;
    }
    let sys_flag = if consumer.unit_mode { SYS_FLAG_UNIT_SUB } else { 0 };
    let config = TopicConfig {
        order: ordered,
        topic_sys_flag: sys_flag,
        ..TopicConfig::new(&name, queues, perm::READ | perm::WRITE)
    };
    if let Err(error) = shard.tables.topics.create_if_absent(config, now_ms) {
        tracing::warn!("retry topic {name} is not created: {error}");
    }
}

/// A client leaves a group on purpose.
pub(crate) fn unregister(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    command.ext.require("clientID")?;
    if let Some(group) = command.ext.get("producerGroup") {
        shard.tables.producers.leave(&group, ticket.conn);
    }
    if let Some(group) = command.ext.get("consumerGroup") {
        group::leave(shard, net, &group, ticket.conn);
    }
    ticket.ok(net);
    Ok(Done::Answered)
}

/// Whether this broker can filter as a client wants.
pub(crate) fn check_config(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let request: CheckClientRequestBody = body::read(command)?;
    subscription::check(shard, &request.subscription_data)?;
    ticket.ok(net);
    Ok(Done::Answered)
}
