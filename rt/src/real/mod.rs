//! The real core: a pinned glommio executor and one ring beside it.
//!
//! ```text
//!   glommio executor (tasks, timers, priorities)
//!      └─ driver task: turn the ring → completions to the network and to files → yield → …
//!            nothing to do?  spin for a window, then sleep on the ring's eventfd
//! ```
//!
//! An executor is started once per process and core and never restarted: glommio 0.9 leaks a
//! descriptor each time. The broker's task queue is `Latency::Matters`, because glommio's preempt
//! timer otherwise fires every 100 ms.

mod core;
mod driver;
mod failure;
mod file;
mod fs;
mod headroom;
mod kept;
mod launch;
mod mailbox;
mod pulse;

pub use self::core::{Core, CoreFilesystem, RingClient};
pub use failure::CoreFailure;
pub use file::{CoreFile, PageCacheFile};
pub use kept::{NoSurvivor, survives_here};
pub use launch::{CorePlacement, LaunchError, Running, available_cores, launch, launch_watched};
pub use mailbox::{Mailbox, Sender};
