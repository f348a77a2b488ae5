//! The other ends of connections.

pub(crate) mod log;
pub(crate) mod name_servers;
