//! Tells clients of lite topics with messages (`LiteEventDispatcher`).
//!
//! ```text
//!   message came, queue is free again, client subscribed, client left its events alone
//!     ─► of each group one client, by chance; last those that left events alone lately
//!     ─► the queue goes into its list, its pop that waits runs
//! ```

use super::events::FullLook;
use super::groups;
use crate::shard::Shard;
use crate::tables::lite_subscriptions::{Subscriber, wildcard_queue};
use protocol::lite;
use rt::Runtime as _;
use std::rc::Rc;

/// Clients that are told of looked through queues are woken once for so many.
const WAKE_EVERY: usize = 10;
/// A full look that has to wait because its client is away waits longer by up to this, by chance.
const AWAY_MORE_MS: u64 = 15_000;

/// Tells one client of each group, or of `group` alone, of a queue. Those other than `but` first.
pub(super) fn dispatch(shard: &mut Shard, group: Option<&str>, queue: &Rc<str>, but: Option<&str>) {
    if !shard.cx.options.process.lite.by_events {
        return;
    }
    let Some((topic, _)) = lite::parts(queue) else { return };
    let mut all = std::mem::take(&mut shard.services.lite.candidates);
    all.clear();
    let subscriptions = &shard.services.lite.subscriptions;
    match group {
        None => subscriptions.of_queue(topic, queue, &mut all),
        Some(group) if groups::is_wildcard(&shard.tables, group) => {
            subscriptions.of_group(&wildcard_queue(topic, group), group, &mut all);
        }
        Some(group) => subscriptions.of_group(queue, group, &mut all),
    }
    for of_group in all.chunk_by(|one, next| one.group == next.group) {
        tell_one(shard, queue, of_group, but);
    }
    shard.services.lite.candidates = all;
}

/// Tells one of a group's clients of a queue. False when none may be told now.
fn tell_one(
    shard: &mut Shard,
    queue: &Rc<str>,
    of_group: &[Subscriber],
    but: Option<&str>,
) -> bool {
    let Some(first) = of_group.first() else { return true };
    let now_ms = shard.cx.now_ms();
    let is_wildcard = groups::is_wildcard(&shard.tables, &first.group);
    let count = u64::try_from(of_group.len()).expect("a usize fits a u64");
    let start = usize::try_from(shard.cx.core.random_u64() % count).expect("below a usize");
    let (behind, before) = of_group.split_at(start);
    let in_turn = || before.iter().chain(behind);
    let is_last = |shard: &Shard, who: &Subscriber| {
        but == Some(&*who.client) || shard.services.lite.events.is_blacklisted(&who.client, now_ms)
    };
    let mut told = None;
    for last in [false, true] {
        for who in in_turn() {
            if told.is_some() || is_last(shard, who) != last {
                continue;
            }
            // A large group without places would be gone through twice.
            let is_left_out = last && is_wildcard && but != Some(&*who.client);
            if !is_left_out && tell(shard, queue, who, !is_wildcard, now_ms) {
                told = Some(who.client.clone());
            }
        }
    }
    match &told {
        Some(client) => wake(shard, client),
        None if is_wildcard => {
            let delay_ms = shard.cx.options.process.lite.wildcard_dispatch_ms;
            let look = FullLook::Wildcard { group: first.group.clone() };
            shard.services.lite.events.look_later(look, delay_ms, now_ms);
        }
        None => {}
    }
    told.is_some()
}

/// Puts a queue into a client's list. Where that is full, its queues are looked through later.
fn tell(
    shard: &mut Shard,
    queue: &Rc<str>,
    who: &Subscriber,
    looks_later: bool,
    now_ms: i64,
) -> bool {
    let max = groups::events_max(&shard.tables, &who.group);
    let max = max.unwrap_or(shard.cx.options.process.lite.events_max);
    let events = &mut shard.services.lite.events;
    if events.offer(&who.client, (&who.group, max), queue, now_ms) {
        return true;
    }
    if looks_later {
        let is_away = events.is_blacklisted(&who.client, now_ms);
        look_later(shard, who, is_away);
    }
    false
}

/// Has a client's queues looked through later.
pub(super) fn look_later(shard: &mut Shard, who: &Subscriber, is_away: bool) {
    let more_ms = if is_away { shard.cx.core.random_u64() % AWAY_MORE_MS } else { 0 };
    let more_ms = i64::try_from(more_ms).expect("a few seconds");
    let delay_ms = shard.cx.options.process.lite.full_dispatch_ms.saturating_add(more_ms);
    let look = FullLook::Client { client: who.client.clone(), group: who.group.clone() };
    let now_ms = shard.cx.now_ms();
    shard.services.lite.events.look_later(look, delay_ms, now_ms);
}

