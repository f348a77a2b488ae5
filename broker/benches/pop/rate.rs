//! Pop and acknowledge, until nothing is left.

use super::client::Client;
use super::consumer::{Acks, Ask, Consumer, GROUP, POPPED};
use super::servers::Server;
use super::{Sizes, median};
use protocol::pop::Retry;
use rt::real::available_cores;
use std::time::{Duration, Instant};

const TOPIC: &str = "Pop";
const QUEUES: usize = 8;
const BODY_BYTES: usize = 1_024;
const CONNECTIONS: usize = 4;
/// Messages that are sent in [`FILL_TIME`]: 40 MiB/s, as in `backlog`.
const FILLED_IN_ONE: usize = 10_240;
const FILL_TIME: Duration = Duration::from_millis(250);
/// After the invisible time everything is judged within this: Apache waits for three seconds
/// without news.
const JUDGED_AFTER_MS: i64 = 8_000;

#[derive(Default)]
struct Seen {
    rates: Vec<f64>,
    /// To the last answer.
    cpu_us: Vec<f64>,
    /// Until all is judged.
    whole_cpu_us: Vec<f64>,
    /// Idle spin within `cpu_us`; ours alone says so.
    spin_us: Vec<f64>,
    /// Messages that came from disk, in percent; ours alone says so.
    cold_percent: Vec<f64>,
}

/// What a broker of ours says of itself.
#[derive(Clone, Copy)]
struct Told {
    cold_messages: f64,
    spin_us: f64,
}

/// Each server and each way of acknowledging in turn, round after round; the first is not kept.
pub(crate) fn run(servers: &[Server], sizes: &Sizes) -> String {
    for server in servers {
        Client::connect(server).make_topic(TOPIC, QUEUES);
    }
    let ways = [Acks::Each, Acks::Batch];
    let mut all: Vec<[Seen; 2]> = servers.iter().map(|_| Default::default()).collect();
    for round in 0..=sizes.rounds {
        for (nth, acks) in ways.into_iter().enumerate() {
            for (server, seen) in servers.iter().zip(&mut all) {
                one(server, acks, sizes, (round > 0).then_some(&mut seen[nth]));
            }
        }
    }
    if let [ours, theirs, ..] = &*all {
        for (nth, acks) in ways.into_iter().enumerate() {
            let name = format!("pop-{}", format!("{acks:?}").to_lowercase());
            let (a, b) = (&theirs[nth], &ours[nth]);
            let pairs = |a: &[f64], b: &[f64]| -> Vec<(f64, f64)> {
                a.iter().copied().zip(b.iter().copied()).collect()
            };
            testkit::pairs::keep(&format!("{name}-rate"), pairs(&a.rates, &b.rates));
            testkit::pairs::keep(&format!("{name}-cpu"), pairs(&a.whole_cpu_us, &b.whole_cpu_us));
        }
    }
    let mut text = String::new();
    for (nth, acks) in ways.into_iter().enumerate() {
        for (server, seen) in servers.iter().zip(&mut all) {
            let Seen { rates, cpu_us, whole_cpu_us, spin_us, cold_percent } =
                std::mem::take(&mut seen[nth]);
            let (rate, cpu, whole) = (median(rates), median(cpu_us), median(whole_cpu_us));
            text += &format!(
                "rate, acknowledged {}, {}: {rate:.0} messages/s, CPU {cpu:.2} µs a message, \
                 {whole:.2} until all is judged{}\n",
                format!("{acks:?}").to_lowercase(),
                server.name,
                match cold_percent.is_empty() {
                    true => String::new(),
                    false => format!(
                        "; {:.2} µs of the first are idle spin; {:.1} % came from disk",
                        median(spin_us),
                        median(cold_percent)
                    ),
                },
            );
        }
    }
    text
}

fn one(server: &Server, acks: Acks, sizes: &Sizes, seen: Option<&mut Seen>) {
    let (messages, invisible_ms) = (sizes.messages, sizes.invisible_ms);
    fill(server, messages);
    let told_before = told(server);
    let before_s = server.cpu_s();
    let consume = || {
        core_affinity::set_for_current(core_affinity::CoreId {
            id: *available_cores().last().unwrap(),
        });
        consume(server, acks, (messages, invisible_ms))
    };
    let took_s = std::thread::scope(|scope| scope.spawn(consume).join().unwrap());
    let cpu_s = server.cpu_s() - before_s;
    let told_after = told(server);
    let rest_ms = (invisible_ms + JUDGED_AFTER_MS).unsigned_abs();
    std::thread::sleep(Duration::from_millis(rest_ms));
    let whole_s = server.cpu_s() - before_s;
    let retried = Client::connect(server).max_offset(&Retry::V1.topic(TOPIC, GROUP), 0);
    assert_eq!(retried, 0, "{}: acknowledged messages were revived", server.name);
    if let Some(seen) = seen {
        let count = messages as f64;
        seen.rates.push(count / took_s);
        seen.cpu_us.push(cpu_s * 1e6 / count);
        seen.whole_cpu_us.push(whole_s * 1e6 / count);
        if let (Some(before), Some(after)) = (told_before, told_after) {
            seen.spin_us.push((after.spin_us - before.spin_us) / count);
            seen.cold_percent.push((after.cold_messages - before.cold_messages) * 100.0 / count);
        }
    }
}

/// `None`: a broker that does not say so.
fn told(server: &Server) -> Option<Told> {
    let info = Client::connect(server).runtime_info();
    let number = |key: &str| info.table.get(key)?.parse::<f64>().ok();
    let spin_us = number("idleSpinNanos")? / 1e3;
    Some(Told { cold_messages: number("getColdMessages")?, spin_us })
}

/// So slowly that our cache grows with it: it takes a tenth of the time at most for that.
fn fill(server: &Server, messages: usize) {
    let mut client = Client::connect(server);
    let mut left = messages;
    while left > 0 {
        let (began, piece) = (Instant::now(), left.min(FILLED_IN_ONE));
        client.fill(&[TOPIC.to_owned()], QUEUES, piece, BODY_BYTES);
        std::thread::sleep(FILL_TIME.saturating_sub(began.elapsed()));
        left -= piece;
    }
}

/// Seconds until all are acknowledged.
fn consume(server: &Server, acks: Acks, (messages, invisible_ms): (usize, i64)) -> f64 {
    let ask = Ask { topic: TOPIC, queue_id: -1, messages_max: POPPED, invisible_ms, poll_ms: 0 };
    let mut consumers: Vec<Consumer> =
        (0..CONNECTIONS).map(|_| Consumer::connect(server, ask)).collect();
    let (began, mut taken) = (Instant::now(), 0);
    consumers.iter_mut().for_each(Consumer::pop);
    while taken < messages {
        for consumer in &mut consumers {
            taken += consumer.take(acks);
        }
        for consumer in &mut consumers {
            consumer.acknowledged();
            if taken < messages {
                consumer.pop();
            }
        }
    }
    assert_eq!(taken, messages, "{}", server.name);
    began.elapsed().as_secs_f64()
}
