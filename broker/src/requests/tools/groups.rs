//! Settings of consumer groups: UPDATE_AND_CREATE_SUBSCRIPTIONGROUP 200 and ..._LIST 225,
//! GET_ALL_SUBSCRIPTIONGROUP_CONFIG 201, GET_SUBSCRIPTIONGROUP_CONFIG 352, DELETE_SUBSCRIPTIONGROUP
//! 207, UPDATE_AND_GET_GROUP_FORBIDDEN 353.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::checked;
use crate::requests::body;
use crate::services::lite;
use crate::shard::Shard;
use crate::tables::groups::NotPut;
use netcore::Net;
use protocol::attributes::{self, GROUP_ATTRIBUTES};
use protocol::bodies::{GroupForbidden, SubscriptionGroupConfig, SubscriptionGroupList};
use protocol::codes::response;
use protocol::remoting::CommandView;
use protocol::{json, names};

/// Creates a group or changes it: all of its settings.
pub(crate) fn update(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let config: SubscriptionGroupConfig = body::read(command)?;
    put_all(shard, vec![config])?;
    ticket.ok(net);
    Ok(Done::Answered)
}

/// The same for several: all, or none where one can't be.
pub(crate) fn update_list(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let list: SubscriptionGroupList = body::read(command)?;
    put_all(shard, list.group_config_list)?;
    ticket.ok(net);
    Ok(Done::Answered)
}

fn put_all(shard: &mut Shard, configs: Vec<SubscriptionGroupConfig>) -> Result<(), Refusal> {
    let mut altered = vec![];
    for config in configs {
        names::check_group(&config.group_name)
            .map_err(|error| Refusal::new(response::INVALID_PARAMETER, error.to_string()))?;
        altered.push(with_attributes(shard, config)?);
    }
    let now_ms = shard.cx.now_ms();
    for config in altered {
        let name = config.group_name.clone();
        shard.tables.groups.put(config, now_ms).map_err(|why| not_put(&why))?;
        tracing::info!("consumer group {name} created or changed by request");
    }
    Ok(())
}

/// The request names changes of attributes, by sign.
fn with_attributes(
    shard: &Shard,
    config: SubscriptionGroupConfig,
) -> Result<SubscriptionGroupConfig, Refusal> {
    let current = shard.tables.groups.get(&config.group_name);
    let current = current.map(|group| &group.config.attributes);
    let attributes = attributes::alter(&GROUP_ATTRIBUTES, current, &config.attributes)
        .map_err(|error| Refusal::new(response::SYSTEM_ERROR, error.to_string()))?;
    Ok(SubscriptionGroupConfig { attributes, ..config })
}

fn not_put(why: &NotPut) -> Refusal {
    Refusal::new(response::SYSTEM_ERROR, why.to_string())
}

/// All groups, and what they may not read.
pub(crate) fn all(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    _: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let wrapper = shard.tables.groups.wrapper();
    let count = checked::to_i64(wrapper.subscription_group_table.len());
    let body = json::to_fastjson(&wrapper);
    ticket.answer(net, response::SUCCESS, None, |ext| ext.int("totalGroupNum", count), &body);
    Ok(Done::Answered)
}

/// One group; it comes into being where that is allowed.
pub(crate) fn one(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let name = command.ext.require("group")?;
    let now_ms = shard.cx.now_ms();
    let Some(group) = shard.tables.groups.find_or_create(&name, now_ms) else {
        let remark = "No group in this broker";
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    ticket.ok_body(net, &json::to_fastjson(&group.config));
    Ok(Done::Answered)
}

/// Deletes a group's settings, and its offsets where that is asked for. One that does not exist is
/// deleted already.
pub(crate) fn delete(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let name = command.ext.require("groupName")?;
    let now_ms = shard.cx.now_ms();
    let is_lite = lite::groups::bind_topic(&shard.tables, &name).is_some();
    if shard.tables.groups.delete(&name, now_ms) {
        tracing::info!("consumer group {name} deleted by request");
    }
    if is_lite || command.ext.get_bool("cleanOffset") == Some(true) {
        shard.tables.offsets.forget_group(&name);
        shard.tables.pulled.forget_group(&name);
        shard.services.pops.cursors.forget(|key| *key.group == *name);
        shard.services.pops.buffer.forget(|key| *key.group == *name);
    }
    ticket.ok(net);
    Ok(Done::Answered)
}

/// Whether a group may read a topic, after that is changed where the request asks for it.
pub(crate) fn forbidden(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let group = command.ext.require("group")?;
    let topic = command.ext.require("topic")?;
    let now_ms = shard.cx.now_ms();
    if let Some(readable) = command.ext.get_bool("readable") {
        let groups = &mut shard.tables.groups;
        groups.forbid_reading(&group, &topic, !readable, now_ms).map_err(|why| not_put(&why))?;
        tracing::info!("consumer group {group} may read topic {topic}: {readable}, by request");
    }
    let body = GroupForbidden {
        readable: !shard.tables.groups.is_read_forbidden(&group, &topic),
        group: group.into_owned(),
        topic: topic.into_owned(),
    };
    ticket.answer(net, response::SUCCESS, Some(""), |_| {}, &json::to_fastjson(&body));
    Ok(Done::Answered)
}
