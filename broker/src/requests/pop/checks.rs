//! What every request of POP checks, in Apache's order.

use crate::answers::remoting::{Forbidden, Refusal};
use crate::reads::allowed;
use crate::reads::filter::Filter;
use crate::shard::Shard;
use protocol::bodies::perm;
use protocol::codes::response;
use std::rc::Rc;

/// A topic and a group that may be popped.
#[derive(Debug)]
pub(super) struct Allowed {
    /// The topic's name, shared with its table.
    pub(super) topic: Rc<str>,
    /// The group's.
    pub(super) group: Rc<str>,
}

/// Whether the broker may be read.
pub(super) fn broker_is_open(shard: &Shard) -> Result<(), Refusal> {
    let process = &shard.cx.options.process;
    if process.permission & perm::READ != 0 {
        return Ok(());
    }
    let host = &process.network.advertised_host;
    let remark = format!("the broker[{host}] pop message is forbidden");
    Err(Refusal::forbidden(Forbidden::Broker, remark))
}

/// Whether this group may pop this queue, or all of them where `queue_id` is below 0.
pub(super) fn topic_and_group(
    shard: &mut Shard,
    topic: &str,
    queue_id: i32,
    group: &str,
) -> Result<Allowed, Refusal> {
    let now_ms = shard.cx.now_ms();
    let tables = &mut shard.tables;
    let topic = allowed::topic(&tables.topics, topic).map_err(|not| not.refusal())?;
    if queue_id >= 0 {
        topic.queue(queue_id, group).map_err(|not| not.refusal())?;
    }
    let group = allowed::group(&mut tables.groups, group, now_ms).map_err(|not| not.refusal())?;
    if tables.groups.is_read_forbidden(&group.name, &topic.name) {
        let remark =
            format!("the consumer group[{}] is forbidden for topic[{}]", group.name, topic.name);
        return Err(Refusal::forbidden(Forbidden::Subscription, remark));
    }
    Ok(Allowed { topic: topic.name, group: group.name })
}

/// Which messages an expression wants; all without one.
pub(super) fn filter(
    shard: &mut Shard,
    kind: Option<&str>,
    expression: Option<&str>,
) -> Result<Filter, Refusal> {
    let refused = |why: &dyn std::fmt::Display| {
        let remark = format!("parse the consumer's subscription failed: {why}");
        Refusal::new(response::SUBSCRIPTION_PARSE_FAILED, remark)
    };
    let Some(expression) = expression.filter(|expression| !expression.is_empty()) else {
        return Ok(Filter::All);
    };
    match kind {
        None | Some("" | "TAG") => Filter::parse(Some(expression)).map_err(|why| refused(&why)),
        Some("SQL92") if !shard.cx.options.process.serve.pulls.sql => {
            let remark = "The broker does not support consumer to filter message by SQL92";
            Err(Refusal::new(response::SYSTEM_ERROR, remark))
        }
        Some("SQL92") => {
            let filter = shard.reads.carried.filter(expression);
            filter.map(Filter::Records).map_err(|why| refused(&why))
        }
        Some(kind) => Err(refused(&format_args!("{kind} is none of TAG and SQL92"))),
    }
}
