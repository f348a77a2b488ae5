//! docs/FORMATS.md's native frames, byte for byte. A change of these bytes is a change of the
//! protocol: it needs a version.

use protocol::native::{
    Ack, CommitOffset, Durability, ErrorAnswer, ErrorCode, Fetch, FetchSql, FetchStatus, Fetched,
    FrameView, Hello, Kind, NO_RECORD, OffsetIs, Placed, Produce, Produced, QueryOffset, Route,
    RouteIs, ShardAddress, Stages, Welcome, append_frame,
};
use std::collections::BTreeMap;

const GOLDEN: &str = include_str!("fixtures/native-v1.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! frames {
    ($($name:literal $kind:ident $correlation:literal $header:expr, $payload:expr;)*) => {
        /// Every frame of the golden file, as we write it, and whether its header is read back as
        /// it was.
        fn frames() -> Vec<(&'static str, Vec<u8>)> {
            vec![$({
                let payload: &[u8] = $payload;
                let mut bytes = Vec::new();
                let length = payload.len();
                append_frame(&mut bytes, Kind::$kind, $correlation, &$header, length).unwrap();
                bytes.extend_from_slice(payload);
                ($name, bytes)
            }),*]
        }
    };
}

frames! {
    "hello" Hello 1 Hello { version_min: 1, version_max: 1, capabilities: 0, client: "loadgen on \
        host-1".into() }, &[];
    "welcome" Welcome 1 welcome(), &[];
    "produce" Produce 2 Produce {
        records: 2, ack: Ack::Configured as u8, wants_stages: true
    }, b"RECORDRECORD";
    "produced" Produced 2 produced(), &placed();
    "fetch" Fetch 3 Fetch {
        queue_id: 3, offset: 7, messages_max: 32, bytes_max: 1 << 20, hold_ms: 15_000,
        topic: "TopicTest".into(), tags: vec![2_598_919, -1]
    }, &[];
    "fetch of a short topic" Fetch 4 Fetch {
        queue_id: 0, offset: 0, messages_max: 1, bytes_max: 1, hold_ms: 0,
        topic: "T".into(), tags: vec![]
    }, &[];
    "fetch by an expression" FetchSql 11 FetchSql {
        queue_id: 3, offset: 7, messages_max: 32, bytes_max: 1 << 20, hold_ms: 15_000,
        topic: "TopicTest".into(), expression: "colour = 'red' AND size > 5".into()
    }, &[];
    "fetched" Fetched 3 Fetched {
        status: FetchStatus::Found as u8, messages: 1, next_offset: 8, min_offset: 0, max_offset: 9
    }, b"RECORD";
    "query offset" QueryOffset 5 QueryOffset {
        queue_id: 1, group: "a_group_of_consumers".into(), topic: "TopicTest".into()
    }, &[];
    "offset is" OffsetIs 5 OffsetIs { committed: -1, min_offset: 2, max_offset: 3 }, &[];
    "commit offset" CommitOffset 6 CommitOffset {
        queue_id: 1, offset: 8, group: "group".into(), topic: "TopicTest".into()
    }, &[];
    "committed" Committed 6 (), &[];
    "route" Route 7 Route { create_queues: 4, topic: "TopicTest".into() }, &[];
    "route is" RouteIs 7 RouteIs { read_queues: 4, write_queues: 4, permission: 6 }, &[];
    "ping" Ping 8 (), &[];
    "pong" Pong 8 (), &[];
    "error" Error 9 ErrorAnswer {
        code: ErrorCode::Record.number(), record: 1, reason: "BODYCRC".into()
    }, &[];
    "error of a whole frame" Error 10 ErrorAnswer {
        code: ErrorCode::HelloFirst.number(), record: NO_RECORD,
        reason: "the first frame must be Hello".into()
    }, &[];
}

fn welcome() -> Welcome {
    let shard = |n: u16| ShardAddress {
        broker_name: format!("broker-a-s{n}"),
        address: format!("10.0.0.1:{}", 10_911 + 10 * n),
    };
    Welcome {
        version: 1,
        shard: 1,
        capabilities: 0,
        frame_bytes_max: 16_777_216,
        records_per_produce_max: 2_048,
        message_bytes_max: 4_194_304,
        fetch_messages_max: 1_024,
        hold_ms_max: 120_000,
        durability: Durability::Flushed as u8,
        store_host_is_v6: false,
        needs_crc_property: true,
        wall_ms: 1_700_000_000_000,
        cluster: "DefaultCluster".into(),
        shards: vec![shard(0), shard(1)],
    }
}

