//! Transactions that end, and transactions that nobody ends.

use crate::Sizes;
use crate::brokers::Brokers;
use crate::load::{send_all, wait_for};
use crate::table::Table;
use crate::waiting::{Figures, at_rest, keep, warm_up};
use protocol::bodies::{HeartbeatData, ProducerData};
use protocol::codes::request;
use protocol::ids::OffsetMsgId;
use protocol::json::to_fastjson;
use std::time::{Duration, Instant};
use testkit::remoting::{Client, Frame, fields};

const HALF: &str = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}";
/// Questions to each transaction.
const QUESTIONS: u64 = 3;
/// No question, for so long: no more come.
const SILENCE: Duration = Duration::from_secs(60);
const BEAT_EVERY: Duration = Duration::from_secs(20);

/// All are committed as soon as they have begun.
pub(crate) fn committed(brokers: &Brokers, sizes: &Sizes, table: &mut Table) {
    let (count, mut figures) = (sizes.count, Vec::new());
    brokers.in_turn(&[], |broker| {
        let mut client = Client::connect(broker.addr);
        let warm = warm_up(&mut client, sizes);
        let (began, before_s) = (Instant::now(), broker.cpu_s());
        let refused = send_all(&mut client, count, |_| HALF.to_owned(), commit);
        wait_for(&mut client, count + warm);
        let (took, cpu_s) = (began.elapsed().as_secs_f64(), broker.cpu_s() - before_s);
        let us = cpu_s * 1e6 / count as f64;
        table.set(broker, &format!("CPU of each of {count}"), format_args!("{us:.1} µs"));
        table.set(broker, "a second", format_args!("{:.0}", count as f64 / took));
        table.set(broker, "refused as busy and sent again", refused);
        table.set_memory(broker, "resident afterwards (anonymous + files and shared memory)");
        std::thread::sleep(Duration::from_secs(if count < 10_000 { 0 } else { 5 }));
        at_rest(broker, table, "CPU at rest afterwards");
        figures.push(Figures { rate_per_s: count as f64 / took, cpu_us: us });
    });
    keep("transactions", &figures);
}

/// Ends the transaction whose half message was stored there. Not one-way: one that is refused is
/// sent again, so all end.
fn commit(client: &mut Client, stored: &Frame) {
    let at = OffsetMsgId::parse(stored.field("msgId")).unwrap().physical_offset.to_string();
    let ext = [
        ("producerGroup", "p"),
        ("tranStateTableOffset", stored.field("queueOffset")),
        ("commitLogOffset", &*at),
        ("commitOrRollback", "8"),
        ("fromTransactionCheck", "false"),
        ("msgId", "m"),
    ];
    client.send(request::END_TRANSACTION, 0, fields(&ext), &[]);
}

/// None ends: the producer is asked and says nothing.
pub(crate) fn open(brokers: &Brokers, sizes: &Sizes, table: &mut Table) {
    let (count, wanted) = (sizes.open, sizes.open * QUESTIONS);
    let settings = ["transactionTimeOut=2000", "transactionCheckInterval=5000"];
    brokers.in_turn(&settings, |broker| {
        let mut producer = Client::connect(broker.addr);
        beat(&mut producer);
        let asked = std::thread::spawn(move || questions(&mut producer, wanted));
        let mut sender = Client::connect(broker.addr);
        table.set_memory(broker, "resident before (anonymous + files and shared memory)");
        let (began, before_s) = (Instant::now(), broker.cpu_s());
        let refused = send_all(&mut sender, count, |_| HALF.to_owned(), |_, _| {});
        let asked = asked.join().unwrap();
        let (took, cpu_s) = (began.elapsed().as_secs_f64(), broker.cpu_s() - before_s);
        table.set(
            broker,
            &format!("open, and questions of {wanted}"),
            format_args!("{count}, {asked}"),
        );
        table.set(broker, "CPU in all", format_args!("{cpu_s:.1} s in {took:.0} s"));
        let us = cpu_s * 1e6 / asked.max(1) as f64;
        table.set(
            broker,
            "CPU of a question, the send's part included",
            format_args!("{us:.1} µs"),
        );
        table.set(broker, "refused as busy and sent again", refused);
        table.set_memory(broker, "resident then");
    });
}

/// So many, or as many as come before a long silence.
fn questions(producer: &mut Client, wanted: u64) -> u64 {
    let (mut asked, mut beaten) = (0, Instant::now());
    while asked < wanted {
        let Some(frame) = producer.receive_within(SILENCE) else { break };
        asked += u64::from(frame.code == request::CHECK_TRANSACTION_STATE);
        if beaten.elapsed() > BEAT_EVERY {
            beat(producer);
            beaten = Instant::now();
        }
    }
    asked
}

/// A heartbeat of the producer's group; its answer is passed over with other frames.
fn beat(producer: &mut Client) {
    let beat = HeartbeatData {
        client_id: "c".to_owned(),
        producer_data_set: vec![ProducerData { group_name: "p".to_owned() }],
        ..HeartbeatData::default()
    };
    producer.send(request::HEART_BEAT, 0, |_| {}, &to_fastjson(&beat));
}
