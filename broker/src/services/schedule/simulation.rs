//! Delay levels on a simulated machine: real tasks, files and store, virtual time, kills, power
//! cuts and clean stops at any moment, a file of progress that can't be written, levels that are
//! taken away and come back, a clock that is set forward and back; held against a naive oracle.
//!
//! What the oracle knows: every acknowledged message that no power cut can have taken comes, in the
//! queue that it was sent to and with its body, none before its level's delay is over (by the wall
//! clock, or where that was set back by true time); in one life
//! those of a level come in the order in which they were stored. One comes again only after an end
//! that was not clean, and only if it came shortly before: so late that the file of progress could
//! not count it (`docs/decisions/0034-delay-levels-and-retries.md`).
//!
//! ```text
//! DELAY_SEEDS=2000 cargo test -p broker --lib -- schedule::simulation --nocapture
//! DELAY_SEED=4711 …               this one alone, as a failure says
//! ```

mod oracle;
mod world;

use crate::services::delivery::simulation::{Campaign, assert_replays};
use oracle::Tally;
use world::World;

/// A plain `cargo test` takes a few seconds.
const CAMPAIGN: Campaign =
    Campaign { variable: "DELAY_SEED", filter: "schedule::simulation", seeds: 60 };
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
fn no_kill_and_no_power_cut_costs_a_delayed_message_or_makes_one_early() {
    CAMPAIGN.play(run);
}

#[test]
fn a_run_replays_from_its_seed() {
    assert_replays(run);
}