fn produced() -> Produced {
    let stages = Stages {
        appended_nanos: 700,
        flushed_nanos: 123_000,
        replicated_nanos: 0,
        answered_nanos: 124_000,
    };
    Produced { records: 2, is_late: false, store_timestamp_ms: 1_700_000_000_000, stages }
}

fn placed() -> Vec<u8> {
    [
        Placed { queue_offset: 5, physical_offset: 4096 },
        Placed { queue_offset: 6, physical_offset: 4300 },
    ]
    .into_iter()
    .flat_map(Placed::to_bytes)
    .collect()
}

#[test]
fn every_frame_is_written_as_the_golden_file_has_it() {
    let golden: BTreeMap<&str, &str> = GOLDEN
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once(": ").expect("name: hex"))
        .collect();
    let written = frames();
    for (name, bytes) in &written {
        assert_eq!(golden.get(name).copied(), Some(hex(bytes).as_str()), "{name}");
    }
    assert_eq!(golden.len(), written.len(), "every golden frame is written by this test");
}

#[test]
fn the_fixed_headers_lie_as_formats_md_draws_them() {
    let frame = |wanted: &str| frames().into_iter().find(|(name, _)| *name == wanted).unwrap().1;
    let produce = frame("produce");
    assert_eq!(produce[..16], [0x9A, b'R', b'M', b'Q', 34, 0, 0, 0, 6, 0, 2, 0, 2, 0, 0, 0]);
    assert_eq!(produce[16..22], [2, 0, 0, 0, 0, 1], "records u32, ack u8, wants_stages u8");
    assert_eq!(&produce[22..], b"RECORDRECORD");
    let produced = frame("produced");
    let mut expected = 2_u32.to_le_bytes().to_vec();
    expected.push(0);
    for number in [1_700_000_000_000_i64, 700, 123_000, 0, 124_000, 5, 4096, 6, 4300] {
        expected.extend_from_slice(&number.to_le_bytes());
    }
    assert_eq!(
        produced[16..],
        expected,
        "records, is_late, store time, four stages, then the payload"
    );
    assert_eq!(
        Placed::iter(&produced[16 + 45..]).map(|placed| placed.queue_offset).collect::<Vec<_>>(),
        [5, 6]
    );
    let short = frame("fetch of a short topic");
    let mut root = vec![0, 0, 0, 0];
    root.extend_from_slice(&0_i64.to_le_bytes());
    root.extend_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    root.extend_from_slice(b"T\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    assert_eq!(
        short[16..16 + root.len()],
        root,
        "a text of up to 8 bytes lies in place, filled up with ff"
    );
}

#[test]
fn what_is_written_is_read_in_place_at_any_alignment() {
    use protocol::native::{ArchivedFetch, ArchivedWelcome};
    for shift in 0..8 {
        for (name, bytes) in frames() {
            let shifted = [vec![0; shift], bytes].concat();
            let view = FrameView::parse(&shifted[shift..]).unwrap();
            match view.kind {
                Kind::Fetch if name == "fetch" => {
                    let fetch = view.header::<ArchivedFetch>().unwrap();
                    assert_eq!(
                        (
                            fetch.topic.as_str(),
                            fetch.queue_id.to_native(),
                            fetch.offset.to_native()
                        ),
                        ("TopicTest", 3, 7)
                    );
                    assert_eq!(
                        fetch.tags.iter().map(|tag| tag.to_native()).collect::<Vec<_>>(),
                        [2_598_919, -1]
                    );
                }
                Kind::Welcome => {
                    let welcome = view.header::<ArchivedWelcome>().unwrap();
                    assert_eq!(
                        rkyv::api::low::deserialize::<Welcome, rkyv::rancor::Error>(welcome)
                            .unwrap(),
                        self::welcome()
                    );
                }
                _ => {}
            }
        }
    }
}
