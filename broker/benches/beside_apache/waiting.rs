//! Messages that wait: on delay levels, and as timers.

use crate::Sizes;
use crate::brokers::{Brokers, Running};
use crate::load::{now_ms, send_all, wait_for};
use crate::table::Table;
use std::time::{Duration, Instant};
use testkit::pairs;
use testkit::remoting::Client;

const LEVELS: u64 = 18;

/// On 18 levels, whose delays are spread over the span.
pub(crate) fn levels(brokers: &Brokers, sizes: &Sizes, table: &mut Table) {
    let delay_s = |level: u64| sizes.first_s + sizes.span_s * level / LEVELS;
    let delays: Vec<String> = (0..LEVELS).map(|level| format!("{}s", delay_s(level))).collect();
    let setting = format!("messageDelayLevel={}", delays.join(" "));
    let mut figures = Vec::new();
    brokers.in_turn(&[&setting], |broker| {
        let delay = |nth: u64| format!("DELAY\u{1}{}\u{2}", nth % LEVELS + 1);
        figures.push(waits(broker, sizes, table, delay));
    });
    keep("delayed", &figures);
}

/// At times that are spread over the span, in no order.
pub(crate) fn timers(brokers: &Brokers, sizes: &Sizes, table: &mut Table) {
    let mut figures = Vec::new();
    brokers.in_turn(&[], |broker| {
        let first_ms = now_ms() + i64::try_from(sizes.first_s * 1_000).unwrap();
        figures.push(waits(broker, sizes, table, |nth| {
            let of_span = (nth * 7_919) % sizes.count * sizes.span_s * 1_000 / sizes.count;
            let at_ms = first_ms + i64::try_from(of_span).unwrap();
            format!("TIMER_DELIVER_MS\u{1}{at_ms}\u{2}")
        }));
    });
    keep("timers", &figures);
}

/// Rate and CPU of ours and of Apache's broker, for a campaign.
pub(crate) fn keep(name: &str, figures: &[Figures]) {
    let [ours, theirs] = figures else { return };
    pairs::keep(&format!("{name}-rate"), [(theirs.rate_per_s, ours.rate_per_s)]);
    pairs::keep(&format!("{name}-cpu"), [(theirs.cpu_us, ours.cpu_us)]);
}

/// What is judged of a broker.
pub(crate) struct Figures {
    /// Messages or transactions a second.
    pub rate_per_s: f64,
    /// CPU of each, until it has come.
    pub cpu_us: f64,
}

fn waits(
    broker: &mut Running,
    sizes: &Sizes,
    table: &mut Table,
    properties: impl Fn(u64) -> String,
) -> Figures {
    let count = sizes.count;
    let mut client = Client::connect(broker.addr);
    let warm = warm_up(&mut client, sizes);
    table.set_memory(broker, "resident before (anonymous + files and shared memory)");
    let (began, before_s) = (Instant::now(), broker.cpu_s());
    let refused = send_all(&mut client, count, properties, |_, _| {});
    let sending = began.elapsed();
    let sent_us = (broker.cpu_s() - before_s) * 1e6 / count as f64;
    table.set(broker, &format!("CPU of each of {count}, sent"), format_args!("{sent_us:.1} µs"));
    table.set(broker, "refused as busy and sent again", refused);
    let (sent_s, first_s) = (sending.as_secs(), sizes.first_s);
    table.set(broker, "sent in (the first is due after)", format_args!("{sent_s} s ({first_s} s)"));
    table.set_memory(broker, "resident while all wait");
    at_rest(broker, table, "CPU while all wait");
    let before_s = broker.cpu_s();
    wait_for(&mut client, count + warm);
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
    Figures { rate_per_s: count as f64 / sending.as_secs_f64(), cpu_us: sent_us + us }
}

/// Plain messages before those that are measured: they make the topic, and Java compiles what it
/// runs. How many they were.
pub(crate) fn warm_up(client: &mut Client, sizes: &Sizes) -> u64 {
    let warm = (sizes.count / 4).max(1);
    send_all(client, warm, |_| String::new(), |_, _| {});
    warm
}

/// CPU while nothing is asked.
pub(crate) fn at_rest(broker: &Running, table: &mut Table, row: &str) {
    const FOR: Duration = Duration::from_secs(2);
    let before_s = broker.cpu_s();
    std::thread::sleep(FOR);
    let share = 100.0 * (broker.cpu_s() - before_s) / FOR.as_secs_f64();
    table.set(broker, row, format_args!("{share:.1} % of a core"));
}
