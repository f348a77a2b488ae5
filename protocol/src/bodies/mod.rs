//! Bodies of requests and answers as types.
//!
//! Read them with [`crate::json::from_lenient`]: keys may be missing (defaults as in the Java
//! classes), unknown or null, numbers and booleans may be strings, enums ordinals. Write them with
//! [`crate::json::to_fastjson`] unless a type has a writer of its own. Fields stand in alphabetical
//! order of their keys, the order in which fastjson writes them.

mod admin;
mod client;
mod common;
mod groups;
mod heartbeat;
mod lite;
mod locks;
mod offsets;
mod pop;
mod register;
mod replication;
mod route;
mod stats;
mod topic;

pub use admin::{
    ConsumeStatsList, GetConsumerStatusBody, GroupForbidden, QueryConsumeTimeSpanBody,
    QueryCorrectionOffsetBody, QuerySubscriptionResponseBody, QueueTimeSpan, SubscriptionGroupList,
};
pub use client::{
    Connection, ConsumerConnection, ConsumerList, ProducerConnection, ProducerInfo,
    ProducerTableInfo,
};
pub use common::{DataVersion, GroupList, KvTable, MessageQueue, TopicList};
pub use groups::{
    CustomizedRetryPolicy, ExponentialRetryPolicy, GroupRetryPolicy, SimpleSubscriptionData,
    SubscriptionGroupConfig, SubscriptionGroupWrapper,
};
pub use heartbeat::{
    CheckClientRequestBody, ConsumeFromWhere, ConsumeType, ConsumerData, HeartbeatData,
    MessageModel, ProducerData, SubscriptionData,
};
pub use lite::{
    ClientGroup, GetBrokerLiteInfoResponseBody, GetLiteClientInfoResponseBody,
    GetLiteGroupInfoResponseBody, GetLiteTopicInfoResponseBody, GetParentTopicInfoResponseBody,
    LiteLagInfo, LiteSubscriptionAction, LiteSubscriptionCtlRequestBody, LiteSubscriptionDto,
    OffsetOption, OffsetOptionType,
};
pub use locks::{LockBatchRequestBody, LockBatchResponseBody};
pub use offsets::{
    ConsumerOffsets, DelayOffsets, ResetOffsetBody, ResetOffsetBodyForC, ResetOffsetEntry,
};
pub use pop::{
    AckMessage, BatchAck, BatchAckRequestBody, CheckPoint, MessageQueueAssignment,
    MessageRequestMode, MessageRequestModes, OrderInfo, OrderInfos, QueryAssignmentRequestBody,
    QueryAssignmentResponseBody, SetMessageRequestMode,
};
pub use register::{RegisterBodyError, RegisterBrokerBody};
pub use replication::{EpochEntry, EpochEntryCache};
pub use route::{
    BrokerData, BrokerDataView, BrokerMemberGroup, ClusterInfo, GetBrokerMemberGroupResponseBody,
    QueueData, QueueDataView, TopicRouteData, TopicRouteView,
};
pub use stats::{
    BrokerStatsData, BrokerStatsItem, ConsumeStats, OffsetWrapper, TimerMetrics, TimingCount,
    TopicOffset, TopicStatsTable,
};
pub use topic::{
    CreateTopicListRequestBody, TopicConfig, TopicConfigSerializeWrapper, TopicQueueMappingInfo,
    perm,
};
