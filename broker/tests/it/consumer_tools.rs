//! What tools ask about consumers and producers, as stock mqadmin reads it.

use crate::client::{Client, Frame, pull_from};
use crate::cluster::Cluster;
use crate::member::{heartbeat, joins};
use crate::retry::pulled;
use protocol::bodies::{
    ConsumeStats, ConsumeStatsList, ConsumerConnection, ConsumerOffsets, DelayOffsets,
    GetConsumerStatusBody, GroupList, MessageQueue, ProducerConnection, ProducerTableInfo,
    QueryConsumeTimeSpanBody, QueryCorrectionOffsetBody, QuerySubscriptionResponseBody, TopicList,
    TopicStatsTable,
};
use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use protocol::ids::OffsetMsgId;
use protocol::json::from_lenient;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use testkit::remoting::fields;

fn asked<T: DeserializeOwned>(client: &mut Client, code: i32, fields: &[(&str, &str)]) -> T {
    let reply = client.call(code, fields);
    assert_eq!(reply.code, 0, "{reply:?}");
    from_lenient(&reply.body).unwrap()
}

fn commit(client: &mut Client, group: &str, queue_id: &str, offset: &str) {
    let fields =
        [("consumerGroup", group), ("topic", "T"), ("queueId", queue_id), ("commitOffset", offset)];
    assert_eq!(client.call(request::UPDATE_CONSUMER_OFFSET, &fields).code, 0);
}

fn queue(queue_id: i32) -> MessageQueue {
    MessageQueue { broker_name: "broker-a".to_owned(), queue_id, topic: "T".to_owned() }
}

#[test]
fn who_is_connected_is_told_with_address_language_and_version() {
    let cluster = Cluster::start(1, &[]);
    let (mut member, mut tool) = (cluster.client(0), cluster.client(0));
    let address = member.stream.local_addr().unwrap().to_string();
    let offline = tool.call(request::GET_CONSUMER_CONNECTION_LIST, &[("consumerGroup", "g")]);
    assert_eq!(offline.code, response::CONSUMER_NOT_ONLINE);
    assert_eq!(offline.remark, "the consumer group[g] not online");
    joins(&mut member, "c1", "g", &["T", "U"]);
    let of_g = [("consumerGroup", "g")];
    let body: ConsumerConnection = asked(&mut tool, request::GET_CONSUMER_CONNECTION_LIST, &of_g);
    let connection = &body.connection_set[0];
    assert_eq!((connection.client_id.as_str(), &connection.client_addr), ("c1", &address));
    assert_eq!((connection.language.as_str(), connection.version), ("JAVA", 513));
    assert_eq!(Vec::from_iter(body.subscription_table.keys()), ["T", "U"]);
    assert_eq!(body.subscription_table["T"].sub_string, "*");

    let of_p = [("producerGroup", "p")];
    let none = tool.call(request::GET_PRODUCER_CONNECTION_LIST, &of_p);
    assert_eq!(none.remark, "the producer group[p] not exist");
    heartbeat(&mut member, "p1", &[], &["p"]);
    let body: ProducerConnection = asked(&mut tool, request::GET_PRODUCER_CONNECTION_LIST, &of_p);
    assert_eq!(body.connection_set[0].client_id, "p1");
    let all: ProducerTableInfo = asked(&mut tool, request::GET_ALL_PRODUCER_INFO, &[]);
    let one = &all.data["p"][0];
    assert_eq!((one.client_id.as_str(), &one.remote_ip), ("p1", &format!("/{address}")));
    assert!(one.last_update_timestamp > 1_700_000_000_000);
}

#[test]
fn who_consumes_what_is_known_from_offsets_and_from_subscriptions() {
    let cluster = Cluster::start(1, &[]);
    let (mut member, mut tool) = (cluster.client(0), cluster.client(0));
    pulled(&mut tool, "makes topic and group");
    commit(&mut tool, "g", "0", "1");
    joins(&mut member, "c1", "online", &["T", "U"]);
    let groups: GroupList =
        asked(&mut tool, request::QUERY_TOPIC_CONSUME_BY_WHO, &[("topic", "T")]);
    assert_eq!(groups.group_list, ["g", "online"]);
    let topics: TopicList = asked(&mut tool, request::QUERY_TOPICS_BY_CONSUMER, &[("group", "g")]);
    assert_eq!(topics.topic_list, ["T"]);
    assert_eq!(topics.broker_addr, Some(cluster.shard_addr(0).to_string()));
    let code = request::QUERY_SUBSCRIPTION_BY_CONSUMER;
    let body: QuerySubscriptionResponseBody =
        asked(&mut tool, code, &[("group", "online"), ("topic", "U")]);
    assert_eq!(body.subscription_data.unwrap().sub_version, 1);
    let body: QuerySubscriptionResponseBody =
        asked(&mut tool, code, &[("group", "g"), ("topic", "T")]);
    assert_eq!(body.subscription_data, None);
}

