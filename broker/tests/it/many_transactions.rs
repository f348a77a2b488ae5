//! What many transactions cost: memory and CPU of those that have ended, and of those that are open
//! over three questions. Small here; the figures:
//!
//! ```text
//! ENDED=1000000 OPEN=100000 cargo test -p broker --release --test it many_trans -- --nocapture
//! ```

use crate::client::{Client, message};
use crate::cluster::Cluster;
use protocol::bodies::{HeartbeatData, ProducerData};
use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use protocol::ids::OffsetMsgId;
use protocol::json::to_fastjson;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::remoting::fields;

/// Sends without an answer, on one connection.
const DEPTH: usize = 64;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// Begins `count` transactions, `DEPTH` at once; `each` is told where each half message is.
fn prepare(client: &mut Client, count: usize, mut each: impl FnMut(&mut Client, i64, i64)) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let born_timestamp_ms = i64::try_from(now.as_millis()).unwrap();
    let (mut sent, mut answered) = (0, 0);
    while answered < count {
        while sent < count && sent - answered < DEPTH {
            let properties = format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}UNIQ_KEY\u{1}{sent}");
            let header = SendHeader { properties: &properties, born_timestamp_ms, ..message("T") };
            client.send(request::SEND_MESSAGE_V2, 0, |w| header.write_v2(w), &[b'x'; 100]);
            sent += 1;
        }
        let answer = client.receive();
        if !answer.is_response {
            continue; // a question
        }
        assert_eq!(answer.code, 0, "{answer:?}");
        let at = OffsetMsgId::parse(answer.field("msgId")).unwrap().physical_offset;
        each(client, answer.number("queueOffset"), at);
        answered += 1;
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[test]
fn transactions_that_have_ended_take_no_memory() {
    let count = number("ENDED", 3_000);
    let cluster = Cluster::start(1, &["tailCacheBytes=67108864"]);
    let mut client = cluster.client(0);
    prepare(&mut client, 100, |_, _, _| {});
    let (memory, cpu, began) =
        (cluster.broker.resident_bytes(), cluster.broker.cpu_time(), Instant::now());
    prepare(&mut client, count, |client, offset, at| {
        let (offset, at) = (offset.to_string(), at.to_string());
        let ext = [
            ("producerGroup", "p"),
            ("tranStateTableOffset", &*offset),
            ("commitLogOffset", &*at),
            ("commitOrRollback", "8"),
            ("msgId", "m"),
        ];
        client.oneway(request::END_TRANSACTION, fields(&ext), &[]);
    });
    let queue = [("topic", "T"), ("queueId", "0")];
    let committed =
        |client: &mut Client| client.call(request::GET_MAX_OFFSET, &queue).number("offset");
    let wanted = i64::try_from(count).unwrap();
    testkit::eventually("all are committed", || committed(&mut client) == wanted);
    let (took, cpu) = (began.elapsed(), cluster.broker.cpu_time() - cpu);
    let grown = cluster.broker.resident_bytes().saturating_sub(memory);
    println!(
        "{count} transactions in {took:.1?}: {:.2} µs of CPU each, {:.1} MiB more memory",
        cpu.as_secs_f64() * 1e6 / count as f64,
        mib(grown)
    );
    assert!(grown < 160 << 20, "{:.1} MiB", mib(grown));
}

#[test]
fn open_transactions_are_asked_about_and_cost_little() {
    let count = number("OPEN", 1_000);
    let settings =
        ["transactionTimeOut=2000", "transactionCheckInterval=5000", "tailCacheBytes=67108864"];
    let cluster = Cluster::start(1, &settings);
    let mut client = cluster.client(0);
    let beat = HeartbeatData {
        client_id: "c".to_owned(),
        producer_data_set: vec![ProducerData { group_name: "p".to_owned() }],
        ..HeartbeatData::default()
    };
    assert_eq!(client.call_with(request::HEART_BEAT, &[], &to_fastjson(&beat)).code, 0);
    let mut sender = cluster.client(0);
    let (memory, cpu) = (cluster.broker.resident_bytes(), cluster.broker.cpu_time());
    let asked = std::thread::spawn(move || {
        let mut asked = 0;
        while asked < 3 * count {
            let frame = client.receive_within(Duration::from_secs(60)).expect("a question");
            asked += usize::from(frame.code == request::CHECK_TRANSACTION_STATE);
        }
    });
    let began = Instant::now();
    prepare(&mut sender, count, |_, _, _| {});
    let sent = began.elapsed();
    asked.join().unwrap();
    let cpu = cluster.broker.cpu_time() - cpu;
    let grown = cluster.broker.resident_bytes().saturating_sub(memory);
    println!(
        "{count} open transactions, begun in {sent:.1?}, asked about three times each after \
         {:.1?}: {:.2} µs of CPU a question, {:.1} MiB more memory",
        began.elapsed(),
        cpu.as_secs_f64() * 1e6 / (3 * count) as f64,
        mib(grown)
    );
    assert!(grown < 200 << 20, "{:.1} MiB", mib(grown));
}

#[test]
#[ignore = "half a GiB of log: cargo test -p broker --test it beyond_the_limit -- --ignored"]
fn beyond_the_limit_no_transaction_begins_and_everything_else_goes_on() {
    let cluster = Cluster::start(1, &["tailCacheBytes=67108864"]);
    let mut client = cluster.client(0);
    let mut last = (0, 0);
    prepare(&mut client, 1_000_000, |_, offset, at| last = (offset, at));
    let properties = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}UNIQ_KEY\u{1}one-more";
    let one_more = SendHeader { properties, ..message("T") };
    let reply = client.send_message(&one_more, b"x");
    assert_eq!(reply.code, response::SYSTEM_BUSY, "{reply:?}");
    assert!(reply.remark.contains("1000000 transactions have not ended"), "{reply:?}");
    client.put("T", "", "a plain message");
    let (offset, at) = (last.0.to_string(), last.1.to_string());
    let ext = [
        ("producerGroup", "p"),
        ("tranStateTableOffset", &*offset),
        ("commitLogOffset", &*at),
        ("commitOrRollback", "12"),
        ("msgId", "m"),
    ];
    assert_eq!(client.call(request::END_TRANSACTION, &ext).code, 0);
    assert_eq!(client.send_message(&one_more, b"x").code, 0, "there is room for one");
    println!("{:.1} MiB resident", mib(cluster.broker.resident_bytes()));
}
