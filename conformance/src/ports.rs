//! Free ports on loopback for a cluster of its own.

use std::net::TcpListener;

use crate::process::Stop;

/// Where we look: below the range that the kernel hands out to outgoing connections, so that they
/// stay free.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_000;
/// One cluster: name servers at +0 and +1, a broker at +10 (it also takes -2 and +1), the second
/// shard or second broker at +20.
const BLOCK: u16 = 40;
const BROKER_AT: u16 = 10;
/// A shard listens this far above the one before it (its HA port is one above).
pub const SHARD_STEP: u16 = 10;

/// The ports of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Of the name servers.
    pub namesrv: [u16; 2],
    /// Of the first broker (or the first shard).
    pub broker: u16,
}

impl Ports {
    /// The ports that the seed's programs name, and RocketMQ's default for the broker.
    pub const SEED: Self = Self { namesrv: [9876, 9877], broker: 10911 };

    /// A block of free ports; the start is spread by process id, so that two runs beside each other
    /// rarely meet.
    pub fn free() -> Result<Self, Stop> {
        let blocks = (LAST - FIRST) / BLOCK;
        let spread = std::process::id() % u32::from(blocks);
        (0..u32::from(blocks))
            .filter_map(|i| u16::try_from((spread + i) % u32::from(blocks)).ok())
            .map(|nth| Self::block(FIRST + nth * BLOCK))
            .find(|ports| ports.taken(2).is_none())
            .ok_or_else(|| {
                Stop::Cannot(format!("no block of free ports between {FIRST} and {LAST}"))
            })
    }

    fn block(base: u16) -> Self {
        Self { namesrv: [base, base + 1], broker: base + BROKER_AT }
    }

    /// Every port that a cluster with this many shards may listen on.
    fn all(&self, shards: u16) -> impl Iterator<Item = u16> + use<> {
        let broker = self.broker;
        let of_shards = (0..shards).flat_map(move |k| {
            let port = broker + k * SHARD_STEP;
            [port - 2, port, port + 1]
        });
        self.namesrv.into_iter().chain(of_shards)
    }

    /// The first port of a cluster with this many shards that somebody else has.
    pub fn taken(&self, shards: u16) -> Option<u16> {
        self.all(shards).find(|&port| TcpListener::bind(("0.0.0.0", port)).is_err())
    }

    /// The same name servers, and the nth broker's port.
    pub fn of_broker(self, nth: u16) -> Self {
        Self { broker: self.broker + nth * SHARD_STEP, ..self }
    }

    /// The name server list as clients take it.
    pub fn namesrv_addr(&self, host: &str) -> String {
        format!("{host}:{};{host}:{}", self.namesrv[0], self.namesrv[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_covers_vip_ha_and_the_second_shard() {
        let all: Vec<u16> = Ports::block(20_000).all(2).collect();
        assert_eq!(all, [20_000, 20_001, 20_008, 20_010, 20_011, 20_018, 20_020, 20_021]);
        assert!(all.iter().all(|p| *p < 20_000 + BLOCK));
    }

    #[test]
    fn a_port_in_use_is_named() {
        // The first port looked at is one that this test holds: others may come and go while tests
        // run side by side.
        let held = TcpListener::bind(("0.0.0.0", 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let ports = Ports { namesrv: [port, port], broker: 20_010 };
        assert_eq!(ports.taken(1), Some(port));
    }
}
