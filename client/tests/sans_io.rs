//! The client without sockets: bytes of a broker's answers in, requests out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use client::answer::Answer;
use client::producer::InFlight;
use client::{
    ClientError, Completion, Connection, Message, Producer, ProducerConfig, RecordWriter, Ticket,
    Told,
};
use protocol::native::{
    ErrorAnswer, ErrorCode, Fetch, FrameView, Kind, NO_RECORD, Placed, Prefix, Produced,
    QueryOffset, ShardAddress, Stages, Welcome, append_frame,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const SECOND_NANOS: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    Frame(InFlight),
    Call(u32),
}

impl From<InFlight> for Of {
    fn from(frame: InFlight) -> Self {
        Self::Frame(frame)
    }
}

fn peer() -> SocketAddr {
    "127.0.0.1:10911".parse().unwrap()
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        shard: 0,
        capabilities: 0,
        frame_bytes_max: 1 << 20,
        records_per_produce_max: 4,
        message_bytes_max: 10_000,
        fetch_messages_max: 100,
        hold_ms_max: 10_000,
        durability: 2,
        store_host_is_v6: false,
        needs_crc_property: false,
        wall_ms: 0,
        cluster: "C".into(),
        shards: vec![ShardAddress {
            broker_name: "broker-a".into(),
            address: "127.0.0.1:10911".into(),
        }],
    }
}

/// Frames of a stream: kind and correlation.
fn frames(mut bytes: &[u8]) -> Vec<(Kind, u32)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = Prefix::parse(bytes).unwrap().frame_bytes as usize;
        let frame = FrameView::parse(&bytes[..length]).unwrap();
        found.push((frame.kind, frame.correlation));
        bytes = &bytes[length..];
    }
    found
}

fn greeted(requests_max: usize) -> (Connection<Of>, Vec<u8>) {
    let mut out = Vec::new();
    let mut connection =
        Connection::new(peer(), "test", requests_max, Duration::from_secs(3), 0, &mut out).unwrap();
    let [(Kind::Hello, correlation)] = frames(&out)[..] else { panic!("one Hello") };
    let hello =
        FrameView::parse(&out).unwrap().header::<protocol::native::ArchivedHello>().unwrap();
    assert_eq!((hello.version_min.to_native(), hello.client.as_str()), (1, "test"));
    out.clear();
    let mut answer = Vec::new();
    append_frame(&mut answer, Kind::Welcome, correlation, &welcome(), 0).unwrap();
    let mut ready = 0;
    connection
        .receive(&answer, &mut |told| ready += i32::from(matches!(told, Told::Ready)))
        .unwrap();
    assert_eq!((ready, connection.unanswered()), (1, 0));
    (connection, out)
}

fn query(
    connection: &mut Connection<Of>,
    out: &mut Vec<u8>,
    number: u32,
    now_nanos: u64,
) -> client::Result<()> {
    let query = QueryOffset { queue_id: 0, group: "g".into(), topic: "T".into() };
    connection.query_offset(out, Of::Call(number), &query, now_nanos)
}

fn offset_is(correlation: u32, committed: i64) -> Vec<u8> {
    let mut answer = Vec::new();
    append_frame(
        &mut answer,
        Kind::OffsetIs,
        correlation,
        &protocol::native::OffsetIs { committed, min_offset: 0, max_offset: 9 },
        0,
    )
    .unwrap();
    answer
}

#[test]
fn answers_out_of_order_find_their_requests() {
    let (mut connection, mut out) = greeted(64);
    (0..50).for_each(|number| query(&mut connection, &mut out, number, 0).unwrap());
    let asked = frames(&out);
    let mut answers: Vec<Vec<u8>> = (0_u32..)
        .zip(&asked)
        .map(|(number, (_, correlation))| offset_is(*correlation, number.into()))
        .collect();
    answers.reverse();
    answers.swap(3, 40);
    let mut seen = Vec::new();
    let stream = answers.concat();
    for chunk in stream.chunks(7) {
        let told = &mut |told: Told<'_, Of>| match told {
            Told::Answer(Of::Call(number), Answer::OffsetIs(is)) => {
                seen.push((number, is.committed))
            }
            other => panic!("{other:?}"),
        };
        connection.receive(chunk, told).unwrap();
    }
    assert!(
        seen.len() == 50 && seen.iter().all(|(number, committed)| i64::from(*number) == *committed)
    );
    assert_eq!(connection.unanswered(), 0);
}

