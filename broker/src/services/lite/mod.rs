//! Lite topics: children of a topic with `message.type=LITE`, as many as there are sessions or
//! users (`org.apache.rocketmq.broker.lite`).
//!
//! ```text
//!   send with __LITE_TOPIC=a ─► queue of the parent, and %LMQ%$parent$a ([`crate::sends::lite`])
//!     ─► one client of each group that has subscribed to `a` is told
//!     ─► its pop (200070) takes the messages, in order ─► acknowledged ─► the next ones
//! ```
//!
//! What is out and who has subscribed is in memory alone, as with Apache; how far groups are is in
//! the table of consumer offsets. So after a restart what was out comes again, and clients say
//! their subscriptions again.
//!
//! Reading order: [`groups`], [`ask`], [`events`], [`routes`], [`sharding`], [`state`],
//! [`dispatch`], [`order`], [`subscribe`], [`answer`], [`take`], [`expire`].

mod answer;
pub(crate) mod ask;
pub(crate) mod dispatch;
pub(crate) mod events;
mod expire;
pub(crate) mod groups;
pub(crate) mod order;
pub(crate) mod routes;
pub(crate) mod sharding;
pub(crate) mod state;
pub(crate) mod subscribe;
pub(crate) mod take;

pub(crate) use expire::forget_children;

use crate::desk::counts::us_of;
use crate::shard::Shard;
use netcore::{ConnId, Net};
use rt::Runtime as _;

/// Tells clients of what came in this turn, and runs the pops that are woken.
pub(crate) fn turn_ended(shard: &mut Shard) {
    while let Some(queue) = shard.services.lite.next_arrived() {
        dispatch::dispatch(shard, None, &queue, None);
    }
    run_woken(shard);
}

fn run_woken(shard: &mut Shard) {
    if shard.services.lite.woken.is_empty() {
        return;
    }
    let mut woken = std::mem::take(&mut shard.services.lite.woken);
    woken.drain(..).for_each(|ask| take::begin(shard, ask));
    shard.services.lite.woken = woken;
}

/// Tells clients of queues that are free again, runs the pops whose time is up, and looks for
/// clients and lite topics that are gone when it is time.
pub(crate) fn tick(shard: &mut Shard, _: &mut Net) {
    order::tell_freed(shard);
    let monotonic_ms = shard.cx.monotonic_ms();
    let state = &mut shard.services.lite;
    state.polls.expire(monotonic_ms, &mut state.woken);
    run_woken(shard);
    let (now_ms, options) = (shard.cx.now_ms(), shard.cx.options.process.lite);
    let is_time = |last_ms: &mut i64, every_ms: i64| {
        let is_time = now_ms.saturating_sub(*last_ms) >= every_ms;
        if is_time {
            *last_ms = now_ms;
        }
        is_time
    };
    if is_time(&mut shard.services.lite.looked_ms.events, options.event_check_ms) {
        dispatch::look(shard);
    }
    if is_time(&mut shard.services.lite.looked_ms.subscriptions, options.subscription_check_ms) {
        subscribe::forget_silent(shard);
    }
    let runs_ms = now_ms.saturating_sub(shard.services.statistics.booted_ms());
    if runs_ms >= options.kept_ms_min
        && !shard.cx.options.process.replication.is_slave()
        && is_time(&mut shard.services.lite.looked_ms.expiry, options.expiry_check_ms)
    {
        expire::begin(shard);
    }
    run_woken(shard);
}

/// Forgets what was handed out long ago, and the clients of whom nothing waits.
pub(crate) fn sweep(shard: &mut Shard, _: &mut Net) {
    let now_ms = shard.cx.now_ms();
    shard.services.lite.orders.clean(now_ms, |_, _| true);
    shard.services.lite.sweep();
}

/// A connection is gone, and its pops with it.
pub(crate) fn closed(shard: &mut Shard, conn: ConnId) {
    let mut gone = vec![];
    shard.services.lite.polls.closed(conn, &mut gone);
    let now_us = us_of(shard.cx.core.now_nanos());
    for ask in gone {
        shard.desk.ended(&ask.ticket, false, now_us);
    }
}
