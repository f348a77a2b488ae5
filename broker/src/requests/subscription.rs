//! What a consumer subscribes to, as pulls, heartbeats and CHECK_CLIENT_CONFIG 46 say it, and the
//! filter that comes of it.
//!
//! | the expression is | in a heartbeat | in a pull | in 46 |
//! |---|---|---|---|
//! | SQL92, `enablePropertyFilter` off | its pulls: 1 | 1 | 1 |
//! | SQL92 that can't be read, or of an unknown kind | its pulls: 27 | 23 | 23 |
//! | a class filter | its pulls: 1 | 1 | 1 |
//!
//! The codes are Apache's, with two exceptions: class filters, and a SQL92 expression in a pull
//! that can't be read. There Apache takes every message of the topic; this broker says no
//! (docs/decisions/0035-sql92-filters.md).

use crate::answers::remoting::{Forbidden, Refusal};
use crate::reads::filter::Filter;
use crate::reads::sql::{self, ByFirstTopic};
use crate::shard::Shard;
use crate::tables::consumers::{SQL92, Subscription, Unusable, is_tag_type};
use protocol::bodies::SubscriptionData;
use protocol::codes::response;
use protocol::headers::PullHeader;
use protocol::names;
use protocol::sys_flag::pull::{CLASS_FILTER, SUBSCRIPTION};
use std::rc::Rc;

/// A subscription of a heartbeat as pulls need it; a TAG expression that can't be read is left out,
/// and pulls for it are told that it is missing. `known` is what the group has for the topic: while
/// the expression is the same, it is not compiled again.
pub(crate) fn of_heartbeat(
    data: &SubscriptionData,
    known: Option<&Subscription>,
) -> Option<Subscription> {
    let filter = if data.class_filter_mode {
        Err(Unusable::ClassFilter)
    } else if data.is_tag_type() {
        let filter = Filter::of_subscription(data).inspect_err(|error| {
            tracing::warn!(
                "subscription to {} {:?} is ignored: {error}",
                data.topic,
                data.sub_string
            )
        });
        Ok(filter.ok()?)
    } else if let Some(known) = known.filter(|known| {
        let known = &known.data;
        known.expression_type == data.expression_type && known.sub_string == data.sub_string
    }) {
        known.filter.clone()
    } else {
        compiled(&data.expression_type, &data.sub_string).map_err(Unusable::Expression)
    };
    Some(Subscription { data: data.clone(), filter })
}

/// The filter of an expression that is none of tags; or why there is none.
fn compiled(expression_type: &str, expression: &str) -> Result<Filter, String> {
    check_is_sql(expression_type, expression)?;
    sql::compile(expression).map(Filter::Records).map_err(|error| error.to_string())
}

fn check_is_sql(expression_type: &str, expression: &str) -> Result<(), String> {
    if expression_type != SQL92 {
        return Err(format!("the expression type {expression_type} is none of TAG and {SQL92}"));
    }
    if expression.is_empty() {
        return Err("the expression is empty".to_owned());
    }
    Ok(())
}

/// Whether this broker can filter as a client wants (46).
pub(super) fn check(shard: &Shard, data: &SubscriptionData) -> Result<(), Refusal> {
    if data.class_filter_mode {
        return Err(no_class_filters(&data.topic));
    }
    if data.is_tag_type() {
        return Ok(());
    }
    check_is_on(shard, &data.expression_type)?;
    compiled(&data.expression_type, &data.sub_string).map(|_| ()).map_err(|why| {
        Refusal::new(response::SUBSCRIPTION_PARSE_FAILED, format!("invalid expression: {why}"))
    })
}

