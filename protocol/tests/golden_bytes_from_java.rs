//! Frames recorded between stock Java clients and Apache RocketMQ (`fixtures/java/README.md`): we
//! read each of them, and what we write from what we read is the same bytes.

use std::path::Path;

use protocol::bodies::{
    ClusterInfo, ConsumerList, HeartbeatData, LockBatchRequestBody, LockBatchResponseBody,
    RegisterBrokerBody, TopicRouteData,
};
use protocol::headers::{PullHeader, PullResponseHeader, Scratch, SendHeader, SendResponseHeader};
use protocol::ids::OffsetMsgId;
use protocol::json::{from_lenient, to_fastjson};
use protocol::record::{RecordDraft, RecordView, body_crc, records};
use protocol::remoting::{CommandHead, CommandView, Sender, SerializeType, write_command_as};
use protocol::{batch, check, properties};

/// All frames whose name has every one of `parts`, with their 4-byte length.
fn frames(parts: &[&str]) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/java");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("fixtures") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("name").to_string_lossy().into_owned();
        if name.ends_with(".frame") && parts.iter().all(|part| name.contains(part)) {
            found.push((name, std::fs::read(&path).expect("frame")));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no frame has {parts:?} in its name");
    found
}

fn view<'a>(name: &str, frame: &'a [u8]) -> CommandView<'a> {
    let (length, rest) = frame.split_first_chunk::<4>().expect("length");
    assert_eq!(usize::try_from(u32::from_be_bytes(*length)), Ok(rest.len()), "{name}");
    CommandView::parse(rest).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The frame as we write it, in the sender's name.
fn rewritten(view: &CommandView<'_>) -> Vec<u8> {
    let remark = view.remark();
    let CommandView { serialize, code, opaque, flag, .. } = *view;
    let head = CommandHead { serialize, code, opaque, flag, remark: remark.as_deref() };
    let sender = Sender { language: view.language, version: view.version };
    let mut out = Vec::new();
    let fields = |ext: &mut protocol::remoting::ExtWriter<'_>| {
        view.ext.iter().for_each(|(key, value)| ext.str(&key, &value))
    };
    write_command_as(&mut out, sender, &head, fields, view.body.len());
    out.extend_from_slice(view.body);
    out
}

/// Java writes an empty `extFields`, we leave it out: the one difference. Lengths change with it.
fn without_empty_fields(frame: &[u8], body_bytes: usize) -> Vec<u8> {
    let header =
        String::from_utf8(frame[8..frame.len() - body_bytes].to_vec()).expect("JSON header");
    let header = header.replace("\"extFields\":{},", "");
    let length = |bytes: usize| u32::try_from(bytes).expect("short").to_be_bytes();
    [
        &length(4 + header.len() + body_bytes)[..],
        &length(header.len()),
        header.as_bytes(),
        &frame[frame.len() - body_bytes..],
    ]
    .concat()
}

#[test]
fn every_frame_is_read_and_written_back_byte_for_byte() {
    let all = frames(&[]);
    assert!(all.len() >= 57, "{} frames", all.len());
    for (name, frame) in all {
        let view = view(&name, &frame);
        assert_eq!(view.is_response(), name.ends_with("resp.frame"), "{name}");
        if !view.is_response() {
            assert!(name.contains(&format!("-{}-", view.code)), "{name} has code {}", view.code);
        }
        let expected = match view.serialize {
            SerializeType::Json => without_empty_fields(&frame, view.body.len()),
            SerializeType::RocketMq => frame.clone(),
        };
        assert_eq!(
            String::from_utf8_lossy(&rewritten(&view)),
            String::from_utf8_lossy(&expected),
            "{name}"
        );
        assert_eq!(rewritten(&view), expected, "{name}");
        check::check_command(&frame[4..]);
    }
}

