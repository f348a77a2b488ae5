//! Response codes (`ResponseCode.java`). The Go client reads them as 16 bits: none may be larger.

/// Success.
pub const SUCCESS: i32 = 0;
/// System error.
pub const SYSTEM_ERROR: i32 = 1;
/// System busy.
pub const SYSTEM_BUSY: i32 = 2;
/// Request code not supported.
pub const REQUEST_CODE_NOT_SUPPORTED: i32 = 3;
/// Transaction failed.
pub const TRANSACTION_FAILED: i32 = 4;
/// Flush disk timeout.
pub const FLUSH_DISK_TIMEOUT: i32 = 10;
/// Slave not available.
pub const SLAVE_NOT_AVAILABLE: i32 = 11;
/// Flush slave timeout.
pub const FLUSH_SLAVE_TIMEOUT: i32 = 12;
/// Message illegal.
pub const MESSAGE_ILLEGAL: i32 = 13;
/// Service not available.
pub const SERVICE_NOT_AVAILABLE: i32 = 14;
/// Version not supported.
pub const VERSION_NOT_SUPPORTED: i32 = 15;
/// No permission.
pub const NO_PERMISSION: i32 = 16;
/// Topic not exist.
pub const TOPIC_NOT_EXIST: i32 = 17;
/// Topic exist already.
pub const TOPIC_EXIST_ALREADY: i32 = 18;
/// Pull not found.
pub const PULL_NOT_FOUND: i32 = 19;
/// Pull retry immediately.
pub const PULL_RETRY_IMMEDIATELY: i32 = 20;
/// Pull offset moved.
pub const PULL_OFFSET_MOVED: i32 = 21;
/// Query not found.
pub const QUERY_NOT_FOUND: i32 = 22;
/// Subscription parse failed.
pub const SUBSCRIPTION_PARSE_FAILED: i32 = 23;
/// Subscription not exist.
pub const SUBSCRIPTION_NOT_EXIST: i32 = 24;
/// Subscription not latest.
pub const SUBSCRIPTION_NOT_LATEST: i32 = 25;
/// Subscription group not exist.
pub const SUBSCRIPTION_GROUP_NOT_EXIST: i32 = 26;
/// Filter data not exist.
pub const FILTER_DATA_NOT_EXIST: i32 = 27;
/// Filter data not latest.
pub const FILTER_DATA_NOT_LATEST: i32 = 28;
/// Invalid parameter.
pub const INVALID_PARAMETER: i32 = 29;
/// Transaction should commit.
pub const TRANSACTION_SHOULD_COMMIT: i32 = 200;
/// Transaction should rollback.
pub const TRANSACTION_SHOULD_ROLLBACK: i32 = 201;
/// Transaction state unknow.
pub const TRANSACTION_STATE_UNKNOW: i32 = 202;
/// Transaction state group wrong.
pub const TRANSACTION_STATE_GROUP_WRONG: i32 = 203;
/// No buyer id.
pub const NO_BUYER_ID: i32 = 204;
/// Not in current unit.
pub const NOT_IN_CURRENT_UNIT: i32 = 205;
/// Consumer not online.
pub const CONSUMER_NOT_ONLINE: i32 = 206;
/// Consume msg timeout.
pub const CONSUME_MSG_TIMEOUT: i32 = 207;
/// No message.
pub const NO_MESSAGE: i32 = 208;
/// Polling full.
pub const POLLING_FULL: i32 = 209;
/// Polling timeout.
pub const POLLING_TIMEOUT: i32 = 210;
/// Broker not exist.
pub const BROKER_NOT_EXIST: i32 = 211;
/// Broker dispatch not complete.
pub const BROKER_DISPATCH_NOT_COMPLETE: i32 = 212;
/// Broadcast consumption.
pub const BROADCAST_CONSUMPTION: i32 = 213;
/// Flow control.
pub const FLOW_CONTROL: i32 = 215;
/// Not leader for queue.
pub const NOT_LEADER_FOR_QUEUE: i32 = 501;
/// Illegal operation.
pub const ILLEGAL_OPERATION: i32 = 604;
/// Go away.
pub const GO_AWAY: i32 = 1500;
/// Controller not leader.
pub const CONTROLLER_NOT_LEADER: i32 = 2007;
/// Lmq quota exceeded.
pub const LMQ_QUOTA_EXCEEDED: i32 = 2017;
/// Lite subscription quota exceeded.
pub const LITE_SUBSCRIPTION_QUOTA_EXCEEDED: i32 = 2018;
/// User not exist.
pub const USER_NOT_EXIST: i32 = 3001;
/// Policy not exist.
pub const POLICY_NOT_EXIST: i32 = 3002;
