//! How a slave stands: what it keeps of its log, and that it does not follow.

use super::following::Master;
use crate::shard::Shard;
use engine::{PhyOffset, Store};
use rt::Runtime;
use std::net::SocketAddr;

/// Up to here the log is kept as `slaveAckPolicy` asks.
pub(super) fn kept<R: Runtime>(store: &Store<R>, reports_flushed: bool) -> PhyOffset {
    if reports_flushed { store.flushed() } else { store.acknowledged() }
}

/// The stream is down for this reason.
pub(super) fn down(shard: &mut Shard, reason: &str) {
    let now_ms = shard.cx.monotonic_ms();
    let is_news = shard.services.replication.following.down(reason, now_ms);
    if shard.is_stopping {
        return;
    }
    let end = shard.cx.store.appended();
    if is_news {
        tracing::warn!("this slave, whose log ends at {end}, does not follow its master: {reason}");
    } else {
        tracing::debug!("this slave does not follow its master: {reason}");
    }
}

/// The address of the master's port for slaves.
pub(super) fn stream_addr(master: &Master) -> Result<SocketAddr, String> {
    master.ha.parse().map_err(|_| {
        format!("{:?} is no address; expected ip:port (the master's brokerIP2)", master.ha)
    })
}
