//! Whatever is wrong on the native lane: a typed answer or a closed connection, nothing stored,
//! nobody else disturbed.

use crate::client::pull_from;
use crate::cluster::{Cluster, eventually};
use crate::native_client::{Native, WHOLE_FRAME, fetch, frame, hello, produce, record};
use protocol::native::{Ack, ErrorCode, Kind, PREFIX_BYTES, Produce, Route};
use std::io::Write;
use std::time::Duration;

/// A client of either lane that must go on being served, and the only one that stores in its topic.
struct Witness {
    native: Native,
    remoting: crate::client::Client,
    stored: i64,
}

impl Witness {
    fn of(cluster: &Cluster) -> Self {
        let mut native = Native::connect(cluster);
        native.create("Witness");
        Self { native, remoting: cluster.client(0), stored: 0 }
    }

    /// Both lanes serve, and the queue holds what this witness stored and nothing else.
    fn alone_is_served(&mut self, after: &str) {
        let placed =
            self.native.produce(&[record("Witness", 0, "", "still here")]).produced().placed;
        assert_eq!(placed[0].queue_offset, self.stored, "{after}: nobody else stored anything");
        self.stored += 1;
        let pulled = self.remoting.pull(&pull_from("Witness", self.stored - 1));
        assert_eq!(pulled.messages()[0].text(), "still here", "{after}");
    }
}

fn good() -> Vec<u8> {
    record("Witness", 0, "TAGS\u{1}a\u{2}", "the body")
}

fn changed(at: usize, to: &[u8]) -> Vec<u8> {
    let mut bytes = good();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn a_conversation_that_does_not_begin_with_a_hello_we_speak_is_ended_with_the_reason() {
    let cluster = Cluster::start(1, &[]);
    let mut witness = Witness::of(&cluster);
    let long_name = protocol::native::Hello { client: "n".repeat(256), ..hello(1, 1) };
    let cases = [
        ("a hello from the future", frame(Kind::Hello, 1, &hello(2, 9), &[]), ErrorCode::Version),
        ("a hello from the past", frame(Kind::Hello, 1, &hello(0, 0), &[]), ErrorCode::Version),
        ("a hello of nothing", frame(Kind::Hello, 1, &hello(9, 1), &[]), ErrorCode::Version),
        ("a long name", frame(Kind::Hello, 1, &long_name, &[]), ErrorCode::Request),
        (
            "produce without hello",
            frame(Kind::Produce, 1, &produce(1), &good()),
            ErrorCode::HelloFirst,
        ),
        ("ping without hello", frame(Kind::Ping, 1, &(), &[]), ErrorCode::HelloFirst),
    ];
    for (what, bytes, code) in cases {
        let answers = Native::silent(&cluster).raw(&bytes);
        assert_eq!(answers.len(), 1, "{what}");
        let (found, _, reason) = answers[0].error();
        assert!(found == code && !reason.is_empty(), "{what}: {found:?} {reason}");
        witness.alone_is_served(what);
    }
    let mut twice = Native::connect(&cluster);
    let answers = twice.raw(&frame(Kind::Hello, 9, &hello(1, 1), &[]));
    assert_eq!(answers[0].error().0, ErrorCode::HelloFirst);
    witness.alone_is_served("a second hello");
}

#[test]
fn frames_whose_parts_contradict_each_other_end_the_connection() {
    let cluster = Cluster::start(1, &[]);
    let mut witness = Witness::of(&cluster);
    let whole = frame(Kind::Produce, 1, &produce(1), &good());
    let with = |at: usize, to: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    let cases = [
        ("a length below the prefix", with(4, &15_u32.to_le_bytes())),
        ("a length over the limit", with(4, &(64_u32 << 20).to_le_bytes())),
        ("a header longer than the frame", with(8, &u16::MAX.to_le_bytes())),
        ("flags of a later version", with(11, &[1])),
        ("another magic", with(1, b"X")),
        (
            "remoting in the middle of the native lane",
            [0, 0, 0, 20].iter().chain(&[b'{'; 40]).copied().collect(),
        ),
    ];
    for (what, bytes) in cases {
        let mut bad = Native::connect(&cluster);
        let peer = bad.stream.local_addr().unwrap().to_string();
        bad.raw(&bytes);
        eventually(&format!("the log names the peer of {what}"), || {
            cluster.broker.log().contains(&peer)
        });
        witness.alone_is_served(what);
    }
    // Longer than it says: what follows is no frame.
    let mut bad = Native::connect(&cluster);
    bad.stream.write_all(&with(4, &u32::try_from(whole.len() - 1).unwrap().to_le_bytes())).unwrap();
    assert_eq!(bad.receive().unwrap().error().0, ErrorCode::Record, "its record is cut by a byte");
    bad.raw(&whole);
    witness.alone_is_served("a frame longer than it says");
    // Shorter than it says, then gone.
    let mut bad = Native::connect(&cluster);
    bad.stream.write_all(&whole[..whole.len() - 1]).unwrap();
    drop(bad);
    witness.alone_is_served("a frame shorter than it says");
    // A native frame in the middle of remoting.
    let mut client = cluster.client(0);
    client.put("Other", "", "first");
    client.stream.write_all(&whole).unwrap();
    assert!(client.is_closed());
    witness.alone_is_served("a native frame in the remoting lane");
}

#[test]
fn headers_that_point_outside_themselves_are_refused_and_the_connection_lives() {
    let cluster = Cluster::start(1, &[]);
    let mut witness = Witness::of(&cluster);
    let mut native = Native::connect(&cluster);
    let good = frame(Kind::Fetch, 7, &fetch("a topic of more than eight bytes", 0, 0), &[]);
    let text_at = good.len() - 16;
    let mut refused = 0;
    for distance in [0_i32, 1, -1, 8, -44, -4000, 4000, i32::MAX, i32::MIN] {
        for list in [false, true] {
            let at = if list { text_at + 8 } else { text_at + 4 };
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&distance.to_le_bytes());
            if list {
                bytes[at + 4..at + 8].copy_from_slice(&1000_u32.to_le_bytes());
            }
            native.stream.write_all(&bytes).unwrap();
            let (code, record, _) = native.receive().unwrap().error();
            assert!(
                matches!(code, ErrorCode::Header | ErrorCode::Topic) && record == WHOLE_FRAME,
                "{distance} {list}: {code:?}"
            );
            refused += usize::from(code == ErrorCode::Header);
        }
    }
    assert!(refused > 12, "{refused} of 18 were refused as headers");
    // Every single cut of a header.
    for header in 0..good.len() - PREFIX_BYTES {
        let mut bytes = good[..PREFIX_BYTES + header].to_vec();
        bytes[4..8].copy_from_slice(&u32::try_from(PREFIX_BYTES + header).unwrap().to_le_bytes());
        bytes[8..10].copy_from_slice(&u16::try_from(header).unwrap().to_le_bytes());
        native.stream.write_all(&bytes).unwrap();
        assert_eq!(native.receive().unwrap().view().kind, Kind::Error, "cut to {header}");
    }
    witness.alone_is_served("headers of every kind of damage");
}

