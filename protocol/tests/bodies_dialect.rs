//! Bodies as real peers write them are read, and ours are written as those peers expect.

use std::collections::BTreeMap;

use protocol::bodies::{
    BrokerData, ClusterInfo, ConsumeFromWhere, ConsumeStats, ConsumeType, ConsumerOffsets,
    DelayOffsets, HeartbeatData, LockBatchRequestBody, LockBatchResponseBody, MessageModel,
    MessageQueue, OffsetWrapper, QueueData, RegisterBrokerBody, ResetOffsetBody, SubscriptionData,
    SubscriptionGroupWrapper, TopicConfig, TopicRouteData,
};
use protocol::json::{JsonError, from_lenient, parse_lenient, to_fastjson, to_standard};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

fn route() -> TopicRouteData {
    TopicRouteData {
        broker_datas: vec![BrokerData {
            broker_addrs: BTreeMap::from([
                (0, "10.0.0.1:10911".to_owned()),
                (1, "10.0.0.2:10911".to_owned()),
            ]),
            broker_name: "broker-a".to_owned(),
            cluster: "C".to_owned(),
            ..BrokerData::default()
        }],
        queue_datas: vec![QueueData {
            broker_name: "broker-a".to_owned(),
            perm: 6,
            read_queue_nums: 4,
            topic_sys_flag: 0,
            write_queue_nums: 4,
        }],
        ..TopicRouteData::default()
    }
}

#[test]
fn a_route_has_bare_broker_ids_for_old_clients_and_quoted_ones_for_new() {
    let tail = concat!(
        r#","brokerName":"broker-a","cluster":"C","enableActingMaster":false}],"#,
        r#""filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"#,
        r#""readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#
    );
    let bare = format!(
        r#"{{"brokerDatas":[{{"brokerAddrs":{{0:"10.0.0.1:10911",1:"10.0.0.2:10911"}}{tail}"#
    );
    let quoted = format!(
        r#"{{"brokerDatas":[{{"brokerAddrs":{{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"}}{tail}"#
    );
    assert_eq!(text(route().encode_for(399, false)), bare);
    assert_eq!(text(route().encode_for(399, true)), quoted);
    assert_eq!(text(route().encode_for(513, false)), quoted);
    for form in [bare, quoted] {
        assert_eq!(from_lenient::<TopicRouteData>(form.as_bytes()), Ok(route()));
    }
}

