//! What runs beside requests, in one list.
//!
//! | service | when | file |
//! |---|---|---|
//! | long polls whose time is up | every 50 ms | `reads::run` |
//! | sends that waited too long, for room or for a flush | every 50 ms | `sends` |
//! | name servers: dials, registrations, questions without an answer | every 50 ms | [`registration`] |
//! | tables to their files | every 50 ms, and after a turn that changed one | [`saving`] |
//! | long polls whose queues have messages for others | every 5 s | `reads::run` |
//! | delayed messages that are due; their progress to its file | when one is due; every 50 ms | [`schedule`] |
//! | timer messages that are due; what waits to its files | when one is due; every second, at a stop | [`timers`] |
//! | half messages that are open; their progress to its file | when one is due; every 50 ms | [`transactions`] |
//! | members and locks that nobody renewed | every 10 s | [`expiry`] |
//! | a sample for rates | every second | [`statistics`] |
//! | the log to slaves | at the end of a turn; heartbeats every 50 ms | [`replication`] |
//! | acknowledgements | when the watermark moves | [`acknowledgements`] |
//! | popped messages that nobody acknowledged; offsets of pops to their table | when one is due; every 50 ms | [`pop`] |
//!
//! Later work adds its file and its line.

pub(crate) mod acknowledgements;
pub(crate) mod delivery;
pub(crate) mod expiry;
pub(crate) mod list;
pub(crate) mod lite;
pub(crate) mod pop;
pub(crate) mod registration;
pub(crate) mod replication;
pub(crate) mod saving;
pub(crate) mod schedule;
pub(crate) mod state;
pub(crate) mod statistics;
pub(crate) mod timers;
pub(crate) mod transactions;
