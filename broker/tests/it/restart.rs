//! What was acknowledged, committed and created is there after a restart.

use crate::client::{Client, pull_from};
use crate::cluster::Cluster;
use protocol::codes::request;

fn texts(client: &mut Client, offset: i64) -> Vec<String> {
    client
        .pull(&pull_from("T", offset))
        .messages()
        .iter()
        .map(|message| message.text().to_owned())
        .collect()
}

#[test]
fn a_graceful_restart_keeps_messages_offsets_topics_and_groups() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    (0..5).for_each(|n| _ = client.put("T", "", &n.to_string()));
    assert_eq!(texts(&mut client, 0).len(), 5);
    let offset = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "3")];
    assert_eq!(client.call(request::UPDATE_CONSUMER_OFFSET, &offset).code, 0);
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0));
    assert!(client.is_closed());

    cluster.restart_broker();
    let mut client = cluster.client(0);
    assert_eq!(texts(&mut client, 0), ["0", "1", "2", "3", "4"]);
    let query = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0")];
    assert_eq!(client.call(request::QUERY_CONSUMER_OFFSET, &query).number("offset"), 3);
    assert_eq!(client.put("T", "", "5").number("queueOffset"), 5, "the queue goes on");
    assert_eq!(texts(&mut client, 4), ["4", "5"], "from disk and from memory");
    assert_eq!(cluster.brokers_of("T"), ["broker-a"]);
}

#[test]
fn a_stop_in_the_middle_of_a_save_writes_every_table() {
    let mut cluster = Cluster::start(1, &[]);
    for nth in 0..16 {
        let mut client = cluster.client(0);
        // The file of the first is being written when there is a second, and then a stop.
        client.put(&format!("T{nth}-first"), "", "makes a topic");
        client.put(&format!("T{nth}-second"), "", "makes another");
        assert_eq!(cluster.broker.stop(), Some(0), "stop {nth}: {}", cluster.broker.log());
        let saved = std::fs::read_to_string(cluster.store().join("config/topics.json")).unwrap();
        for name in ["first", "second"] {
            assert!(saved.contains(&format!("\"T{nth}-{name}\"")), "{saved}");
        }
        cluster.restart_broker();
    }
}

#[test]
fn a_killed_broker_comes_back_with_what_it_had_written() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    (0..20).for_each(|n| _ = client.put("T", "", &n.to_string()));
    // ASYNC_FLUSH: acknowledged in memory, written at once after that.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    cluster.broker.signal("KILL");
    cluster.broker.wait();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    assert_eq!(
        client.call(request::GET_MAX_OFFSET, &[("topic", "T"), ("queueId", "0")]).number("offset"),
        20
    );
    assert_eq!(texts(&mut client, 0)[..2], ["0", "1"]);
}