#[test]
fn one_bad_record_refuses_its_frame_whole_and_is_named() {
    let cluster = Cluster::start(1, &["maxMessageSize=4096"]);
    let mut witness = Witness::of(&cluster);
    let mut native = Native::connect(&cluster);
    native.call(Kind::Route, &Route { create_queues: 4, topic: "%DLQ%g".into() }, &[]);
    let body_at = protocol::record::body_length_at(0) + 4;
    let crc = changed(body_at, b"THE");
    let cases: Vec<(&str, Vec<u8>, ErrorCode)> = vec![
        ("a body that its CRC does not fit", crc, ErrorCode::Record),
        ("another magic", changed(4, &[0; 4]), ErrorCode::Record),
        ("a blank's magic", changed(4, &(-875_286_124_i32).to_be_bytes()), ErrorCode::Record),
        ("a body length that lies", changed(body_at - 4, &9_i32.to_be_bytes()), ErrorCode::Record),
        (
            "a negative body length",
            changed(body_at - 4, &(-1_i32).to_be_bytes()),
            ErrorCode::Record,
        ),
        ("a size that lies", changed(0, &91_i32.to_be_bytes()), ErrorCode::Record),
        ("a negative size", changed(0, &(-1_i32).to_be_bytes()), ErrorCode::Record),
        (
            "room for an IPv6 host",
            record("Witness", 0, "", "x").tap(|bytes| bytes[39] |= 0x20),
            ErrorCode::Record,
        ),
        ("transaction bits", changed(36, &4_i32.to_be_bytes()), ErrorCode::Unsupported),
        ("a transaction's offset", changed(body_at - 12, &1_i64.to_be_bytes()), ErrorCode::Record),
        (
            "half a transaction",
            record("Witness", 0, "TRAN_MSG\u{1}true\u{2}", "x"),
            ErrorCode::Unsupported,
        ),
        ("half a property", record("Witness", 0, "TAGS", "x"), ErrorCode::Record),
        ("a zero in a property", record("Witness", 0, "TAGS\u{1}a\0\u{2}", "x"), ErrorCode::Record),
        ("an unknown topic", record("Nowhere", 0, "", "x"), ErrorCode::Topic),
        ("a queue too high", record("Witness", 4, "", "x"), ErrorCode::Queue),
        ("a negative queue", record("Witness", -1, "", "x"), ErrorCode::Queue),
        ("a body too long", record("Witness", 0, "", &"x".repeat(4097)), ErrorCode::TooLarge),
        (
            "a topic of the broker's own",
            record("SCHEDULE_TOPIC_XXXX", 0, "", "x"),
            ErrorCode::Permission,
        ),
    ];
    for (what, bad, code) in cases {
        for nth in 0..3_u32 {
            let mut records = vec![good(), good()];
            records.insert(nth as usize, bad.clone());
            let (found, record, reason) = native.produce(&records).error();
            assert!(found == code && !reason.is_empty(), "{what} at {nth}: {found:?} {reason}");
            assert!(
                record == nth || (what.contains("size") && record == nth + 1),
                "{what} at {nth}: record {record} is blamed: {reason}"
            );
        }
        witness.alone_is_served(what);
    }
}

