//! Timer messages: each waits in `rmq_sys_wheel_timer` until it is due, and goes to its own topic
//! then (Apache's `TimerMessageStore`).
//!
//! ```text
//!   rmq_sys_wheel_timer ─► take_up ─► pending ─ the first is due at …, sleep until then ─► deliver
//!        ▲     ▲                         ▲ │                                                 │
//!        │     └── stored once more ◄────┼─┼─── too far away (rolls) ◄───────────────────────┤
//!        └── an arrival                  │ └─ timerwheel, timerlog at a stop                 ▼
//!                 at a start: timerlog ──┘    timercheck every second           its topic, its queue
//! ```
//!
//! What must hold:
//!
//! - **No message early**: none before the time that was asked for, by the wall clock ([`record`]).
//! - **None lost.** A timer waits until its copy is acknowledged. What the files say is done is
//!   flushed; what they don't say is found in the topic ([`load`], [`save`], [`write`]). A kill
//!   costs duplicates: what was delivered since the last save.
//! - **A recall comes before what it recalls**: nothing is delivered at a start before the whole
//!   topic was read ([`take_up`]), and a slot's recalls are read before its messages ([`deliver`]).
//!
//! No task polls: one sleeps until the first timer is due, one until its topic grows, one writes
//! when there is something to say.

pub(crate) mod admit;
mod deliver;
mod format;
mod load;
mod metrics;
mod pending;
mod record;
pub(crate) mod save;
#[cfg(test)]
mod simulation;
pub(crate) mod state;
mod take_up;
mod write;

use crate::config::TimerOptions;
use crate::services::delivery::outlet::Outlet;
use crate::shard::Cx;
use deliver::Deliver;
use rt::{Priority, Runtime};
use save::Save;
use state::Timers;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use take_up::TakeUp;
use write::Place;

/// Apache's `TimerCheckpoint.encode`: four numbers and a version.
const CHECK_POINT_BYTES: usize = 7 * 8;
/// Between two attempts to read what earlier lives left.
const RETRY: Duration = Duration::from_secs(1);

/// Starts the timers of a shard.
pub(crate) fn start(cx: &Cx) {
    let options = &cx.options.process.timers;
    if !options.enabled {
        return;
    }
    let reserved_ms = cx.options.process.store.retention.reserved_ms;
    if options.roll_window_ms.unsigned_abs() >= reserved_ms {
        tracing::warn!(
            "timerRollWindowSlot is as long as fileReservedTime or longer: timer messages may be \
             removed before they are due"
        );
    }
    let timers = cx.with(|shard, _| shard.services.timers.clone());
    let root = Rc::from(cx.options.store_root.as_path());
    cx.core.spawn(Priority::Foreground, run(cx.clone(), timers, Rc::new(options.clone()), root));
}

/// Takes over what there is, then starts the three tasks.
pub(crate) async fn run<O: Outlet>(
    outlet: O,
    timers: Rc<Timers>,
    options: Rc<TimerOptions>,
    root: Rc<Path>,
) {
    let place = Place { rt: outlet.rt(), root: &root, options: &options };
    let loaded = loop {
        match place.load(outlet.store()).await {
            Ok(loaded) => break loaded,
            Err(error) => {
                tracing::error!("timers wait, and nothing is delivered before this works: {error}");
                outlet.rt().sleep(RETRY).await;
            }
        }
    };
    if loaded.pending.len() > 0 {
        tracing::info!(timers = loaded.pending.len(), "pending timers are taken over");
    }
    let (left, metrics) = (loaded.pending.messages(), place.saved_metrics().await);
    timers.count(|counts| counts.taken_over = loaded.pending.len() as u64);
    timers.pending.replace(loaded.pending);
    timers.next.set(loaded.next);
    timers.last.set(loaded.last);
    timers.metrics.borrow_mut().begin(left, loaded.last.map(|(at, _)| at), metrics);
    let parts = || (outlet.clone(), timers.clone(), options.clone());
    let (of_save, shared, _) = parts();
    let save = Save::new(of_save, shared, (options.clone(), root), loaded.written);
    let (of_take_up, shared, settings) = parts();
    let take_up = TakeUp::new(of_take_up, shared, settings, loaded.before);
    let (of_deliver, shared, settings) = parts();
    let deliver = Deliver::new(of_deliver, shared, settings, loaded.before.done_ms);
    outlet.rt().spawn(Priority::Foreground, take_up.run());
    outlet.rt().spawn(Priority::Foreground, deliver.run());
    outlet.rt().spawn(Priority::Background, save.run());
}

/// What `timercheck` says, in Apache's form; zeros before it was ever written.
pub(crate) async fn check_point<R: Runtime>(
    rt: &R,
    root: &Path,
) -> std::io::Result<[u8; CHECK_POINT_BYTES]> {
    let mut point = [0; CHECK_POINT_BYTES];
    match rt.read_file(&root.join(write::CHECK)).await {
        Ok(bytes) => {
            let there = bytes.len().min(CHECK_POINT_BYTES);
            point[..there].copy_from_slice(&bytes[..there]);
            Ok(point)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(point),
        Err(error) => Err(error),
    }
}

/// Writes pending timers for whoever has the store next: after it is closed.
pub(crate) async fn hand_over(cx: &Cx) -> std::io::Result<()> {
    let options = &cx.options.process.timers;
    if !options.enabled {
        return Ok(());
    }
    let timers = cx.with(|shard, _| shard.services.timers.clone());
    save::hand_over(cx, &timers, options, &cx.options.store_root).await
}
