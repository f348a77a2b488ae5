//! The instrument. It measures response times, throughput and integrity of any RocketMQ-compatible
//! broker.
//!
//! ```text
//!   quick ── own_cluster (children) ──┐
//!   run   ── cluster (route, topic) ──┴─ session ── phase ── generator threads ── net::Link (io_uring) ── broker
//!                                          │           └ recorder: response, service, lag, stages (native protocol)
//!                                          ├ floor: the same load against the no-op target
//!                                          └ consumer ── integrity: lost, duplicated, reordered, corrupt, misplaced
//!   beside a load: consuming (end to end, backlog) · intervals (soak) │ many: other processes, merged
//!   campaign ── blocks A B B A, an echo around each ── verdicts from the files
//!   runner ── verdict (INVALID?) ── report: table, run folder, charts, ledger      env: what travels with it
//! ```
//!
//! The schedule of an open loop never moves. Response and service times have a histogram each,
//! which are merged and never averaged. A floor stands beside every figure, and a run that missed
//! its rate is marked. What is *not* here: a broker. The servers are other processes (this program
//! under a hidden subcommand), so that the instrument never shares a loop with them.
//!
//! Reading order: [`schedule`], `payload`, `window`, `generator`, [`recorder`], [`integrity`],
//! `session`, `verdict`.

#![forbid(unsafe_code)]

pub mod app;
mod beside;
mod build_facts;
pub mod campaign;
pub mod children;
pub mod cli;
pub mod clock;
mod cluster;
pub mod compare;
mod consumer;
pub mod consuming;
mod cores;
mod crash;
mod deferred;
pub mod env;
mod error;
pub mod gate;
mod generator;
mod instructions;
pub mod integrity;
pub mod intervals;
mod limits;
mod live;
mod many;
pub mod matrix;
pub mod messages;
pub mod native_wire;
mod net;
mod noop;
mod own_cluster;
mod payload;
pub mod phase;
pub mod plan;
pub mod progress;
pub mod protocols;
mod quick;
pub mod recorder;
mod remote;
pub mod report;
pub mod result;
mod rocketmq;
pub mod row;
mod runner;
pub mod schedule;
mod search;
mod selftest;
mod selftest_compare;
mod session;
pub mod signals;
mod soak;
mod stages;
mod steady;
pub mod stored;
mod tools;
mod units;
mod verdict;
mod verify;
mod window;
mod wire;
pub mod workload;
