//! Masters and slaves on simulated machines: real stores, files, epochs, and the state machines of
//! both sides, over a network that delays, stalls one way, breaks and leaves half-open; with kills,
//! power cuts, failing disks, clocks that step, promotions, and old masters that go on.
//!
//! The oracle knows: a message that a SYNC_MASTER acknowledged is on every later master, unless
//! power cuts took it from all who had it; two masters never acknowledge the same offsets; what a
//! master counts of a slave has the master's bytes. In the end all logs are the same.
//!
//! ```text
//! REPLICATION_SEEDS=5000 cargo test -p broker --release --lib -- replication::simulation --nocapture
//! REPLICATION_SEED=4711 …            this one alone, as a failure says
//! ```
//!
//! What the operator does: ends a master before another one is made of two slaves or more; of all
//! machines the one with the most of the newest epoch becomes it; lets a slave that has nothing in
//! common with its master begin anew.

mod events;
mod network;
mod node;
mod oracle;
mod world;

use crate::services::delivery::simulation::{Campaign, assert_replays};
use oracle::Tally;
use world::World;

/// A plain `cargo test` takes a few seconds.
const CAMPAIGN: Campaign =
    Campaign { variable: "REPLICATION_SEED", filter: "replication::simulation", seeds: 200 };

fn run(seed: u64) -> Tally {
    let _replay = CAMPAIGN.replay(seed);
    World::new(seed).run()
}

#[test]
fn nothing_that_was_acknowledged_is_lost_and_all_logs_become_one() {
    CAMPAIGN.play(run);
}

#[test]
fn a_run_replays_from_its_seed() {
    assert_replays(run);
}
