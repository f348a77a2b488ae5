//! Zero copies and zero allocations, counted: the real broker in this process, a client over a
//! socket, and a ledger of all that the broker allocates and copies meanwhile ([`ledger`]), by the
//! place in the code that does it.
//!
//! A protocol is counted by being a [`lane::Lane`]: what is asserted is the same for all.
//!
//! What is asserted for a message in steady state:
//! - the handling of its frame and of its answer allocates nothing, nor does the device write that
//!   it goes with (what memory a write took before is used again);
//! - its body is copied once on its way in, from the receive buffer to the log's tail, and not at
//!   all on its way out.
//!
//! What is counted apart, because it is not of a message: what glommio allocates when the core goes
//! to sleep and wakes up, the background tasks (index, ConsumeQueue files, timers), the rest of a
//! half frame that leaves the receive buffer, the log's last block in front of a write, sends that
//! wait because the device is behind.
//!
//! `LEDGER=1 cargo test -p broker --test counted -- --nocapture` prints the ledger, with the stack
//! of every row.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and these print what they counted"
)]

mod instance;
mod lane;
mod ledger;
mod native;
mod place;
mod remoting;

use instance::Broker;
use lane::Lane;
use ledger::{Kind, Row, counted};
use place::Place;
use std::collections::BTreeMap;

const MESSAGES: usize = 6400;
const IN_FLIGHT: usize = 32;
/// A buffer may still grow when more arrives at once than ever before: by doubling, so a few times
/// at most.
const GROWTHS_MAX: u64 = 32;

/// Count and bytes of one kind by place.
fn by_place(rows: &[Row], kind: Kind) -> BTreeMap<Place, (u64, u64)> {
    let mut sums = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind == kind) {
        let (count, bytes) = sums.entry(place::of(row)).or_insert((0, 0));
        *count += row.count;
        *bytes += row.bytes;
    }
    sums
}

fn print(what: &str, messages: usize, body_bytes: usize, rows: &[Row]) {
    println!("{what}: {messages} messages");
    for (place, (count, _)) in by_place(rows, Kind::Allocation) {
        println!("  {:7.4} allocations per message: {place:?}", count as f64 / messages as f64);
    }
    for (place, (_, bytes)) in by_place(rows, Kind::Copy) {
        println!(
            "  {:7.4} copies of a body's bytes per message: {place:?}",
            bytes as f64 / (messages * body_bytes) as f64
        );
    }
    let asleep = by_place(rows, Kind::Allocation).get(&Place::Sleep).map_or(0, |(count, _)| *count);
    let sleeps: u64 = rows.iter().filter(|row| place::is_sleep(row)).map(|row| row.count).sum();
    println!(
        "  {:7.1} allocations each of the {sleeps} times that the core went to sleep",
        asleep as f64 / sleeps.max(1) as f64
    );
    if std::env::var_os("LEDGER").is_some() {
        rows.iter().for_each(|row| println!("{:?} {:?}{}", row.kind, place::of(row), told(row)));
    }
}

fn told(row: &Row) -> String {
    format!("\n{} times, {} bytes:\n    {}", row.count, row.bytes, row.stack.join("\n    "))
}

fn tell(rows: &[Row], kind: Kind, wanted: Place) -> String {
    rows.iter().filter(|row| row.kind == kind && place::of(row) == wanted).map(told).collect()
}

/// No allocation where messages are handled.
fn assert_none_allocated(rows: &[Row]) {
    for place in [Place::Frame, Place::LogWrite, Place::Other] {
        let (count, _) = by_place(rows, Kind::Allocation).get(&place).copied().unwrap_or_default();
        assert!(
            count <= GROWTHS_MAX,
            "{place:?}: {count} allocations{}",
            tell(rows, Kind::Allocation, place)
        );
    }
}

/// Each body copied `expected` times, and nothing else that could be one.
fn assert_copied(rows: &[Row], messages: usize, body_bytes: usize, expected: u64) {
    let copies = by_place(rows, Kind::Copy);
    let (count, bytes) = copies.get(&Place::Append).copied().unwrap_or_default();
    let bodies = expected * messages as u64;
    assert_eq!(
        (count, bytes),
        (bodies, bodies * body_bytes as u64),
        "copies into the tail{}",
        tell(rows, Kind::Copy, Place::Append)
    );
    let (elsewhere, _) = copies.get(&Place::Other).copied().unwrap_or_default();
    assert!(elsewhere <= GROWTHS_MAX, "copies elsewhere{}", tell(rows, Kind::Copy, Place::Other));
    // The rest of a half frame goes into the connection's own buffer: at most once.
    let (_, carried) = copies.get(&Place::HalfFrame).copied().unwrap_or_default();
    assert!(carried <= (messages * (body_bytes + 1000)) as u64, "{carried} bytes of half frames");
}

