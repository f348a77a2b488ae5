//! The table of requests. A new one is one line here, one function in `requests/` or `native/`, its
//! body type in `protocol`, and a test (CONTRIBUTING.md shows it).

use super::admit::{Access, Resource};
use super::code::Code;
use super::row::{Row, Run};
use crate::answers::remoting::not_supported;
use crate::limits::{ENDS_UNDER_WAY_MAX, TOOLS_REQUESTS_UNDER_WAY_MAX};
use crate::native::{fetch, hello, offsets as native_offsets, ping, produce, route};
use crate::requests::lite::{group_info, info, pop as lite, subscribe};
use crate::requests::pop::{ack, assignment, invisible, look, message as pop};
use crate::requests::tools::{
    configuration, connections, correct, groups, half, pass_on, progress,
};
use crate::requests::tools::{rates, relations, reset, saved, timers};
use crate::requests::{client, end_transaction, group, offsets, pull, query, recall, reply};
use crate::requests::{runtime_info, send, send_back, topic, view};
use Access::{Free, Inspect, Manage, Publish, Subscribe};
use Resource::{Broker, Group, InBody, Nothing, Topic, TopicAndGroup};
use Run::{DiskTask, Now, NowNative, Task, TaskOf};
use protocol::codes::request as code;
use protocol::native::Kind;

/// A row of RocketMQ's protocol.
const fn row(code: i32, name: &'static str, of: (Access, Resource), run: Run) -> Row {
    let (access, resource) = of;
    Row { code: Code::Remoting(code), name, access, resource, under_way_max: None, run }
}

/// The same, of a request that looks at much or waits for a client: a few of it at once.
const fn few(code: i32, name: &'static str, of: (Access, Resource), run: Run) -> Row {
    Row { under_way_max: Some(TOOLS_REQUESTS_UNDER_WAY_MAX), ..row(code, name, of, run) }
}

/// A row of the native protocol.
const fn native(kind: Kind, name: &'static str, of: (Access, Resource), run: Run) -> Row {
    let (access, resource) = of;
    Row { code: Code::Native(kind), name, access, resource, under_way_max: None, run }
}

/// The rows whose codes are looked up first. They are at their places in [`ROWS`].
const SEND_V2: u8 = 0;
const PULL: u8 = 1;
const SEND: u8 = 2;
const SEND_BATCH: u8 = 3;
const REPLY: u8 = 28;
const REPLY_V2: u8 = 29;
/// Codes that are in no row are counted here.
const UNKNOWN: u8 = 4;
const HELLO: u8 = 55;
const PRODUCE: u8 = 56;
const FETCH: u8 = 57;
/// Native kinds that are answers are refused and counted here.
pub(crate) const NOT_A_REQUEST: u8 = 62;

