//! Masters and slaves: RocketMQ's HA stream (`DefaultHAService`), one for each shard.
//!
//! ```text
//!        master                                              slave
//!   log ──[ offset i64 | size i32 | bytes … ]──────────────► log, byte for byte
//!         ◄────────────────────[ offset i64 ]── how far it has it
//!   tables ◄──────────────── 21 201 43 45 60 28 ── asks ──── tables
//! ```
//!
//! [`slaves`] is what a master knows of its slaves, [`master`] sends them the log. A slave:
//! [`following`] is what it keeps, [`join`] finds where to begin, [`slave`] takes the log in,
//! [`taking`] each transfer, [`compare`] sees that both logs are one, [`search`] and [`parting`]
//! find where they are not, [`assembly`] puts records together, [`synchronize`] takes over what is
//! not in the log, [`rounds`] says when; [`standing`] and [`asking`] are what these share.

mod asking;
mod assembly;
mod compare;
mod following;
mod join;
pub(crate) mod master;
mod parting;
mod rounds;
mod search;
#[cfg(test)]
mod simulation;
pub(crate) mod slave;
mod slaves;
mod standing;
pub(crate) mod state;
mod synchronize;
mod taking;

use crate::shard::Cx;
use rt::{Priority, Runtime as _};

/// Starts what a slave does by itself.
pub(crate) fn start(cx: &Cx) {
    if !cx.options.process.replication.is_slave() {
        return;
    }
    cx.core.spawn(Priority::Background, synchronize::run(cx.clone()));
}