fn produce(broker: &Broker, lane: &mut dyn Lane) {
    // Past the first lap of the tail: its chunks are used again.
    lane.send(2 * MESSAGES, IN_FLIGHT);
    // What a stack is called is looked up at its first time.
    counted(|| lane.send(MESSAGES, IN_FLIGHT));
    let rows = counted(|| lane.send(MESSAGES, IN_FLIGHT));
    print(
        &format!("{}, {}, produce, {IN_FLIGHT} in flight", lane.name(), broker.policy()),
        MESSAGES,
        lane.body_bytes(),
        &rows,
    );
    assert_none_allocated(&rows);
    assert_copied(&rows, MESSAGES, lane.copied_bytes(), 1);
}

fn consume(broker: &Broker, lane: &mut dyn Lane) {
    lane.send(IN_FLIGHT, IN_FLIGHT);
    lane.pull(MESSAGES);
    counted(|| lane.pull(MESSAGES));
    let rows = counted(|| lane.pull(MESSAGES));
    print(
        &format!("{}, {}, pull, hot", lane.name(), broker.policy()),
        MESSAGES,
        lane.body_bytes(),
        &rows,
    );
    assert_none_allocated(&rows);
    assert_copied(&rows, MESSAGES, lane.copied_bytes(), 0);
}

/// One broker, and each lane on it in turn.
fn both_lanes(flush: &'static str, test: fn(&Broker, &mut dyn Lane)) {
    ledger::leave_out_this_thread();
    let broker = Broker::start(flush);
    test(&broker, &mut remoting::Remoting::connect(broker.port()));
    test(&broker, &mut native::Native::connect(broker.port()));
    broker.stop();
}

#[test]
fn the_ledger_sees_allocations_and_copies_and_where_they_are_made() {
    ledger::leave_out_this_thread();
    let _turn = instance::turn();
    let rows = counted(|| {
        std::thread::spawn(|| std::hint::black_box(vec![7_u8; 4096]).clone())
            .join()
            .map(drop)
            .unwrap()
    });
    for (kind, count) in [(Kind::Allocation, 2), (Kind::Copy, 1)] {
        let seen = rows
            .iter()
            .filter(|row| row.kind == kind && row.bytes == 4096 && place::of(row) == Place::Other);
        let here: Vec<_> = seen.filter(|row| row.stack[0].contains("counted/main.rs")).collect();
        assert_eq!(here.len(), count, "{rows:?}");
    }
}

#[test]
fn produce_async_flush_copies_a_body_once_and_allocates_nothing_for_it() {
    both_lanes("ASYNC_FLUSH", produce);
}

#[test]
fn produce_sync_flush_copies_a_body_once_and_allocates_nothing_for_it() {
    both_lanes("SYNC_FLUSH", produce);
}

#[test]
fn pull_of_hot_messages_copies_no_body_and_allocates_nothing() {
    both_lanes("ASYNC_FLUSH", consume);
}

/// Bodies that were copied, by whoever did: nothing else that is copied is as long as one.
fn bodies_copied(rows: &[Row], body_bytes: usize) -> u64 {
    let is_body = |row: &&Row| row.kind == Kind::Copy && row.bytes == row.count * body_bytes as u64;
    rows.iter().filter(is_body).map(|row| row.count).sum()
}

/// What a pop hands out for the first time leaves as slices of the log. What comes again is copied
/// into the retry topic, and once more on its way out, where it gets its first topic and a receipt.
#[test]
fn pops_copy_no_body_and_what_comes_again_is_copied_twice() {
    const POPPED: usize = 320;
    ledger::leave_out_this_thread();
    let broker = Broker::start("ASYNC_FLUSH");
    let mut lane = remoting::Remoting::connect(broker.port());
    lane.send(POPPED, IN_FLIGHT);
    let pop = |lane: &mut remoting::Remoting, invisible_ms: i64| {
        let mut came = 0;
        testkit::eventually("all are popped", || {
            came += lane.pop("popping", invisible_ms);
            came >= POPPED
        });
        assert_eq!(came, POPPED);
    };
    // Nothing comes again before all have come, and nothing comes a third time.
    let first = counted(|| pop(&mut lane, 3_000));
    assert_eq!(
        bodies_copied(&first, lane.body_bytes()),
        0,
        "{}{}",
        tell(&first, Kind::Copy, Place::Append),
        tell(&first, Kind::Copy, Place::Other)
    );
    let again = counted(|| pop(&mut lane, 600_000));
    assert_eq!(
        bodies_copied(&again, lane.body_bytes()),
        2 * POPPED as u64,
        "{}{}",
        tell(&again, Kind::Copy, Place::Append),
        tell(&again, Kind::Copy, Place::Other)
    );
    broker.stop();
}
