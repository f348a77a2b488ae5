//! Who breaks things: what can go wrong with a machine's disk and its process, one thing after
//! another.

use rt::Runtime;
use rt::sim::{Fault, FaultOp, Sim};
use std::path::Path;
use std::time::Duration;

pub(crate) const LOG: &str = "/store/commitlog";
pub(crate) const QUEUES: &str = "/store/consumequeue";
const MANIFEST: &str = "/store/consumequeue.manifest";

pub(crate) fn micros(sim: &Sim, below: u64) -> Duration {
    Duration::from_micros(sim.random_u64() % below.max(1))
}

/// A fault that the log survives, or that stops it.
fn of_the_log(sim: &Sim) -> Fault {
    let some = |below: u64| sim.random_u64() % below;
    match some(6) {
        0 => Fault::eio(FaultOp::Write, LOG).after(some(20)).times(1),
        1 => Fault::eio(FaultOp::Sync, LOG).after(some(20)).times(1),
        2 => Fault::eio(FaultOp::Allocate, LOG).times(1 + some(3)),
        3 => Fault::eio(FaultOp::Open, LOG).one_in(2).times(some(10)),
        4 => Fault::no_space(FaultOp::Write, LOG).after(some(20)).times(1 + some(3)),
        _ => Fault::no_space(FaultOp::Allocate, LOG).times(1 + some(3)),
    }
}

/// A fault of derived files, which are tried again.
fn of_derived_files(sim: &Sim) -> Fault {
    let some = |below: u64| sim.random_u64() % below;
    match some(6) {
        0 => Fault::eio(FaultOp::Sync, QUEUES).after(some(10)).times(1),
        1 => Fault::eio(FaultOp::Write, QUEUES).one_in(4).times(3),
        2 => Fault::eio(FaultOp::Write, MANIFEST).times(2),
        3 => Fault::eio(FaultOp::Name, "/store").one_in(3).times(2),
        4 => Fault::no_space(FaultOp::Name, QUEUES).one_in(2).times(some(6)),
        _ => Fault::eio(FaultOp::Open, QUEUES).one_in(4).times(some(10)),
    }
}

/// A fault of whatever comes by.
fn of_anything(sim: &Sim) -> Fault {
    let some = |below: u64| sim.random_u64() % below;
    let slow = |op| Fault::slow(op, "/store", Duration::from_millis(20));
    match some(7) {
        0 => Fault::eio(FaultOp::Read, "/store").one_in(6).times(some(20)),
        1 => Fault::too_many_open("/store").one_in(1 + some(4)).times(some(30)),
        2 => Fault::no_space(FaultOp::Write, "/store").one_in(4).times(some(20)),
        3 => Fault::no_space(FaultOp::Allocate, "/store").one_in(3).times(some(10)),
        4 => slow(FaultOp::Write).one_in(5).times(20),
        5 => slow(FaultOp::Sync).one_in(3).times(20),
        _ => Fault::short_reads("/store").one_in(3),
    }
}

/// What can go wrong, one thing after another.
pub(crate) async fn break_things(sim: Sim, pause_micros: u64) {
    loop {
        sim.sleep(micros(&sim, pause_micros)).await;
        match sim.random_u64() % 10 {
            0 | 1 => sim.inject(of_the_log(&sim)),
            2..=4 => sim.inject(of_derived_files(&sim)),
            5..=7 => sim.inject(of_anything(&sim)),
            8 => fill_disk(&sim).await,
            _ => {
                sim.hold_writes(true);
                sim.sleep(micros(&sim, 20_000)).await;
                sim.hold_writes(false);
            }
        }
    }
}

/// A fault that an opening may meet. No failed fdatasync: of a file in the page cache the next
/// opening of the same system could not know.
pub(crate) fn of_an_opening(sim: &Sim) -> Fault {
    let some = |below: u64| sim.random_u64() % below;
    let fault = match some(7) {
        0 | 1 => Fault::eio(FaultOp::Read, "/store"),
        2 => Fault::eio(FaultOp::Open, "/store"),
        3 => Fault::too_many_open("/store"),
        4 => Fault::no_space(FaultOp::Write, "/store"),
        5 => Fault::no_space(FaultOp::Allocate, "/store"),
        _ => Fault::no_space(FaultOp::Name, "/store"),
    };
    fault.after(some(12)).times(1 + some(2))
}

/// Somebody else takes what space there is, and gives it back.
async fn fill_disk(sim: &Sim) {
    let Ok(space) = sim.disk_space(Path::new("/")).await else { return };
    let used = space.total_bytes - space.available_bytes;
    let left = if sim.random_u64().is_multiple_of(2) {
        sim.random_u64() % 200_000
    } else {
        used * (sim.random_u64() % 40) / 100
    };
    sim.set_capacity(Some(used + left));
    sim.sleep(micros(sim, 60_000)).await;
    sim.set_capacity(None);
}
