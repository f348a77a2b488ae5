//! One shard from its start to its end: [`life`], the network's [`handler`], and [`control`], what
//! the main thread tells it.

pub(crate) mod control;
pub(crate) mod handler;
pub(crate) mod life;
mod put_aside;