#[test]
fn a_held_request_keeps_its_place_while_others_go_around_it() {
    let (mut connection, mut out) = greeted(4);
    let fetch = Fetch {
        queue_id: 0,
        offset: 0,
        messages_max: 1,
        bytes_max: 1,
        hold_ms: 10_000,
        topic: "T".into(),
        tags: vec![],
    };
    connection.fetch(&mut out, Of::Call(1000), &fetch, 0).unwrap();
    let (_, held) = frames(&out)[0];
    for number in 0..100 {
        out.clear();
        query(&mut connection, &mut out, number, 0).unwrap();
        let (_, correlation) = frames(&out)[0];
        assert_ne!(correlation, held);
        let mut seen = None;
        connection
            .receive(&offset_is(correlation, 0), &mut |told| {
                if let Told::Answer(of, _) = told {
                    seen = Some(of)
                }
            })
            .unwrap();
        assert_eq!(seen, Some(Of::Call(number)));
    }
    assert_eq!(connection.unanswered(), 1);
}

#[test]
fn more_requests_than_allowed_are_back_pressure_and_more_than_the_broker_takes_a_typed_error() {
    let (mut connection, mut out) = greeted(6);
    let full =
        (0..100).find_map(|number| query(&mut connection, &mut out, number, 0).err()).unwrap();
    assert!(full.is_full(), "{full}");
    let (mut connection, mut out) = greeted(6);
    let fetch = Fetch {
        queue_id: 0,
        offset: 0,
        messages_max: 101,
        bytes_max: 1,
        hold_ms: 0,
        topic: "T".into(),
        tags: vec![],
    };
    let error = connection.fetch(&mut out, Of::Call(0), &fetch, 0).unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { found: 101, limit: 100, .. }), "{error}");
    assert!(out.is_empty());
}

#[test]
fn no_answer_in_time_names_peer_operation_and_time_and_a_late_answer_is_nobodys() {
    let (mut connection, mut out) = greeted(8);
    query(&mut connection, &mut out, 1, 5 * SECOND_NANOS).unwrap();
    let (_, correlation) = frames(&out)[0];
    connection.tick(7 * SECOND_NANOS, &mut out, &mut |_| panic!("too early")).unwrap();
    let mut errors = Vec::new();
    connection
        .tick(8 * SECOND_NANOS, &mut out, &mut |told| {
            if let Told::Failed(of, error) = told {
                errors.push((of, error))
            }
        })
        .unwrap();
    let [(Of::Call(1), error)] = &errors[..] else { panic!("{errors:?}") };
    assert!(error.outcome_is_unknown());
    assert_eq!(
        error.to_string(),
        "query offset at 127.0.0.1:10911: no answer within 3000 ms; whether it was done is unknown"
    );
    connection.receive(&offset_is(correlation, 0), &mut |told| panic!("{told:?}")).unwrap();
    assert_eq!(connection.late_answers, 1);
}

#[test]
fn a_quiet_connection_is_pinged_and_silence_ends_it() {
    let (mut connection, mut out) = greeted(8);
    connection.tick(29 * SECOND_NANOS, &mut out, &mut |told| panic!("{told:?}")).unwrap();
    assert!(out.is_empty());
    connection.tick(30 * SECOND_NANOS, &mut out, &mut |told| panic!("{told:?}")).unwrap();
    let [(Kind::Ping, correlation)] = frames(&out)[..] else { panic!("one ping") };
    let mut pong = Vec::new();
    append_frame(&mut pong, Kind::Pong, correlation, &(), 0).unwrap();
    connection.receive(&pong, &mut |told| panic!("{told:?}")).unwrap();
    connection.tick(61 * SECOND_NANOS, &mut out, &mut |told| panic!("{told:?}")).unwrap();
    let silence =
        connection.tick(65 * SECOND_NANOS, &mut out, &mut |told| panic!("{told:?}")).unwrap_err();
    assert!(silence.contains("ping without an answer"), "{silence}");
}