/// The filter of a pull: of the subscription that it carries, else of its group's heartbeats.
pub(super) fn of_pull(
    shard: &mut Shard,
    header: &PullHeader<'_>,
    may_broadcast: bool,
) -> Result<Filter, Refusal> {
    if header.sys_flag & CLASS_FILTER != 0 {
        return Err(no_class_filters(header.topic));
    }
    let filter = if header.sys_flag & SUBSCRIPTION != 0 {
        carried(shard, header)?
    } else {
        of_group(shard, header, may_broadcast)?
    };
    let pulls = &shard.cx.options.process.serve.pulls;
    match (filter, header.topic.strip_prefix(names::RETRY_PREFIX)) {
        (Filter::Records(_), Some(group)) if pulls.sql_for_retries => {
            let group = shard.tables.consumers.get(group);
            let filters = group.map(|group| group.record_filters()).unwrap_or_default();
            Ok(Filter::Records(Rc::new(ByFirstTopic { filters })))
        }
        (filter, _) => Ok(filter),
    }
}

/// The subscription that the request carries.
fn carried(shard: &mut Shard, header: &PullHeader<'_>) -> Result<Filter, Refusal> {
    let refused = |why: &dyn std::fmt::Display| {
        let remark = format!("parse the consumer's subscription failed: {why}");
        Refusal::new(response::SUBSCRIPTION_PARSE_FAILED, remark)
    };
    let Some(kind) = header.expression_type.filter(|kind| !is_tag_type(Some(kind))) else {
        return Filter::parse(header.subscription).map_err(|error| refused(&error));
    };
    let expression = header.subscription.unwrap_or_default();
    if !expression.is_empty() {
        check_is_on(shard, kind)?;
    }
    check_is_sql(kind, expression).map_err(|why| refused(&why))?;
    let filter = shard.reads.carried.filter(expression);
    filter.map(Filter::Records).map_err(|error| refused(&error))
}

/// The subscription of the group's heartbeats.
fn of_group(
    shard: &Shard,
    header: &PullHeader<'_>,
    may_broadcast: bool,
) -> Result<Filter, Refusal> {
    let name = header.consumer_group;
    let Some(group) = shard.tables.consumers.get(name) else {
        let remark = format!("the consumer's group info not exist: {name}");
        return Err(Refusal::new(response::SUBSCRIPTION_NOT_EXIST, remark));
    };
    if !may_broadcast && group.style.is_broadcasting() {
        let remark = format!("the consumer group[{name}] can not consume by broadcast way");
        return Err(Refusal::forbidden(Forbidden::Broadcasting, remark));
    }
    if shard.tables.groups.is_read_forbidden(name, header.topic) {
        let remark = format!("the consumer group[{name}] is forbidden for topic[{}]", header.topic);
        return Err(Refusal::forbidden(Forbidden::Subscription, remark));
    }
    let Some(subscription) = group.subscription(header.topic) else {
        let remark = format!("the consumer's subscription not exist: {name} {}", header.topic);
        return Err(Refusal::new(response::SUBSCRIPTION_NOT_EXIST, remark));
    };
    if subscription.data.sub_version < header.sub_version {
        let remark = "the consumer's subscription not latest";
        return Err(Refusal::new(response::SUBSCRIPTION_NOT_LATEST, remark));
    }
    let filter = subscription.filter.clone().map_err(|unusable| match unusable {
        Unusable::ClassFilter => no_class_filters(header.topic),
        Unusable::Expression(why) => Refusal::new(
            response::FILTER_DATA_NOT_EXIST,
            format!(
                "The broker's consumer filter data is not exist!Your expression may be wrong! {why}"
            ),
        ),
    })?;
    if !subscription.data.is_tag_type() {
        check_is_on(shard, &subscription.data.expression_type)?;
    }
    Ok(filter)
}

/// In Apache's words.
fn check_is_on(shard: &Shard, expression_type: &str) -> Result<(), Refusal> {
    if shard.cx.options.process.serve.pulls.sql {
        return Ok(());
    }
    let remark =
        format!("The broker does not support consumer to filter message by {expression_type}");
    Err(Refusal::new(response::SYSTEM_ERROR, remark))
}

fn no_class_filters(topic: &str) -> Refusal {
    let remark = format!(
        "The broker does not support consumer to filter message by class: \
         subscribe to {topic} by TAG or {SQL92}"
    );
    Refusal::new(response::SYSTEM_ERROR, remark)
}
