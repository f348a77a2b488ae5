//! Each request code as a client sees it: header and body in, code, remark, header and body out.

use super::{Answer, Asker, NameServer};
use crate::config::Config;
use crate::kv::KvConfig;
use proptest::prelude::*;
use protocol::bodies::RegisterBrokerBody;
use protocol::codes::{request as code, response, version};
use protocol::config_file::Properties;
use protocol::remoting::{CommandHead, CommandView, Sender, SerializeType, write_command_as};
use serde_json::{Value, json};

type Server = NameServer<u32>;

fn server_with(text: &str) -> Server {
    let config = Config::resolve(Properties::parse("f", text.as_bytes()).unwrap(), None).unwrap();
    NameServer::new(config, KvConfig::default(), 0)
}

struct Call<'a> {
    code: i32,
    version: i32,
    serialize: SerializeType,
    ext: &'a [(&'a str, &'a str)],
    body: Vec<u8>,
    now_ms: i64,
}

impl<'a> Call<'a> {
    fn new(code: i32, ext: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            code,
            version: version::V5_5_0,
            serialize: SerializeType::Json,
            ext,
            body: Vec::new(),
            now_ms: 0,
        }
    }

    fn frame(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let head = CommandHead {
            code: self.code,
            opaque: 7,
            serialize: self.serialize,
            ..CommandHead::default()
        };
        let sender = Sender { version: self.version, ..Sender::default() };
        let ext = |w: &mut protocol::remoting::ExtWriter<'_>| {
            self.ext.iter().for_each(|(key, value)| w.str(key, value))
        };
        write_command_as(&mut out, sender, &head, ext, self.body.len());
        out.extend_from_slice(&self.body);
        out
    }

    fn to(&self, server: &mut Server) -> Answer {
        let frame = self.frame();
        let request = CommandView::parse(&frame[4..]).unwrap();
        server.answer(
            &request,
            Asker { conn: 1, peer: "127.0.0.1:5000".parse().unwrap(), now_ms: self.now_ms },
        )
    }
}

fn ask(server: &mut Server, code: i32, ext: &[(&str, &str)]) -> Answer {
    Call::new(code, ext).to(server)
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.code, response::SUCCESS, "{:?}", answer.remark);
    serde_json::from_slice(&answer.body).unwrap()
}

const BROKER_A: &[(&str, &str)] = &[
    ("brokerName", "broker-a"),
    ("brokerAddr", "10.0.0.1:10911"),
    ("clusterName", "DefaultCluster"),
    ("haServerAddr", "10.0.0.1:10912"),
    ("brokerId", "0"),
];

fn register_body(topics: &[&str]) -> Vec<u8> {
    let config = |topic: &str| {
        let config = json!({
            "topicName": topic, "readQueueNums": 4, "writeQueueNums": 4, "perm": 6,
            "order": false, "topicFilterType": "SINGLE_TAG",
        });
        (topic.to_owned(), config)
    };
    let table: serde_json::Map<String, Value> = topics.iter().map(|topic| config(topic)).collect();
    let version = json!({"counter": 1, "stateVersion": 0, "timestamp": 1_700_000_000_000_i64});
    let wrapper = json!({"dataVersion": version, "topicConfigTable": table});
    serde_json::to_vec(&json!({"filterServerList": [], "topicConfigSerializeWrapper": wrapper}))
        .unwrap()
}

fn registered_with(text: &str) -> Server {
    let mut server = server_with(text);
    let call = Call {
        body: register_body(&["TopicTest", "Other"]),
        ..Call::new(code::REGISTER_BROKER, BROKER_A)
    };
    assert_eq!(call.to(&mut server).code, response::SUCCESS);
    server
}

