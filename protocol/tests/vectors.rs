//! Bytes computed from RocketMQ's layouts by hand: what we write is exactly this, and we read it.

mod samples;

use protocol::record::{self, RecordDraft, RecordError, RecordView};
use protocol::remoting::{
    CommandHead, CommandView, DecodeError, Sender, SerializeType, write_command, write_command_as,
};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex"))
        .collect()
}

#[test]
fn a_binary_route_request_is_these_bytes() {
    let expected =
        hex("00000027 01000023 0069 00 01df 00000001 00000000 00000000 0000000e 0005 746f706963 \
            00000003 544257");
    let head = CommandHead {
        serialize: SerializeType::RocketMq,
        code: 105,
        opaque: 1,
        ..CommandHead::default()
    };
    let sender = Sender { version: 479, ..Sender::default() };
    let mut written = Vec::new();
    write_command_as(&mut written, sender, &head, |ext| ext.str("topic", "TBW"), 0);
    assert_eq!(written, expected);
    let view = CommandView::parse(&expected[4..]).expect("vector");
    assert_eq!(
        (view.code, view.language, view.version, view.opaque, view.flag),
        (105, 0, 479, 1, 0)
    );
    assert_eq!(view.ext.get("topic").as_deref(), Some("TBW"));
    assert_eq!(view.remark(), None);
    assert!(view.body.is_empty());
}

#[test]
fn a_json_answer_is_this_text() {
    let head = CommandHead {
        code: 0,
        opaque: 7,
        flag: 1,
        remark: Some("a \"b\""),
        ..CommandHead::default()
    };
    let mut written = Vec::new();
    write_command(
        &mut written,
        &head,
        |ext| {
            ext.str("msgId", "7F");
            ext.int("queueOffset", 12);
            ext.bool("ok", true);
        },
        b"body",
    );
    let header = concat!(
        r#"{"code":0,"extFields":{"msgId":"7F","queueOffset":"12","ok":"true"},"flag":1,"#,
        r#""language":"JAVA","opaque":7,"remark":"a \"b\"","serializeTypeCurrentRPC":"JSON","#,
        r#""version":513}"#
    );
    assert_eq!(&written[..4], u32::try_from(4 + header.len() + 4).expect("short").to_be_bytes());
    assert_eq!(&written[4..8], u32::try_from(header.len()).expect("short").to_be_bytes());
    assert_eq!(&written[8..], [header.as_bytes(), b"body"].concat());
}

#[test]
fn an_answer_without_fields_has_no_ext_fields() {
    let mut written = Vec::new();
    write_command(&mut written, &CommandHead::default(), |_| {}, b"");
    assert!(!String::from_utf8_lossy(&written).contains("extFields"));
    assert!(CommandView::parse(&written[4..]).expect("frame").ext.is_empty());
}

#[test]
fn a_header_too_long_for_a_frame_becomes_an_error_answer() {
    let huge = "\u{1}".repeat(3 << 20);
    for serialize in [SerializeType::Json, SerializeType::RocketMq] {
        let head = CommandHead { serialize, code: 0, opaque: 7, flag: 1, remark: Some(&huge) };
        let mut written = b"before".to_vec();
        write_command(&mut written, &head, |ext| (0..6).for_each(|_| ext.str("k", &huge)), b"body");
        let view = CommandView::parse(&written[10..]).expect("frame");
        assert_eq!((view.code, view.opaque, view.flag, view.body), (1, 7, 1, &b"body"[..]));
    }
}

#[test]
fn lying_frames_name_the_lie() {
    assert!(matches!(CommandView::parse(&[0, 0, 0]), Err(DecodeError::TooShort { found: 3, .. })));
    assert_eq!(
        CommandView::parse(&hex("00000009 7b7d")).map(|_| ()),
        Err(DecodeError::HeaderLength { declared: 9, available: 2 })
    );
    assert_eq!(
        CommandView::parse(&hex("16000000")).map(|_| ()),
        Err(DecodeError::SerializeType { found: 0x16 })
    );
    let negative_remark = hex("01000015 0069 00 01df 00000001 00000000 ffffffff 00000000");
    assert!(matches!(
        CommandView::parse(&negative_remark),
        Err(DecodeError::Length { what: "remark", .. })
    ));
    let long_fields = hex("01000015 0069 00 01df 00000001 00000000 00000000 7fffffff");
    assert!(matches!(
        CommandView::parse(&long_fields),
        Err(DecodeError::Length { what: "extFields", .. })
    ));
}

#[test]
fn a_v1_record_is_these_bytes() {
    let expected = hex(
        "0000007A DAA320A7 3610A686 00000003 01020304 000000000000004D 0000010000000000 00000001
         0000018BCFE56801 0A000009 0000C822 0000018BCFE56802 7F000001 00002A9F
         00000002 0000000000000005
         00000005 68656C6C6F 09 546F70696354657374 0011
         54414753 01 61 02 434C5553544552 01 63 02",
    );
    let draft = samples::draft("TopicTest", "10.0.0.9:51234", "127.0.0.1:10911");
    let mut encoded = vec![0xEE; draft.encoded_len().expect("length")];
    draft.encode_into(&mut encoded).expect("record");
    assert_eq!(encoded, expected);
    assert_eq!(record::body_crc(b"hello"), 907_060_870);
}