#[test]
fn progress_is_told_by_queue_with_what_is_in_flight() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    for nth in 0..4 {
        client.put("T", "", &nth.to_string());
    }
    let messages = client.pull(&pull_from("T", 0)).messages();
    commit(&mut client, "g", "0", "3");
    let stats: TopicStatsTable =
        asked(&mut client, request::GET_TOPIC_STATS_INFO, &[("topic", "T")]);
    assert_eq!(stats.offset_table.len(), 4);
    let of_queue = &stats.offset_table[&queue(0)];
    let last_ms = messages[3].store_timestamp_ms;
    assert_eq!((of_queue.min_offset, of_queue.max_offset), (0, 4));
    assert_eq!(of_queue.last_update_timestamp, last_ms);
    assert_eq!(stats.offset_table[&queue(1)].max_offset, 0);

    for more in [&[][..], &[("topic", "T")], &[("topicList", "T;none;")]] {
        let fields = [&[("consumerGroup", "g")], more].concat();
        let stats: ConsumeStats = asked(&mut client, request::GET_CONSUME_STATS, &fields);
        let of_queue = &stats.offset_table[&queue(0)];
        let found = (of_queue.broker_offset, of_queue.consumer_offset, of_queue.pull_offset);
        assert_eq!(found, (4, 3, 4), "one message is in flight: {fields:?}");
        assert_eq!(of_queue.last_timestamp, messages[2].store_timestamp_ms);
        assert_eq!(stats.offset_table.len(), 4);
    }
    let stats: ConsumeStats =
        asked(&mut client, request::GET_CONSUME_STATS, &[("consumerGroup", "none")]);
    assert!(stats.offset_table.is_empty());

    let stats: ConsumeStatsList =
        asked(&mut client, request::GET_BROKER_CONSUME_STATS, &[("isOrder", "false")]);
    assert_eq!((stats.total_diff, stats.total_inflight_diff), (1, 1));
    let of_g = stats.consume_stats_list.iter().find_map(|groups| groups.get("g")).unwrap();
    assert_eq!(of_g[0].offset_table[&queue(0)].consumer_offset, 3);
    let ordered: ConsumeStatsList =
        asked(&mut client, request::GET_BROKER_CONSUME_STATS, &[("isOrder", "true")]);
    assert_eq!(ordered.total_diff, 0, "no topic is ordered");

    let span: QueryConsumeTimeSpanBody =
        asked(&mut client, request::QUERY_CONSUME_TIME_SPAN, &[("topic", "T"), ("group", "g")]);
    let of_queue = &span.consume_time_span_set[0];
    let times = [of_queue.min_time_stamp, of_queue.consume_time_stamp, of_queue.max_time_stamp];
    let stored = [0, 2, 3].map(|nth: usize| messages[nth].store_timestamp_ms);
    assert_eq!(times, stored);
    assert!((0..60_000).contains(&of_queue.delay_time), "{of_queue:?}");
    assert_eq!(span.consume_time_span_set[1].max_time_stamp, -1, "nothing there");
}

#[test]
fn a_topic_that_its_online_group_does_not_subscribe_to_is_left_out_of_its_progress() {
    let cluster = Cluster::start(1, &[]);
    let (mut member, mut tool) = (cluster.client(0), cluster.client(0));
    pulled(&mut tool, "x");
    commit(&mut tool, "g", "0", "1");
    joins(&mut member, "c1", "g", &["U"]);
    let of_g = [("consumerGroup", "g")];
    let stats: ConsumeStats = asked(&mut tool, request::GET_CONSUME_STATS, &of_g);
    assert!(stats.offset_table.is_empty());
    drop(member);
    crate::cluster::eventually("the group is offline", || {
        let stats: ConsumeStats = asked(&mut tool, request::GET_CONSUME_STATS, &of_g);
        stats.offset_table.len() == 4
    });
}

