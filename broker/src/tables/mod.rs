//! What a broker knows. Each table is pure: the clock comes in, sockets and files are the caller's.

pub(crate) mod consumers;
pub(crate) mod delay_offsets;
pub(crate) mod epochs;
pub(crate) mod files;
pub(crate) mod groups;
pub(crate) mod lite_subscriptions;
pub(crate) mod locks;
mod members;
mod not_served;
pub(crate) mod offsets;
pub(crate) mod pop_orders;
pub(crate) mod producers;
pub(crate) mod pull_offsets;
pub(crate) mod rates;
pub(crate) mod request_modes;
pub(crate) mod topics;

use consumers::ConsumerGroups;
use delay_offsets::DelayOffsets;
use epochs::Epochs;
use groups::SubscriptionGroups;
use locks::QueueLocks;
use netcore::ConnId;
use offsets::ConsumerOffsets;
use pop_orders::PopOrders;
use producers::ProducerGroups;
use protocol::bodies::MessageQueue;
use pull_offsets::PullOffsets;
use request_modes::RequestModes;
use topics::Topics;

/// The tables of one shard.
pub(crate) struct Tables {
    /// Saved: queue counts and permissions.
    pub(crate) topics: Topics,
    /// Saved: settings of consumer groups.
    pub(crate) groups: SubscriptionGroups,
    /// Saved: how far each group is.
    pub(crate) offsets: ConsumerOffsets,
    /// Saved: how groups consume topics.
    pub(crate) request_modes: RequestModes,
    /// Saved: what ordered pops have handed out.
    pub(crate) pop_orders: PopOrders,
    /// How far each group has pulled, and how much.
    pub(crate) pulled: PullOffsets,
    /// Saved: how far each delay level is delivered.
    pub(crate) delay_offsets: DelayOffsets,
    /// Saved: the lives of masters that wrote the log.
    pub(crate) epochs: Epochs,
    /// Which consumers are connected.
    pub(crate) consumers: ConsumerGroups<ConnId>,
    /// Which producers are connected.
    pub(crate) producers: ProducerGroups<ConnId>,
    /// Which orderly consumer has which queue.
    pub(crate) locks: QueueLocks<MessageQueue>,
}
