//! Timers on a simulated machine: real tasks, files and store, virtual time, kills, power cuts and
//! clean stops at any moment, files that fail and rot; held against a naive oracle.
//!
//! What the oracle knows: every acknowledged timer message that no power cut can have taken comes,
//! none before its time; one that was recalled in time never comes; one comes again only after an
//! end that was not clean.
//!
//! ```text
//! TIMER_SEEDS=2000 cargo test -p broker --lib -- timers::simulation --nocapture
//! TIMER_SEED=4711 …               this one alone, as a failure says
//! ```

mod world;

use crate::services::delivery::simulation::{Campaign, assert_replays};
use world::{Tally, World};

/// A plain `cargo test` takes a few seconds.
const CAMPAIGN: Campaign =
    Campaign { variable: "TIMER_SEED", filter: "timers::simulation", seeds: 60 };
const LIVES: usize = 5;

fn run(seed: u64) -> Tally {
    let _replay = CAMPAIGN.replay(seed);
    let (world, mut sim) = World::new(seed);
    for _ in 0..LIVES {
        sim = world.live(&sim);
    }
    world.last_life(&sim);
    sim.end();
    world.tally()
}

#[test]
fn no_kill_and_no_power_cut_costs_a_timer_or_makes_one_early() {
    CAMPAIGN.play(run);
}

#[test]
fn a_run_replays_from_its_seed() {
    assert_replays(run);
}
