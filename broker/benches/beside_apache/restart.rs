//! The start after a crash of a broker with much in its log: until it takes the first message.

use crate::Sizes;
use crate::brokers::{Brokers, Running};
use crate::load::now_ms;
use crate::table::Table;
use protocol::batch::{self, BatchEntry};
use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use protocol::remoting::ExtWriter;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use testkit::message::message;
use testkit::remoting::Client;

/// Messages of 1 KiB in a batch.
const IN_BATCH: usize = 32;
const BODY_BYTES: usize = 1_024;
/// Batches under way at once.
const WINDOW: u64 = 8;
/// Batches between two kills.
const BETWEEN: u64 = 300;
/// Nothing that starts takes longer.
const LIMIT: Duration = Duration::from_secs(300);
const ANSWER: Duration = Duration::from_secs(10);

/// Both are filled, killed and started, some times.
pub(crate) fn restart(brokers: &Brokers, sizes: &Sizes, table: &mut Table) {
    let mut found: Vec<Vec<f64>> = Vec::new();
    let per_batch = (IN_BATCH * BODY_BYTES) as u64;
    brokers.in_turn(&[], |broker| {
        fill(broker, sizes.log_bytes.div_ceil(per_batch));
        let mut starts = Vec::new();
        for _ in 0..sizes.starts {
            broker.start_again_after_a_kill();
            starts.push(until_a_message_is_taken(broker.addr));
            fill(broker, BETWEEN);
        }
        let mut sorted = starts.clone();
        sorted.sort_by(f64::total_cmp);
        let gib = sizes.log_bytes as f64 / f64::from(1 << 30);
        let (least, median) = (sorted[0], sorted[sorted.len() / 2]);
        let most = sorted[sorted.len() - 1];
        table.set(
            broker,
            &format!("from the start to the first message, {gib:.1} GiB, {} kills", starts.len()),
            format_args!("{median:.3} s [{least:.3}, {most:.3}]"),
        );
        found.push(starts);
    });
    if let [ours, theirs] = &found[..] {
        testkit::pairs::keep("start-10-gib", theirs.iter().copied().zip(ours.iter().copied()));
    }
}

/// Sends so many batches to queue 0 of `T`; those that are refused as busy again.
fn fill(broker: &Running, batches: u64) {
    let mut client = Client::connect(broker.addr);
    let mut body = Vec::new();
    for _ in 0..IN_BATCH {
        let entry = BatchEntry { flag: 0, body: &[b'x'; BODY_BYTES], properties: b"" };
        batch::write(&mut body, &entry).unwrap();
    }
    let (mut under_way, mut done) = (0, 0);
    while done < batches {
        while under_way < WINDOW && done + under_way < batches {
            let header = SendHeader { batch: true, born_timestamp_ms: now_ms(), ..message("T") };
            client.send(request::SEND_BATCH_MESSAGE, 0, |w| header.write_v2(w), &body);
            under_way += 1;
        }
        let reply = client.receive();
        under_way -= 1;
        match reply.code {
            0 => done += 1,
            response::SYSTEM_BUSY => {}
            _ => panic!("{reply:?}"),
        }
    }
}

/// Seconds until a broker that is starting takes a message.
fn until_a_message_is_taken(addr: SocketAddr) -> f64 {
    let began = Instant::now();
    let is_taken = || {
        let mut client = Client::try_connect(addr).ok()?;
        let header = SendHeader { born_timestamp_ms: now_ms(), ..message("T") };
        let ext = |w: &mut ExtWriter<'_>| header.write_v2(w);
        client.try_send(request::SEND_MESSAGE_V2, 0, ext, b"first").ok()?;
        (client.receive_within(ANSWER)?.code == 0).then_some(())
    };
    while is_taken().is_none() {
        assert!(began.elapsed() < LIMIT, "it takes no message");
        std::thread::sleep(Duration::from_millis(1));
    }
    began.elapsed().as_secs_f64()
}
