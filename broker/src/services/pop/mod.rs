//! POP: consumers take messages without owning queues; what they do not acknowledge in time comes
//! again (Apache's `PopMessageProcessor`, `AckMessageProcessor`, `PopReviveService`).
//!
//! ```text
//!   pop ─► messages + checkpoint "ck" ──┐ timers, until a second before the invisible time is over
//!   ack ─► "ack" or "bAck" ─────────────┤ timers, until it is over
//!                                       ▼
//!                              rmq_sys_REVIVE_LOG_<cluster>  ─► merged ─► what is missing
//!                                ─► %RETRY%group_topic, which pops read too; in the end %DLQ%group
//! ```
//!
//! Everything that is under way is in the log, as Apache has it: a store changes hands at any
//! moment. What must hold:
//!
//! - **No message is handed out without a checkpoint**, and the saved offset of a group follows the
//!   flushed log ([`cursors`]). So a message below it is acknowledged or comes again.
//! - **A checkpoint is judged once**, when its acknowledgements are there ([`settled`], [`merge`]).
//!
//! Reading order: [`records`], [`cursors`], [`settled`], [`merge`], [`state`], [`retry_message`],
//! [`storing`], [`taken`], [`blocked`], [`order`], [`answer`], [`sources`], [`hand_out`],
//! [`buffer`], [`spill`], [`walk`], [`take`], [`gather`], [`ack`], [`outlet`], [`revive`].

pub(crate) mod ack;
mod answer;
mod blocked;
pub(crate) mod buffer;
pub(crate) mod cursors;
pub(crate) mod gather;
mod hand_out;
mod merge;
pub(crate) mod order;
mod outlet;
mod records;
mod retry_message;
mod revive;
mod settled;
#[cfg(test)]
mod simulation;
pub(crate) mod sources;
pub(crate) mod spill;
pub(crate) mod state;
pub(crate) mod storing;
pub(crate) mod take;
mod taken;
mod walk;

use crate::shard::{Cx, Shard};
use crate::tables::Tables;
use netcore::Net;
use revive::Revive;
use rt::{Priority, Runtime as _};
use std::rc::Rc;

/// Starts the tasks of the revive queues.
pub(crate) fn start(cx: &Cx) {
    if !cx.options.process.timers.enabled {
        return;
    }
    let name: Rc<str> = Rc::from(protocol::pop::revive_topic(&cx.options.process.cluster));
    let queues = cx.with(|shard, _| {
        let topic = shard.tables.topics.get(&name);
        topic.map_or(0, |topic| topic.config.read_queue_nums)
    });
    let queues = usize::try_from(queues).unwrap_or(0);
    let arrived = cx.with(|shard, _| shard.services.pops.begin(queues).to_vec());
    for (queue_id, arrived) in (0..).zip(arrived) {
        let revive = Revive::new(cx.clone(), name.clone(), queue_id, arrived);
        cx.core.spawn(Priority::Foreground, revive.run());
    }
}

/// The end of a turn of the loop: what was acknowledged in it is stored, and pops that it woke run.
pub(crate) fn turn_ended(shard: &mut Shard, net: &mut Net) {
    ack::turn_ended(shard, net);
    run_woken(shard, net);
}

/// Runs the pops that were woken in this turn, and those that they wake: each of these takes
/// messages that the one before it has left, or waits again.
fn run_woken(shard: &mut Shard, net: &mut Net) {
    while !shard.reads.woken_pops.is_empty() {
        let mut woken = std::mem::take(&mut shard.reads.woken_pops);
        woken.drain(..).for_each(|ask| take::begin(shard, net, ask));
        if shard.reads.woken_pops.is_empty() {
            shard.reads.woken_pops = woken; // its memory is used again
        }
    }
}

/// Lets offsets go into their table once the log is flushed, and runs the pops whose time is up.
pub(crate) fn tick(shard: &mut Shard, net: &mut Net) {
    let flushed = shard.cx.store.flushed();
    save(shard, flushed);
    spill::tick(shard);
    order::wake_freed(shard);
    run_woken(shard, net);
}

/// Forgets the groups of which nothing waits, and what ordered pops handed out long ago.
pub(crate) fn sweep(shard: &mut Shard, _: &mut Net) {
    shard.reads.pops.sweep();
    shard.reads.notifications.sweep();
    let now_ms = shard.cx.now_ms();
    let Tables { topics, groups, pop_orders, .. } = &mut shard.tables;
    pop_orders
        .clean(now_ms, |topic, group| topics.get(topic).is_some() && groups.get(group).is_some());
}

/// The store is closed: everything is flushed.
pub(crate) fn all_flushed(shard: &mut Shard) {
    let end = shard.cx.store.appended();
    save(shard, end);
}

fn save(shard: &mut Shard, flushed: engine::PhyOffset) {
    let now_ms = shard.cx.now_ms();
    let offsets = &mut shard.tables.offsets;
    shard.services.pops.cursors.flushed(flushed, |key, next| {
        offsets.commit(&key.group, &key.topic, key.queue_id, next, now_ms);
    });
}
