//! Rates, as mqadmin's statsAll, consumerProgress and topicStatus print them: what is counted, by
//! which names, and what is forgotten.

use crate::client::{Client, pull_from};
use crate::cluster::{Cluster, eventually};
use crate::retry::send_back;
use protocol::bodies::{BrokerStatsData, ConsumeStats, ConsumeStatsList, TopicStatsTable};
use protocol::codes::{request, response};
use protocol::json::from_lenient;
use serde::de::DeserializeOwned;

/// Sends and pulls of the first test.
const SENDS: u64 = 30;

fn asked<T: DeserializeOwned>(client: &mut Client, code: i32, fields: &[(&str, &str)]) -> T {
    let reply = client.call(code, fields);
    assert_eq!(reply.code, 0, "{reply:?}");
    from_lenient(&reply.body).unwrap()
}

fn try_view(client: &mut Client, name: &str, key: &str) -> testkit::remoting::Frame {
    client.call(request::VIEW_BROKER_STATS_DATA, &[("statsName", name), ("statsKey", key)])
}

fn view(client: &mut Client, name: &str, key: &str) -> BrokerStatsData {
    let reply = try_view(client, name, key);
    assert_eq!(reply.code, 0, "{name} {key}: {reply:?}");
    from_lenient(&reply.body).unwrap()
}

/// What the last minute says, as soon as it says `sum`. Samples are 10 s apart.
fn minute(client: &mut Client, name: &str, key: &str, sum: u64) -> (f64, f64) {
    eventually(&format!("{name} of {key} is {sum}"), || {
        view(client, name, key).stats_minute.sum == sum
    });
    let found = view(client, name, key).stats_minute;
    (found.tps, found.avgpt)
}

#[test]
fn rates_of_topics_and_groups_are_known_by_apaches_names_within_ten_seconds() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    for nth in 0..SENDS {
        client.put("T", "", &format!("{nth:08}"));
    }
    let found = client.pull(&pull_from("T", 0));
    let (messages, bytes) = (found.messages(), found.body.len() as u64);
    assert_eq!(messages.len() as u64, SENDS);
    assert_eq!(send_back(&mut client, messages[0].physical_offset, "9", &[]).code, 0);

    let (per_second, by_request) = minute(&mut client, "TOPIC_PUT_NUMS", "T", SENDS);
    assert!(per_second > 0.0 && per_second <= SENDS as f64 / 10.0, "{per_second}");
    assert_eq!(by_request, 1.0);
    let (_, of_one) = minute(&mut client, "TOPIC_PUT_SIZE", "T", bytes);
    assert_eq!(of_one, bytes as f64 / SENDS as f64);
    let (per_second, of_pull) = minute(&mut client, "GROUP_GET_NUMS", "T@g", SENDS);
    assert_eq!((per_second > 0.0, of_pull), (true, SENDS as f64), "one pull");
    assert_eq!(minute(&mut client, "GROUP_GET_SIZE", "T@g", bytes).1, bytes as f64);
    assert!(view(&mut client, "GROUP_GET_LATENCY", "T@g").stats_minute.sum < 1_000);
    assert_eq!(minute(&mut client, "SNDBCK_PUT_NUMS", "T@g", 1).1, 1.0);
    assert_eq!(minute(&mut client, "TOPIC_PUT_NUMS", "SCHEDULE_TOPIC_XXXX", 1).1, 1.0);
    let cluster_name = "DefaultCluster";
    minute(&mut client, "BROKER_PUT_NUMS", cluster_name, SENDS + 1);
    minute(&mut client, "BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC", cluster_name, SENDS);
    minute(&mut client, "BROKER_GET_NUMS", cluster_name, SENDS);
    let all = view(&mut client, "TOPIC_PUT_NUMS", "T");
    assert!(all.stats_hour.sum <= SENDS && all.stats_day.sum <= SENDS, "{all:?}");

    let of_topic = [("topic", "T")];
    let topic: TopicStatsTable = asked(&mut client, request::GET_TOPIC_STATS_INFO, &of_topic);
    assert!(topic.topic_put_tps > 0.0);
    let fields = [("consumerGroup", "g"), ("topic", "T")];
    let group: ConsumeStats = asked(&mut client, request::GET_CONSUME_STATS, &fields);
    assert!(group.consume_tps > 0.0);
    let offset = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "1")];
    assert_eq!(client.call(request::UPDATE_CONSUMER_OFFSET, &offset).code, 0);
    let code = request::GET_BROKER_CONSUME_STATS;
    let all: ConsumeStatsList = asked(&mut client, code, &[("isOrder", "false")]);
    let of_g = all.consume_stats_list.iter().find_map(|groups| groups.get("g")).unwrap();
    assert!(of_g[0].consume_tps > 0.0, "{of_g:?}");

    assert_eq!(client.call(request::DELETE_TOPIC_IN_BROKER, &of_topic).code, 0);
    assert_eq!(try_view(&mut client, "TOPIC_PUT_NUMS", "T").code, response::SYSTEM_ERROR);
    assert_eq!(try_view(&mut client, "GROUP_GET_NUMS", "T@g").code, response::SYSTEM_ERROR);
}

#[test]
fn what_was_never_counted_is_refused_as_apache_refuses_it() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "counted");
    for (name, key) in [
        ("TOPIC_PUT_NUMS", "none"),
        ("GROUP_GET_NUMS", "T@g"),
        ("GROUP_GET_NUMS", "no separator"),
        ("SNDBCK_PUT_NUMS", "@"),
        ("BROKER_PUT_NUMS", "another cluster"),
        ("QUEUE_PUT_NUMS", "T@0"),
        ("", ""),
        ("T", "TOPIC_PUT_NUMS"),
    ] {
        let reply = try_view(&mut client, name, key);
        assert_eq!(reply.code, response::SYSTEM_ERROR, "{reply:?}");
        assert_eq!(reply.remark, format!("The stats <{name}> <{key}> not exist"));
    }
    let reply = client.call(request::VIEW_BROKER_STATS_DATA, &[("statsName", "TOPIC_PUT_NUMS")]);
    assert_eq!(reply.code, response::SYSTEM_ERROR);
    assert!(reply.remark.contains("statsKey"), "{reply:?}");
    let fresh = view(&mut client, "TOPIC_PUT_NUMS", "T");
    assert!(fresh.stats_minute.sum <= 1, "{fresh:?}");
}