#[test]
fn what_a_broker_says_again_is_not_read_again_and_still_brings_back_what_was_deleted() {
    let mut server = registered_with("");
    let says = |server: &mut Server, topics: &[&str]| {
        let call =
            Call { body: register_body(topics), ..Call::new(code::REGISTER_BROKER, BROKER_A) };
        assert_eq!(call.to(server).code, response::SUCCESS);
    };
    let route = |server: &mut Server, topic: &str| {
        let answer = Call::new(code::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)]).to(server);
        (answer.code == response::SUCCESS).then_some(answer.body)
    };
    let before = route(&mut server, "Other");
    says(&mut server, &["TopicTest", "Other"]);
    assert!(before.is_some() && route(&mut server, "Other") == before);
    let gone = Call::new(code::DELETE_TOPIC_IN_NAMESRV, &[("topic", "Other")]);
    assert_eq!(gone.to(&mut server).code, response::SUCCESS);
    assert_eq!(route(&mut server, "Other"), None);
    says(&mut server, &["TopicTest", "Other"]);
    assert_eq!(route(&mut server, "Other"), before, "it has the topic and says so");
    says(&mut server, &["TopicTest", "Other", "Third"]);
    assert!(route(&mut server, "Third").is_some(), "another body is read");
    let gone = [
        ("brokerName", "broker-a"),
        ("brokerAddr", "10.0.0.1:10911"),
        ("clusterName", "DefaultCluster"),
        ("brokerId", "0"),
    ];
    let gone = Call::new(code::UNREGISTER_BROKER, &gone).to(&mut server);
    assert_eq!((gone.code, route(&mut server, "Third")), (response::SUCCESS, None));
    says(&mut server, &["TopicTest", "Other", "Third"]);
    assert!(route(&mut server, "Third").is_some(), "who left and came back is read");
}

