//! POP on a simulated machine: the real tasks that revive, real timers and store, virtual time,
//! kills and power cuts at any moment; held against a naive oracle. The pops themselves are the
//! test's: a checkpoint, then the group's next message, as `take` does it. The table of offsets is
//! on disk the moment it changes, which is the worst for messages that the log loses.
//!
//! What the oracle knows: a message that was handed out and that nobody acknowledged comes to the
//! retry topic, and not before its time; one whose every delivery was acknowledged in time, and no
//! power cut can have taken that, never does.
//!
//! ```text
//! POP_SEEDS=2000 cargo test -p broker --lib -- pop::simulation --nocapture
//! POP_SEED=4711 …               this one alone, as a failure says
//! ```

mod world;

use crate::services::delivery::simulation::Campaign;
use world::{Tally, World};

/// A plain `cargo test` takes about 20 seconds.
const CAMPAIGN: Campaign = Campaign { variable: "POP_SEED", filter: "pop::simulation", seeds: 200 };
const LIVES: usize = 4;

fn run(seed: u64) -> Tally {
    let _replay = CAMPAIGN.replay(seed);
    let (world, mut sim) = World::new(seed);
    for _ in 0..LIVES {
        sim = world.live(&sim);
    }
    world.last_life(&sim);
    world.tally()
}

#[test]
fn no_kill_and_no_power_cut_costs_a_message_that_is_out_or_brings_one_that_is_done() {
    let seeds = CAMPAIGN.seeds();
    let mut all = Tally::default();
    for seed in seeds.clone() {
        all.add(&run(seed));
    }
    println!("seeds {seeds:?}: {all:#?}");
    if CAMPAIGN.is_whole(&seeds) {
        all.assert_not_vacuous();
    }
}

#[test]
fn a_run_replays_from_its_seed() {
    for seed in 0..2 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
