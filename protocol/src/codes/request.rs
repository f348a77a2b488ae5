//! Request codes (`RequestCode.java`). Names are RocketMQ's; what each asks for is told by its
//! name.

/// Send a message, V1 keys.
pub const SEND_MESSAGE: i32 = 10;
/// Pull messages.
pub const PULL_MESSAGE: i32 = 11;
/// Query message.
pub const QUERY_MESSAGE: i32 = 12;
/// Query broker offset.
pub const QUERY_BROKER_OFFSET: i32 = 13;
/// Query consumer offset.
pub const QUERY_CONSUMER_OFFSET: i32 = 14;
/// Update consumer offset.
pub const UPDATE_CONSUMER_OFFSET: i32 = 15;
/// Update and create topic.
pub const UPDATE_AND_CREATE_TOPIC: i32 = 17;
/// Update and create topic list.
pub const UPDATE_AND_CREATE_TOPIC_LIST: i32 = 18;
/// Get all topic config.
pub const GET_ALL_TOPIC_CONFIG: i32 = 21;
/// Get topic config list.
pub const GET_TOPIC_CONFIG_LIST: i32 = 22;
/// Get topic name list.
pub const GET_TOPIC_NAME_LIST: i32 = 23;
/// Update broker config.
pub const UPDATE_BROKER_CONFIG: i32 = 25;
/// Get broker config.
pub const GET_BROKER_CONFIG: i32 = 26;
/// Trigger delete files.
pub const TRIGGER_DELETE_FILES: i32 = 27;
/// Get broker runtime info.
pub const GET_BROKER_RUNTIME_INFO: i32 = 28;
/// Search offset by timestamp.
pub const SEARCH_OFFSET_BY_TIMESTAMP: i32 = 29;
/// Get max offset.
pub const GET_MAX_OFFSET: i32 = 30;
/// Get min offset.
pub const GET_MIN_OFFSET: i32 = 31;
/// Get earliest msg storetime.
pub const GET_EARLIEST_MSG_STORETIME: i32 = 32;
/// One message by its offset id.
pub const VIEW_MESSAGE_BY_ID: i32 = 33;
/// Heartbeat of a client.
pub const HEART_BEAT: i32 = 34;
/// Unregister client.
pub const UNREGISTER_CLIENT: i32 = 35;
/// A consumer gives a message back for retry.
pub const CONSUMER_SEND_MSG_BACK: i32 = 36;
/// End transaction.
pub const END_TRANSACTION: i32 = 37;
/// Get consumer list by group.
pub const GET_CONSUMER_LIST_BY_GROUP: i32 = 38;
/// Check transaction state.
pub const CHECK_TRANSACTION_STATE: i32 = 39;
/// Broker to client: your group's members changed.
pub const NOTIFY_CONSUMER_IDS_CHANGED: i32 = 40;
/// Lock batch mq.
pub const LOCK_BATCH_MQ: i32 = 41;
/// Unlock batch mq.
pub const UNLOCK_BATCH_MQ: i32 = 42;
/// Get all consumer offset.
pub const GET_ALL_CONSUMER_OFFSET: i32 = 43;
/// Get all delay offset.
pub const GET_ALL_DELAY_OFFSET: i32 = 45;
/// Check client config.
pub const CHECK_CLIENT_CONFIG: i32 = 46;
/// Get client config.
pub const GET_CLIENT_CONFIG: i32 = 47;
/// Get timer check point.
pub const GET_TIMER_CHECK_POINT: i32 = 60;
/// Get timer metrics.
pub const GET_TIMER_METRICS: i32 = 61;
/// Put kv config.
pub const PUT_KV_CONFIG: i32 = 100;
/// Get kv config.
pub const GET_KV_CONFIG: i32 = 101;
/// Delete kv config.
pub const DELETE_KV_CONFIG: i32 = 102;
/// A broker registers with a name server.
pub const REGISTER_BROKER: i32 = 103;
/// Unregister broker.
pub const UNREGISTER_BROKER: i32 = 104;
/// Route of a topic.
pub const GET_ROUTEINFO_BY_TOPIC: i32 = 105;
/// All brokers of all clusters.
pub const GET_BROKER_CLUSTER_INFO: i32 = 106;
/// Update and create subscriptiongroup.
pub const UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: i32 = 200;
/// Get all subscriptiongroup config.
pub const GET_ALL_SUBSCRIPTIONGROUP_CONFIG: i32 = 201;
/// Get topic stats info.
pub const GET_TOPIC_STATS_INFO: i32 = 202;
/// Get consumer connection list.
pub const GET_CONSUMER_CONNECTION_LIST: i32 = 203;
/// Get producer connection list.
pub const GET_PRODUCER_CONNECTION_LIST: i32 = 204;
/// Wipe write perm of broker.
pub const WIPE_WRITE_PERM_OF_BROKER: i32 = 205;
/// Get all topic list from nameserver.
pub const GET_ALL_TOPIC_LIST_FROM_NAMESERVER: i32 = 206;
/// Delete subscriptiongroup.
pub const DELETE_SUBSCRIPTIONGROUP: i32 = 207;
/// Get consume stats.
pub const GET_CONSUME_STATS: i32 = 208;
/// Delete topic in broker.
pub const DELETE_TOPIC_IN_BROKER: i32 = 215;
/// Delete topic in namesrv.
pub const DELETE_TOPIC_IN_NAMESRV: i32 = 216;
/// Register topic in namesrv.
pub const REGISTER_TOPIC_IN_NAMESRV: i32 = 217;
/// Get kvlist by namespace.
pub const GET_KVLIST_BY_NAMESPACE: i32 = 219;
/// Reset consumer client offset.
pub const RESET_CONSUMER_CLIENT_OFFSET: i32 = 220;
/// Get consumer status from client.
pub const GET_CONSUMER_STATUS_FROM_CLIENT: i32 = 221;
/// Invoke broker to reset offset.
pub const INVOKE_BROKER_TO_RESET_OFFSET: i32 = 222;
/// Invoke broker to get consumer status.
pub const INVOKE_BROKER_TO_GET_CONSUMER_STATUS: i32 = 223;
/// Get topics by cluster.
pub const GET_TOPICS_BY_CLUSTER: i32 = 224;
/// Update and create subscriptiongroup list.
pub const UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: i32 = 225;
/// Query topic consume by who.
pub const QUERY_TOPIC_CONSUME_BY_WHO: i32 = 300;
/// Query consume time span.
pub const QUERY_CONSUME_TIME_SPAN: i32 = 303;
/// Get system topic list from ns.
pub const GET_SYSTEM_TOPIC_LIST_FROM_NS: i32 = 304;
/// Get system topic list from broker.
pub const GET_SYSTEM_TOPIC_LIST_FROM_BROKER: i32 = 305;
/// Clean expired consumequeue.
pub const CLEAN_EXPIRED_CONSUMEQUEUE: i32 = 306;
/// Get consumer running info.
pub const GET_CONSUMER_RUNNING_INFO: i32 = 307;
/// Query correction offset.
pub const QUERY_CORRECTION_OFFSET: i32 = 308;
/// Consume message directly.
pub const CONSUME_MESSAGE_DIRECTLY: i32 = 309;
/// Send a message, V2 (single-letter) keys.
pub const SEND_MESSAGE_V2: i32 = 310;
/// Get unit topic list.
pub const GET_UNIT_TOPIC_LIST: i32 = 311;
/// Get has unit sub topic list.
pub const GET_HAS_UNIT_SUB_TOPIC_LIST: i32 = 312;
/// Get has unit sub ununit topic list.
pub const GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST: i32 = 313;
/// Clone group offset.
pub const CLONE_GROUP_OFFSET: i32 = 314;
/// View broker stats data.
pub const VIEW_BROKER_STATS_DATA: i32 = 315;
/// Clean unused topic.
pub const CLEAN_UNUSED_TOPIC: i32 = 316;
/// Get broker consume stats.
pub const GET_BROKER_CONSUME_STATS: i32 = 317;
/// Update namesrv config.
pub const UPDATE_NAMESRV_CONFIG: i32 = 318;
/// Get namesrv config.
pub const GET_NAMESRV_CONFIG: i32 = 319;
/// Send a batch, V2 keys.
pub const SEND_BATCH_MESSAGE: i32 = 320;
/// Query consume queue.
pub const QUERY_CONSUME_QUEUE: i32 = 321;
/// Query data version.
pub const QUERY_DATA_VERSION: i32 = 322;
/// Resume check half message.
pub const RESUME_CHECK_HALF_MESSAGE: i32 = 323;
/// Send reply message.
pub const SEND_REPLY_MESSAGE: i32 = 324;
/// Send reply message v2.
pub const SEND_REPLY_MESSAGE_V2: i32 = 325;
/// Push reply message to client.
pub const PUSH_REPLY_MESSAGE_TO_CLIENT: i32 = 326;
/// Add write perm of broker.
pub const ADD_WRITE_PERM_OF_BROKER: i32 = 327;
/// Get all producer info.
pub const GET_ALL_PRODUCER_INFO: i32 = 328;
/// Delete expired commitlog.
pub const DELETE_EXPIRED_COMMITLOG: i32 = 329;
/// Query topics by consumer.
pub const QUERY_TOPICS_BY_CONSUMER: i32 = 343;
/// Query subscription by consumer.
pub const QUERY_SUBSCRIPTION_BY_CONSUMER: i32 = 345;
/// Get topic config.
pub const GET_TOPIC_CONFIG: i32 = 351;
/// Get subscriptiongroup config.
pub const GET_SUBSCRIPTIONGROUP_CONFIG: i32 = 352;
/// Update and get group forbidden.
pub const UPDATE_AND_GET_GROUP_FORBIDDEN: i32 = 353;
/// Lite pull message.
pub const LITE_PULL_MESSAGE: i32 = 361;
/// Recall message.
pub const RECALL_MESSAGE: i32 = 370;
/// Query assignment.
pub const QUERY_ASSIGNMENT: i32 = 400;
/// Set message request mode.
pub const SET_MESSAGE_REQUEST_MODE: i32 = 401;
/// Get all message request mode.
pub const GET_ALL_MESSAGE_REQUEST_MODE: i32 = 402;
/// Get broker member group.
pub const GET_BROKER_MEMBER_GROUP: i32 = 901;
/// Broker heartbeat.
pub const BROKER_HEARTBEAT: i32 = 904;
/// Notify min broker id change.
pub const NOTIFY_MIN_BROKER_ID_CHANGE: i32 = 905;
/// Exchange broker ha info.
pub const EXCHANGE_BROKER_HA_INFO: i32 = 906;
/// Get broker ha status.
pub const GET_BROKER_HA_STATUS: i32 = 907;
/// Reset master flush offset.
pub const RESET_MASTER_FLUSH_OFFSET: i32 = 908;
/// Get broker epoch cache.
pub const GET_BROKER_EPOCH_CACHE: i32 = 1007;
/// Pop message.
pub const POP_MESSAGE: i32 = 200_050;
/// Ack message.
pub const ACK_MESSAGE: i32 = 200_051;
/// Peek message.
pub const PEEK_MESSAGE: i32 = 200_052;
/// Change message invisibletime.
pub const CHANGE_MESSAGE_INVISIBLETIME: i32 = 200_053;
/// Notification.
pub const NOTIFICATION: i32 = 200_054;
/// Polling info.
pub const POLLING_INFO: i32 = 200_055;
/// Pop rollback.
pub const POP_ROLLBACK: i32 = 200_056;
/// Pop lite message.
pub const POP_LITE_MESSAGE: i32 = 200_070;
/// Lite subscription ctl.
pub const LITE_SUBSCRIPTION_CTL: i32 = 200_071;
/// Ack lite message.
pub const ACK_LITE_MESSAGE: i32 = 200_072;
/// Notify unsubscribe lite.
pub const NOTIFY_UNSUBSCRIBE_LITE: i32 = 200_073;
/// Get broker lite info.
pub const GET_BROKER_LITE_INFO: i32 = 200_074;
/// Get parent topic info.
pub const GET_PARENT_TOPIC_INFO: i32 = 200_075;
/// Get lite topic info.
pub const GET_LITE_TOPIC_INFO: i32 = 200_076;
/// Get lite client info.
pub const GET_LITE_CLIENT_INFO: i32 = 200_077;
/// Get lite group info.
pub const GET_LITE_GROUP_INFO: i32 = 200_078;
/// Trigger lite dispatch.
pub const TRIGGER_LITE_DISPATCH: i32 = 200_079;
/// Batch ack message.
pub const BATCH_ACK_MESSAGE: i32 = 200_151;

/// RingMQ's own: what ordered pops have handed out, as `consumerOrderInfo.json` has it. A slave
/// asks for it; Apache's broker says that it does not support it (3).
pub const GET_ALL_POP_ORDERS: i32 = 31_001;

/// The request code behind a 16-bit one. The binary header has two bytes for the code, so the POP
/// codes (2000xx) arrive as their low 16 bits; none of RocketMQ's real codes lies there.
#[must_use]
pub fn from_short(code: i16) -> i32 {
    match code {
        3442..=3448 => POP_MESSAGE + i32::from(code) - 3442,
        3462..=3471 => POP_LITE_MESSAGE + i32::from(code) - 3462,
        3543 => BATCH_ACK_MESSAGE,
        other => i32::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_codes_of_pop_are_mapped_back() {
        for code in [POP_MESSAGE, ACK_MESSAGE, NOTIFICATION, POP_ROLLBACK, BATCH_ACK_MESSAGE] {
            let short = i16::try_from(code & 0xFFFF).expect("low 16 bits are positive");
            assert_eq!(from_short(short), code);
        }
        assert_eq!(from_short(310), SEND_MESSAGE_V2);
        assert_eq!(from_short(-1), -1);
    }
}