#[test]
fn a_record_reads_back_whatever_its_hosts_and_version() {
    let long = "x".repeat(200);
    for (topic, born, store) in [
        ("T", "10.0.0.9:1", "127.0.0.1:65535"),
        ("T", "[2001:db8::9]:1", "127.0.0.1:65535"),
        (&*"t".repeat(127), "10.0.0.9:1", "[::1]:65535"),
        (&*"t".repeat(128), "10.0.0.9:1", "127.0.0.1:65535"),
        (long.as_str(), "[2001:db8::9]:1", "[::1]:65535"),
    ] {
        let draft = samples::draft(topic, born, store);
        let mut encoded = vec![0; draft.encoded_len().expect("length")];
        draft.encode_into(&mut encoded).expect("record");
        let view = RecordView::parse(&encoded).expect("record");
        assert_eq!(view.is_v2(), topic.len() > 127);
        assert_eq!(
            (view.topic(), view.body(), view.properties()),
            (topic, &b"hello"[..], &b"TAGS\x01a\x02CLUSTER\x01c\x02"[..])
        );
        assert_eq!(
            (view.born_host().to_string().as_str(), view.store_host().to_string().as_str()),
            (born, store)
        );
        assert_eq!(
            (view.queue_id(), view.flag(), view.queue_offset(), view.physical_offset()),
            (3, 0x0102_0304, 77, 1 << 40)
        );
        assert_eq!(
            (view.born_timestamp_ms(), view.store_timestamp_ms()),
            (1_700_000_000_001, 1_700_000_000_002)
        );
        assert_eq!((view.reconsume_times(), view.prepared_transaction_offset()), (2, 5));
        assert_eq!(view.verify_crc(), Ok(()));
        let body_at = record::body_length_at(view.sys_flag()) + 4;
        assert_eq!(&encoded[body_at..body_at + 5], b"hello");
        encoded[body_at] ^= 1;
        assert!(matches!(
            RecordView::parse(&encoded).expect("record").verify_crc(),
            Err(RecordError::Crc { .. })
        ));
    }
}

#[test]
fn records_stop_at_the_first_that_is_none() {
    let two = samples::records().pop().expect("two records");
    assert_eq!(record::records(&two).filter(Result::is_ok).count(), 2);
    let blank = [&two[..], &record::blank(100)].concat();
    let last = record::records(&blank).last().expect("three items");
    assert_eq!(last.map(|_| ()), Err(RecordError::Magic { found: record::BLANK_MAGIC }));
    for cut in 1..two.len() {
        assert!(record::records(&two[..cut]).filter(Result::is_ok).count() < 2);
    }
}

#[test]
fn limits_of_a_record_are_errors() {
    let long_topic = "t".repeat(256);
    let properties: &[&[u8]] = &[&[0; 30_000], &[0; 2_768]];
    let base = samples::draft("T", "10.0.0.9:1", "127.0.0.1:1");
    let too_long = RecordDraft { properties, ..base };
    assert_eq!(
        too_long.encoded_len(),
        Err(RecordError::PropertiesTooLong { found: 32_768, max: 32_767 })
    );
    assert!(RecordDraft { properties: &[&[0; 32_767]], ..base }.encoded_len().is_ok());
    let topic = RecordDraft { topic: &long_topic, ..base };
    assert_eq!(topic.encoded_len(), Err(RecordError::TopicTooLong { found: 256, max: 255 }));
    let expected = base.encoded_len().expect("length");
    let mut place = vec![0; expected - 1];
    assert_eq!(
        base.encode_into(&mut place),
        Err(RecordError::Place { expected, found: expected - 1 })
    );
}

#[test]
fn send_headers_of_both_spellings_say_the_same() {
    use protocol::headers::{Scratch, SendHeader};
    let header = samples::send_header();
    for frame in samples::frames()
        .iter()
        .filter(|frame| CommandView::parse(frame).is_ok_and(|view| matches!(view.code, 10 | 310)))
    {
        let (view, mut scratch) = (CommandView::parse(frame).expect("frame"), Scratch::new());
        assert_eq!(SendHeader::decode(&view.ext, &mut scratch), Ok(header));
    }
}

#[test]
fn a_missing_or_wrong_field_is_named() {
    use protocol::headers::{PullHeader, Scratch, SendHeader};
    let decode = |fields: &str| {
        let header = format!("{{\"code\":310,\"extFields\":{{{fields}}}}}");
        let frame =
            [&u32::try_from(header.len()).expect("short").to_be_bytes()[..], header.as_bytes()]
                .concat();
        let view = CommandView::parse(&frame).expect("frame");
        let (mut one, mut two) = (Scratch::new(), Scratch::new());
        (
            SendHeader::decode(&view.ext, &mut one).map(|_| ()).map_err(|error| error.to_string()),
            PullHeader::decode(&view.ext, &mut two).map(|_| ()).map_err(|error| error.to_string()),
        )
    };
    let (send, pull) = decode("\"a\":\"g\"");
    assert_eq!(send, Err("the custom field <topic> is null".to_owned()));
    assert_eq!(pull, Err("the custom field <consumerGroup> is null".to_owned()));
    let (send, _) = decode("a:\"g\",b:\"t\",e:\"3x\"");
    assert_eq!(
        send,
        Err("the custom field <queueId> is \"3x\", expected a 32-bit number".to_owned())
    );
    let (send, _) = decode("a:\"g\",b:\"t\",e:3,f:0,g:1,h:0,m:\"1\"");
    assert_eq!(send, Ok(()));
}