#[test]
fn offsets_are_corrected_and_copied_by_those_of_other_groups() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    for nth in 0..5 {
        client.put("T", "", &nth.to_string());
    }
    for (group, offset) in [("g", "3"), ("h", "4"), ("behind", "1")] {
        let pull = protocol::headers::PullHeader { consumer_group: group, ..pull_from("T", 0) };
        client.pull(&pull); // makes the group
        commit(&mut client, group, "0", offset);
    }
    let mut correction = |compared: &str, left_out: &str| {
        let fields = [("topic", "T"), ("compareGroup", compared), ("filterGroups", left_out)];
        let code = request::QUERY_CORRECTION_OFFSET;
        let body: QueryCorrectionOffsetBody = asked(&mut client, code, &fields);
        body.correction_offsets
    };
    assert_eq!(correction("g", ""), BTreeMap::from([(0, 1)]));
    assert_eq!(correction("behind", "behind"), BTreeMap::from([(0, i64::MAX)]));
    assert_eq!(correction("none", "behind,h"), BTreeMap::from([(0, 3)]), "none was forgotten");
    let code = request::CLONE_GROUP_OFFSET;
    let fields = [("srcGroup", "g"), ("destGroup", "copy"), ("offline", "true")];
    assert_eq!(client.call(code, &fields).code, 0);
    let all: ConsumerOffsets = asked(&mut client, request::GET_ALL_CONSUMER_OFFSET, &[]);
    assert_eq!(all.offset_table["T@copy"], BTreeMap::from([(0, 3)]));
    let bad = [("srcGroup", "g"), ("destGroup", "bad name"), ("offline", "true")];
    assert_eq!(client.call(code, &bad).code, response::SUBSCRIPTION_GROUP_NOT_EXIST);
}

#[test]
fn a_members_own_words_come_back_as_it_said_them() {
    let cluster = Cluster::start(1, &[]);
    let (mut member, mut tool) = (cluster.client(0), cluster.client(0));
    joins(&mut member, "c1", "g", &["T"]);
    let code = request::GET_CONSUMER_RUNNING_INFO;
    let named = [("consumerGroup", "g"), ("clientId", "c1"), ("jstackEnable", "true")];
    let opaque = tool.send(code, 0, fields(&named), &[]);
    let push = member.push(code);
    for (name, expected) in named {
        assert_eq!(push.field(name), expected);
    }
    member.answer_push(&push, 0, b"{not even: JSON");
    let reply = tool.answer_to(opaque);
    assert_eq!((reply.code, reply.body.as_slice()), (0, &b"{not even: JSON"[..]));
    let stranger = [("consumerGroup", "g"), ("clientId", "c2")];
    let reply = tool.call(code, &stranger);
    assert_eq!((reply.code, reply.remark.as_str()), (1, "The Consumer <g> <c2> not online"));
    let opaque = tool.send(code, 0, fields(&named), &[]);
    member.push(code);
    drop(member);
    assert_eq!(tool.answer_to(opaque).code, response::SYSTEM_ERROR, "it is gone");
}

#[test]
fn a_member_that_does_not_answer_in_10_seconds_has_timed_out() {
    let cluster = Cluster::start(1, &[]);
    let (mut member, mut tool) = (cluster.client(0), cluster.client(0));
    joins(&mut member, "c1", "g", &["T"]);
    let fields = [("consumerGroup", "g"), ("clientId", "c1")];
    let reply = tool.call(request::GET_CONSUMER_RUNNING_INFO, &fields);
    assert_eq!(reply.code, response::CONSUME_MSG_TIMEOUT, "{reply:?}");
    assert!(reply.remark.starts_with("consumer <g> <c1> Timeout"), "{reply:?}");
}

