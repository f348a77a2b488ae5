//! Settings of consumer groups by request: they hold at once, survive a restart, and a group that
//! may not consume gets nothing.

use crate::client::{Client, Frame, long_pull_from, message, pull_from};
use crate::cluster::Cluster;
use crate::member::{broadcaster, consumer, heartbeat, joins};
use protocol::bodies::{
    ConsumerData, GroupForbidden, SubscriptionGroupConfig, SubscriptionGroupList,
    SubscriptionGroupWrapper, TopicConfig, TopicRouteData,
};
use protocol::codes::{request, response};
use protocol::headers::{PullHeader, SendHeader};
use protocol::json::{from_lenient, to_fastjson};

fn put(client: &mut Client, config: &SubscriptionGroupConfig) -> Frame {
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    client.call_with(code, &[], &to_fastjson(config))
}

fn group() -> SubscriptionGroupConfig {
    SubscriptionGroupConfig::new("g")
}

fn one(client: &mut Client, group: &str) -> SubscriptionGroupConfig {
    let reply = client.call(request::GET_SUBSCRIPTIONGROUP_CONFIG, &[("group", group)]);
    assert_eq!(reply.code, 0, "{reply:?}");
    from_lenient(&reply.body).unwrap()
}

/// A pull that relies on its group's heartbeat.
fn bare_pull(client: &mut Client) -> Frame {
    let bare = PullHeader { sys_flag: 0, subscription: None, ..pull_from("T", 0) };
    client.pull(&bare)
}

#[test]
fn what_a_tool_sets_holds_at_once_and_after_a_restart() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let config = SubscriptionGroupConfig {
        retry_max_times: 3,
        retry_queue_nums: 2,
        which_broker_when_consume_slowly: 7,
        ..group()
    };
    assert_eq!(put(&mut client, &config).code, 0);
    assert_eq!(one(&mut client, "g"), config);
    joins(&mut client, "c1", "g", &["T"]);
    let retry = client.call(request::GET_TOPIC_CONFIG, &[("topic", "%RETRY%g")]);
    assert_eq!(from_lenient::<TopicConfig>(&retry.body).unwrap().read_queue_nums, 2);
    let list = SubscriptionGroupList {
        group_config_list: vec![config.clone(), SubscriptionGroupConfig::new("h")],
    };
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST;
    assert_eq!(client.call_with(code, &[], &to_fastjson(&list)).code, 0);
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker();
    let mut client = cluster.client(0);
    let reply = client.call(request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &[]);
    let all: SubscriptionGroupWrapper = from_lenient(&reply.body).unwrap();
    assert_eq!(all.subscription_group_table["g"], config);
    let count = i64::try_from(all.subscription_group_table.len()).unwrap();
    assert_eq!(reply.number("totalGroupNum"), count);
    assert!(all.subscription_group_table.contains_key("h"));
}

#[test]
fn a_suspended_group_gets_nothing_and_its_long_polls_neither() {
    let cluster = Cluster::start(1, &[]);
    let (mut client, mut tool) = (cluster.client(0), cluster.client(0));
    client.put("T", "", "x");
    assert_eq!(client.pull(&pull_from("T", 0)).messages().len(), 1);
    let waits = client.start_pull(&long_pull_from("T", 1, 100_000));
    client.call(request::GET_MAX_OFFSET, &[("topic", "T"), ("queueId", "0")]);
    assert_eq!(
        put(&mut tool, &SubscriptionGroupConfig { consume_enable: false, ..group() }).code,
        0
    );
    tool.put("T", "", "not for a suspended group");
    let refused = [client.answer_to(waits), client.pull(&pull_from("T", 0))];
    for reply in refused {
        assert_eq!((reply.code, reply.field("forbiddenType")), (response::NO_PERMISSION, "2"));
    }
    assert_eq!(put(&mut tool, &group()).code, 0);
    assert_eq!(client.pull(&pull_from("T", 0)).messages().len(), 2, "it goes on");
}

#[test]
fn a_group_that_may_not_broadcast_or_may_not_read_a_topic_is_told_so() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "x");
    let no_broadcast = SubscriptionGroupConfig { consume_broadcast_enable: false, ..group() };
    assert_eq!(put(&mut client, &no_broadcast).code, 0);
    heartbeat(&mut client, "c1", &[broadcaster("g", &["T"])], &[]);
    let reply = bare_pull(&mut client);
    assert_eq!((reply.code, reply.field("forbiddenType")), (response::NO_PERMISSION, "4"));
    joins(&mut client, "c1", "g", &["T"]);
    assert_eq!(bare_pull(&mut client).messages().len(), 1, "clustering, it may");

    let mut readable = |more: &[(&str, &str)]| {
        let fields = [&[("group", "g"), ("topic", "T")], more].concat();
        let reply = client.call(request::UPDATE_AND_GET_GROUP_FORBIDDEN, &fields);
        assert_eq!(reply.code, 0, "{reply:?}");
        from_lenient::<GroupForbidden>(&reply.body).unwrap().readable
    };
    assert!(readable(&[]) && !readable(&[("readable", "false")]) && !readable(&[]));
    let reply = bare_pull(&mut client);
    assert_eq!((reply.code, reply.field("forbiddenType")), (response::NO_PERMISSION, "5"));
    let fields = [("group", "g"), ("topic", "T"), ("readable", "true")];
    client.call(request::UPDATE_AND_GET_GROUP_FORBIDDEN, &fields);
    assert_eq!(bare_pull(&mut client).messages().len(), 1);
}