#[test]
fn sends_decode_and_their_answers_name_the_record() {
    for (name, frame) in frames(&["-310-", "-req."]) {
        let (view, mut scratch) = (view(&name, &frame), Scratch::new());
        let header = SendHeader::decode(&view.ext, &mut scratch)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (header.flag, header.default_topic, header.default_topic_queue_nums, header.batch),
            (7, "TBW102", 4, false),
            "{name}"
        );
        assert!(
            header.topic.starts_with("T_golden") && header.producer_group.starts_with("P_golden"),
            "{name}"
        );
        let props = header.properties.as_bytes();
        assert_eq!(properties::get(props, "colour"), Some("grün"), "{name}");
        assert_eq!(properties::get(props, properties::names::KEYS), Some("key1 key2"), "{name}");
        assert_eq!(properties::get(props, properties::names::TAGS), Some("TagA"), "{name}");
        assert_eq!(header.broker_name, Some("broker-a"), "{name}");
        assert_eq!(view.body, b"golden body", "{name}");
    }
    for (name, frame) in frames(&["-310-", "-resp."]) {
        let (view, mut scratch) = (view(&name, &frame), Scratch::new());
        let answer = SendResponseHeader::decode(&view.ext, &mut scratch)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let id = OffsetMsgId::parse(answer.msg_id).expect("message id");
        assert!(id.store_host.ip().is_loopback() && id.store_host.port() > 0, "{name}");
        assert_eq!(id.to_string(), answer.msg_id, "{name}");
    }
}

#[test]
fn batches_decode_and_are_written_back_byte_for_byte() {
    for (name, frame) in frames(&["-320-", "-req."]) {
        let (view, mut scratch) = (view(&name, &frame), Scratch::new());
        assert!(SendHeader::decode(&view.ext, &mut scratch).expect("header").batch, "{name}");
        let entries: Vec<_> = batch::entries(view.body)
            .collect::<Result<_, _>>()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            entries.iter().map(|entry| entry.body).collect::<Vec<_>>(),
            [b"batch 0", b"batch 1", b"batch 2"],
            "{name}"
        );
        let mut written = Vec::new();
        entries.iter().for_each(|entry| batch::write(&mut written, entry).expect("entry"));
        assert_eq!(written, view.body, "{name}");
    }
}

fn draft_of<'a>(record: &RecordView<'a>, properties: &'a [&'a [u8]]) -> RecordDraft<'a> {
    RecordDraft {
        topic: record.topic(),
        queue_id: record.queue_id(),
        flag: record.flag(),
        queue_offset: record.queue_offset(),
        physical_offset: record.physical_offset(),
        sys_flag: record.sys_flag(),
        born_timestamp_ms: record.born_timestamp_ms(),
        born_host: record.born_host(),
        store_timestamp_ms: record.store_timestamp_ms(),
        store_host: record.store_host(),
        reconsume_times: record.reconsume_times(),
        prepared_transaction_offset: record.prepared_transaction_offset(),
        body: record.body(),
        properties,
    }
}

#[test]
fn records_of_apache_s_commit_log_are_encoded_byte_for_byte() {
    for (name, frame) in frames(&["-11-pull-message-resp."]) {
        let view = view(&name, &frame);
        let answer =
            PullResponseHeader::decode(&view.ext).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut count = 0;
        for record in records(view.body) {
            let record = record.unwrap_or_else(|error| panic!("{name}: {error}"));
            record.verify_crc().expect("checksum");
            assert_eq!(record.queue_offset(), count, "{name}");
            let pieces = [record.properties()];
            let draft = draft_of(&record, &pieces);
            let mut encoded = vec![0; draft.encoded_len().expect("length")];
            draft.encode_into(&mut encoded).expect("record");
            assert_eq!(encoded, record.bytes(), "{name}, record {count}");
            count += 1;
        }
        assert_eq!(count, answer.next_begin_offset, "{name}");
        assert!(count >= 5, "{name}: {count} records");
    }
}

#[test]
fn pulls_decode() {
    for (name, frame) in frames(&["-11-", "-req."]) {
        let (view, mut scratch) = (view(&name, &frame), Scratch::new());
        let header = PullHeader::decode(&view.ext, &mut scratch)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(header.subscription, Some("TagA || TagB"), "{name}");
        assert_eq!(
            (header.queue_offset, header.max_msg_nums, header.sys_flag & 4),
            (0, 32, 4),
            "{name}"
        );
    }
    for (name, frame) in frames(&["-11-", "answered-"]) {
        let answer = PullResponseHeader::decode(&view(&name, &frame).ext)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (answer.min_offset, answer.max_offset, answer.next_begin_offset),
            (0, 5, 5),
            "{name}"
        );
    }
}

