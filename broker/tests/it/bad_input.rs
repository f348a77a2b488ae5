//! What consumers send that can't be right: each has RocketMQ's code, no connection ends for it,
//! and no consumer is stuck afterwards.

use crate::client::{Client, long_pull_from, message, pull_from};
use crate::cluster::{Cluster, eventually};
use crate::member::{consumer, heartbeat, joins};
use crate::retry::{pulled, send_back};
use protocol::bodies::{ConsumerData, LockBatchResponseBody, SubscriptionData};
use protocol::codes::{request, response};
use protocol::headers::{PullHeader, SendHeader};
use protocol::json::from_lenient;

/// The last word of each test: the group reads everything of the queue.
fn still_reads(client: &mut Client, count: usize) {
    let messages = client.pull(&pull_from("T", 0)).messages();
    assert_eq!(messages.len(), count);
}

#[test]
fn offsets_beyond_the_end_and_below_the_start_are_corrected_at_once() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "only");
    for (offset, code, next) in [
        (1, response::PULL_NOT_FOUND, 1),
        (2, response::PULL_OFFSET_MOVED, 1),
        (i64::MAX, response::PULL_OFFSET_MOVED, 1),
        (-1, response::PULL_OFFSET_MOVED, 0),
        (i64::MIN, response::PULL_OFFSET_MOVED, 0),
    ] {
        // A long poll at a wrong offset would wait for a message that never comes.
        let header =
            if offset == 1 { pull_from("T", 1) } else { long_pull_from("T", offset, 100_000) };
        let reply = client.pull(&header);
        let found = (reply.code, reply.number("nextBeginOffset"), reply.number("maxOffset"));
        assert_eq!(found, (code, next, 1), "{offset}: {reply:?}");
    }
    // A queue without messages: only offset 0 is right.
    let empty = |offset| PullHeader { queue_id: 3, ..long_pull_from("T", offset, 100_000) };
    let reply = client.pull(&empty(7));
    assert_eq!((reply.code, reply.number("nextBeginOffset")), (response::PULL_OFFSET_MOVED, 0));
    still_reads(&mut client, 1);
}

#[test]
fn queues_that_are_not_there_are_refused_whatever_is_asked_of_them() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    pulled(&mut client, "x");
    for queue_id in [-1, 4, i32::MIN, i32::MAX] {
        let pull = PullHeader { queue_id, ..long_pull_from("T", 0, 100_000) };
        assert_eq!(client.pull(&pull).code, response::INVALID_PARAMETER, "{queue_id}");
        let id = queue_id.to_string();
        let queue = [("consumerGroup", "g"), ("topic", "T"), ("queueId", id.as_str())];
        let commit = [&queue[..], &[("commitOffset", "1")]].concat();
        let reply = client.call(request::UPDATE_CONSUMER_OFFSET, &commit);
        assert_eq!(reply.code, response::INVALID_PARAMETER, "{queue_id}: {reply:?}");
        let reply = client.call(request::QUERY_CONSUMER_OFFSET, &queue);
        assert_eq!(reply.code, response::QUERY_NOT_FOUND, "{queue_id}: {reply:?}");
        for code in [request::GET_MAX_OFFSET, request::GET_MIN_OFFSET] {
            let reply = client.call(code, &queue);
            assert_eq!((reply.code, reply.number("offset")), (0, 0), "{queue_id}");
        }
        let by_time = [&queue[..], &[("timestamp", "0")]].concat();
        let reply = client.call(request::SEARCH_OFFSET_BY_TIMESTAMP, &by_time);
        assert_eq!((reply.code, reply.number("offset")), (0, 0), "{queue_id}");
    }
    still_reads(&mut client, 1);
}

#[test]
fn members_that_disagree_get_what_the_newest_subscription_says_and_converge() {
    let cluster = Cluster::start(1, &[]);
    let (mut first, mut second) = (cluster.client(0), cluster.client(0));
    first.put("T", "a", "1");
    first.put("T", "b", "2");
    let wants = |expression: &str, version: i64| ConsumerData {
        subscription_data_set: vec![SubscriptionData::from_tags("T", expression, version)],
        ..consumer("g", &[])
    };
    let bare = |version| PullHeader {
        sys_flag: 0,
        subscription: None,
        sub_version: version,
        ..pull_from("T", 0)
    };
    heartbeat(&mut first, "c1", &[wants("a", 5)], &[]);
    heartbeat(&mut second, "c2", &[wants("b", 9)], &[]);
    heartbeat(&mut first, "c1", &[wants("a", 5)], &[]);
    let texts = |reply: crate::client::Frame| -> Vec<String> {
        reply.messages().iter().map(|message| message.text().to_owned()).collect()
    };
    assert_eq!(texts(first.pull(&bare(5))), ["2"], "the newer one holds for all");
    assert_eq!(texts(second.pull(&bare(9))), ["2"]);
    assert_eq!(first.pull(&bare(10)).code, response::SUBSCRIPTION_NOT_LATEST);
    // Other topics: the last heartbeat's set holds. Nobody is stuck: 24, and the next heartbeat.
    heartbeat(&mut second, "c2", &[consumer("g", &["U"])], &[]);
    assert_eq!(first.pull(&bare(5)).code, response::SUBSCRIPTION_NOT_EXIST);
    heartbeat(&mut first, "c1", &[wants("a", 11)], &[]);
    assert_eq!(texts(first.pull(&bare(11))), ["1"]);
}