#[test]
fn a_refused_greeting_another_version_and_the_wrong_kind_of_answer_end_the_connection() {
    let greet = |answer: &dyn Fn(u32) -> Vec<u8>| {
        let mut out = Vec::new();
        let mut connection: Connection<Of> =
            Connection::new(peer(), "test", 8, Duration::from_secs(3), 0, &mut out).unwrap();
        let (_, correlation) = frames(&out)[0];
        connection.receive(&answer(correlation), &mut |told| panic!("{told:?}")).unwrap_err()
    };
    let refusal = |code: ErrorCode, correlation| {
        let mut frame = Vec::new();
        append_frame(
            &mut frame,
            Kind::Error,
            correlation,
            &ErrorAnswer { code: code.number(), record: NO_RECORD, reason: "no".into() },
            0,
        )
        .unwrap();
        frame
    };
    assert!(
        greet(&|correlation| refusal(ErrorCode::Version, correlation)).contains("Version (1): no")
    );
    assert!(greet(&|_| refusal(ErrorCode::HelloFirst, 0)).contains("HelloFirst"));
    let later = |correlation| {
        let mut frame = Vec::new();
        append_frame(
            &mut frame,
            Kind::Welcome,
            correlation,
            &Welcome { version: 2, ..welcome() },
            0,
        )
        .unwrap();
        frame
    };
    assert!(greet(&later).contains("version 2"));
    assert!(greet(&|_| b"HTTP/1.1 400 Bad Request".to_vec()).contains("native protocol"));

    let (mut connection, mut out) = greeted(8);
    query(&mut connection, &mut out, 4, 0).unwrap();
    let mut wrong = Vec::new();
    append_frame(&mut wrong, Kind::Committed, frames(&out)[0].1, &(), 0).unwrap();
    let mut failed = 0;
    connection
        .receive(&wrong, &mut |told| {
            failed += i32::from(matches!(told, Told::Failed(Of::Call(4), _)))
        })
        .unwrap_err();
    assert_eq!(failed, 1);
}

struct Rig {
    connection: Connection<Of>,
    producer: Producer,
    writer: RecordWriter,
    out: Vec<u8>,
}

fn rig(config: ProducerConfig) -> Rig {
    let (connection, out) = greeted(64);
    let mut producer = Producer::new(config, 3, peer());
    producer.on_welcome(&welcome());
    Rig { connection, producer, writer: RecordWriter::new("127.0.0.1:1".parse().unwrap(), 1), out }
}

impl Rig {
    fn add(&mut self, body: &[u8], now_nanos: u64) -> client::Result<Ticket> {
        if self.producer.is_batch_full() {
            self.close(now_nanos, true);
        }
        self.producer.add(&mut self.writer, 0, &Message::new("T", body), now_nanos, 1)
    }

    fn close(&mut self, now_nanos: u64, at_once: bool) {
        self.producer.close(&mut self.connection, &mut self.out, now_nanos, at_once).unwrap();
    }

    fn receive(&mut self, data: &[u8]) {
        let producer = &mut self.producer;
        let told = &mut |told: Told<'_, Of>| match told {
            Told::Answer(Of::Frame(frame), Answer::Produced(produced)) => {
                producer.on_produced(frame, &produced)
            }
            Told::Failed(Of::Frame(frame), error) => producer.on_failed(frame, &error),
            other => panic!("{other:?}"),
        };
        self.connection.receive(data, told).unwrap();
    }
}

fn write_produced(out: &mut Vec<u8>, correlation: u32, first: i64, records: u32) {
    let stages =
        Stages { appended_nanos: 1, flushed_nanos: 2, replicated_nanos: 0, answered_nanos: 3 };
    let header = Produced { records, is_late: false, store_timestamp_ms: 7, stages };
    append_frame(out, Kind::Produced, correlation, &header, records as usize * 16).unwrap();
    for offset in first..first + i64::from(records) {
        out.extend_from_slice(
            &Placed { queue_offset: offset, physical_offset: offset * 100 }.to_bytes(),
        );
    }
}

