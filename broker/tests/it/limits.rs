//! How many clients may do what: each limit has a key, and whoever comes over it is told so. Those
//! who were there before go on.

use crate::client::{Client, long_pull_from, pull_from};
use crate::cluster::Cluster;
use crate::member::{consumer, heartbeat, joins};
use protocol::codes::{request, response};
use protocol::headers::PullHeader;

/// Waits until what came before on this connection has been looked at.
fn settle(client: &mut Client) {
    client.call(request::GET_MAX_OFFSET, &[("topic", "T"), ("queueId", "0")]);
}

#[test]
fn one_long_poll_too_many_is_refused_and_the_others_wait_on() {
    let cluster = Cluster::start(1, &["longPollsMax=3"]);
    let (mut waiting, mut late) = (cluster.client(0), cluster.client(0));
    waiting.put("T", "", "first");
    let polls: Vec<_> =
        (0..3).map(|_| waiting.start_pull(&long_pull_from("T", 1, 100_000))).collect();
    settle(&mut waiting);
    let reply = late.pull(&long_pull_from("T", 1, 100_000));
    assert_eq!(reply.code, response::SYSTEM_BUSY, "{reply:?}");
    assert!(reply.remark.contains("longPollsMax"), "{reply:?}");
    assert_eq!(late.pull(&pull_from("T", 1)).code, response::PULL_NOT_FOUND, "it need not wait");
    assert_eq!(late.pull(&long_pull_from("T", 0, 100_000)).messages().len(), 1);
    late.put("T", "", "second");
    for opaque in polls {
        assert_eq!(waiting.answer_to(opaque).messages()[0].text(), "second");
    }
    let poll = late.start_pull(&long_pull_from("T", 2, 100_000));
    settle(&mut late);
    waiting.put("T", "", "third");
    assert_eq!(late.answer_to(poll).messages().len(), 1, "there is room again");
}

#[test]
fn one_group_too_many_is_refused_by_name_and_known_ones_are_served() {
    // Eight groups exist on every broker.
    let cluster = Cluster::start(1, &["groupsMax=10"]);
    let mut client = cluster.client(0);
    client.put("T", "", "x");
    let pull = |group| PullHeader { consumer_group: group, ..pull_from("T", 0) };
    for group in ["g1", "g2"] {
        assert_eq!(client.pull(&pull(group)).code, 0);
    }
    let reply = client.pull(&pull("g3"));
    assert_eq!(reply.code, response::SUBSCRIPTION_GROUP_NOT_EXIST);
    assert!(reply.remark.contains("groupsMax"), "{reply:?}");
    let reply =
        heartbeat(&mut client, "c1", &[consumer("g3", &["T"]), consumer("g1", &["T"])], &[]);
    assert_eq!(reply.code, response::SYSTEM_BUSY, "{reply:?}");
    assert!(reply.remark.contains("group g3") && reply.remark.contains("groupsMax"), "{reply:?}");
    let list = client.call(request::GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "g1")]);
    assert_eq!(list.code, 0, "what else the heartbeat says counts");
    let body = br#"{"groupName":"g3"}"#;
    let reply = client.call_with(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], body);
    assert!(reply.remark.contains("groupsMax"), "{reply:?}");

    let names: Vec<String> = (0..11).map(|nth| format!("p{nth}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(heartbeat(&mut client, "c1", &[], &names[..10]).code, 0);
    let reply = heartbeat(&mut client, "c1", &[], &names);
    assert_eq!(reply.code, response::SYSTEM_BUSY);
    assert!(reply.remark.contains("10 producer groups"), "{reply:?}");
}

#[test]
fn one_subscription_too_many_refuses_the_heartbeat_and_not_a_part_of_it() {
    let cluster = Cluster::start(1, &["subscriptionsPerGroupMax=3"]);
    let mut client = cluster.client(0);
    joins(&mut client, "c1", "g", &["T", "U", "V"]);
    let reply = heartbeat(&mut client, "c1", &[consumer("g", &["T", "U", "V", "W"])], &[]);
    assert_eq!(reply.code, response::SYSTEM_BUSY, "{reply:?}");
    assert!(reply.remark.contains("subscriptionsPerGroupMax"), "{reply:?}");
    client.put("W", "", "x");
    let bare = PullHeader { sys_flag: 0, subscription: None, ..pull_from("W", 0) };
    assert_eq!(client.pull(&bare).code, response::SUBSCRIPTION_NOT_EXIST);
    client.put("T", "", "x");
    assert_eq!(client.pull(&PullHeader { topic: "T", ..bare }).messages().len(), 1);
}

#[test]
fn one_client_too_many_is_not_taken_in_until_another_leaves() {
    let cluster = Cluster::start(1, &["clientsMax=2"]);
    let mut clients = [cluster.client(0), cluster.client(0), cluster.client(0)];
    let [first, second, third] = &mut clients;
    joins(first, "c1", "g", &["T"]);
    joins(second, "c2", "g", &["T"]);
    joins(first, "c1", "other", &["T"]);
    let reply = heartbeat(third, "c3", &[consumer("g", &["T"])], &[]);
    assert_eq!(reply.code, response::SYSTEM_BUSY, "{reply:?}");
    assert!(reply.remark.contains("clientsMax"), "{reply:?}");
    let mut producers = 0;
    for client in &mut clients {
        producers += i32::from(heartbeat(client, "p", &[], &["p"]).code == 0);
    }
    assert_eq!(producers, 2, "producers are counted apart");
    let [first, _second, third] = clients;
    drop(first);
    let mut third = third;
    crate::cluster::eventually("there is room again", || {
        heartbeat(&mut third, "c3", &[consumer("g", &["T"])], &[]).code == 0
    });
}