/// Has the pop run that waits longest for a client.
fn wake(shard: &mut Shard, client: &str) {
    let state = &mut shard.services.lite;
    state.polls.take_first((client, lite::QUEUE_ID), 1, |_| true, &mut state.woken);
}

/// A client subscribed to a queue.
pub(super) fn subscribed(shard: &mut Shard, who: &Subscriber, queue: &Rc<str>) {
    if groups::is_wildcard(&shard.tables, &who.group) {
        let look = FullLook::Wildcard { group: who.group.clone() };
        let now_ms = shard.cx.now_ms();
        shard.services.lite.events.look_later(look, WILDCARD_LOOK_MS, now_ms);
    } else if end_of(shard, queue) > 0 {
        dispatch(shard, Some(&who.group), queue, None);
    }
}

/// A group of all children whose client is new looks them through after so many milliseconds.
const WILDCARD_LOOK_MS: i64 = 5_000;

/// Where a queue ends; 0 without one.
pub(crate) fn end_of(shard: &Shard, queue: &str) -> i64 {
    let range = shard.cx.store.queue_range(queue, lite::QUEUE_ID);
    range.map_or(0, |range| range.max_offset.0)
}

/// Whether a group has messages to get of a queue.
fn is_behind(shard: &mut Shard, group: &str, queue: &str) -> bool {
    let end = end_of(shard, queue);
    let at = shard.tables.offsets.query(group, queue, lite::QUEUE_ID);
    end > 0 && at.is_none_or(|at| at < end)
}

/// A client is gone: others of its group are told of what it was told of.
pub(super) fn client_is_gone(shard: &mut Shard, client: &str) {
    let Some((group, queues)) = shard.services.lite.events.remove(client) else { return };
    for queue in queues {
        dispatch(shard, Some(&group), &queue, Some(client));
    }
}

/// The periodic look: clients that do not come, and whose queues are to be looked through.
pub(super) fn look(shard: &mut Shard) {
    let now_ms = shard.cx.now_ms();
    for client in shard.services.lite.events.take_away(now_ms) {
        client_is_gone(shard, &client);
    }
    while let Some(next) = shard.services.lite.events.next_look(now_ms) {
        match next {
            FullLook::Client { client, group } => of_client(shard, &client, &group),
            FullLook::Wildcard { group } => of_wildcard(shard, &group),
        }
    }
}

/// TRIGGER_LITE_DISPATCH: looks through the queues of a client.
pub(crate) fn of_client(shard: &mut Shard, client: &str, group: &str) {
    if !shard.cx.options.process.lite.by_events {
        return;
    }
    let Some(known) = shard.services.lite.subscriptions.client(client) else { return };
    let Some(who) = known
        .queues
        .first()
        .map(|_| Subscriber { group: Rc::from(group), client: Rc::from(client) })
    else {
        return;
    };
    let queues: Vec<Rc<str>> = known.queues.iter().cloned().collect();
    let now_ms = shard.cx.now_ms();
    let (is_away, is_full) = shard.services.lite.events.holds_back(client, now_ms);
    if is_away || is_full {
        return look_later(shard, &who, is_away);
    }
    let mut told: usize = 0;
    for queue in queues {
        if !is_behind(shard, group, &queue) {
            continue;
        }
        if !tell(shard, &queue, &who, true, now_ms) {
            break;
        }
        if told.is_multiple_of(WAKE_EVERY) {
            wake(shard, client);
        }
        told += 1;
    }
    wake(shard, client);
}

/// The same of all clients of a group.
pub(crate) fn of_group(shard: &mut Shard, group: &str) {
    if groups::is_wildcard(&shard.tables, group) {
        return of_wildcard(shard, group);
    }
    for client in shard.services.lite.subscriptions.clients_of(group) {
        of_client(shard, &client, group);
    }
}

/// Looks through all children of a topic for a group that has them all.
fn of_wildcard(shard: &mut Shard, group: &str) {
    if !shard.cx.options.process.lite.by_events || !groups::is_wildcard(&shard.tables, group) {
        return;
    }
    let Some(topic) = groups::bind_topic(&shard.tables, group).map(str::to_owned) else { return };
    let mut clients = vec![];
    let subscriptions = &shard.services.lite.subscriptions;
    subscriptions.of_group(&wildcard_queue(&topic, group), group, &mut clients);
    if clients.is_empty() {
        return;
    }
    for queue in children(shard, &topic) {
        if is_behind(shard, group, &queue) && !tell_one(shard, &queue, &clients, None) {
            return;
        }
    }
}

/// The queues of a topic's children.
pub(crate) fn children(shard: &Shard, topic: &str) -> Vec<Rc<str>> {
    let mut all = vec![];
    shard.cx.store.for_each_queue(|queue, _, _| {
        if lite::parts(queue).is_some_and(|(parent, _)| parent == topic) {
            all.push(Rc::from(queue));
        }
    });
    all
}