fn drain(producer: &mut Producer) -> Vec<Completion> {
    std::iter::from_fn(|| producer.next_completion()).collect()
}

#[test]
fn records_gather_until_linger_or_size_and_each_gets_its_own_completion() {
    let mut rig =
        rig(ProducerConfig { linger: Duration::from_millis(5), ..ProducerConfig::default() });
    let tickets: Vec<Ticket> = (0..6).map(|n| rig.add(&[n], 0).unwrap()).collect();
    assert_eq!(
        frames(&rig.out).len(),
        1,
        "the broker takes 4 records a frame: the first 4 went when the fifth came"
    );
    rig.close(4_000_000, false);
    assert_eq!(frames(&rig.out).len(), 1, "the other two linger");
    rig.close(5_000_000, false);
    let sent = frames(&rig.out);
    assert_eq!(sent.len(), 2);
    let mut answers = Vec::new();
    write_produced(&mut answers, sent[1].1, 4, 2);
    write_produced(&mut answers, sent[0].1, 0, 4);
    rig.receive(&answers);
    let completions = drain(&mut rig.producer);
    let offset_of = |ticket: &Ticket| {
        completions
            .iter()
            .find(|c| c.ticket == *ticket)
            .unwrap()
            .outcome
            .as_ref()
            .unwrap()
            .queue_offset
    };
    assert_eq!(tickets.iter().map(offset_of).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!((completions.len(), rig.producer.unanswered()), (6, 0));
}

#[test]
fn a_refused_frame_tells_the_bad_record_from_its_neighbours() {
    let mut rig = rig(ProducerConfig::default());
    (0..3).for_each(|n| assert_eq!(rig.add(&[n], 0).unwrap().number, u64::from(n)));
    rig.close(0, true);
    let mut refusal = Vec::new();
    append_frame(
        &mut refusal,
        Kind::Error,
        frames(&rig.out)[0].1,
        &ErrorAnswer { code: 6, record: 1, reason: "no such topic".into() },
        0,
    )
    .unwrap();
    rig.receive(&refusal);
    let errors: Vec<ClientError> =
        drain(&mut rig.producer).into_iter().map(|c| c.outcome.unwrap_err()).collect();
    assert!(
        matches!(
            &errors[..],
            [
                ClientError::Neighbour { .. },
                ClientError::Refused { .. },
                ClientError::Neighbour { .. }
            ]
        ),
        "{errors:?}"
    );
    assert!(errors.iter().all(|error| !error.outcome_is_unknown()));
}

#[test]
fn bytes_and_frames_under_way_are_bounded_and_answers_make_room() {
    let mut rig = rig(ProducerConfig { in_flight_bytes_max: 4_000, ..ProducerConfig::default() });
    let mut taken = 0;
    let full = loop {
        match rig.add(&[0; 500], 0) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100);
    };
    assert!(full.is_full() && taken >= 4, "{taken} taken, then {full}");
    rig.close(0, true);
    let sent = frames(&rig.out);
    let mut answer = Vec::new();
    write_produced(&mut answer, sent[0].1, 0, 4);
    rig.receive(&answer);
    rig.add(&[0; 500], 0).unwrap();

    let mut rig =
        self::rig(ProducerConfig { in_flight_frames_max: 2, ..ProducerConfig::default() });
    let taken = (0..100).take_while(|_| rig.add(b"x", 0).is_ok()).count();
    assert_eq!(taken, 2 * 4 + 4, "two frames under way and one gathered");
}

#[test]
fn a_message_larger_than_all_that_may_be_under_way_still_goes_when_it_is_alone() {
    let mut rig = rig(ProducerConfig { in_flight_bytes_max: 1_000, ..ProducerConfig::default() });
    rig.add(&[0; 5_000], 0).unwrap();
    assert!(rig.add(&[0; 10], 0).unwrap_err().is_full());
}

