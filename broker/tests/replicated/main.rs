//! Masters and slaves as processes: RocketMQ's standard deployments, and faults of networks, disks
//! and processes with every message checked.
//!
//! ```text
//!   cargo test -p broker --test replicated                            the gate: 5 rounds of faults
//!   ROUNDS=50 SEED=7 cargo test -p broker --test replicated rounds    as many rounds, this seed
//! ```
//!
//! Networks are namespaces of the tests' own. Where this host does not let a test make one, each
//! such test says `SKIPPED` and why, by its name.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod deployments;
mod devices;
mod disks;
mod load;
mod networks;
mod pair;
mod rounds;
mod stored;

use std::path::Path;
use testkit::Program;

/// A program of the workspace, from the folder this test's own broker was built into.
fn program(name: &str) -> Program {
    Program::at(Path::new(env!("CARGO_BIN_EXE_mqbroker")).with_file_name(name))
}
