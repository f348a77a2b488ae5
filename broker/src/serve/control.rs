//! What the main thread tells a shard, through its core's mailbox. Shards tell each other nothing:
//! each is a broker of its own.

use std::net::SocketAddr;

/// One message to a shard.
#[derive(Clone)]
pub(crate) enum Control {
    /// What a name means now.
    Resolved {
        /// Which one, in the order of `namesrvAddr`; behind them `haMasterAddress`.
        index: usize,
        /// Its addresses; none when the name can't be resolved.
        addresses: Vec<SocketAddr>,
    },
    /// Finish what is in hand and end.
    Stop,
}
