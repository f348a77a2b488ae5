//! What the benches need: a store on a simulated machine, and a message.

mod discard;
mod draft;

pub(crate) use discard::Discard;
pub(crate) use draft::draft;

use engine::{Store, StoreConfig};
use rt::sim::Sim;

/// A store with RocketMQ's defaults on a simulated machine. The index works beside what is
/// measured: only its own bench wants it.
pub(crate) fn store(index_enabled: bool) -> (Sim, Store<Discard>) {
    let sim = Sim::new(1);
    let mut config = StoreConfig::new("/bench");
    config.index_enabled = index_enabled;
    config.hot_bytes_max = 1 << 20;
    match sim.block_on(Store::open(Discard(sim.clone()), config)) {
        Ok(store) => (sim, store),
        Err(error) => panic!("{error}"),
    }
}
