//! Reads of consumers: long polls and filters.

pub(crate) mod filter;
pub(crate) mod long_polls;
