//! What tools ask about consumers and producers, and what they change for them. Each shard answers
//! for itself, as each of several masters does; the tools ask every broker of a route.
//!
//! | file | requests |
//! |---|---|
//! | [`connections`] | 203, 204, 328: who is connected |
//! | [`relations`] | 300, 343, 345: who consumes what |
//! | [`progress`] | 202, 208, 303, 317: how far a topic is filled and a group has consumed |
//! | [`reset`] | 222, and 220 which it pushes: where a group goes on |
//! | [`rates`] | 315: how much went by |
//! | [`correct`] | 308, 314: offsets of one group from those of others |
//! | [`pass_on`] | 307, 309, 223: a question that a client answers |
//! | [`groups`] | 200, 225, 201, 352, 207, 353: settings of groups |
//! | [`saved`] | 43, 45: tables as their files have them |
//! | [`timers`] | 60, 61: how far timers are, how many wait |
//! | [`half`] | 323: a transaction's half is checked again |
//! | [`configuration`] | 26: every value in force |
//!
//! Facts: `AdminBrokerProcessor` and `Broker2Client` of Apache 5.5.0. Where this broker decides
//! otherwise: docs/decisions/0039-consumer-tools.md.

pub(crate) mod configuration;
pub(crate) mod connections;
pub(crate) mod correct;
pub(crate) mod groups;
pub(crate) mod half;
pub(crate) mod pass_on;
pub(crate) mod progress;
pub(crate) mod rates;
pub(crate) mod relations;
pub(crate) mod reset;
pub(crate) mod saved;
pub(crate) mod timers;