#[test]
fn an_unknown_group_is_refused_everywhere_when_groups_are_not_created() {
    let cluster = Cluster::start(1, &["autoCreateSubscriptionGroup=false"]);
    let mut client = cluster.client(0);
    client.put("T", "", "x");
    let no_group = response::SUBSCRIPTION_GROUP_NOT_EXIST;
    assert_eq!(client.pull(&long_pull_from("T", 0, 100_000)).code, no_group);
    assert_eq!(send_back(&mut client, 0, "0", &[]).code, no_group);
    let retry = SendHeader { reconsume_times: 1, ..message("%RETRY%g") };
    assert_eq!(client.send_message(&retry, b"x").code, no_group);
    let queue = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "1")];
    assert_eq!(client.call(request::UPDATE_CONSUMER_OFFSET, &queue).code, no_group);
    joins(&mut client, "c1", "g", &["T"]);
    let list = client.call(request::GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "g")]);
    assert_eq!(list.code, response::SYSTEM_ERROR, "it is in no group");
    let lock = br#"{"clientId":"c1","consumerGroup":"g","mqSet":[
        {"brokerName":"broker-a","queueId":0,"topic":"T"}]}"#;
    let reply = client.call_with(request::LOCK_BATCH_MQ, &[], lock);
    let locked: LockBatchResponseBody = from_lenient(&reply.body).unwrap();
    assert!(locked.lock_ok_mq_set.is_empty());
    let reset = [("topic", "T"), ("group", "g"), ("timestamp", "0"), ("isForce", "true")];
    assert_eq!(client.call(request::INVOKE_BROKER_TO_RESET_OFFSET, &reset).code, no_group);
}

#[test]
fn a_lock_for_a_queue_that_is_not_there_is_given_and_stops_nobody() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "x");
    let body = |id: &str, topic: &str, queue_id: i32| {
        format!(
            r#"{{"clientId":"{id}","consumerGroup":"g","mqSet":[
            {{"brokerName":"broker-a","queueId":{queue_id},"topic":"{topic}"}}]}}"#
        )
    };
    let mut lock = |id: &str, topic: &str, queue_id: i32| {
        let body = body(id, topic, queue_id);
        let reply = client.call_with(request::LOCK_BATCH_MQ, &[], body.as_bytes());
        assert_eq!(reply.code, 0, "{reply:?}");
        from_lenient::<LockBatchResponseBody>(&reply.body).unwrap().lock_ok_mq_set.len()
    };
    // Apache asks nobody whether a queue exists; nor need we: a lock of nothing keeps nobody out.
    for (topic, queue_id) in [("T", 99), ("T", -1), ("none", 0)] {
        assert_eq!(lock("c1", topic, queue_id), 1, "{topic} {queue_id}");
        assert_eq!(lock("c2", topic, queue_id), 0, "{topic} {queue_id}");
    }
    assert_eq!(lock("c2", "T", 0), 1);
    for body in [&b"rubbish"[..], b"{}", br#"{"mqSet":[{}]}"#, br#"{"mqSet":{"a":1}}"#] {
        client.call_with(request::LOCK_BATCH_MQ, &[], body);
        client.call_with(request::UNLOCK_BATCH_MQ, &[], body);
    }
    still_reads(&mut client, 1);
}

#[test]
fn a_send_back_of_what_is_no_message_or_another_topics_is_decided_by_the_record() {
    let cluster = Cluster::start(1, &["messageDelayLevel=1s"]);
    let mut client = cluster.client(0);
    let stored = pulled(&mut client, "a record");
    let at = stored.physical_offset;
    for offset in [at + 1, at + 7, 1 << 50, -1, i64::MIN, i64::MAX] {
        let reply = send_back(&mut client, offset, "1", &[]);
        let remark = format!("look message by offset failed, {offset}");
        assert_eq!((reply.code, reply.remark), (response::SYSTEM_ERROR, remark), "{offset}");
    }
    // What topic the request names does not count: the record knows.
    let lies = [("originTopic", "Other"), ("originMsgId", "rubbish")];
    assert_eq!(send_back(&mut client, at, "1", &lies).code, 0);
    let retry = client.pull(&long_pull_from("%RETRY%g", 0, 20_000)).messages().remove(0);
    assert_eq!(retry.properties["RETRY_TOPIC"], "T");
    assert_eq!(retry.text(), "a record");
    still_reads(&mut client, 1);
}

