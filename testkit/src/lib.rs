//! What the tests of several crates share: one launcher of the real programs, one client for each
//! of the two protocols. For tests and benches only; nothing that ships depends on it.
//!
//! ```text
//!   Program ──► BrokerSetup ──► Broker ┐
//!               (settings, ports,      ├─► Process: log kept, signals, /proc, killed when dropped
//!                store folder)         │
//!   Program ──► NameServer ────────────┘
//!
//!   remoting::Client   native::Native    blocking sockets, every wait bounded by SOON
//! ```
//!
//! It knows no program's path: only the crate that owns a program has its `CARGO_BIN_EXE_…`, so the
//! user brings a [`Program`]. Everything here panics when something is not as a test expects, and
//! says what was there instead.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broker;
pub mod message;
mod name_server;
pub mod native;
pub mod pairs;
mod ports;
mod process;
mod program;
pub mod remoting;
mod wait;

pub use broker::{Broker, BrokerSetup};
pub use name_server::NameServer;
pub use ports::Ports;
pub use process::Process;
pub use program::Program;
pub use wait::{SOON, eventually};