#[test]
fn routes_and_cluster_info_are_written_as_apache_writes_them() {
    for (name, frame) in frames(&["-105-get-routeinfo-by-topic-resp."]) {
        let view = view(&name, &frame);
        let route: TopicRouteData =
            from_lenient(view.body).unwrap_or_else(|error| panic!("{name}: {error}"));
        let asked_by = match &name[..5] {
            "4.9.8" => 409,
            "5.5.0" => 513,
            old => old[1..4].parse().expect("vNNN"),
        };
        assert_eq!(
            String::from_utf8_lossy(&route.encode_for(asked_by, false)),
            String::from_utf8_lossy(view.body),
            "{name}"
        );
    }
    for (name, frame) in frames(&["-106-", "-resp."]) {
        let view = view(&name, &frame);
        let info: ClusterInfo =
            from_lenient(view.body).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(to_fastjson(&info), view.body, "{name}");
    }
}

#[test]
fn heartbeats_lists_and_locks_are_written_as_java_writes_them() {
    for (name, frame) in frames(&["5.5.0", "-34-", "-req."]) {
        let view = view(&name, &frame);
        let heartbeat: HeartbeatData =
            from_lenient(view.body).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            String::from_utf8_lossy(&to_fastjson(&heartbeat)),
            String::from_utf8_lossy(view.body),
            "{name}"
        );
        let subscription =
            heartbeat.consumer_data_set[0].subscription_data_set.iter().find(|sub| !sub.is_all());
        assert_eq!(subscription.expect("tags").tag_codes(), [2_598_919, 2_598_920], "{name}");
    }
    let (name, frame) = frames(&["4.9.8", "-34-"]).remove(0);
    let old: HeartbeatData = from_lenient(view(&name, &frame).body).expect("4.9.8 heartbeat");
    assert_eq!(
        (old.consumer_data_set.len(), old.heartbeat_fingerprint, old.without_sub),
        (1, 0, false)
    );
    for (name, frame) in frames(&["5.5.0", "-41-", "-req."]) {
        let lock: LockBatchRequestBody = from_lenient(view(&name, &frame).body).expect("lock");
        assert_eq!(to_fastjson(&lock), view(&name, &frame).body, "{name}");
    }
    for (name, frame) in frames(&["-41-", "-resp."]) {
        let locked: LockBatchResponseBody = from_lenient(view(&name, &frame).body).expect("locked");
        assert_eq!(to_fastjson(&locked), view(&name, &frame).body, "{name}");
    }
    for (name, frame) in frames(&["-38-", "-resp."]) {
        let list: ConsumerList = from_lenient(view(&name, &frame).body).expect("list");
        assert_eq!(to_fastjson(&list), view(&name, &frame).body, "{name}");
        assert_eq!(list.consumer_id_list.len(), 2, "{name}");
    }
}

#[test]
fn a_broker_s_registration_is_read_whole() {
    for (name, frame) in frames(&["-103-", "-req."]) {
        let view = view(&name, &frame);
        let declared = view.ext.require_i32("bodyCrc32").expect("checksum");
        assert_eq!(body_crc(view.body), declared, "{name}");
        assert_eq!(view.ext.get_bool("compressed"), Some(false), "{name}");
        let body = RegisterBrokerBody::decode(view.body, false, view.version)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let topics = &body.topic_config_serialize_wrapper.topic_config_table;
        assert_eq!(
            (topics["TBW102"].perm, topics["BenchmarkTest"].write_queue_nums),
            (7, 1024),
            "{name}"
        );
        assert!(topics.values().all(|topic| topics[&topic.topic_name] == *topic), "{name}");
        for compressed in [false, true] {
            let again = RegisterBrokerBody::decode(
                &body.encode(compressed, view.version),
                compressed,
                view.version,
            );
            assert_eq!(
                again.expect("registration").topic_config_serialize_wrapper.topic_config_table,
                *topics,
                "{name}"
            );
        }
    }
}