/// A step of a history in which brokers mostly say what they said before.
#[derive(Debug, Clone)]
enum Step {
    Register { name: u8, id: u8, addr: u8, topics: u8, counter: u8 },
    Unregister { name: u8, addr: u8 },
    Delete { topic: u8 },
    Wipe { name: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let register =
        (0..2u8, 0..2u8, 0..3u8, 0..3u8, 0..2u8).prop_map(|(name, id, addr, topics, counter)| {
            Step::Register { name, id, addr, topics, counter }
        });
    prop_oneof![
        8 => register,
        1 => (0..2u8, 0..3u8).prop_map(|(name, addr)| Step::Unregister { name, addr }),
        2 => (0..4u8).prop_map(|topic| Step::Delete { topic }),
        1 => (0..2u8).prop_map(|name| Step::Wipe { name }),
    ]
}

fn take_step(server: &mut Server, step: &Step) -> Answer {
    let of = |name: u8, addr: u8| (format!("broker-{name}"), format!("10.0.0.1:{addr}"));
    match step {
        Step::Register { name, id, addr, topics, counter } => {
            let ((name, addr), id) = (of(*name, *addr), id.to_string());
            let topics = [&["A", "B"][..], &["A", "B", "C"], &["D"]][usize::from(*topics)];
            let body = String::from_utf8(register_body(topics)).unwrap();
            let body = body.replace(r#""counter":1"#, &format!(r#""counter":{counter}"#));
            let ext = [
                ("brokerName", &*name),
                ("brokerAddr", &addr),
                ("clusterName", "c"),
                ("brokerId", &id),
            ];
            Call { body: body.into_bytes(), ..Call::new(code::REGISTER_BROKER, &ext) }.to(server)
        }
        Step::Unregister { name, addr } => {
            let (name, addr) = of(*name, *addr);
            let ext = [("brokerName", &*name), ("brokerAddr", &addr)];
            Call::new(code::UNREGISTER_BROKER, &ext).to(server)
        }
        Step::Delete { topic } => {
            let topic = ["A", "B", "C", "D"][usize::from(*topic)];
            Call::new(code::DELETE_TOPIC_IN_NAMESRV, &[("topic", topic)]).to(server)
        }
        Step::Wipe { name } => {
            let name = format!("broker-{name}");
            Call::new(code::WIPE_WRITE_PERM_OF_BROKER, &[("brokerName", &name)]).to(server)
        }
    }
}

proptest! {
    #[test]
    fn who_does_not_read_the_same_again_answers_as_who_reads_everything(
        deletes in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let config = format!("deleteTopicWithBrokerRegistration={deletes}");
        let (mut server, mut reads_all) = (server_with(&config), server_with(&config));
        for step in &steps {
            reads_all.routes.read_all_again();
            prop_assert_eq!(take_step(&mut server, step), take_step(&mut reads_all, step));
            for topic in ["A", "B", "C", "D"] {
                let ext = [("topic", topic)];
                let route = |server: &mut Server| {
                    Call::new(code::GET_ROUTEINFO_BY_TOPIC, &ext).to(server)
                };
                prop_assert_eq!(route(&mut server), route(&mut reads_all));
            }
        }
    }
}

#[test]
fn a_registered_topic_is_found_in_the_dialect_of_the_client() {
    let mut server = registered_with("");
    let route = |server: &mut Server, version: i32, ext: &[(&str, &str)]| {
        let answer = Call { version, ..Call::new(code::GET_ROUTEINFO_BY_TOPIC, ext) }.to(server);
        String::from_utf8(answer.body).unwrap()
    };
    let topic = [("topic", "TopicTest")];
    let standard = route(&mut server, 513, &topic);
    assert!(standard.contains(r#""brokerAddrs":{"0":"10.0.0.1:10911"}"#), "{standard}");
    assert!(serde_json::from_str::<Value>(&standard).is_ok());
    assert!(route(&mut server, 401, &topic).contains(r#"{"0":"#));
    for old in [121, 317, 399] {
        let body = route(&mut server, old, &topic);
        assert!(body.contains(r#""brokerAddrs":{0:"10.0.0.1:10911"}"#), "version {old}: {body}");
        assert!(body.contains(r#""queueDatas":[{"brokerName":"broker-a""#), "{body}");
    }
    assert!(
        route(&mut server, 317, &[("topic", "TopicTest"), ("acceptStandardJsonOnly", "true")])
            .contains(r#"{"0":"#)
    );
}

#[test]
fn an_unknown_topic_is_17_and_an_unready_server_says_so() {
    let mut server = registered_with("needWaitForService=true\nwaitSecondsForService=10");
    let call =
        |now_ms| Call { now_ms, ..Call::new(code::GET_ROUTEINFO_BY_TOPIC, &[("topic", "Nope")]) };
    let early = call(9_999).to(&mut server);
    assert_eq!((early.code, early.remark.as_deref()), (1, Some("name server not ready")));
    let late = call(10_000).to(&mut server);
    assert_eq!(late.code, response::TOPIC_NOT_EXIST);
    assert_eq!(
        late.remark.as_deref(),
        Some("No topic route info in name server for the topic: Nope")
    );
}

#[test]
fn an_unknown_code_is_3_with_rocketmqs_words() {
    let answer = ask(&mut server_with(""), 12345, &[]);
    assert_eq!(
        (answer.code, answer.remark.as_deref()),
        (3, Some(" request type 12345 not supported"))
    );
}

#[test]
fn missing_fields_wrong_numbers_and_broken_bodies_are_refused_with_the_reason() {
    let mut server = server_with("");
    let refused = |call: Call<'_>, server: &mut Server| {
        let answer = call.to(server);
        assert_eq!(answer.code, response::SYSTEM_ERROR);
        answer.remark.unwrap()
    };
    let reason = refused(Call::new(code::REGISTER_BROKER, &BROKER_A[1..]), &mut server);
    assert!(reason.contains("brokerName"), "{reason}");
    let bad_id =
        [("brokerName", "a"), ("brokerAddr", "h:1"), ("clusterName", "c"), ("brokerId", "zero")];
    let reason = refused(Call::new(code::REGISTER_BROKER, &bad_id), &mut server);
    assert!(reason.contains("brokerId") && reason.contains("zero"), "{reason}");
    let body = b"{\"topicConfigSerializeWrapper\":[".to_vec();
    let reason = refused(Call { body, ..Call::new(code::REGISTER_BROKER, BROKER_A) }, &mut server);
    assert!(reason.starts_with("RegisterBrokerBody of 32 bytes does not decode: "), "{reason}");
    let reason = refused(Call::new(code::GET_ROUTEINFO_BY_TOPIC, &[]), &mut server);
    assert!(reason.contains("topic"), "{reason}");
    let empty =
        [("brokerName", ""), ("brokerAddr", "h:1"), ("clusterName", "c"), ("brokerId", "0")];
    assert_eq!(
        refused(Call::new(code::REGISTER_BROKER, &empty), &mut server),
        "the custom field <brokerName> is empty"
    );
    assert_eq!(server.routes.live_brokers(), 0);
}

#[test]
fn registration_checks_the_crc_and_refuses_updates_of_unknown_brokers() {
    let mut server = server_with("");
    let call = |ext: &[(&str, &str)], server: &mut Server| {
        Call { body: register_body(&["A", "B"]), ..Call::new(code::REGISTER_BROKER, ext) }
            .to(server)
    };
    let with = |field: (&'static str, &'static str)| [BROKER_A, &[field]].concat();
    assert_eq!(
        call(&with(("bodyCrc32", "12")), &mut server).remark.as_deref(),
        Some("crc32 not match")
    );
    let one = Call { body: register_body(&["A"]), ..Call::new(code::REGISTER_BROKER, BROKER_A) }
        .to(&mut server);
    assert_eq!((one.code, one.remark.as_deref()), (1, Some("register broker failed")));
    let crc = (crc32fast::hash(&register_body(&["A", "B"])) & 0x7fff_ffff).to_string();
    let ext = [BROKER_A, &[("bodyCrc32", crc.as_str())]].concat();
    assert_eq!(call(&ext, &mut server).code, response::SUCCESS);
}

#[test]
fn a_compressed_registration_counts_like_a_plain_one() {
    let mut server = server_with("");
    let ext = [BROKER_A, &[("compressed", "true")]].concat();
    let plain: RegisterBrokerBody =
        protocol::json::from_lenient(&register_body(&["A", "B"])).unwrap();
    let body = plain.encode(true, version::V5_5_0);
    let answer = Call { body, ..Call::new(code::REGISTER_BROKER, &ext) }.to(&mut server);
    assert_eq!(answer, Answer::ok());
    assert_eq!(
        json_of(&ask(&mut server, code::GET_ROUTEINFO_BY_TOPIC, &[("topic", "B")]))["queueDatas"]
            [0]["writeQueueNums"],
        4
    );
    let cut = plain.encode(true, version::V5_5_0).split_off(9);
    assert_eq!(
        Call { body: cut, ..Call::new(code::REGISTER_BROKER, &ext) }.to(&mut server).code,
        response::SYSTEM_ERROR
    );
}

#[test]
fn a_slave_is_told_its_master_and_everyone_the_order_topics() {
    let mut server = registered_with("");
    ask(
        &mut server,
        code::PUT_KV_CONFIG,
        &[("namespace", "ORDER_TOPIC_CONFIG"), ("key", "T"), ("value", "broker-a:4")],
    );
    let mut ext = BROKER_A.to_vec();
    (ext[1], ext[4]) = (("brokerAddr", "10.0.0.2:10911"), ("brokerId", "1"));
    let answer =
        Call { body: register_body(&[]), ..Call::new(code::REGISTER_BROKER, &ext) }.to(&mut server);
    assert_eq!(
        answer.ext,
        [
            ("haServerAddr", "10.0.0.1:10912".to_owned()),
            ("masterAddr", "10.0.0.1:10911".to_owned())
        ]
    );
    assert_eq!(json_of(&answer), json!({"table": {"T": "broker-a:4"}}));
}

#[test]
fn clusters_and_members_are_written_with_unquoted_ids() {
    let mut server = registered_with("");
    let text = |answer: Answer| String::from_utf8(answer.body).unwrap();
    let info = text(ask(&mut server, code::GET_BROKER_CLUSTER_INFO, &[]));
    assert!(info.contains(r#""brokerAddrs":{0:"10.0.0.1:10911"}"#), "{info}");
    assert!(info.contains(r#""clusterAddrTable":{"DefaultCluster":["broker-a"]}"#), "{info}");
    let group = [("clusterName", "DefaultCluster"), ("brokerName", "broker-a")];
    let group = text(ask(&mut server, code::GET_BROKER_MEMBER_GROUP, &group));
    assert!(
        group.starts_with(r#"{"brokerMemberGroup":{"brokerAddrs":{0:"10.0.0.1:10911"}"#),
        "{group}"
    );
}

#[test]
fn the_data_version_is_compared_and_given_back() {
    let mut server = registered_with("");
    let mut query = |counter: i64| {
        let body =
            json!({"counter": counter, "stateVersion": 0, "timestamp": 1_700_000_000_000_i64})
                .to_string()
                .into_bytes();
        Call { body, ..Call::new(code::QUERY_DATA_VERSION, BROKER_A) }.to(&mut server)
    };
    let same = query(1);
    assert_eq!(same.ext, [("changed", "false".to_owned())]);
    assert_eq!(json_of(&same)["counter"], 1);
    assert_eq!(query(2).ext, [("changed", "true".to_owned())]);
}

#[test]
fn key_values_are_set_found_listed_and_deleted() {
    let mut server = server_with("");
    let put =
        ask(&mut server, code::PUT_KV_CONFIG, &[("namespace", "n"), ("key", "k"), ("value", "v")]);
    assert!(put.after_kv_write && put.code == response::SUCCESS);
    let entry = [("namespace", "n"), ("key", "k")];
    assert_eq!(ask(&mut server, code::GET_KV_CONFIG, &entry).ext, [("value", "v".to_owned())]);
    assert_eq!(
        json_of(&ask(&mut server, code::GET_KVLIST_BY_NAMESPACE, &entry)),
        json!({"table": {"k": "v"}})
    );
    assert!(ask(&mut server, code::DELETE_KV_CONFIG, &entry).after_kv_write);
    assert!(!ask(&mut server, code::DELETE_KV_CONFIG, &entry).after_kv_write, "nothing to write");
    let gone = ask(&mut server, code::GET_KV_CONFIG, &entry);
    assert_eq!(gone.code, response::QUERY_NOT_FOUND);
    assert_eq!(gone.remark.as_deref(), Some("No config item, Namespace: n Key: k"));
    assert_eq!(
        ask(&mut server, code::GET_KVLIST_BY_NAMESPACE, &[("namespace", "x")]).code,
        response::QUERY_NOT_FOUND
    );
    assert_eq!(
        ask(&mut server, code::PUT_KV_CONFIG, &entry).code,
        response::SYSTEM_ERROR,
        "no value"
    );
}

#[test]
fn lists_of_topics_can_be_switched_off() {
    let mut server = registered_with("enableAllTopicList=false\nenableTopicList=false");
    for code in [206, 224, 311, 312, 313] {
        let answer = ask(&mut server, code, &[("cluster", "DefaultCluster")]);
        assert_eq!((answer.code, answer.remark.as_deref()), (1, Some("disable")), "{code}");
    }
    let system = json_of(&ask(&mut server, code::GET_SYSTEM_TOPIC_LIST_FROM_NS, &[]));
    assert_eq!(
        system,
        json!({"brokerAddr": "10.0.0.1:10911", "topicList": ["DefaultCluster", "broker-a"]})
    );
    let mut server = registered_with("");
    let all = json_of(&ask(&mut server, code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[]));
    assert_eq!(all["topicList"], json!(["Other", "TopicTest"]));
    let of_cluster =
        json_of(&ask(&mut server, code::GET_TOPICS_BY_CLUSTER, &[("cluster", "DefaultCluster")]));
    assert_eq!(of_cluster["topicList"], json!(["Other", "TopicTest"]));
}

#[test]
fn permissions_and_topics_change_by_hand() {
    let mut server = registered_with("");
    let broker = [("brokerName", "broker-a")];
    let perm = |server: &mut Server| {
        json_of(&ask(server, code::GET_ROUTEINFO_BY_TOPIC, &[("topic", "TopicTest")]))["queueDatas"]
            [0]["perm"]
            .clone()
    };
    assert_eq!(
        ask(&mut server, code::WIPE_WRITE_PERM_OF_BROKER, &broker).ext,
        [("wipeTopicCount", "2".to_owned())]
    );
    assert_eq!(perm(&mut server), 4);
    assert_eq!(
        ask(&mut server, code::ADD_WRITE_PERM_OF_BROKER, &broker).ext,
        [("addTopicCount", "2".to_owned())]
    );
    assert_eq!(perm(&mut server), 6);
    let queues =
        json!({"brokerName": "broker-a", "readQueueNums": 2, "writeQueueNums": 2, "perm": 6});
    let body = json!({"queueDatas": [queues]}).to_string();
    let call = Call {
        body: body.into_bytes(),
        ..Call::new(code::REGISTER_TOPIC_IN_NAMESRV, &[("topic", "ByHand")])
    };
    assert_eq!(call.to(&mut server).code, response::SUCCESS);
    let route = json_of(&ask(&mut server, code::GET_ROUTEINFO_BY_TOPIC, &[("topic", "ByHand")]));
    assert_eq!(route["queueDatas"][0]["readQueueNums"], 2);
    ask(
        &mut server,
        code::DELETE_TOPIC_IN_NAMESRV,
        &[("topic", "ByHand"), ("clusterName", "DefaultCluster")],
    );
    assert_eq!(
        ask(&mut server, code::GET_ROUTEINFO_BY_TOPIC, &[("topic", "ByHand")]).code,
        response::TOPIC_NOT_EXIST
    );
}

#[test]
fn the_configuration_changes_as_a_whole_or_not_at_all() {
    let mut server = server_with("");
    let update = |text: &str, server: &mut Server| {
        Call { body: text.as_bytes().to_vec(), ..Call::new(code::UPDATE_NAMESRV_CONFIG, &[]) }
            .to(server)
    };
    assert_eq!(
        update("enableTopicList=false\nenableAllTopicList=no", &mut server).code,
        response::SYSTEM_ERROR
    );
    assert!(server.config().settings.bool("enableTopicList"), "nothing of a wrong change is taken");
    assert_eq!(update("kvConfigPath=/tmp/x", &mut server).code, response::NO_PERMISSION);
    assert_eq!(update("enableTopicList=false\nunknown=1", &mut server).code, response::SUCCESS);
    let shown = String::from_utf8(ask(&mut server, code::GET_NAMESRV_CONFIG, &[]).body).unwrap();
    assert!(
        shown.contains("\nenableTopicList=false\n") && shown.contains("\nlistenPort=9876\n")
            || shown.starts_with("listenPort=9876\n"),
        "{shown}"
    );
    assert_eq!(ask(&mut server, code::GET_UNIT_TOPIC_LIST, &[]).remark.as_deref(), Some("disable"));
}

#[test]
fn answers_come_in_the_serialize_type_of_the_request() {
    for serialize in [SerializeType::Json, SerializeType::RocketMq] {
        let call = Call {
            serialize,
            ..Call::new(code::WIPE_WRITE_PERM_OF_BROKER, &[("brokerName", "b")])
        };
        let (frame, mut out) = (call.frame(), Vec::new());
        let request = CommandView::parse(&frame[4..]).unwrap();
        call.to(&mut server_with("")).write(&request, &mut out);
        let answer = CommandView::parse(&out[4..]).unwrap();
        assert_eq!((answer.serialize, answer.opaque, answer.is_response()), (serialize, 7, true));
        assert_eq!(answer.ext.get("wipeTopicCount").as_deref(), Some("0"));
    }
}

proptest::proptest! {
    #[test]
    fn any_header_and_body_of_any_code_gets_an_answer(
        which in 0..25_usize,
        keys in proptest::collection::vec((0..12_usize, ".{0,8}"), 0..8),
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
    ) {
        let codes = [
            100, 101, 102, 103, 104, 105, 106, 205, 206, 216, 217, 219, 224, 304, 311, 312, 313,
            318, 319, 322, 327, 901, 904, 0, -1,
        ];
        let names = [
            "brokerName", "brokerAddr", "clusterName", "brokerId", "topic", "namespace", "key",
            "value", "cluster", "bodyCrc32", "compressed", "heartbeatTimeoutMillis",
        ];
        let ext: Vec<_> = keys.iter().map(|(name, value)| (names[*name], value.as_str())).collect();
        let mut server = registered_with("");
        Call { body, ..Call::new(codes[which], &ext) }.to(&mut server);
    }
}
