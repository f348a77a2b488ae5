//! Good bytes of every kind: where damaged ones start from, and the seeds of the fuzz corpora.

#![allow(dead_code, reason = "each test that shares these uses some of them")]

use protocol::batch::{self, BatchEntry};
use protocol::bodies::{
    HeartbeatData, MessageModel, ResetOffsetBody, SubscriptionData, TopicConfig,
    TopicConfigSerializeWrapper,
};
use protocol::headers::{PullHeader, SendBackHeader, SendHeader};
use protocol::json::to_fastjson;
use protocol::record::RecordDraft;
use protocol::remoting::{CommandHead, ExtWriter, SerializeType, write_command};

/// The fields of a send as a Java client fills them.
pub(crate) fn send_header() -> SendHeader<'static> {
    SendHeader {
        producer_group: "ProducerGroupName",
        topic: "TopicTest",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: 3,
        born_timestamp_ms: 1_700_000_000_000,
        properties: "KEYS\u{1}key-42\u{2}UNIQ_KEY\u{1}7F000001000018B4AAC2000000000000\u{2}\
            WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}",
        broker_name: Some("broker-a"),
        ..SendHeader::default()
    }
}

/// Native frames, prefix included: the golden ones.
pub(crate) fn native_frames() -> Vec<Vec<u8>> {
    let lines = include_str!("../fixtures/native-v1.txt")
        .lines()
        .filter_map(|line| line.split_once(": ").filter(|_| !line.starts_with('#')));
    let byte =
        |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex");
    lines.map(|(_, hex)| hex.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// Frames without their length.
pub(crate) fn frames() -> Vec<Vec<u8>> {
    let send = send_header();
    let pull = PullHeader {
        consumer_group: "g",
        topic: "T",
        queue_offset: 1 << 33,
        max_msg_nums: 32,
        sys_flag: 6,
        suspend_timeout_ms: 15_000,
        subscription: Some("*"),
        expression_type: Some("TAG"),
        ..PullHeader::default()
    };
    let back = SendBackHeader {
        offset: 1 << 33,
        group: "g",
        delay_level: 3,
        origin_msg_id: Some("7F00000100002A9F0000000000000000"),
        origin_topic: Some("T"),
        max_reconsume_times: Some(16),
        ..SendBackHeader::default()
    };
    let mut frames = Vec::new();
    for serialize in [SerializeType::Json, SerializeType::RocketMq] {
        frames.push(frame(serialize, 310, &|ext| send.write_v2(ext)));
        frames.push(frame(serialize, 10, &|ext| send.write_v1(ext)));
        frames.push(frame(serialize, 11, &|ext| pull.write(ext)));
        frames.push(frame(serialize, 36, &|ext| back.write(ext)));
        frames.push(frame(serialize, 34, &|_| {}));
    }
    let cpp = b"{\"code\" : \
        11,\"extFields\":{\"queueId\":3,'x':true,y:null},\"language\":\"CPP\",\"opaque\":1,\
        \"remark\":\"\"}\n";
    frames
        .push([&u32::try_from(cpp.len()).expect("short").to_be_bytes()[..], cpp, b"body"].concat());
    frames
}

fn frame(serialize: SerializeType, code: i32, fields: &dyn Fn(&mut ExtWriter<'_>)) -> Vec<u8> {
    let head = CommandHead { serialize, code, opaque: 7, flag: 0, remark: Some("a \"remark\"") };
    let mut out = Vec::new();
    write_command(&mut out, &head, fields, b"the body");
    out.split_off(4)
}

/// A draft with the given topic and hosts.
pub(crate) fn draft<'a>(topic: &'a str, born: &str, store: &str) -> RecordDraft<'a> {
    RecordDraft {
        topic,
        queue_id: 3,
        flag: 0x0102_0304,
        queue_offset: 77,
        physical_offset: 1 << 40,
        sys_flag: 1,
        born_timestamp_ms: 1_700_000_000_001,
        born_host: born.parse().expect("address"),
        store_timestamp_ms: 1_700_000_000_002,
        store_host: store.parse().expect("address"),
        reconsume_times: 2,
        prepared_transaction_offset: 5,
        body: b"hello",
        properties: &[b"TAGS\x01a\x02", b"CLUSTER\x01c\x02"],
    }
}

/// Encoded records: V1, V2, every mix of address families, and two in a row.
pub(crate) fn records() -> Vec<Vec<u8>> {
    let long = "x".repeat(200);
    let mut all = Vec::new();
    for (topic, born, store) in [
        ("TopicTest", "10.0.0.9:51234", "127.0.0.1:10911"),
        (long.as_str(), "10.0.0.9:51234", "127.0.0.1:10911"),
        ("TopicTest", "[2001:db8::9]:51234", "127.0.0.1:10911"),
        ("TopicTest", "10.0.0.9:51234", "[::1]:10911"),
        (long.as_str(), "[2001:db8::9]:51234", "[::1]:10911"),
    ] {
        let draft = draft(topic, born, store);
        let mut out = vec![0; draft.encoded_len().expect("length")];
        draft.encode_into(&mut out).expect("record");
        all.push(out);
    }
    all.push([all[0].as_slice(), &all[4]].concat());
    all
}

/// Batch bodies.
pub(crate) fn batches() -> Vec<Vec<u8>> {
    let mut three = Vec::new();
    for (flag, body, properties) in
        [(0, &b"one"[..], &b"TAGS\x01a\x02"[..]), (7, b"", b""), (-1, &[0xFF; 100], b"k\x01v")]
    {
        batch::write(&mut three, &BatchEntry { flag, body, properties }).expect("entry");
    }
    let mut one = Vec::new();
    batch::write(&mut one, &BatchEntry { flag: 0, body: b"x", properties: b"" }).expect("entry");
    vec![three, one, vec![0; 22]]
}

/// JSON bodies.
pub(crate) fn bodies() -> Vec<Vec<u8>> {
    let mut heartbeat =
        HeartbeatData { client_id: "10.0.0.5@1#2".to_owned(), ..HeartbeatData::default() };
    heartbeat.consumer_data_set.push(protocol::bodies::ConsumerData {
        group_name: "g".to_owned(),
        message_model: MessageModel::Broadcasting,
        subscription_data_set: vec![SubscriptionData::from_tags("T", "a || b", 5)],
        ..Default::default()
    });
    let mut topics = TopicConfigSerializeWrapper::default();
    topics.topic_config_table.insert("T".to_owned(), TopicConfig::new("T", 4, 6));
    let mut reset = ResetOffsetBody::default();
    reset.offset_table.insert(
        protocol::bodies::MessageQueue {
            broker_name: "b".to_owned(),
            queue_id: 1,
            topic: "T".to_owned(),
        },
        9,
    );
    vec![
        to_fastjson(&heartbeat),
        to_fastjson(&topics),
        to_fastjson(&reset),
        b"{\"offsetTable\":{\"T@g\":{0:10,'1':\"12\"}},dataVersion:null}".to_vec(),
        b"{\"brokerDatas\":[{\"brokerAddrs\":{0:\"a:1\"},\"brokerName\":\"b\"}],\
            \"queueDatas\":[{\"topicSynFlag\":1}]}"
            .to_vec(),
        "{\"table\":{\"é\\u4e2d\\ud83d\\ude00\":true,\"n\":-1.5e3}}".as_bytes().to_vec(),
    ]
}

/// Property strings.
pub(crate) fn properties() -> Vec<Vec<u8>> {
    vec![
        b"TAGS\x01a\x02KEYS\x01k1 k2\x02".to_vec(),
        b"a\x01b".to_vec(),
        b"\x01\x02\x02a\x01\x02n\x011\x02n\x012".to_vec(),
    ]
}