/// Changes a value in passing.
trait Tap {
    fn tap(self, change: impl FnOnce(&mut Self)) -> Self;
}

impl Tap for Vec<u8> {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

#[test]
fn requests_that_contradict_themselves_are_refused() {
    let cluster = Cluster::start(1, &[]);
    let mut witness = Witness::of(&cluster);
    let mut native = Native::connect(&cluster);
    let mut refused =
        |header: &Produce, payload: &[u8]| native.call(Kind::Produce, header, payload).error();
    for records in [0, 1, 3, 2_049, u32::MAX] {
        let (code, _, reason) =
            refused(&Produce { records, ..produce(0) }, &[good(), good()].concat());
        assert!(code == ErrorCode::Request && reason.contains("announced"), "{records}: {reason}");
    }
    assert_eq!(refused(&produce(0), &[]).0, ErrorCode::Request);
    assert_eq!(refused(&produce(1), &[]).0, ErrorCode::Request);
    assert_eq!(refused(&Produce { ack: 2, ..produce(1) }, &good()).0, ErrorCode::Request);
    assert_eq!(
        refused(&Produce { ack: Ack::Appended as u8, ..produce(2) }, &good()).0,
        ErrorCode::Request
    );
    assert_eq!(
        native.call(Kind::Pong, &(), &[]).error().0,
        ErrorCode::Kind,
        "an answer is no request"
    );
    let mut unknown = frame(Kind::Ping, 77, &(), &[]);
    unknown[10] = 0x42;
    native.stream.write_all(&unknown).unwrap();
    let answer = native.receive().unwrap();
    assert_eq!(
        (answer.error().0, answer.view().correlation),
        (ErrorCode::Kind, 77),
        "a kind of a later version"
    );
    let wrong_queue = protocol::native::Fetch { queue_id: 9, ..fetch("Witness", 0, 0) };
    assert_eq!(native.call(Kind::Fetch, &wrong_queue, &[]).error().0, ErrorCode::Queue);
    assert_eq!(native.call(Kind::Fetch, &fetch("Nowhere", 0, 0), &[]).error().0, ErrorCode::Topic);
    assert_eq!(
        native
            .call(Kind::Route, &Route { create_queues: 1, topic: "bad name!".into() }, &[])
            .error()
            .0,
        ErrorCode::Request
    );
    witness.alone_is_served("requests that contradict themselves");
}

#[test]
fn a_producer_that_never_reads_acknowledgements_is_held_back_and_memory_stays_bounded() {
    let cluster = Cluster::start(1, &["mappedFileSizeCommitLog=67108864"]);
    let mut witness = Witness::of(&cluster);
    let mut deaf = Native::connect(&cluster);
    deaf.create("Deaf");
    deaf.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // Small records, 2,048 a frame: 32 KiB of acknowledgement for 190 KiB; none is read.
    let records: Vec<Vec<u8>> = (0..2048).map(|_| record("Deaf", 0, "", "")).collect();
    let bytes = frame(Kind::Produce, 1, &produce(2048), &records.concat());
    let mut taken = 0;
    while taken < 2_000 && deaf.stream.write_all(&bytes).is_ok() {
        taken += 1;
    }
    assert!(taken < 2_000, "after {taken} frames of 190 KiB it was still being read");
    (0..20).for_each(|_| witness.alone_is_served("a deaf producer"));
    let resident = cluster.broker.resident_bytes_peak();
    assert!(
        resident < 512 << 20,
        "{resident} bytes resident for acknowledgements that nobody reads"
    );
}
