//! Queue locks of ordered consumers.

use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// Body of LOCK_BATCH_MQ and UNLOCK_BATCH_MQ.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LockBatchRequestBody {
    /// Who.
    pub client_id: String,
    /// Group.
    pub consumer_group: String,
    /// Queues.
    pub mq_set: Vec<MessageQueue>,
    /// Ask no replicas.
    pub only_this_broker: bool,
}

/// Answer of LOCK_BATCH_MQ.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LockBatchResponseBody {
    /// The queues that are now the client's.
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: Vec<MessageQueue>,
}