#[rustfmt::skip] // A table: one request, one line.
pub(crate) static ROWS: [Row; 89] = [
    row(code::SEND_MESSAGE_V2, "SEND_MESSAGE_V2", (Publish, Topic), Now(send::handle)),
    row(code::PULL_MESSAGE, "PULL_MESSAGE", (Subscribe, TopicAndGroup), Now(pull::handle)),
    row(code::SEND_MESSAGE, "SEND_MESSAGE", (Publish, Topic), Now(send::handle)),
    row(code::SEND_BATCH_MESSAGE, "SEND_BATCH_MESSAGE", (Publish, Topic), Now(send::handle)),
    row(-1, "unknown codes", (Free, Nothing), Now(|_, _, _, command| Err(not_supported(command.code)))),
    row(code::LITE_PULL_MESSAGE, "LITE_PULL_MESSAGE", (Subscribe, TopicAndGroup), Now(pull::handle)),
    row(code::CONSUMER_SEND_MSG_BACK, "CONSUMER_SEND_MSG_BACK", (Subscribe, Group), Task(send_back::begin)),
    row(code::QUERY_CONSUMER_OFFSET, "QUERY_CONSUMER_OFFSET", (Subscribe, TopicAndGroup), Now(offsets::query)),
    row(code::UPDATE_CONSUMER_OFFSET, "UPDATE_CONSUMER_OFFSET", (Subscribe, TopicAndGroup), Now(offsets::update)),
    row(code::GET_MAX_OFFSET, "GET_MAX_OFFSET", (Inspect, Topic), Now(offsets::max)),
    row(code::GET_MIN_OFFSET, "GET_MIN_OFFSET", (Inspect, Topic), Now(offsets::min)),
    row(code::SEARCH_OFFSET_BY_TIMESTAMP, "SEARCH_OFFSET_BY_TIMESTAMP", (Inspect, Topic), DiskTask(offsets::by_time)),
    row(code::GET_EARLIEST_MSG_STORETIME, "GET_EARLIEST_MSG_STORETIME", (Inspect, Topic), DiskTask(offsets::earliest)),
    row(code::HEART_BEAT, "HEART_BEAT", (Subscribe, InBody), Now(client::heartbeat)),
    row(code::UNREGISTER_CLIENT, "UNREGISTER_CLIENT", (Subscribe, Group), Now(client::unregister)),
    row(code::CHECK_CLIENT_CONFIG, "CHECK_CLIENT_CONFIG", (Subscribe, InBody), Now(client::check_config)),
    row(code::GET_CONSUMER_LIST_BY_GROUP, "GET_CONSUMER_LIST_BY_GROUP", (Subscribe, Group), Now(group::consumer_list)),
    row(code::LOCK_BATCH_MQ, "LOCK_BATCH_MQ", (Subscribe, InBody), Now(group::lock)),
    row(code::UNLOCK_BATCH_MQ, "UNLOCK_BATCH_MQ", (Subscribe, InBody), Now(group::unlock)),
    row(code::UPDATE_AND_CREATE_TOPIC, "UPDATE_AND_CREATE_TOPIC", (Manage, Topic), Now(topic::update)),
    row(code::DELETE_TOPIC_IN_BROKER, "DELETE_TOPIC_IN_BROKER", (Manage, Topic), Task(topic::delete)),
    row(code::GET_ALL_TOPIC_CONFIG, "GET_ALL_TOPIC_CONFIG", (Inspect, Broker), Now(topic::all)),
    row(code::GET_TOPIC_CONFIG, "GET_TOPIC_CONFIG", (Inspect, Topic), Now(topic::one)),
    row(code::GET_SYSTEM_TOPIC_LIST_FROM_BROKER, "GET_SYSTEM_TOPIC_LIST_FROM_BROKER", (Inspect, Broker), Now(topic::system)),
    row(code::QUERY_MESSAGE, "QUERY_MESSAGE", (Subscribe, Topic), DiskTask(query::by_key)),
    row(code::VIEW_MESSAGE_BY_ID, "VIEW_MESSAGE_BY_ID", (Inspect, Broker), DiskTask(view::by_id)),
    row(code::GET_BROKER_RUNTIME_INFO, "GET_BROKER_RUNTIME_INFO", (Inspect, Broker), Task(runtime_info::begin)),
    Row {
        under_way_max: Some(ENDS_UNDER_WAY_MAX),
        ..row(code::END_TRANSACTION, "END_TRANSACTION", (Publish, Topic), Task(end_transaction::begin))
    },
    row(code::SEND_REPLY_MESSAGE, "SEND_REPLY_MESSAGE", (Publish, Topic), TaskOf(reply::begin)),
    row(code::SEND_REPLY_MESSAGE_V2, "SEND_REPLY_MESSAGE_V2", (Publish, Topic), TaskOf(reply::begin)),
    row(code::GET_CONSUMER_CONNECTION_LIST, "GET_CONSUMER_CONNECTION_LIST", (Inspect, Group), Now(connections::consumers)),
    row(code::GET_PRODUCER_CONNECTION_LIST, "GET_PRODUCER_CONNECTION_LIST", (Inspect, Broker), Now(connections::producers)),
    row(code::GET_ALL_PRODUCER_INFO, "GET_ALL_PRODUCER_INFO", (Inspect, Broker), Now(connections::all_producers)),
    row(code::QUERY_TOPIC_CONSUME_BY_WHO, "QUERY_TOPIC_CONSUME_BY_WHO", (Inspect, Topic), Now(relations::groups_of_topic)),
    row(code::QUERY_TOPICS_BY_CONSUMER, "QUERY_TOPICS_BY_CONSUMER", (Inspect, Group), Now(relations::topics_of_group)),
    row(code::QUERY_SUBSCRIPTION_BY_CONSUMER, "QUERY_SUBSCRIPTION_BY_CONSUMER", (Inspect, TopicAndGroup), Now(relations::subscription)),
    few(code::GET_TOPIC_STATS_INFO, "GET_TOPIC_STATS_INFO", (Inspect, Topic), DiskTask(progress::of_topic)),
    few(code::GET_CONSUME_STATS, "GET_CONSUME_STATS", (Inspect, TopicAndGroup), DiskTask(progress::of_group)),
    few(code::QUERY_CONSUME_TIME_SPAN, "QUERY_CONSUME_TIME_SPAN", (Inspect, TopicAndGroup), DiskTask(progress::time_span)),
    few(code::GET_BROKER_CONSUME_STATS, "GET_BROKER_CONSUME_STATS", (Inspect, Broker), DiskTask(progress::of_broker)),
    few(code::INVOKE_BROKER_TO_RESET_OFFSET, "INVOKE_BROKER_TO_RESET_OFFSET", (Manage, TopicAndGroup), DiskTask(reset::begin)),
    row(code::QUERY_CORRECTION_OFFSET, "QUERY_CORRECTION_OFFSET", (Inspect, TopicAndGroup), Now(correct::correction)),
    row(code::CLONE_GROUP_OFFSET, "CLONE_GROUP_OFFSET", (Manage, TopicAndGroup), Now(correct::clone)),
    few(code::GET_CONSUMER_RUNNING_INFO, "GET_CONSUMER_RUNNING_INFO", (Inspect, Group), Task(pass_on::running_info)),
    few(code::CONSUME_MESSAGE_DIRECTLY, "CONSUME_MESSAGE_DIRECTLY", (Manage, Group), Task(pass_on::consume_directly)),
    few(code::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, "INVOKE_BROKER_TO_GET_CONSUMER_STATUS", (Inspect, TopicAndGroup), Task(pass_on::status)),
    row(code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP", (Manage, InBody), Now(groups::update)),
    row(code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST", (Manage, InBody), Now(groups::update_list)),
    row(code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, "GET_ALL_SUBSCRIPTIONGROUP_CONFIG", (Inspect, Broker), Now(groups::all)),
    row(code::GET_SUBSCRIPTIONGROUP_CONFIG, "GET_SUBSCRIPTIONGROUP_CONFIG", (Inspect, Group), Now(groups::one)),
    row(code::DELETE_SUBSCRIPTIONGROUP, "DELETE_SUBSCRIPTIONGROUP", (Manage, Group), Now(groups::delete)),
    row(code::UPDATE_AND_GET_GROUP_FORBIDDEN, "UPDATE_AND_GET_GROUP_FORBIDDEN", (Manage, TopicAndGroup), Now(groups::forbidden)),
    row(code::GET_ALL_CONSUMER_OFFSET, "GET_ALL_CONSUMER_OFFSET", (Inspect, Broker), Now(saved::consumer_offsets)),
    row(code::GET_ALL_DELAY_OFFSET, "GET_ALL_DELAY_OFFSET", (Inspect, Broker), Now(saved::delay_offsets)),
    row(code::RESUME_CHECK_HALF_MESSAGE, "RESUME_CHECK_HALF_MESSAGE", (Manage, Broker), Task(half::resume)),
    native(Kind::Hello, "Hello", (Free, Nothing), NowNative(hello::handle)),
    native(Kind::Produce, "Produce", (Publish, InBody), NowNative(produce::handle)),
    native(Kind::Fetch, "Fetch", (Subscribe, Topic), NowNative(fetch::handle)),
    native(Kind::QueryOffset, "QueryOffset", (Subscribe, TopicAndGroup), NowNative(native_offsets::query)),
    native(Kind::CommitOffset, "CommitOffset", (Subscribe, TopicAndGroup), NowNative(native_offsets::commit)),
    native(Kind::Route, "Route", (Inspect, Topic), NowNative(route::handle)),
    native(Kind::Ping, "Ping", (Free, Nothing), NowNative(ping::handle)),
    native(Kind::Error, "kinds that are answers", (Free, Nothing), NowNative(ping::not_a_request)),
    // What came later: no constant above moves.
    row(code::RECALL_MESSAGE, "RECALL_MESSAGE", (Publish, Topic), Task(recall::begin)),
    row(code::VIEW_BROKER_STATS_DATA, "VIEW_BROKER_STATS_DATA", (Inspect, Broker), Now(rates::view)),
    few(code::GET_TIMER_CHECK_POINT, "GET_TIMER_CHECK_POINT", (Inspect, Broker), DiskTask(timers::check_point)),
    row(code::POP_MESSAGE, "POP_MESSAGE", (Subscribe, TopicAndGroup), Now(pop::handle)),
    row(code::ACK_MESSAGE, "ACK_MESSAGE", (Subscribe, TopicAndGroup), Now(ack::one)),
    row(code::BATCH_ACK_MESSAGE, "BATCH_ACK_MESSAGE", (Subscribe, InBody), Now(ack::batch)),
    row(code::CHANGE_MESSAGE_INVISIBLETIME, "CHANGE_MESSAGE_INVISIBLETIME", (Subscribe, TopicAndGroup), Task(invisible::change)),
    row(code::NOTIFICATION, "NOTIFICATION", (Subscribe, TopicAndGroup), Now(look::notification)),
    row(code::PEEK_MESSAGE, "PEEK_MESSAGE", (Subscribe, TopicAndGroup), Task(look::peek)),
    row(code::QUERY_ASSIGNMENT, "QUERY_ASSIGNMENT", (Subscribe, InBody), Task(assignment::query)),
    row(code::SET_MESSAGE_REQUEST_MODE, "SET_MESSAGE_REQUEST_MODE", (Manage, InBody), Task(assignment::set)),
    row(code::GET_ALL_MESSAGE_REQUEST_MODE, "GET_ALL_MESSAGE_REQUEST_MODE", (Inspect, Broker), Task(assignment::all)),
    row(code::POLLING_INFO, "POLLING_INFO", (Inspect, TopicAndGroup), Task(look::polling_info)),
    row(code::GET_TIMER_METRICS, "GET_TIMER_METRICS", (Inspect, Broker), Now(timers::metrics)),
    row(code::POP_LITE_MESSAGE, "POP_LITE_MESSAGE", (Subscribe, TopicAndGroup), Now(lite::handle)),
    row(code::LITE_SUBSCRIPTION_CTL, "LITE_SUBSCRIPTION_CTL", (Subscribe, InBody), TaskOf(subscribe::begin)),
    few(code::GET_BROKER_LITE_INFO, "GET_BROKER_LITE_INFO", (Inspect, Broker), Task(info::of_broker)),
    few(code::GET_PARENT_TOPIC_INFO, "GET_PARENT_TOPIC_INFO", (Inspect, Topic), Task(info::of_parent)),
    few(code::GET_LITE_TOPIC_INFO, "GET_LITE_TOPIC_INFO", (Inspect, Topic), DiskTask(info::of_child)),
    few(code::GET_LITE_CLIENT_INFO, "GET_LITE_CLIENT_INFO", (Inspect, TopicAndGroup), Task(info::of_client)),
    few(code::GET_LITE_GROUP_INFO, "GET_LITE_GROUP_INFO", (Inspect, Group), DiskTask(group_info::of_group)),
    few(code::TRIGGER_LITE_DISPATCH, "TRIGGER_LITE_DISPATCH", (Manage, Group), Task(group_info::trigger)),
    row(code::GET_BROKER_EPOCH_CACHE, "GET_BROKER_EPOCH_CACHE", (Inspect, Broker), Now(saved::epochs)),
    row(code::GET_ALL_POP_ORDERS, "GET_ALL_POP_ORDERS", (Inspect, Broker), Now(saved::pop_orders)),
    row(code::GET_BROKER_CONFIG, "GET_BROKER_CONFIG", (Inspect, Broker), Now(configuration::get)),
    native(Kind::FetchSql, "FetchSql", (Subscribe, Topic), NowNative(fetch::by_expression)),
];

/// The codes of the rows, in the order of the table.
pub(crate) fn codes() -> Box<[Code]> {
    ROWS.iter().map(|row| row.code).collect()
}

/// The row of a request code; [`UNKNOWN`] without one.
pub(crate) fn of_remoting(code: i32) -> u8 {
    match code {
        code::SEND_MESSAGE_V2 => SEND_V2,
        code::PULL_MESSAGE => PULL,
        code => place(|row| row.code == Code::Remoting(code)).unwrap_or(UNKNOWN),
    }
}

/// The row of a native frame's kind. On a connection that has not said Hello every frame is taken
/// for one.
pub(crate) fn of_native(kind: Kind, said_hello: bool) -> u8 {
    match kind {
        _ if !said_hello => HELLO,
        Kind::Produce => PRODUCE,
        Kind::Fetch => FETCH,
        kind => place(|row| row.code == Code::Native(kind)).unwrap_or(NOT_A_REQUEST),
    }
}

/// Whether the answers of a row, refusals too, carry what all answers to sends do.
pub(crate) fn is_send(row: u8) -> bool {
    matches!(row, SEND_V2 | SEND | SEND_BATCH | REPLY | REPLY_V2)
}

fn place(which: impl Fn(&Row) -> bool) -> Option<u8> {
    let place = ROWS.iter().position(which)?;
    Some(u8::try_from(place).expect("the table has fewer rows than a byte counts"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_code_leads_to_its_row_and_to_one_alone() {
        let mut seen = HashSet::new();
        for (place, row) in (0..).zip(&ROWS) {
            assert!(seen.insert(row.name), "{} is there twice", row.name);
            match row.code {
                Code::Remoting(code) => assert_eq!(of_remoting(code), place, "{}", row.name),
                Code::Native(kind) => assert_eq!(of_native(kind, true), place, "{}", row.name),
            }
            let is_native = matches!(row.run, Run::NowNative(_));
            assert_eq!(is_native, matches!(row.code, Code::Native(_)), "{}", row.name);
        }
        assert_eq!(of_remoting(9_999), UNKNOWN);
        assert_eq!(of_native(Kind::Produced, true), NOT_A_REQUEST);
        assert_eq!(of_native(Kind::Produce, false), HELLO);
        for code in
            [code::SEND_BATCH_MESSAGE, code::SEND_REPLY_MESSAGE, code::SEND_REPLY_MESSAGE_V2]
        {
            assert!(is_send(of_remoting(code)));
        }
    }
}
