//! Messages on their way into the log: those of clients, and the broker's own.
//!
//! ```text
//!   request ─► message ─► store ─┬─ room: appended ─► acknowledged already? ─┬─ yes: answered now
//!                 ▲              │                                           └─ no: unacknowledged ─┐
//!                 │              └─ no room: backlog (an owned copy)                               │
//!                 └───────────── drain, when there is room: its topic is looked up again ◄─┘       │
//!                                                     the watermark passes its end ─► answered ◄───┘
//! ```
//!
//! **Which watermark an answer waits for** is `Store::acknowledged`:
//! - ASYNC_FLUSH on `direct`: `appended`. The message is in memory and visible to consumers; its
//!   write begins when the one in flight ends. The memory outlives a killed process, but where
//!   `tailPath` is empty. Where no memory does, it is `written`.
//! - ASYNC_FLUSH on `mmap`: `written`. The system has it: a killed process loses nothing, a dying
//!   machine may.
//! - SYNC_FLUSH: `flushed`. It survives a power cut. A message with `WAIT=false` is answered at
//!   `appended` all the same.
//! - SYNC_MASTER: slaves as well, side by side with the above: [`replicas`].
//!
//! Reading order: [`message`], [`told`], [`state`], [`backlog`], [`drain`], [`unacknowledged`],
//! [`acknowledge`], [`put`] (how the broker itself stores a message), [`delay`] (what waits in
//! SCHEDULE_TOPIC_XXXX first), [`timer`] (what waits in rmq_sys_wheel_timer first), [`half`] (what
//! waits for the end of its transaction), [`lite`] (what goes to a child of its topic as well).

pub(crate) mod acknowledge;
pub(crate) mod backlog;
pub(crate) mod delay;
pub(crate) mod drain;
pub(crate) mod errors;
pub(crate) mod finish;
pub(crate) mod half;
pub(crate) mod lite;
pub(crate) mod message;
pub(crate) mod properties;
pub(crate) mod put;
pub(crate) mod replicas;
pub(crate) mod slots;
pub(crate) mod state;
pub(crate) mod timer;
pub(crate) mod told;
pub(crate) mod unacknowledged;
