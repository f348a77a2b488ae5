//! Two shards are two brokers.

use crate::client::{message, pull_from};
use crate::cluster::{Cluster, eventually, run_broker};
use protocol::codes::{request, response};

#[test]
fn a_topic_that_one_shard_creates_stays_there_as_on_one_of_two_masters() {
    let cluster = Cluster::start(2, &[]);
    let (mut first, mut second) = (cluster.client(0), cluster.client(1));
    first.put("T", "", "on the first");
    eventually("it is in the route of the first", || cluster.brokers_of("T") == ["broker-a-s0"]);
    let mut refuses_creation = message("T");
    refuses_creation.default_topic = "none";
    let refused = second.send_message(&refuses_creation, b"on the second");
    assert_eq!(refused.code, response::TOPIC_NOT_EXIST);
    assert_eq!(second.pull(&pull_from("T", 0)).code, response::TOPIC_NOT_EXIST);
    let id = second.put("T", "", "on the second").field("msgId").to_owned();
    assert_eq!(first.pull(&pull_from("T", 0)).messages()[0].text(), "on the first");
    assert_eq!(second.pull(&pull_from("T", 0)).messages()[0].text(), "on the second");
    eventually("both are in the route", || {
        cluster.brokers_of("T") == ["broker-a-s0", "broker-a-s1"]
    });
    let host = protocol::ids::OffsetMsgId::parse(&id).unwrap().store_host;
    assert_eq!(host, cluster.shard_addr(1), "the message id leads to the shard");
}

#[test]
fn each_shard_has_rocketmqs_layout_in_its_own_folder() {
    let cluster = Cluster::start(2, &[]);
    cluster.client(1).put("T", "", "x");
    eventually("files are there", || {
        ["shard-0/commitlog", "shard-1/commitlog", "shard-1/config/topics.json"]
            .iter()
            .all(|path| cluster.store().join(path).exists())
    });
    assert!(!cluster.store().join("commitlog").exists());
}

#[test]
fn another_number_of_shards_is_refused_with_the_fix() {
    let mut cluster = Cluster::start(2, &[]);
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0));
    let store = format!("storePathRootDir={}", cluster.store().display());
    let output =
        run_broker(&["--set", &store, "--set", "shardCount=1", "--set", "brokerIP1=127.0.0.1"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success()
            && said.contains("has 2 shard(s)")
            && said.contains("Fix: set shardCount=2"),
        "{said}"
    );
}

#[test]
fn the_shards_leave_the_route_when_the_broker_stops() {
    let mut cluster = Cluster::start(2, &[]);
    (0..2).for_each(|shard| _ = cluster.client(shard).put("T", "", "x"));
    eventually("it is in the route", || cluster.brokers_of("T").len() == 2);
    cluster.broker.signal("INT");
    assert_eq!(cluster.broker.wait(), Some(0));
    assert!(cluster.brokers_of("T").is_empty());
    let info = crate::client::Client::connect(cluster.name_server_addr)
        .call(request::GET_BROKER_CLUSTER_INFO, &[]);
    assert!(!String::from_utf8_lossy(&info.body).contains("broker-a"));
}
