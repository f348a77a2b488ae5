//! POP on a simulated machine: the real tasks that revive and that spill, the real buffer and
//! cursors, real timers and store, virtual time; kills, power cuts and clean stops at any moment,
//! and a wall clock that leaps forward. It is held against a naive oracle. The pops themselves are
//! the test's: a checkpoint, in the log or in memory, then the group's next message, as `take` does
//! it. The table of offsets is on disk the moment it changes, which is the worst for messages that
//! the log loses.
//!
//! What the oracle knows:
//!
//! - A message whose checkpoint is in the log, and that nobody acknowledged, comes to the retry
//!   topic, and not before its time.
//! - A message whose every delivery was acknowledged, in time or in memory, never does, unless an
//!   end of a life can have taken that.
//! - A checkpoint that was in memory only at a kill is void: its messages come again by a pop,
//!   acknowledged or not, unless the saved place is behind them. Then they are all acknowledged.
//! - After a clean stop nothing comes again that was acknowledged in time.
//!
//! ```text
//! POP_SEEDS=2000 cargo test -p broker --lib -- pop::simulation --nocapture
//! POP_SEED=4711 …               this one alone, as a failure says
//! ```

mod consumers;
mod oracle;
mod outlet;
mod tally;
mod world;

use crate::services::delivery::simulation::{Campaign, assert_replays};
use tally::Tally;
use world::World;

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
    sim.end();
    world.tally()
}

#[test]
fn no_end_of_a_life_costs_a_message_that_is_out_or_brings_one_that_is_done() {
    CAMPAIGN.play(run);
}

#[test]
fn a_run_replays_from_its_seed() {
    assert_replays(run);
}
