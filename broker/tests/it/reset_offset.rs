//! A tool says where a group goes on: at a time, at an offset, at the end; online and offline.

use crate::client::{Client, Frame, long_pull_from, pull_from};
use crate::cluster::Cluster;
use crate::member::joins;
use crate::native_client::Native;
use protocol::bodies::{MessageQueue, ResetOffsetBody, ResetOffsetBodyForC};
use protocol::codes::{request, response};
use protocol::headers::PullHeader;
use protocol::json::from_lenient;
use protocol::native::{ArchivedOffsetIs, CommitOffset, Kind, QueryOffset};
use protocol::sys_flag::pull::COMMIT_OFFSET;
use std::collections::BTreeMap;

const GROUP: (&str, &str) = ("group", "g");
const TOPIC: (&str, &str) = ("topic", "T");

fn reset(client: &mut Client, more: &[(&str, &str)]) -> Frame {
    let own = [GROUP, TOPIC, ("isForce", "true")];
    client.call(request::INVOKE_BROKER_TO_RESET_OFFSET, &[&own, more].concat())
}

fn offsets(reply: &Frame) -> BTreeMap<i32, i64> {
    assert_eq!(reply.code, 0, "{reply:?}");
    let body: ResetOffsetBody = from_lenient(&reply.body).unwrap();
    let queue = |(queue, offset): (MessageQueue, i64)| {
        assert_eq!((queue.broker_name.as_str(), queue.topic.as_str()), ("broker-a", "T"));
        (queue.queue_id, offset)
    };
    body.offset_table.into_iter().map(queue).collect()
}

fn commit(client: &mut Client, queue_id: &str, offset: &str) -> Frame {
    let fields = [("consumerGroup", "g"), TOPIC, ("queueId", queue_id), ("commitOffset", offset)];
    client.call(request::UPDATE_CONSUMER_OFFSET, &fields)
}

fn committed(client: &mut Client, queue_id: &str) -> i64 {
    let fields = [("consumerGroup", "g"), TOPIC, ("queueId", queue_id)];
    client.call(request::QUERY_CONSUMER_OFFSET, &fields).number("offset")
}

/// Five messages in queue 0, all consumed by group `g`; when the third was stored.
fn five_consumed(client: &mut Client) -> i64 {
    for nth in 0..5 {
        client.put("T", "", &nth.to_string());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let messages = client.pull(&pull_from("T", 0)).messages();
    assert_eq!(commit(client, "0", "5").code, 0);
    messages[2].store_timestamp_ms
}

#[test]
fn an_offline_group_goes_on_at_a_time_and_its_next_pull_hears_of_it_once() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let third_ms = five_consumed(&mut client).to_string();
    let reply = reset(&mut client, &[("timestamp", &third_ms)]);
    assert_eq!(offsets(&reply), BTreeMap::from([(0, 2), (1, 0), (2, 0), (3, 0)]));
    assert_eq!(committed(&mut client, "0"), 2);
    // What a client commits that has not heard of it is ignored: by itself and in a pull.
    let ignored = commit(&mut client, "0", "5");
    assert_eq!((ignored.code, ignored.remark.as_str()), (0, "Offset has been previously reset"));
    let plain = pull_from("T", 5);
    let pull = PullHeader { sys_flag: plain.sys_flag | COMMIT_OFFSET, commit_offset: 5, ..plain };
    let told = client.pull(&pull);
    assert_eq!((told.code, told.remark.as_str()), (response::PULL_OFFSET_MOVED, "OFFSET_RESET"));
    let fields = ["nextBeginOffset", "minOffset", "maxOffset"].map(|field| told.number(field));
    assert_eq!(fields, [2, 0, 5]);
    assert_eq!(committed(&mut client, "0"), 2);
    assert_eq!(client.pull(&pull_from("T", 2)).messages().len(), 3, "told once");
    assert_eq!((commit(&mut client, "0", "4").code, committed(&mut client, "0")), (0, 4));
}

#[test]
fn a_consumer_that_waits_for_messages_hears_of_a_reset_at_once() {
    let cluster = Cluster::start(1, &[]);
    let (mut consumer, mut tool) = (cluster.client(0), cluster.client(0));
    five_consumed(&mut consumer);
    let other = PullHeader { consumer_group: "other", ..long_pull_from("T", 5, 100_000) };
    let other = consumer.start_pull(&other);
    let waits = consumer.start_pull(&long_pull_from("T", 5, 100_000));
    // Answered behind the pulls: both wait.
    consumer.call(request::GET_MAX_OFFSET, &[TOPIC, ("queueId", "0")]);
    offsets(&reset(&mut tool, &[("timestamp", "0")]));
    let told = consumer.answer_to(waits);
    assert_eq!((told.code, told.number("nextBeginOffset")), (response::PULL_OFFSET_MOVED, 0));
    tool.put("T", "", "wakes the other group");
    assert_eq!(consumer.answer_to(other).messages().len(), 1, "it waited on");
}

#[test]
fn one_queue_is_reset_to_an_offset_or_all_to_their_ends() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    five_consumed(&mut client);
    let mut one = |offset: &str| {
        reset(&mut client, &[("timestamp", "0"), ("queueId", "0"), ("offset", offset)])
    };
    assert_eq!(offsets(&one("1")), BTreeMap::from([(0, 1)]));
    let reply = one("7");
    let remark = "Target offset 7 not in consume queue range [0-5]";
    assert_eq!((reply.code, reply.remark.as_str()), (response::SYSTEM_ERROR, remark));
    assert_eq!(one("-5").code, response::SYSTEM_ERROR);
    let reply = reset(&mut client, &[("timestamp", "-1")]);
    assert_eq!(offsets(&reply), BTreeMap::from([(0, 5), (1, 0), (2, 0), (3, 0)]));
}

