//! Where messages that waited come from and go to: the broker around them. The one of a shard is
//! [`Cx`]; a simulation has another.

use super::message::queue_there;
use crate::sends::errors::PutError;
use crate::sends::message::Message;
use crate::sends::put;
use crate::shard::Cx;
use engine::{Appended, PhyOffset, Store};
use protocol::record::RecordDraft;
use rt::Runtime;
use std::net::SocketAddr;

/// See the module's text.
pub(crate) trait Outlet: Clone + 'static {
    /// The core's runtime.
    type Rt: Runtime;

    /// The core.
    fn rt(&self) -> &Self::Rt;
    /// The messages.
    fn store(&self) -> &Store<Self::Rt>;
    /// Who stores.
    fn store_host(&self) -> SocketAddr;
    /// Nothing more is to be begun.
    fn is_stopping(&self) -> bool;
    /// The queue that a message for this one goes to, which exists afterwards; else why it can't.
    fn queue_there(&self, topic: &str, queue_id: i32) -> Result<i32, String>;
    /// Appends one message, when there is room.
    async fn append(&self, draft: &RecordDraft<'_>) -> Result<Appended, PutError>;
    /// Completes when everything below `end` is acknowledged.
    async fn passed(&self, end: PhyOffset) -> Result<(), PutError>;
}

impl Outlet for Cx {
    type Rt = rt::real::Core;

    fn rt(&self) -> &Self::Rt {
        &self.core
    }

    fn store(&self) -> &Store<Self::Rt> {
        &self.store
    }

    fn store_host(&self) -> SocketAddr {
        self.options.store_host
    }

    fn is_stopping(&self) -> bool {
        self.with(|shard, _| shard.is_stopping)
    }

    fn queue_there(&self, topic: &str, queue_id: i32) -> Result<i32, String> {
        self.with(|shard, _| queue_there(shard, topic, queue_id))
    }

    async fn append(&self, draft: &RecordDraft<'_>) -> Result<Appended, PutError> {
        put::append(self, &Message::One(draft)).await
    }

    async fn passed(&self, end: PhyOffset) -> Result<(), PutError> {
        put::passed(self, end).await
    }
}