#[test]
fn object_keys_are_written_inline_and_read_in_every_form() {
    let queue = MessageQueue { broker_name: "b".to_owned(), queue_id: 3, topic: "T".to_owned() };
    let body = ResetOffsetBody { offset_table: BTreeMap::from([(queue.clone(), 12)]) };
    let inline = r#"{"offsetTable":{{"brokerName":"b","queueId":3,"topic":"T"}:12}}"#;
    assert_eq!(text(to_fastjson(&body)), inline);
    let escaped = text(to_standard(&body));
    assert_eq!(
        escaped,
        r#"{"offsetTable":{"{\"brokerName\":\"b\",\"queueId\":3,\"topic\":\"T\"}":12}}"#
    );
    let spaced = "{ offsetTable : { { 'topic':'T', queueId:\"3\", brokerName:\"b\" } : \"12\" } }";
    for form in [inline, &escaped, spaced] {
        assert_eq!(from_lenient::<ResetOffsetBody>(form.as_bytes()).as_ref(), Ok(&body), "{form}");
    }
    let untyped = parse_lenient(inline.as_bytes()).expect("inline");
    assert_eq!(untyped["offsetTable"][r#"{"brokerName":"b","queueId":3,"topic":"T"}"#], 12);
    let stats = ConsumeStats {
        consume_tps: 0.0,
        offset_table: BTreeMap::from([(queue, OffsetWrapper::default())]),
    };
    assert!(
        text(to_fastjson(&stats))
            .starts_with(r#"{"consumeTps":0.0,"offsetTable":{{"brokerName":"b""#)
    );
}

#[test]
fn numeric_keys_are_bare_and_read_either_way() {
    let offsets = ConsumerOffsets {
        data_version: None,
        lmq_offset_table: None,
        offset_table: BTreeMap::from([("T@g".to_owned(), BTreeMap::from([(0, 10), (1, 12)]))]),
    };
    assert_eq!(text(to_fastjson(&offsets)), r#"{"offsetTable":{"T@g":{0:10,1:12}}}"#);
    let pretty = "{\n\t\"dataVersion\":{\"counter\":5,\"stateVersion\":0,\
        \"timestamp\":1700000000000},\n\t\
        \"offsetTable\":{\"T@g\":{0:10,\"1\":\"12\"\n\t\t}\n\t}\n}";
    let read: ConsumerOffsets = from_lenient(pretty.as_bytes()).expect("pretty");
    assert_eq!(read.offset_table, offsets.offset_table);
    assert_eq!(read.data_version.map(|version| version.counter), Some(5));
    let delay: DelayOffsets = from_lenient(b"{\"offsetTable\":{1:5,3:9}}").expect("delay offsets");
    assert_eq!(delay.offset_table, BTreeMap::from([(1, 5), (3, 9)]));
}

#[test]
fn a_java_heartbeat_is_read() {
    let heartbeat: HeartbeatData = from_lenient(
        concat!(
            r#"{"clientID":"10.0.0.5@12345#789","consumerDataSet":[{"consumeFromWhere":"CONSUME_"#,
            r#"FROM_FIRST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"g","#,
            r#""messageModel":"BROADCASTING","subscriptionDataSet":[{"classFilterMode":false,"#,
            r#""codeSet":[2598919],"expressionType":"TAG","subString":"TagA","#,
            r#""subVersion":1700000000000,"tagsSet":["TagA"],"topic":"T"}],"unitMode":false}],"#,
            r#""heartbeatFingerprint":0,"producerDataSet":[{"groupName":"CLIENT_INNER_PRODUCER"}"#,
            r#"],"withoutSub":false}"#
        )
        .as_bytes(),
    )
    .expect("java heartbeat");
    let group = &heartbeat.consumer_data_set[0];
    assert_eq!(heartbeat.client_id, "10.0.0.5@12345#789");
    assert_eq!(group.consume_from_where, ConsumeFromWhere::ConsumeFromFirstOffset);
    assert_eq!(group.message_model, MessageModel::Broadcasting);
    assert_eq!(
        group.subscription_data_set[0],
        SubscriptionData::from_tags("T", "TagA", 1_700_000_000_000)
    );
    assert_eq!(heartbeat.producer_data_set[0].group_name, "CLIENT_INNER_PRODUCER");
}

#[test]
fn heartbeats_of_cpp_and_go_clients_are_read() {
    let cpp: HeartbeatData = from_lenient(
        b"{\"clientID\":\"c\",\"consumerDataSet\":[{\"consumeFromWhere\":0,\"consumeType\":1,\
            \"groupName\":\"g\",\"messageModel\":1,\"subscriptionDataSet\":[{\"subString\":\"*\",\
            \"subVersion\":\"17\",\"topic\":\"T\"}]}],\"producerDataSet\":null}\n",
    )
    .expect("c++ heartbeat");
    let group = &cpp.consumer_data_set[0];
    assert_eq!(
        (group.consume_type, group.message_model),
        (ConsumeType::ConsumePassively, MessageModel::Clustering)
    );
    assert_eq!(group.subscription_data_set[0].sub_version, 17);
    assert!(
        group.subscription_data_set[0].is_all()
            && group.subscription_data_set[0].tag_codes().is_empty()
    );
    let go: HeartbeatData = from_lenient(
        concat!(
            r#"{"clientID":"g","consumerDataSet":[{"consumeType":"CONSUME_PASSIVELY","#,
            r#""messageModel":"Clustering","groupName":"g","#,
            r#""subscriptionDataSet":[{"codeSet":["2598919"],"subString":"TagA || TagB","#,
            r#""topic":"T"}]}]}"#
        )
        .as_bytes(),
    )
    .expect("go heartbeat");
    let subscription = &go.consumer_data_set[0].subscription_data_set[0];
    assert_eq!(subscription.tag_codes(), [2_598_919, 2_598_920]);
}

#[test]
fn defaults_are_the_java_classes_and_nulls_keep_them() {
    let config: TopicConfig = from_lenient(
        br#"{"topicName":"T","perm":null,"attributes":{"a":null,"b":1},"extra":{"x":[1]}}"#,
    )
    .expect("topic");
    assert_eq!(
        (config.perm, config.read_queue_nums, config.topic_filter_type.as_str()),
        (6, 16, "SINGLE_TAG")
    );
    assert_eq!(config.attributes, BTreeMap::from([("b".to_owned(), "1".to_owned())]));
    let groups: SubscriptionGroupWrapper =
        from_lenient(br#"{"subscriptionGroupTable":{"g":{"groupName":"g","brokerId":"0"}}}"#)
            .expect("groups");
    let group = &groups.subscription_group_table["g"];
    assert!(group.consume_enable && group.notify_consumer_ids_changed_enable);
    assert_eq!((group.retry_max_times, group.retry_queue_nums), (16, 1));
}

#[test]
fn a_registration_and_locks_read_back() {
    let mut body = RegisterBrokerBody::default();
    body.topic_config_serialize_wrapper
        .topic_config_table
        .insert("T".to_owned(), TopicConfig::new("T", 4, 6));
    for bytes in [to_fastjson(&body), to_standard(&body)] {
        assert_eq!(from_lenient::<RegisterBrokerBody>(&bytes).as_ref(), Ok(&body));
    }
    let lock: LockBatchRequestBody = from_lenient(
        concat!(
            r#"{"clientId":"c","consumerGroup":"g","mqSet":[{"brokerName":"b","queueId":1,"#,
            r#""topic":"T"}]}"#
        )
        .as_bytes(),
    )
    .expect("lock");
    let answer = LockBatchResponseBody { lock_ok_mq_set: lock.mq_set };
    assert_eq!(
        text(to_fastjson(&answer)),
        r#"{"lockOKMQSet":[{"brokerName":"b","queueId":1,"topic":"T"}]}"#
    );
}

#[test]
fn cluster_info_has_bare_broker_ids() {
    let info = ClusterInfo {
        broker_addr_table: BTreeMap::from([(
            "broker-a".to_owned(),
            route().broker_datas.remove(0),
        )]),
        cluster_addr_table: BTreeMap::from([("C".to_owned(), vec!["broker-a".to_owned()])]),
    };
    let written = text(to_fastjson(&info));
    assert!(
        written
            .starts_with(r#"{"brokerAddrTable":{"broker-a":{"brokerAddrs":{0:"10.0.0.1:10911","#),
        "{written}"
    );
    assert!(written.ends_with(r#""clusterAddrTable":{"C":["broker-a"]}}"#), "{written}");
}

#[test]
fn a_topic_s_text_form_reads_back() {
    let mut config = TopicConfig::new("T", 4, 6);
    config.attributes.insert("message.type".to_owned(), "FIFO".to_owned());
    assert_eq!(config.to_text(), r#"T 4 4 6 SINGLE_TAG {"message.type":"FIFO"}"#);
    assert_eq!(TopicConfig::from_text(&config.to_text()), Some(config));
    assert_eq!(TopicConfig::from_text("T 8 8 6 SINGLE_TAG"), Some(TopicConfig::new("T", 8, 6)));
    for bad in ["", "T", "T 4 4 6", "T x 4 6 SINGLE_TAG"] {
        assert_eq!(TopicConfig::from_text(bad), None, "{bad}");
    }
}

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    for bad in [
        "",
        "null",
        "[]",
        "{\"perm\":\"x\"}",
        "{\"perm\":99999999999}",
        "{\"order\":\"maybe\"}",
        "{\"attributes\":3}",
        "{} x",
    ] {
        assert!(from_lenient::<TopicConfig>(bad.as_bytes()).is_err(), "{bad}");
    }
    assert_eq!(from_lenient::<TopicConfig>(b"{\"a\xff\":1}"), Err(JsonError::Utf8 { offset: 3 }));
    let deep = "[".repeat(100_000);
    assert!(matches!(parse_lenient(deep.as_bytes()), Err(JsonError::TooDeep { .. })));
    let many = format!("[{}]", "0,".repeat(2_000_001));
    assert!(matches!(parse_lenient(many.as_bytes()), Err(JsonError::TooMany { .. })));
}
