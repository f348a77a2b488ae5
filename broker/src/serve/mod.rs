//! One shard from its start to its end.

pub(crate) mod control;
pub(crate) mod life;