#[test]
fn absurd_delays_become_the_highest_level_or_a_dead_letter() {
    let cluster = Cluster::start(1, &["messageDelayLevel=1s 1s"]);
    let mut client = cluster.client(0);
    let stored = pulled(&mut client, "x");
    for level in ["99", "2147483647"] {
        assert_eq!(send_back(&mut client, stored.physical_offset, level, &[]).code, 0, "{level}");
    }
    for level in ["-1", "-2147483648"] {
        assert_eq!(send_back(&mut client, stored.physical_offset, level, &[]).code, 0, "{level}");
    }
    for offset in 0..2 {
        let retry = client.pull(&long_pull_from("%RETRY%g", offset, 20_000));
        assert_eq!(retry.messages()[0].properties["DELAY"], "2");
    }
    assert_eq!(client.pull(&pull_from("%DLQ%g", 0)).messages().len(), 2);
    for level in ["x", "", "99999999999"] {
        let reply = send_back(&mut client, stored.physical_offset, level, &[]);
        assert_eq!(reply.code, response::SYSTEM_ERROR, "{level:?}: {reply:?}");
    }
    for delay in ["DELAY\u{1}99", "DELAY\u{1}2147483647"] {
        let header = SendHeader { properties: delay, ..message("Delayed") };
        assert_eq!(client.send_message(&header, b"x").code, 0, "{delay:?}");
    }
    for nonsense in ["DELAY\u{1}-7", "DELAY\u{1}x", "DELAY\u{1}99999999999"] {
        let header = SendHeader { properties: nonsense, ..message("AtOnce") };
        assert_eq!(client.send_message(&header, b"x").code, 0, "{nonsense:?}");
    }
    assert_eq!(client.pull(&pull_from("AtOnce", 0)).messages().len(), 3);
    eventually("the delayed ones are there", || {
        client.pull(&pull_from("Delayed", 0)).messages().len() == 2
    });
}

#[test]
fn absurd_pulls_are_answered_within_the_limits() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    for nth in 0..3 {
        client.put("T", "", &nth.to_string());
    }
    for max_msg_nums in [i32::MIN, -1, 0] {
        let pull = PullHeader { max_msg_nums, ..pull_from("T", 0) };
        assert_eq!(client.pull(&pull).messages().len(), 1, "{max_msg_nums}");
    }
    let pull = PullHeader { max_msg_nums: i32::MAX, ..pull_from("T", 0) };
    assert_eq!(client.pull(&pull).messages().len(), 3);
    // A poll of no time, and of less, does not wait.
    for ms in [0, -1, i64::MIN] {
        assert_eq!(client.pull(&long_pull_from("T", 3, ms)).code, response::PULL_NOT_FOUND);
    }
    let committed = PullHeader {
        sys_flag: protocol::sys_flag::pull::COMMIT_OFFSET | pull_from("T", 0).sys_flag,
        commit_offset: i64::MIN,
        ..pull_from("T", 0)
    };
    assert_eq!(client.pull(&committed).code, 0);
    let queue = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0")];
    let reply = client.call(request::QUERY_CONSUMER_OFFSET, &queue);
    assert_eq!(reply.number("offset"), 0, "nothing was committed");
    // An offset beyond the end is the client's own affair: it is kept, and corrected when it pulls.
    let beyond = [&queue[..], &[("commitOffset", "9223372036854775807")]].concat();
    assert_eq!(client.call(request::UPDATE_CONSUMER_OFFSET, &beyond).code, 0);
    let reply = client.pull(&pull_from("T", i64::MAX));
    assert_eq!((reply.code, reply.number("nextBeginOffset")), (response::PULL_OFFSET_MOVED, 3));
}

#[test]
fn expression_types_mind_the_case_as_apaches_do() {
    let cluster = Cluster::start(1, &["enablePropertyFilter=true"]);
    let mut client = cluster.client(0);
    client.put("T", "a", "x");
    for (kind, code) in
        [(Some("TAG"), 0), (None, 0), (Some("tag"), 23), (Some("sql92"), 23), (Some("SQL92"), 0)]
    {
        let expression = if kind == Some("SQL92") { "TAGS = 'a'" } else { "a" };
        let pull = PullHeader {
            expression_type: kind,
            subscription: Some(expression),
            ..pull_from("T", 0)
        };
        assert_eq!(client.pull(&pull).code, code, "{kind:?}");
        let check = format!(
            r#"{{"clientId":"c","group":"g","subscriptionData":{{"expressionType":"{}",
            "subString":"{expression}","topic":"T"}}}}"#,
            kind.unwrap_or_default()
        );
        let reply = client.call_with(request::CHECK_CLIENT_CONFIG, &[], check.as_bytes());
        assert_eq!(reply.code, code, "{kind:?}: {reply:?}");
    }
}
