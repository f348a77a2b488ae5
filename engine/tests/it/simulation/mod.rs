//! The whole engine in a deterministic simulation: random work, random faults, crashes at any
//! point, restarts; after each the store is held against a naive oracle.
//!
//! - `world`: a machine and its lives. Producers, consumers, an administrator (topics deleted and
//!   sent to in the same moment, days that pass) and somebody who breaks things at the same time;
//!   then a power cut, a kill or a clean stop, and at times damage while the store lies closed.
//! - `reading`: the consumers, and when a read may fail.
//! - `breaking`: EIO, too many open files, no space at any call or on the whole disk, slow,
//!   stalled, short reads; while the store works and while it opens.
//! - `model`: the oracle. What was flushed (power cut), appended (kill of a store whose tail
//!   outlives its process) or written (kill of another) is there, in order, intact; under
//!   ASYNC_FLUSH the log is a prefix; the queues hold exactly the messages of the log; a read
//!   fails, or finds no file, only where something that happened says why; a damaged message is
//!   never served and costs no other; no consumer saw what a crash then took (SYNC_FLUSH).
//! - `rot`: after a crash under ASYNC_FLUSH, at times a byte of a message that was flushed is
//!   damaged: it costs this message alone.
//! - `tally`: what happened, with lower bounds, so that a tame campaign fails.
//!
//! A fixed number of seeds runs with every `cargo test`. A long campaign:
//!
//! ```text
//! ENGINE_SEEDS=10000 cargo test -p engine --release --test it simulation -- --nocapture
//! ENGINE_SEEDS=5000..10000 …       these seeds
//! ENGINE_SEED=4711 …               this one alone, as a failure says, with what the engine logs
//! ```
//!
//! Not in here: damage of what no checksum covers and of derived files (`flipped_bits`,
//! `index_damage`), damage after an unclean stop (`damage`), where nobody knows from outside what
//! had to survive; and pages that only a rebooted system forgets: after a failed fdatasync of a log
//! in the page cache (mmap, or no O_DIRECT) the next life begins with a power cut.

mod breaking;
mod model;
mod reading;
mod rot;
mod tally;
mod world;

use crate::oracle::{Replay, campaign};
use tally::Tally;
use world::World;

/// Seeds of a plain `cargo test`: a few seconds.
const SEEDS: u64 = 100;
const LIVES: usize = 5;

fn run(seed: u64) -> Tally {
    let (world, mut sim) = World::new(seed);
    for _ in 0..LIVES {
        sim = world.live(&sim);
    }
    let Ok(world) = std::rc::Rc::try_unwrap(world) else {
        panic!("something of a life outlived it")
    };
    let tally = sim.block_on(world.check_derived(&sim));
    sim.end();
    tally
}

/// Runs `run` and prints what is logged meanwhile.
fn loudly<T>(run: impl FnOnce() -> T) -> T {
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(std::io::stderr);
    tracing::subscriber::with_default(subscriber.finish(), run)
}

#[test]
fn simulation_of_everything_at_once() {
    let seeds = campaign(SEEDS);
    let mut all = Tally::default();
    let is_alone = std::env::var("ENGINE_SEED").is_ok();
    for seed in seeds.clone() {
        let _replay = Replay(seed, "simulation_of_everything_at_once");
        all.add(&if is_alone { loudly(|| run(seed)) } else { run(seed) });
        if seed % 1000 == 999 {
            eprintln!("{} seeds", seed + 1);
        }
    }
    eprintln!("seeds {seeds:?}: {all:#?}");
    let count = usize::try_from(seeds.end - seeds.start).unwrap();
    if count >= 100 {
        all.assert_not_vacuous(count);
    }
}

#[test]
fn a_simulation_replays_from_its_seed() {
    for seed in 0..3 {
        assert_eq!(format!("{:?}", run(seed)), format!("{:?}", run(seed)), "seed {seed}");
    }
}
