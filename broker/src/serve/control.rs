//! What shards and the main thread tell a shard, through its core's mailbox. The data path never
//! does.

use protocol::bodies::TopicConfig;
use rt::real::Sender;
use std::net::SocketAddr;

/// One message to a shard.
#[derive(Clone)]
pub(crate) enum Control {
    /// The other shards' mailboxes: first of all.
    Siblings(Vec<Sender<Control>>),
    /// What a name server's name means now.
    NameServer {
        /// Which one, in the order of `namesrvAddr`.
        index: usize,
        /// Its addresses; none when the name can't be resolved.
        addresses: Vec<SocketAddr>,
    },
    /// A topic was created by a send on another shard.
    CreateTopic(TopicConfig),
    /// A topic was created or changed by request on another shard.
    PutTopic(TopicConfig),
    /// A topic was deleted on another shard.
    DeleteTopic(String),
    /// Finish what is in hand and end.
    Stop,
}
