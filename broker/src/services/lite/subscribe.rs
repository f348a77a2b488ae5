//! Lite subscriptions as clients say them, or their proxy for them
//! (`LiteSubscriptionRegistryImpl`).

use super::{dispatch, groups, order};
use crate::peers::asked::Request;
use crate::shard::Shard;
use crate::tables::lite_subscriptions::{Subscriber, wildcard_queue};
use netcore::{ConnId, Net};
use protocol::bodies::{OffsetOption, OffsetOptionType};
use protocol::codes::request;
use protocol::lite;
use protocol::remoting::ExtWriter;
use std::rc::Rc;

/// Who says what of which topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    /// The client.
    pub(crate) client: &'a str,
    /// Its group.
    pub(crate) group: &'a str,
    /// The parent topic.
    pub(crate) topic: &'a str,
    /// Where it speaks.
    pub(crate) conn: ConnId,
}

/// Why a subscription is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// There are too many.
    #[error(
        "org.apache.rocketmq.broker.lite.LiteQuotaException: lite subscription quota exceeded {0}"
    )]
    Quota(usize),
    /// The group has all children of its topic.
    #[error(
        "java.lang.IllegalStateException: subscribe lite operation is not supported for this group"
    )]
    Wildcard,
}

/// PARTIAL_ADD: these too.
pub(crate) fn add(
    shard: &mut Shard,
    net: &mut Net,
    said: Said<'_>,
    queues: &[String],
    option: Option<OffsetOption>,
) -> Result<(), NotTaken> {
    check_quota(shard)?;
    if groups::is_wildcard(&shard.tables, said.group) {
        return Err(NotTaken::Wildcard);
    }
    let who = touch(shard, said)?;
    for queue in queues {
        if groups::is_exclusive(&shard.tables, said.group) {
            exclude_others(shard, net, &who, queue);
        }
        reset(shard, queue, &who.group, option);
        add_one(shard, &who, queue);
    }
    Ok(())
}

/// PARTIAL_REMOVE: these no more.
pub(crate) fn remove(shard: &mut Shard, said: Said<'_>, queues: &[String]) -> Result<(), NotTaken> {
    let who = touch(shard, said)?;
    let resets = groups::resets_unsubscribed(&shard.tables, said.group);
    for queue in queues {
        if shard.services.lite.subscriptions.remove(&who, queue) && resets {
            reset(shard, queue, &who.group, Some(OffsetOption::MIN));
        }
    }
    Ok(())
}

/// COMPLETE_ADD: these and no others. As many as there are stay, whatever the quota says.
pub(crate) fn replace(
    shard: &mut Shard,
    said: Said<'_>,
    queues: &[String],
) -> Result<(), NotTaken> {
    let who = touch(shard, said)?;
    let wildcard;
    let queues = if groups::is_wildcard(&shard.tables, said.group) {
        shard.services.lite.subscriptions.mark_wildcard(said.topic, &who.group);
        wildcard = [wildcard_queue(said.topic, said.group)];
        &wildcard[..]
    } else {
        queues
    };
    let before = shard.services.lite.subscriptions.client(&who.client);
    let before: Vec<Rc<str>> =
        before.into_iter().flat_map(|client| client.queues.iter().cloned()).collect();
    let wanted: std::collections::HashSet<&str> = queues.iter().map(String::as_str).collect();
    for queue in before.iter().filter(|queue| !wanted.contains(&***queue)) {
        shard.services.lite.subscriptions.remove(&who, queue);
    }
    let known: std::collections::HashSet<&str> = before.iter().map(|queue| &**queue).collect();
    for queue in queues.iter().filter(|queue| !known.contains(queue.as_str())) {
        check_quota(shard)?;
        add_one(shard, &who, queue);
    }
    Ok(())
}

