//! Messages that wait: on delay levels, and as timers.

use crate::Sizes;
use crate::brokers::{Brokers, Running};
use crate::load::{now_ms, send_all, wait_for};
use crate::table::Table;
use std::time::{Duration, Instant};
use testkit::remoting::Client;

const LEVELS: u64 = 18;

/// On 18 levels, whose delays are spread over the span.
pub(crate) fn levels(brokers: &Brokers, sizes: &Sizes, table: &mut Table) {
    let delay_s = |level: u64| sizes.first_s + sizes.span_s * level / LEVELS;
    let delays: Vec<String> = (0..LEVELS).map(|level| format!("{}s", delay_s(level))).collect();
    let setting = format!("messageDelayLevel={}", delays.join(" "));
    brokers.in_turn(&[&setting], |broker| {
        waits(broker, sizes, table, |nth| format!("DELAY\u{1}{}\u{2}", nth % LEVELS + 1));
    });
}

/// At times that are spread over the span, in no order.
pub(crate) fn timers(brokers: &Brokers, sizes: &Sizes, table: &mut Table) {
    brokers.in_turn(&[], |broker| {
        let first_ms = now_ms() + i64::try_from(sizes.first_s * 1_000).unwrap();
        waits(broker, sizes, table, |nth| {
            let of_span = (nth * 7_919) % sizes.count * sizes.span_s * 1_000 / sizes.count;
            let at_ms = first_ms + i64::try_from(of_span).unwrap();
            format!("TIMER_DELIVER_MS\u{1}{at_ms}\u{2}")
        });
    });
}

fn waits(
    broker: &mut Running,
    sizes: &Sizes,
    table: &mut Table,
    properties: impl Fn(u64) -> String,
) {
    let count = sizes.count;
    let mut client = Client::connect(broker.addr);
    send_all(&mut client, 1, |_| String::new(), |_, _| {}); // makes the topic
    table.set_memory(broker, "resident before (anonymous + files and shared memory)");
    let (began, before_s) = (Instant::now(), broker.cpu_s());
    let refused = send_all(&mut client, count, properties, |_, _| {});
    let sending = began.elapsed();
    let us = (broker.cpu_s() - before_s) * 1e6 / count as f64;
    table.set(broker, &format!("CPU of each of {count}, sent"), format_args!("{us:.1} µs"));
    table.set(broker, "refused as busy and sent again", refused);
    let (sent_s, first_s) = (sending.as_secs(), sizes.first_s);
    table.set(broker, "sent in (the first is due after)", format_args!("{sent_s} s ({first_s} s)"));
    table.set_memory(broker, "resident while all wait");
    at_rest(broker, table, "CPU while all wait");
    let before_s = broker.cpu_s();
    wait_for(&mut client, count + 1);
    let us = (broker.cpu_s() - before_s) * 1e6 / count as f64;
    table.set(broker, "CPU of each until all have come", format_args!("{us:.1} µs"));
    let last_due = Duration::from_secs(sizes.first_s + sizes.span_s);
    let behind = began.elapsed().saturating_sub(last_due).as_secs_f64();
    table.set(
        broker,
        "all have come, after the last was due (a level's: the last sent)",
        format_args!("at most {behind:.1} s"),
    );
    table.set_memory(broker, "resident afterwards");
    at_rest(broker, table, "CPU at rest afterwards");
}

/// CPU while nothing is asked.
pub(crate) fn at_rest(broker: &Running, table: &mut Table, row: &str) {
    const FOR: Duration = Duration::from_secs(2);
    let before_s = broker.cpu_s();
    std::thread::sleep(FOR);
    let share = 100.0 * (broker.cpu_s() - before_s) / FOR.as_secs_f64();
    table.set(broker, row, format_args!("{share:.1} % of a core"));
}
