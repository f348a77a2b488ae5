//! How the broker itself stores a message: a retry, a dead letter, a delayed message that is due;
//! half and op messages and checkpoints later.
//!
//! It is the same way as a client's send: the same backlog when there is no room, the same
//! watermark before the task goes on. [`append`] and [`passed`] are the two halves of [`put`], for
//! a task that stores many messages and waits for the last.

use super::backlog::Prepared;
use super::drain;
use super::errors::{NotStored, PutError};
use super::message::Message;
use super::replicas::Need;
use super::told::{Then, Told};
use crate::desk::counts::us_of;
use crate::shard::{Cx, Shard};
use engine::{Appended, PhyOffset};
use rt::Runtime as _;

/// How far a put got before its task has to wait.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is acknowledged.
    Done(Appended),
    /// It waits in this slot, for room or for its watermark.
    Waits(super::slots::Wait),
}

/// Stores one message, batch or set of records and completes when it is acknowledged: when the
/// watermark that the configuration promises has passed its end. Returns the place of its (first)
/// message.
pub(crate) async fn put(cx: &Cx, message: &Message<'_>) -> Result<Appended, PutError> {
    match cx.with(|shard, _| begin(shard, message))? {
        Begun::Done(appended) => Ok(appended),
        Begun::Waits(wait) => wait.await,
    }
}

/// Stores as [`put`] does, but completes when the message is in the log, acknowledged or not: its
/// place. [`passed`] waits for its end, and so for all that were stored before it.
pub(crate) async fn append(cx: &Cx, message: &Message<'_>) -> Result<Appended, PutError> {
    let begun = cx.with(|shard, _| match append_now(shard, message)? {
        Some(appended) => Ok(Begun::Done(appended)),
        None => wait_for_room(shard, message),
    });
    match begun? {
        Begun::Done(appended) => Ok(appended),
        Begun::Waits(wait) => match wait.await {
            // The rest of the wait is `passed`, which has no deadline.
            Err(PutError::NotFlushedInTime(appended)) => Ok(appended),
            outcome => outcome,
        },
    }
}

/// The same at once; `None`, and nothing is stored, when there is no room or others wait for it.
pub(crate) fn append_now(
    shard: &mut Shard,
    message: &Message<'_>,
) -> Result<Option<Appended>, PutError> {
    if !shard.sends.backlog.is_empty() {
        return Ok(None);
    }
    let store = shard.cx.store.clone();
    match shard.sends.store(&store, message) {
        Ok(stored) => Ok(Some(stored.first)),
        Err(NotStored::Full) => Ok(None),
        Err(NotStored::Failed(error)) => Err(error.into()),
    }
}

/// Completes when the store's watermark has passed `end`. What a service delivers does not wait for
/// slaves: its original is there, and its progress never runs ahead of a slave's log
/// (`services::replication::synchronize`).
pub(crate) async fn passed(cx: &Cx, end: PhyOffset) -> Result<(), PutError> {
    loop {
        let seen = cx.store.acknowledged();
        if end <= seen {
            return Ok(());
        }
        if let Some(reason) = cx.store.poisoned() {
            return Err(PutError::Poisoned { reason });
        }
        cx.store.acknowledged_beyond(seen).await;
    }
}

/// The beginning of [`put`], for who has the shard at hand: often it is the end too.
pub(crate) fn begin(shard: &mut Shard, message: &Message<'_>) -> Result<Begun, PutError> {
    if !shard.sends.backlog.is_empty() {
        return wait_for_room(shard, message);
    }
    let store = shard.cx.store.clone();
    match shard.sends.store(&store, message) {
        Ok(stored) => {
            let sends = &mut shard.sends;
            let need = sends.replicas.need(stored.end);
            let waits_for_store = stored.end > store.acknowledged();
            if !waits_for_store && need != Need::Slaves {
                return Ok(Begun::Done(stored.first));
            }
            let slot = sends.slots.open();
            sends.slots.stored(slot, stored.first);
            let then = Then::Wake(slot, us_of(shard.cx.core.now_nanos()));
            let waits = (stored.end, need, waits_for_store);
            sends.unacknowledged.push(then, waits, Told::Nothing, &[]);
            Ok(Begun::Waits(sends.slots.wait(slot)))
        }
        Err(NotStored::Full) => wait_for_room(shard, message),
        Err(NotStored::Failed(error)) => Err(error.into()),
    }
}

fn wait_for_room(shard: &mut Shard, message: &Message<'_>) -> Result<Begun, PutError> {
    let mut wait = None;
    let is_kept = drain::wait(shard, message, |shard, message| {
        let slot = shard.sends.slots.open();
        wait = Some(shard.sends.slots.wait(slot));
        Prepared {
            message,
            then: Then::Wake(slot, us_of(shard.cx.core.now_nanos())),
            waits: true,
            unique_key: Box::default(),
            recall_handle: Box::default(),
            answered_queue: None,
            received_nanos: None,
            since_ms: shard.cx.now_ms(),
        }
    });
    match wait {
        Some(wait) if is_kept => Ok(Begun::Waits(wait)),
        _ => Err(PutError::BacklogFull),
    }
}