#[test]
fn what_can_not_be_reset_is_refused_by_name() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    five_consumed(&mut client);
    let code = request::INVOKE_BROKER_TO_RESET_OFFSET;
    let common = [("isForce", "true"), ("timestamp", "0")];
    let mut asked = |of: &[(&str, &str)]| client.call(code, &[&common[..], of].concat()).code;
    assert_eq!(asked(&[GROUP, ("topic", "none")]), response::TOPIC_NOT_EXIST);
    assert_eq!(asked(&[("group", "none"), TOPIC]), response::SUBSCRIPTION_GROUP_NOT_EXIST);
    for queue_id in ["4", "2147483647"] {
        assert_eq!(asked(&[GROUP, TOPIC, ("queueId", queue_id)]), response::INVALID_PARAMETER);
    }
    for missing in [&[GROUP][..], &[TOPIC], &[GROUP, TOPIC, ("queueId", "x")]] {
        assert_eq!(asked(missing), response::SYSTEM_ERROR);
    }
    assert_eq!(asked(&[GROUP, TOPIC, ("timestamp", "9223372036854775807")]), 0);
}

#[test]
fn a_reset_survives_a_restart_as_the_groups_offset() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    five_consumed(&mut client);
    offsets(&reset(&mut client, &[("timestamp", "0")]));
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker();
    let mut client = cluster.client(0);
    assert_eq!(committed(&mut client, "0"), 0);
    assert_eq!(client.pull(&pull_from("T", 0)).messages().len(), 5, "nothing is left to tell");
}

#[test]
fn without_server_side_resets_the_clients_are_told_and_an_offline_group_can_not_be() {
    let cluster = Cluster::start(1, &["useServerSideResetOffset=false"]);
    let (mut consumer, mut tool) = (cluster.client(0), cluster.client(0));
    five_consumed(&mut consumer);
    let none = reset(&mut tool, &[("timestamp", "0")]);
    assert_eq!(none.remark, "THe consumer group <g> not exist", "queue 1 has no offset");
    for queue_id in ["1", "2", "3"] {
        commit(&mut consumer, queue_id, "0");
    }
    let offline = reset(&mut tool, &[("timestamp", "0")]);
    assert_eq!(offline.code, response::CONSUMER_NOT_ONLINE, "{offline:?}");
    joins(&mut consumer, "c1", "g", &["T"]);
    let reply = reset(&mut tool, &[("timestamp", "0")]);
    assert_eq!(offsets(&reply)[&0], 0);
    let push = consumer.push(request::RESET_CONSUMER_CLIENT_OFFSET);
    assert_eq!((push.field("group"), push.field("topic")), ("g", "T"));
    assert_eq!(offsets(&Frame { code: 0, ..push })[&0], 0);
    assert_eq!(committed(&mut consumer, "0"), 5, "the client commits");
    assert_eq!(consumer.pull(&pull_from("T", 5)).code, response::PULL_NOT_FOUND);
    // Without force, no group goes forward.
    commit(&mut consumer, "0", "1");
    let own = [GROUP, TOPIC, ("isForce", "false"), ("timestamp", "-1")];
    let reply = tool.call(request::INVOKE_BROKER_TO_RESET_OFFSET, &own);
    assert_eq!(offsets(&reply)[&0], 1);
}

#[test]
fn a_tool_of_cpp_has_the_clients_told_as_cpp_reads_it() {
    let cluster = Cluster::start(1, &["useServerSideResetOffset=false"]);
    let (mut consumer, mut tool) = (cluster.client(0), cluster.client(0));
    five_consumed(&mut consumer);
    for queue_id in ["1", "2", "3"] {
        commit(&mut consumer, queue_id, "0");
    }
    joins(&mut consumer, "c1", "g", &["T"]);
    let fields = r#"{"group":"g","topic":"T","isForce":"true","timestamp":"0"}"#;
    let header = format!(
        r#"{{"code":222,"language":"CPP","version":63,"opaque":9,"flag":0,"extFields":{fields}}}"#
    );
    let header = header.as_bytes();
    let length = u32::try_from(header.len()).unwrap();
    let frame = [&(length + 4).to_be_bytes()[..], &length.to_be_bytes(), header].concat();
    std::io::Write::write_all(&mut tool.stream, &frame).unwrap();
    assert_eq!(offsets(&tool.answer_to(9))[&0], 0);
    let push = consumer.push(request::RESET_CONSUMER_CLIENT_OFFSET);
    let told: ResetOffsetBodyForC = from_lenient(&push.body).unwrap();
    assert_eq!(told.offset_table.len(), 4);
}

#[test]
fn a_native_consumer_finds_a_reset_when_it_asks_and_its_commits_count_again() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    five_consumed(&mut client);
    offsets(&reset(&mut client, &[("timestamp", "0")]));
    let mut native = Native::connect(&cluster);
    let query = QueryOffset { queue_id: 0, group: "g".into(), topic: "T".into() };
    let answer = native.call(Kind::QueryOffset, &query, &[]);
    let view = answer.view();
    assert_eq!(view.header::<ArchivedOffsetIs>().unwrap().committed.to_native(), 0);
    let commit = CommitOffset { queue_id: 0, offset: 4, group: "g".into(), topic: "T".into() };
    assert_eq!(native.call(Kind::CommitOffset, &commit, &[]).view().kind, Kind::Committed);
    assert_eq!(committed(&mut client, "0"), 4);
    assert_eq!(client.pull(&pull_from("T", 4)).messages().len(), 1, "no pull is told of it");
}