#[test]
fn a_message_is_handled_directly_by_the_member_that_a_tool_names() {
    let cluster = Cluster::start(1, &[]);
    let (mut member, mut tool) = (cluster.client(0), cluster.client(0));
    joins(&mut member, "c1", "g", &["T"]);
    let stored = pulled(&mut tool, "now");
    let id =
        OffsetMsgId { store_host: cluster.shard_addr(0), physical_offset: stored.physical_offset };
    let id = id.to_string();
    let code = request::CONSUME_MESSAGE_DIRECTLY;
    let named = |id| [("consumerGroup", "g"), ("clientId", "c1"), ("msgId", id), ("topic", "T")];
    let opaque = tool.send(code, 0, fields(&named(&id)), &[]);
    let push = member.push(code);
    for (name, expected) in [
        ("consumerGroup", "g"),
        ("clientId", "c1"),
        ("msgId", id.as_str()),
        ("brokerName", "broker-a"),
        ("topic", "T"),
        ("topicSysFlag", "0"),
        ("groupSysFlag", "0"),
    ] {
        assert_eq!(push.field(name), expected, "{name}");
    }
    assert_eq!(crate::client::Stored::parse_all(&push.body), [stored]);
    member.answer_push(&push, 0, br#"{"consumeResult":"CR_SUCCESS"}"#);
    assert_eq!(tool.answer_to(opaque).body, br#"{"consumeResult":"CR_SUCCESS"}"#);
    let nowhere = OffsetMsgId { store_host: cluster.shard_addr(0), physical_offset: 1 << 50 };
    for id in ["", "rubbish", &nowhere.to_string()] {
        let reply = tool.call(code, &named(id));
        assert_eq!(reply.code, response::SYSTEM_ERROR, "{id:?}: {reply:?}");
    }
}

#[test]
fn where_members_are_is_gathered_from_those_that_answer() {
    let cluster = Cluster::start(1, &[]);
    let (mut first, mut second) = (cluster.client(0), cluster.client(0));
    let mut tool = cluster.client(0);
    tool.put("T", "", "x");
    joins(&mut first, "c1", "g", &["T"]);
    joins(&mut second, "c2", "g", &["T"]);
    let code = request::INVOKE_BROKER_TO_GET_CONSUMER_STATUS;
    let named = [("topic", "T"), ("group", "g")];
    let opaque = tool.send(code, 0, fields(&named), &[]);
    // One after the other, in no order: each answers for itself.
    let answers = [(&mut first, "11"), (&mut second, "22")];
    std::thread::scope(|scope| {
        for (member, offset) in answers {
            scope.spawn(move || {
                let push = member.push(request::GET_CONSUMER_STATUS_FROM_CLIENT);
                assert_eq!((push.field("topic"), push.field("group")), ("T", "g"));
                let queue = r#"{"brokerName":"broker-a","queueId":0,"topic":"T"}"#;
                let body = format!(r#"{{"messageQueueTable":{{{queue}:{offset}}}}}"#);
                member.answer_push(&push, 0, body.as_bytes());
            });
        }
    });
    let reply: Frame = tool.answer_to(opaque);
    let body: GetConsumerStatusBody = from_lenient(&reply.body).unwrap();
    assert_eq!(body.consumer_table["c1"][&queue(0)], 11);
    assert_eq!(body.consumer_table["c2"][&queue(0)], 22);
    let opaque = tool.send(code, 0, fields(&[&named[..], &[("clientAddr", "c2")]].concat()), &[]);
    let push = second.push(request::GET_CONSUMER_STATUS_FROM_CLIENT);
    second.answer_push(&push, 0, b"rubbish");
    let body: GetConsumerStatusBody = from_lenient(&tool.answer_to(opaque).body).unwrap();
    assert!(body.consumer_table.is_empty(), "what can't be read is left out");
    let reply = tool.call(code, &[("topic", "T"), ("group", "none")]);
    assert_eq!(reply.code, response::SYSTEM_ERROR);
}

#[test]
fn delay_progress_is_told_as_its_file_has_it() {
    let cluster = Cluster::start(1, &["messageDelayLevel=1s 1h"]);
    let mut client = cluster.client(0);
    let later = SendHeader { properties: "DELAY\u{1}1", ..crate::client::message("T") };
    assert_eq!(client.send_message(&later, b"later").code, 0);
    client.pull(&crate::client::long_pull_from("T", 0, 20_000)).messages().remove(0);
    crate::cluster::eventually("level 1 has moved on", || {
        let body: DelayOffsets = asked(&mut client, request::GET_ALL_DELAY_OFFSET, &[]);
        body.offset_table.get(&1) == Some(&1)
    });
}

#[test]
fn two_shards_answer_for_themselves() {
    let cluster = Cluster::start(2, &[]);
    let (mut first, mut second) = (cluster.client(0), cluster.client(1));
    first.put("T", "", "x");
    first.pull(&pull_from("T", 0));
    commit(&mut first, "g", "0", "1");
    let stats: ConsumeStats =
        asked(&mut first, request::GET_CONSUME_STATS, &[("consumerGroup", "g")]);
    assert_eq!(stats.offset_table.keys().next().unwrap().broker_name, "broker-a-s0");
    let stats: ConsumeStats =
        asked(&mut second, request::GET_CONSUME_STATS, &[("consumerGroup", "g")]);
    assert!(stats.offset_table.is_empty());
    let reply = second.call(request::GET_TOPIC_STATS_INFO, &[("topic", "T")]);
    assert_eq!(reply.code, response::TOPIC_NOT_EXIST);
}