/// COMPLETE_REMOVE, and a client that was silent: nothing any more.
pub(crate) fn forget(shard: &mut Shard, client: &str) {
    if shard.services.lite.subscriptions.remove_client(client).is_some() {
        dispatch::client_is_gone(shard, client);
    }
}

/// The periodic look for clients that were silent.
pub(super) fn forget_silent(shard: &mut Shard) {
    let before_ms = shard.cx.now_ms().saturating_sub(shard.cx.options.process.lite.subscription_ms);
    for client in shard.services.lite.subscriptions.silent_since(before_ms) {
        tracing::info!("lite subscriptions of client {client} ended: it did not say them again");
        forget(shard, &client);
    }
}

fn check_quota(shard: &Shard) -> Result<(), NotTaken> {
    let max = shard.cx.options.process.lite.subscriptions_max;
    if shard.services.lite.subscriptions.active() >= max {
        Err(NotTaken::Quota(max))
    } else {
        Ok(())
    }
}

fn touch(shard: &mut Shard, said: Said<'_>) -> Result<Subscriber, NotTaken> {
    let now_ms = shard.cx.now_ms();
    let subscriptions = &mut shard.services.lite.subscriptions;
    let known = subscriptions.touch(said.client, said.group, Some(said.conn), now_ms);
    known.ok_or(NotTaken::Quota(crate::limits::LITE_CLIENTS_MAX))
}

fn add_one(shard: &mut Shard, who: &Subscriber, queue: &str) {
    if shard.services.lite.subscriptions.add(who, queue) {
        dispatch::subscribed(shard, who, &Rc::from(queue));
    }
}

/// The group's other clients lose a queue to this one, and are told.
fn exclude_others(shard: &mut Shard, net: &mut Net, who: &Subscriber, queue: &str) {
    let mut all = vec![];
    shard.services.lite.subscriptions.of_group(queue, &who.group, &mut all);
    let resets = groups::resets_exclusive(&shard.tables, &who.group);
    for other in all.into_iter().filter(|other| other.client != who.client) {
        let subscriptions = &mut shard.services.lite.subscriptions;
        let known = subscriptions.client(&other.client);
        let (conn, has_more) =
            known.map_or((None, true), |client| (client.conn, client.queues.len() > 1));
        subscriptions.remove(&other, queue);
        if !has_more {
            forget(shard, &other.client);
        }
        if let (Some(conn), Some((_, child))) = (conn, lite::parts(queue)) {
            let ext = |ext: &mut ExtWriter<'_>| {
                ext.str("clientId", &other.client);
                ext.str("consumerGroup", &other.group);
                ext.str("liteTopic", child);
            };
            let news = Request { code: request::NOTIFY_UNSUBSCRIBE_LITE, ext: &ext, body: &[] };
            shard.peers.asked.tell(net, conn, &news);
        }
        if resets {
            reset(shard, queue, &who.group, Some(OffsetOption::MIN));
        }
    }
}

/// Where a group is to go on.
fn reset(shard: &mut Shard, queue: &str, group: &str, option: Option<OffsetOption>) {
    let Some(option) = option else { return };
    let known = shard.tables.offsets.query(group, queue, lite::QUEUE_ID);
    let target = match option.kind {
        OffsetOptionType::Policy if option == OffsetOption::MIN => Some(0),
        OffsetOptionType::Policy if option == OffsetOption::MAX => {
            Some(dispatch::end_of(shard, queue))
        }
        OffsetOptionType::Offset => Some(option.value),
        OffsetOptionType::TailN => known.map(|known| known.saturating_sub(option.value).max(0)),
        // Apache leaves times alone for now.
        OffsetOptionType::Policy | OffsetOptionType::Timestamp => None,
    };
    if let Some(target) = target.filter(|target| *target >= 0 && known != Some(*target)) {
        let now_ms = shard.cx.now_ms();
        shard.tables.offsets.reset(group, queue, lite::QUEUE_ID, target, now_ms);
        order::clear(shard, queue, group);
    }
}
