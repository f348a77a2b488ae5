//! Transactions: half messages wait for their end in RMQ_SYS_TRANS_HALF_TOPIC; what has ended is
//! told in RMQ_SYS_TRANS_OP_HALF_TOPIC; producers that say nothing are asked (Apache's
//! `TransactionalMessageServiceImpl`).
//!
//! ```text
//!   send ─► half message ─┬─ END_TRANSACTION ─► message in its topic + op message      ([`end`])
//!                         └─ nothing in time ─► copy + op message ─► the question, 39 ([`check`])
//!                                                └─ asked too often ─► TRANS_CHECK_MAX_TIME_TOPIC
//! ```
//!
//! One task for each shard; it sleeps until something is due. What must hold:
//!
//! - **A transaction ends once**, whoever says so how often: [`halves`] has one row for each that
//!   is open. An end that finds none is refused.
//! - **None is lost.** A start reads both queues from a point below which nothing is open
//!   ([`progress`]), and that point never runs ahead of the flushed log.
//! - An op message stands right behind what it follows from ([`records`]). A crash that takes it
//!   alone is noticed at the next start ([`recover`]).
//!
//! Reading order: [`facts`], [`records`], [`ranges`], [`groups`], [`halves`], [`progress`],
//! [`offsets`], [`reading`], [`recover`], [`state`], [`end`], [`check`].

mod changed;
mod check;
pub(crate) mod end;
mod facts;
mod groups;
mod halves;
mod offsets;
mod progress;
mod ranges;
mod reading;
mod records;
mod recover;
#[cfg(test)]
mod simulation;
pub(crate) mod state;

use crate::checked;
use crate::limits::TRANSACTIONS_MAX;
use crate::shard::{Cx, Shard};
use engine::Store;
use netcore::Net;
use offsets::save;
use progress::Ends;
use protocol::names::{TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC};
use rt::real::Core;
use rt::{Priority, Runtime as _};

/// Starts the task that reads what is open and then sees to it.
pub(crate) fn start(cx: &Cx) {
    cx.core.spawn(Priority::Foreground, check::run(cx.clone()));
}

/// How many transactions may be open, if as many are.
pub(crate) fn full(shard: &Shard) -> Option<usize> {
    let halves = shard.services.transactions.halves.as_ref()?;
    let open = halves.count(reading::end(&shard.cx.store, TRANS_HALF_TOPIC));
    (open >= TRANSACTIONS_MAX).then_some(TRANSACTIONS_MAX)
}

/// Prepares progress for its file when it is time, and lets it go there once the log is flushed.
pub(crate) fn tick(shard: &mut Shard, _: &mut Net) {
    let every_ms = checked::millis_i64(shard.cx.options.process.persist_every);
    let now_ms = shard.cx.monotonic_ms();
    if now_ms.saturating_sub(shard.services.transactions.snapshot_ms) >= every_ms {
        shard.services.transactions.snapshot_ms = now_ms;
        snapshot(shard, false);
    }
    let flushed = shard.cx.store.flushed();
    if let Some(frontier) = shard.services.transactions.progress.flushed(flushed) {
        save(shard, frontier);
    }
}

/// The shard stops: what is done now is to be in its file once the store is closed.
pub(crate) fn stopping(shard: &mut Shard) {
    snapshot(shard, true);
}

/// The store is closed: everything is flushed.
pub(crate) fn all_flushed(shard: &mut Shard) {
    let end = shard.cx.store.appended();
    if let Some(frontier) = shard.services.transactions.progress.flushed(end) {
        save(shard, frontier);
    }
}

fn snapshot(shard: &mut Shard, is_last: bool) {
    let transactions = &mut shard.services.transactions;
    let Some(halves) = &transactions.halves else { return };
    let (ends, log_end) = (ends(&shard.cx.store), shard.cx.store.appended());
    transactions.progress.snapshot(halves.frontier(), ends, log_end, is_last);
    let saved = transactions.progress.saved();
    save(shard, saved); // any client may commit offsets of any group
}

fn ends(store: &Store<Core>) -> Ends {
    let half = reading::end(store, TRANS_HALF_TOPIC);
    Ends { half, op: reading::end(store, TRANS_OP_HALF_TOPIC) }
}