#[test]
fn a_deleted_group_is_gone_with_its_offsets_where_that_is_asked_for() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "x");
    client.pull(&pull_from("T", 0));
    let queue = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0")];
    let commit = [&queue[..], &[("commitOffset", "1")]].concat();
    client.call(request::UPDATE_CONSUMER_OFFSET, &commit);
    let code = request::DELETE_SUBSCRIPTIONGROUP;
    assert_eq!(client.call(code, &[("groupName", "g")]).code, 0);
    let again = client.call(request::UPDATE_CONSUMER_OFFSET, &commit);
    assert_eq!(again.code, response::SUBSCRIPTION_GROUP_NOT_EXIST);
    let offset = client.call(request::QUERY_CONSUMER_OFFSET, &queue);
    assert_eq!(offset.number("offset"), 1, "its offsets are kept");
    let clean = [("groupName", "g"), ("cleanOffset", "true")];
    assert_eq!(client.call(code, &clean).code, 0, "also of a group that is gone");
    let offset = client.call(request::QUERY_CONSUMER_OFFSET, &queue);
    assert_eq!(offset.number("offset"), 0, "it begins anew");
}

#[test]
fn settings_that_can_not_be_are_refused_and_change_nothing() {
    let cluster = Cluster::start(1, &["autoCreateSubscriptionGroup=false"]);
    let mut client = cluster.client(0);
    for name in ["", "bad name", &"g".repeat(121)] {
        let reply = put(&mut client, &SubscriptionGroupConfig::new(name));
        assert_eq!(reply.code, response::INVALID_PARAMETER, "{name:?}");
    }
    let attributes = [("+unknown".to_owned(), "1".to_owned())].into();
    let reply = put(&mut client, &SubscriptionGroupConfig { attributes, ..group() });
    assert_eq!(reply.code, response::SYSTEM_ERROR);
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    assert_eq!(client.call_with(code, &[], b"rubbish").code, response::SYSTEM_ERROR);
    let list = SubscriptionGroupList {
        group_config_list: vec![group(), SubscriptionGroupConfig::new("bad name")],
    };
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST;
    let reply = client.call_with(code, &[], &to_fastjson(&list));
    assert_eq!(reply.code, response::INVALID_PARAMETER);
    let reply = client.call(request::GET_SUBSCRIPTIONGROUP_CONFIG, &[("group", "g")]);
    assert_eq!(reply.code, response::SUBSCRIPTION_GROUP_NOT_EXIST, "all or none");
    let absurd = SubscriptionGroupConfig {
        retry_queue_nums: i32::MAX,
        retry_max_times: i32::MIN,
        ..group()
    };
    assert_eq!(put(&mut client, &absurd).code, 0, "as Apache");
    joins(&mut client, "c1", "g", &["T"]);
    let retry = client.call(request::GET_TOPIC_CONFIG, &[("topic", "%RETRY%g")]);
    assert_eq!(from_lenient::<TopicConfig>(&retry.body).unwrap().read_queue_nums, 65_536);
}

#[test]
fn unit_modes_flags_come_through_to_topics_routes_and_pulls() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let unit = SendHeader { unit_mode: true, ..message("T") };
    assert_eq!(client.send_message(&unit, b"x").code, 0);
    let group = ConsumerData { unit_mode: true, ..consumer("g", &["T"]) };
    heartbeat(&mut client, "c1", &[group], &[]);
    for (topic, flag) in [("T", 1), ("%RETRY%g", 2)] {
        let reply = client.call(request::GET_TOPIC_CONFIG, &[("topic", topic)]);
        let config: TopicConfig = from_lenient(&reply.body).unwrap();
        assert_eq!(config.topic_sys_flag, flag, "{topic}");
        crate::cluster::eventually("its route has the flag", || {
            let route = Client::connect(cluster.name_server_addr)
                .call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)]);
            let route: Option<TopicRouteData> = from_lenient(&route.body).ok();
            route.is_some_and(|route| {
                route.queue_datas.iter().any(|queues| queues.topic_sys_flag == flag)
            })
        });
    }
    let with_flag = SubscriptionGroupConfig { group_sys_flag: 5, ..self::group() };
    assert_eq!(put(&mut client, &with_flag).code, 0);
    let reply = client.pull(&pull_from("T", 0));
    assert_eq!((reply.field("topicSysFlag"), reply.field("groupSysFlag")), ("1", "5"));
    let plain = message("T");
    assert_eq!(client.send_message(&plain, b"y").code, 0);
    assert_eq!(client.pull(&pull_from("T", 0)).field("topicSysFlag"), "1", "made with it");
}
