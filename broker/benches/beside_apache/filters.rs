//! What a message costs that a pull's filter skips.

use crate::Sizes;
use crate::brokers::{Brokers, Running};
use crate::load::send_all;
use crate::table::Table;
use protocol::headers::PullHeader;
use protocol::sys_flag::pull::SUBSCRIPTION;
use testkit::message::pull_from;
use testkit::remoting::Client;

/// One message in so many is wanted.
const WANTED_IN: u64 = 100;
/// The expression type and the expression; all take the same messages.
const FILTERS: [(&str, &str, &str); 3] = [
    ("tag", "TAG", "Rare"),
    ("SQL92, one number", "SQL92", "level = 7"),
    (
        "SQL92, four tests",
        "SQL92",
        "level BETWEEN 5 AND 9 AND color IN ('red', 'blue') AND TAGS = 'Rare'",
    ),
];
/// Rounds of which nothing is kept: Java's compiler is at work.
const WARM_UP: usize = 3;

/// Each broker and each filter in turn, round after round.
pub(crate) fn run(brokers: &Brokers, sizes: &Sizes, table: &mut Table) {
    let messages = sizes.filtered;
    let settings = ["enablePropertyFilter=true"];
    let brokers = brokers.start(&settings);
    let mut all: Vec<(&Running, Client, [Vec<f64>; FILTERS.len()])> = brokers
        .iter()
        .map(|broker| (broker, Client::connect(broker.addr), Default::default()))
        .collect();
    for (_, client, _) in &mut all {
        let of = |nth: u64| {
            let level = nth % WANTED_IN;
            let tag = if level == 7 { "Rare" } else { "Usual" };
            format!("TAGS\u{1}{tag}\u{2}color\u{1}red\u{2}level\u{1}{level}\u{2}")
        };
        send_all(client, messages, of, |_, _| {});
    }
    let skipped = (messages - messages / WANTED_IN) as f64;
    for round in 0..WARM_UP + sizes.rounds {
        for (broker, client, kept) in &mut all {
            for ((_, kind, expression), kept) in FILTERS.into_iter().zip(kept) {
                let before_s = broker.threads_cpu_s();
                read_all(client, kind, expression, messages);
                if round >= WARM_UP {
                    kept.push((broker.threads_cpu_s() - before_s) * 1e9 / skipped);
                }
            }
        }
    }
    for (broker, _, kept) in all {
        for ((name, ..), mut nanos) in FILTERS.into_iter().zip(kept) {
            nanos.sort_by(f64::total_cmp);
            let (least, median) = (nanos[0], nanos[nanos.len() / 2]);
            let row = format!("{name}: CPU of a skipped message, median (least)");
            table.set(broker, &row, format_args!("{median:.0} ns ({least:.0})"));
        }
    }
}

/// Reads the queue to its end, and counts what was taken.
fn read_all(client: &mut Client, kind: &str, expression: &str, messages: u64) {
    let (mut at, mut taken) = (0, 0);
    while at < i64::try_from(messages).unwrap() {
        let pull = PullHeader {
            sys_flag: SUBSCRIPTION,
            expression_type: Some(kind),
            subscription: Some(expression),
            ..pull_from("T", at)
        };
        let found = client.pull(&pull);
        let next = found.number("nextBeginOffset");
        assert!(next > at, "{found:?}");
        taken += found.messages().len() as u64;
        at = next;
    }
    assert_eq!(taken, messages / WANTED_IN, "{kind} {expression}");
}
