//! What the benches need: a store on a simulated machine, and a message.

mod discard;

pub use discard::Discard;

use engine::{Store, StoreConfig};
use protocol::record::RecordDraft;
use rt::sim::Sim;
use std::net::{Ipv4Addr, SocketAddr};

/// A store with RocketMQ's defaults on a simulated machine. The index works beside what is measured: only its own bench wants it.
pub fn store(index_enabled: bool) -> (Sim, Store<Discard>) {
    let sim = Sim::new(1);
    let mut config = StoreConfig::new("/bench");
    config.index_enabled = index_enabled;
    config.hot_bytes_max = 1 << 20;
    match sim.block_on(Store::open(Discard(sim.clone()), config)) {
        Ok(store) => (sim, store),
        Err(error) => panic!("{error}"),
    }
}

/// A message with three properties.
pub fn draft(body: &[u8]) -> RecordDraft<'_> {
    let host = SocketAddr::from((Ipv4Addr::LOCALHOST, 10911));
    RecordDraft {
        topic: "bench",
        queue_id: 0,
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: 1,
        born_host: host,
        store_timestamp_ms: 0,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &[b"UNIQ_KEY\x017F0000010001AABBCCDD0000000000\x02WAIT\x01true\x02TAGS\x01red\x02"],
    }
}
