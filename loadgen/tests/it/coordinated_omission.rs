//! A broker that freezes once: response time sees everybody who waited, service time and a closed
//! loop do not.

use crate::fake_broker::{Stall, start};
use loadgen::clock::Clock;
use loadgen::messages::{Messages, Sizes};
use loadgen::phase::{Bench, Phase, run_load};
use loadgen::plan::{Load, Mode, QueuePlan};
use loadgen::progress::Progress;
use loadgen::protocols::Protocol;
use loadgen::schedule::Shape;
use loadgen::signals::Stop;
use protocol::remoting::SerializeType;
use std::net::SocketAddr;
use std::time::Duration;

const STALL: Duration = Duration::from_millis(400);

fn run(addr: SocketAddr, mode: Mode, in_flight: usize, threads: usize) -> Phase {
    let load = Load {
        run_id: 7,
        seed: 7,
        topic: "T".into(),
        group: "g".into(),
        mode,
        senders: threads,
        in_flight,
        messages: Messages { sizes: Sizes::Fixed(100), ..Messages::default() },
        burst: 0,
        warmup: Duration::from_millis(100),
        duration: Duration::from_millis(1500),
        spin: false,
        protocol: Protocol::Remoting,
        serialize: SerializeType::Json,
        acks_max: u64::MAX,
    };
    let queues = [QueuePlan { index: 0, broker: "b".into(), addr, queue_id: 0 }];
    let bench = Bench { clock: Clock::start(), stop: Stop::default(), cores: vec![None; threads] };
    run_load(&bench, "row", "row", &load, &queues, 0, &Progress::new(true, None)).unwrap()
}

fn stalling() -> SocketAddr {
    start(Some(Stall { after: Duration::from_millis(600), length: STALL }))
}

const OPEN: Mode = Mode::Open { rate: 1000.0, shape: Shape::Constant };

#[test]
fn response_time_shows_a_stall_that_service_time_hides() {
    let row = run(stalling(), OPEN, 1, 1).row;
    let (response, service) = (row.response.unwrap(), row.service.unwrap());
    // 400 of 1500 messages were due in the stall: a quarter of all waited, half of those more than
    // 200 ms.
    assert!(response.p90_us.unwrap() > 150_000.0, "response p90 {:?} µs", response.p90_us);
    // One sender with one message in flight: a single send sat through the stall.
    assert!(service.p99_us.unwrap() < 50_000.0, "service p99 {:?} µs", service.p99_us);
    assert!(service.max_us > 300_000.0, "service max {} µs", service.max_us);
    let late: Vec<&str> = row.late_percentiles.iter().map(|it| it.percentile.as_str()).collect();
    assert!(late.contains(&"p90") && late.contains(&"p99"), "which were late: {late:?}");
    assert!(
        row.invalid.iter().any(|reason| reason.starts_with("p90: schedule lag")),
        "and the row says by how much: {:?}",
        row.invalid
    );
}

#[test]
fn an_open_loop_without_a_depth_keeps_sending_into_the_stall() {
    let row = run(stalling(), OPEN, 0, 1).row;
    assert!(row.response.unwrap().p90_us.unwrap() > 150_000.0);
    assert!(
        row.service.unwrap().p90_us.unwrap() > 150_000.0,
        "each message was sent when due, and waited"
    );
    assert_eq!((row.planned, row.acknowledged, row.unanswered), (1500, 1500, 0));
}

#[test]
fn a_closed_loop_hides_the_stall_and_says_so() {
    let row = run(stalling(), Mode::Closed, 1, 1).row;
    let p90_us = row.response.unwrap().p90_us.unwrap();
    assert!(p90_us < 50_000.0, "p90 {p90_us} µs");
    assert!(row.notes.iter().any(|note| note == "closed loop: hides stalls"));
}

#[test]
fn two_generator_threads_share_one_schedule_and_merge() {
    let phase = run(start(None), OPEN, 0, 2);
    assert_eq!((phase.row.planned, phase.row.acknowledged), (1500, 1500), "{:?}", phase.row.errors);
    assert_eq!(phase.acks.len(), 2);
    let acknowledged: u64 = phase.acks.iter().map(loadgen::integrity::AckTable::acknowledged).sum();
    assert_eq!(acknowledged, 1600, "warm-up included");
}
