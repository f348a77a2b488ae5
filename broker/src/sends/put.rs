//! How the broker itself stores a message: a dead letter today; retries, delayed deliveries, half
//! and op messages and checkpoints later.
//!
//! It is the same way as a client's send: the same backlog when there is no room, the same
//! watermark before the task goes on.

use super::backlog::Prepared;
use super::drain;
use super::errors::{NotStored, PutError};
use super::message::Message;
use super::told::{Then, Told};
use crate::desk::counts::us_of;
use crate::shard::{Cx, Shard};
use engine::Appended;
use rt::Runtime as _;

/// How far a put got before its task has to wait.
enum Begun {
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

fn begin(shard: &mut Shard, message: &Message<'_>) -> Result<Begun, PutError> {
    if !shard.sends.backlog.is_empty() {
        return wait_for_room(shard, message);
    }
    let store = shard.cx.store.clone();
    match shard.sends.store(&store, message) {
        Ok(stored) if stored.end <= store.acknowledged() => Ok(Begun::Done(stored.first)),
        Ok(stored) => {
            let sends = &mut shard.sends;
            let slot = sends.slots.open();
            sends.slots.stored(slot, stored.first);
            let then = Then::Wake(slot, us_of(shard.cx.core.now_nanos()));
            sends.unacknowledged.push(then, stored.end, Told::Nothing, &[]);
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
