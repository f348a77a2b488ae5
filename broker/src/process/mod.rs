//! `mqbroker` as a process: command line, start, signals, the end.

pub(crate) mod cli;
pub(crate) mod run;
pub(crate) mod store_shards;
