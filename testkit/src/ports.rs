//! Ports for brokers that tests start side by side.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Between two shards of a broker.
const PER_SHARD: u16 = 10;
/// Where a broker that serves old clients listens as well: so far below each shard's port.
const VIP_BELOW: u16 = 2;
/// Where slaves dial: so far above each shard's port.
const HA_ABOVE: u16 = 1;
const BLOCK: u16 = 50;
/// Below 32768, where the range begins that the kernel hands out to connections.
const FIRST: u16 = 20_010;
const BLOCKS: u16 = 250;
const _: () = assert!(FIRST + BLOCKS * BLOCK < 32_768);

/// A block of ports on loopback for the shards of one broker. It stays its owner's while the broker
/// is down, also against other test programs: a listener on the block's claim port holds it.
pub struct Ports {
    first: u16,
    _claim: TcpListener,
}

impl Ports {
    /// Takes a block whose ports for so many shards are free.
    pub fn claim(shards: u16) -> Self {
        static NEXT_BLOCK: AtomicU16 = AtomicU16::new(0);
        assert!(shards * PER_SHARD < BLOCK, "{shards} shards do not fit into a block of ports");
        let free = |port: u16| {
            ["127.0.0.1", "0.0.0.0"].iter().all(|ip| TcpListener::bind((*ip, port)).is_ok())
        };
        let start = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap();
        for _ in 0..BLOCKS * 2 {
            let block = (start + NEXT_BLOCK.fetch_add(1, Ordering::Relaxed)) % BLOCKS;
            let first = FIRST + block * BLOCK;
            let Ok(claim) = TcpListener::bind(("127.0.0.1", first - PER_SHARD)) else { continue };
            let of_shard = |shard| first + PER_SHARD * shard;
            let all_free = |port| free(port) && free(port + HA_ABOVE) && free(port - VIP_BELOW);
            if (0..shards).all(|shard| all_free(of_shard(shard))) {
                return Self { first, _claim: claim };
            }
        }
        panic!("no free block of ports between {FIRST} and {}", FIRST + BLOCKS * BLOCK);
    }

    /// The port of shard 0, `listenPort`.
    pub fn first(&self) -> u16 {
        self.first
    }

    /// The port of a shard.
    pub fn of_shard(&self, shard: u16) -> u16 {
        self.first + PER_SHARD * shard
    }
}
