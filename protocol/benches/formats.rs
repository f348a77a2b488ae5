//! What the data path's formats cost: header decode (JSON beside general JSON parsers, binary),
//! record encode (beside a memcpy of the same bytes), record parse. `cargo bench -p protocol`;
//! under `cargo test --benches` each runs once.

#[path = "../tests/samples/mod.rs"]
mod samples;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use protocol::headers::{Scratch, SendHeader};
use protocol::record::{RecordDraft, RecordView};
use protocol::remoting::{CommandHead, CommandView, SerializeType, write_command};
use serde::Deserialize;

/// The header as a general JSON parser would give it: borrowed where nothing is escaped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeneralHeader<'a> {
    code: i32,
    opaque: i32,
    flag: i32,
    version: i32,
    #[serde(borrow)]
    ext_fields: GeneralSend<'a>,
}

#[derive(Deserialize)]
struct GeneralSend<'a> {
    #[serde(borrow)]
    a: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    b: std::borrow::Cow<'a, str>,
    e: &'a str,
    g: &'a str,
    #[serde(borrow)]
    i: std::borrow::Cow<'a, str>,
}

fn frame(serialize: SerializeType) -> Vec<u8> {
    let head = CommandHead { serialize, code: 310, opaque: 12_345, ..CommandHead::default() };
    let mut out = Vec::new();
    write_command(&mut out, &head, |ext| samples::send_header().write_v2(ext), &[0x61; 1024]);
    out.split_off(4)
}

fn header_text(frame: &[u8]) -> &[u8] {
    let length = u32::from_be_bytes([0, frame[1], frame[2], frame[3]]);
    &frame[4..4 + usize::try_from(length).expect("24 bits")]
}

fn decode(frame: &[u8], scratch: &mut Scratch) -> i64 {
    let view = CommandView::parse(frame).expect("frame");
    let header = SendHeader::decode(&view.ext, scratch).expect("header");
    header.born_timestamp_ms
        + i64::from(header.queue_id + view.opaque)
        + i64::try_from(header.properties.len()).expect("short")
}

fn headers(criterion: &mut Criterion) {
    let (json, binary) = (frame(SerializeType::Json), frame(SerializeType::RocketMq));
    let mut group = criterion.benchmark_group("send_header");
    group.throughput(Throughput::Bytes(u64::try_from(header_text(&json).len()).expect("short")));
    let mut scratch = Scratch::new();
    assert_eq!(decode(&json, &mut scratch), decode(&binary, &mut scratch));
    group.bench_function("json_view_only", |bencher| {
        bencher.iter(|| CommandView::parse(black_box(&json)).expect("frame").opaque)
    });
    group.bench_function("json", |bencher| bencher.iter(|| decode(black_box(&json), &mut scratch)));
    group.bench_function("binary", |bencher| {
        bencher.iter(|| decode(black_box(&binary), &mut scratch))
    });
    let text = header_text(&json);
    let total = |header: &GeneralHeader<'_>| {
        let send = &header.ext_fields;
        assert!(
            header.flag == 0
                && header.version > 0
                && header.code == 310
                && !send.a.is_empty()
                && !send.b.is_empty()
        );
        let born: i64 = send.g.parse().expect("number");
        let queue: i32 = send.e.parse().expect("number");
        born + i64::from(queue + header.opaque) + i64::try_from(send.i.len()).expect("short")
    };
    group.bench_function("json_by_serde_json", |bencher| {
        bencher.iter(|| total(&serde_json::from_slice(black_box(text)).expect("header")));
    });
    group.bench_function("json_by_sonic_rs", |bencher| {
        bencher.iter(|| total(&sonic_rs::from_slice(black_box(text)).expect("header")));
    });
    group.finish();
}

fn answers(criterion: &mut Criterion) {
    let mut out = Vec::with_capacity(4096);
    let mut group = criterion.benchmark_group("send_answer");
    for (name, serialize) in [("json", SerializeType::Json), ("binary", SerializeType::RocketMq)] {
        let head = CommandHead { serialize, opaque: 12_345, flag: 1, ..CommandHead::default() };
        let fields = protocol::headers::SendResponseHeader {
            msg_id: "7F00000100002A9F0000000000000000",
            queue_id: 3,
            queue_offset: 1_234_567,
            ..Default::default()
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                write_command(&mut out, black_box(&head), |ext| fields.write(ext), b"");
                out.len()
            });
        });
    }
    group.finish();
}

fn records(criterion: &mut Criterion) {
    let body = vec![0x61; 1024];
    let draft = RecordDraft {
        body: &body,
        ..samples::draft("TopicTest", "10.0.0.9:51234", "127.0.0.1:10911")
    };
    let mut place = vec![0; draft.encoded_len().expect("length")];
    draft.encode_into(&mut place).expect("record");
    let encoded = place.clone();
    let mut group = criterion.benchmark_group("record_1k");
    group.throughput(Throughput::Bytes(u64::try_from(encoded.len()).expect("short")));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| black_box(&draft).encode_into(&mut place).expect("record"))
    });
    group.bench_function("memcpy_of_the_same_bytes", |bencher| {
        bencher.iter(|| place.copy_from_slice(black_box(&encoded)))
    });
    group.bench_function("crc_of_the_body", |bencher| {
        bencher.iter(|| protocol::record::body_crc(black_box(&body)))
    });
    let mut with_crc = vec![0; draft.encoded_len_with_crc().expect("length")];
    group.bench_function("encode_with_crc_property", |bencher| {
        bencher.iter(|| black_box(&draft).encode_with_crc_into(&mut with_crc).expect("record"))
    });
    for (name, bytes) in [("verify_body_crc", &encoded), ("verify_crc_property", &with_crc)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| RecordView::parse(black_box(bytes)).expect("record").verify_intact())
        });
    }
    group.bench_function("parse", |bencher| {
        bencher.iter(|| RecordView::parse(black_box(&encoded)).expect("record").queue_offset())
    });
    group.finish();
}

criterion_group!(benches, headers, answers, records);
criterion_main!(benches);