#[test]
fn what_was_in_flight_when_the_connection_was_lost_is_unknown_and_what_gathered_goes_out_next() {
    let mut rig = rig(ProducerConfig::default());
    let sent = rig.add(b"sent", 0).unwrap();
    rig.close(0, true);
    let gathering = rig.add(b"gathering", 0).unwrap();
    let Rig { connection, mut producer, writer, .. } = rig;
    let why: Arc<str> = "closed by the peer".into();
    connection.lose(&why, &mut |told| match told {
        Told::Failed(Of::Frame(frame), error) => producer.on_failed(frame, &error),
        other => panic!("{other:?}"),
    });
    let [lost] = &drain(&mut producer)[..] else { panic!("one completion") };
    assert_eq!(lost.ticket, sent);
    let Err(error @ ClientError::Unknown { .. }) = &lost.outcome else { panic!("{lost:?}") };
    assert!(error.outcome_is_unknown());
    let (connection, out) = greeted(64);
    let mut rig = Rig { connection, producer, writer, out };
    rig.producer.on_welcome(&welcome());
    rig.close(0, true);
    let mut answer = Vec::new();
    write_produced(&mut answer, frames(&rig.out)[0].1, 0, 1);
    rig.receive(&answer);
    assert_eq!(drain(&mut rig.producer)[0].ticket, gathering);
}

#[test]
fn records_gathered_for_another_layout_are_given_back_as_not_sent() {
    let mut rig = rig(ProducerConfig::default());
    rig.add(b"a", 0).unwrap();
    rig.producer.on_welcome(&Welcome { needs_crc_property: true, ..welcome() });
    let [back] = &drain(&mut rig.producer)[..] else { panic!("one completion") };
    assert!(matches!(back.outcome, Err(ClientError::NotSent { .. })));
}

#[test]
fn steady_state_sends_allocate_nothing() {
    let mut rig = rig(ProducerConfig::default());
    let mut answers = Vec::new();
    let mut round = |rig: &mut Rig| {
        for _ in 0..16 {
            rig.add(&[7; 1024], 0).unwrap();
        }
        rig.close(0, true);
        let mut sent = rig.out.as_slice();
        answers.clear();
        while !sent.is_empty() {
            let prefix = Prefix::parse(sent).unwrap();
            write_produced(&mut answers, prefix.correlation, 0, 4);
            sent = &sent[prefix.frame_bytes as usize..];
        }
        rig.out.clear();
        let bytes = std::mem::take(&mut answers);
        rig.receive(&bytes);
        answers = bytes;
        for _ in 0..16 {
            rig.producer.next_completion().unwrap().outcome.unwrap();
        }
    };
    (0..20).for_each(|_| round(&mut rig));
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| round(&mut rig)));
    assert_eq!(counted.count_total, 0, "allocations in 1,600 sends");
}

/// Any bytes: an error or an answer, never a panic, and nothing told twice.
#[test]
fn damaged_answers_never_panic_and_complete_each_record_at_most_once() {
    for seed in 0..3_000_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        let mut rig = rig(ProducerConfig::default());
        let tickets: Vec<Ticket> = (0..6).map(|n| rig.add(&[n], 0).unwrap()).collect();
        rig.close(0, true);
        let mut answers = Vec::new();
        for (_, correlation) in frames(&rig.out) {
            write_produced(&mut answers, correlation, 0, 4);
        }
        for _ in 0..=random(4) {
            let at = random(answers.len());
            answers[at] = u8::try_from(random(256)).unwrap();
        }
        answers.truncate(answers.len() - random(3) * random(40));
        let Rig { mut connection, mut producer, .. } = rig;
        let told = &mut |told: Told<'_, Of>| match told {
            Told::Answer(Of::Frame(frame), Answer::Produced(produced)) => {
                producer.on_produced(frame, &produced)
            }
            Told::Failed(Of::Frame(frame), error) => producer.on_failed(frame, &error),
            _ => {}
        };
        let cut = random(answers.len() + 1);
        let received = connection
            .receive(&answers[..cut], told)
            .and_then(|()| connection.receive(&answers[cut..], told));
        connection.lose(&received.err().unwrap_or_else(|| "the end".into()), told);
        let mut completed: Vec<Ticket> =
            drain(&mut producer).into_iter().map(|completion| completion.ticket).collect();
        completed.sort_unstable();
        assert_eq!(completed, tickets, "seed {seed}: every record completes once");
    }
}
