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

use std::ops::Range;
use world::{Tally, World};

/// Seeds of a plain `cargo test`: a few seconds.
const SEEDS: u64 = 60;
const LIVES: usize = 5;

/// Says how to replay a failure.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "replay: TIMER_SEED={} cargo test -p broker --lib timers::simulation",
                self.0
            );
        }
    }
}

fn seeds() -> Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match (number("TIMER_SEED"), number("TIMER_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(seeds)) => 0..seeds,
        (None, None) => 0..SEEDS,
    }
}

fn run(seed: u64) -> Tally {
    let _replay = Replay(seed);
    let (world, mut sim) = World::new(seed);
    for _ in 0..LIVES {
        sim = world.live(&sim);
    }
    world.last_life(&sim);
    world.tally()
}

#[test]
fn no_kill_and_no_power_cut_costs_a_timer_or_makes_one_early() {
    let seeds = seeds();
    let mut all = Tally::default();
    for seed in seeds.clone() {
        all.add(&run(seed));
    }
    println!("seeds {seeds:?}: {all:#?}");
    if seeds.end - seeds.start >= SEEDS {
        all.assert_not_vacuous();
    }
}

#[test]
fn a_run_replays_from_its_seed() {
    for seed in 0..2 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
