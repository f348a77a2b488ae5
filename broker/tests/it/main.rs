//! The broker as a program: real processes, real sockets, one test binary.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as its tests do")]

mod client;
mod cluster;
mod member;
mod memory_group;
mod mount;
mod native_client;

mod apache_store;
mod attacks;
mod bad_input;
mod bad_store;
mod cache;
mod consumer_tools;
mod core_failure;
mod delay;
mod faults;
mod findings;
mod flush;
mod group_settings;
mod groups;
mod hostile;
mod limits;
mod lite;
mod many_transactions;
mod native;
mod native_later;
mod native_refused;
mod offsets;
mod pop;
mod pop_bad_input;
mod pop_client;
mod pop_order;
mod pop_restart;
mod query;
mod rates;
mod refusals;
mod replication;
mod request_reply;
mod reset_offset;
mod restart;
mod retention;
mod retry;
mod runtime_info;
mod saved_tables;
mod send_pull;
mod shards;
mod sql;
mod startup;
mod tail;
mod timers;
mod topics;
mod transactions;
