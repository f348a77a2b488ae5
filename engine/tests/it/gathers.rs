//! How much of the log goes with one write, and how long it waits for that.

use crate::kept_tail::{config, kept, open};
use crate::oracle::{Oracle, Replay, draft, seeds, small_config};
use engine::{FlushPolicy, Store, StoreConfig, TailPlace};
use rt::Runtime;
use rt::sim::Sim;
use std::time::Duration;

const LARGE_TAIL_BYTES: usize = 16 << 20;

/// Device writes for 200 messages, one every 100 µs.
fn writes_of_a_trickle(tail_place: TailPlace) -> u64 {
    let sim = Sim::new(1);
    sim.block_on(async {
        let config = StoreConfig { tail_bytes_max: LARGE_TAIL_BYTES, ..config(tail_place) };
        let store = open(&sim, &config).await;
        for _ in 0..200 {
            store.append(&draft("alpha", 0, &[7; 100], &[])).unwrap();
            sim.sleep(Duration::from_micros(100)).await;
        }
        store.close().await.unwrap();
        store.write_counts().log_writes
    })
}

#[test]
fn a_trickle_gathers_for_longer_where_the_tail_outlives_the_process() {
    let (kept, private) = (writes_of_a_trickle(kept()), writes_of_a_trickle(TailPlace::Private));
    assert!((5..=14).contains(&kept), "{kept} writes in 20 ms, 2 ms apart");
    assert!(private > 4 * kept, "{private} with a private tail, {kept} with a kept one");
}

#[test]
fn what_fills_a_write_does_not_wait() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let config = StoreConfig {
            tail_bytes_max: LARGE_TAIL_BYTES,
            chunk_bytes: 4 << 20,
            commitlog_file_bytes: 64 << 20,
            message_bytes_max: 2 << 20,
            ..config(kept())
        };
        let store = open(&sim, &config).await;
        let body = vec![7; 1 << 20];
        store.append(&draft("alpha", 0, &body, &[])).unwrap();
        let before_nanos = sim.now_nanos();
        while store.write_counts().log_writes == 0 {
            sim.sleep(Duration::from_micros(10)).await;
        }
        let waited = Duration::from_nanos(sim.now_nanos() - before_nanos);
        assert!(waited < Duration::from_millis(2), "{waited:?}");
    });
}

/// Waits until all that was appended is acknowledged.
async fn acknowledged(sim: &Sim, store: &Store<Sim>) {
    while store.acknowledged() < store.appended() {
        sim.sleep(Duration::from_micros(1)).await;
    }
}

#[test]
fn what_two_turns_bring_goes_with_one_flush() {
    let (mut flushes, runs) = (0, 400);
    for seed in 0..runs {
        let sim = Sim::new(seed);
        flushes += sim.block_on(async {
            let config = StoreConfig { flush: FlushPolicy::Sync, ..small_config("/store") };
            let store = open(&sim, &config).await;
            store.append(&draft("alpha", 0, b"first", &[])).unwrap();
            futures_lite::future::yield_now().await;
            store.append(&draft("alpha", 0, b"second", &[])).unwrap();
            acknowledged(&sim, &store).await;
            store.write_counts().flushes
        });
    }
    // Which task has its turn first is random here: taken at once, the first message goes alone in
    // half of all runs; with one turn for others in between, in a quarter.
    assert!((runs..runs + runs * 2 / 5).contains(&flushes), "{flushes} flushes in {runs} runs");
}

#[test]
fn a_lone_message_waits_for_nothing_but_its_flush() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        sim.block_on(async {
            let config = StoreConfig { flush: FlushPolicy::Sync, ..small_config("/store") };
            let store = open(&sim, &config).await;
            let before_nanos = sim.now_nanos();
            store.append(&draft("alpha", 0, b"alone", &[])).unwrap();
            acknowledged(&sim, &store).await;
            let waited = Duration::from_nanos(sim.now_nanos() - before_nanos);
            // The simulated device takes up to 0.4 ms for each of its two steps.
            assert!(waited < Duration::from_millis(1), "{waited:?} with seed {seed}");
        });
    }
}

/// Messages a flush of `senders` closed loops, each `messages` long. A sender is back some 60 µs
/// after its answer; a flush takes a few times as long.
fn messages_a_flush(seed: u64, senders: usize, messages: usize) -> f64 {
    let sim = Sim::new(seed);
    sim.block_on(async {
        let config = StoreConfig { flush: FlushPolicy::Sync, ..small_config("/store") };
        let store = std::rc::Rc::new(open(&sim, &config).await);
        let left = std::rc::Rc::new(std::cell::Cell::new(senders));
        for _ in 0..senders {
            let (rt, store, left) = (sim.clone(), store.clone(), left.clone());
            sim.spawn(rt::Priority::Foreground, async move {
                for _ in 0..messages {
                    store.append(&draft("alpha", 0, b"one of many", &[])).unwrap();
                    let end = store.appended();
                    while store.acknowledged() < end {
                        store.acknowledged_beyond(store.acknowledged()).await;
                    }
                    rt.sleep(Duration::from_micros(20 + rt.random_u64() % 40)).await;
                }
                left.set(left.get() - 1);
            });
        }
        while left.get() > 0 {
            sim.sleep(Duration::from_millis(1)).await;
        }
        (senders * messages) as f64 / store.write_counts().flushes as f64
    })
}

#[test]
fn senders_that_are_answered_together_are_flushed_together() {
    for seed in 0..20 {
        let (many, lone) = (messages_a_flush(seed, 16, 100), messages_a_flush(seed, 1, 20));
        println!("{many:.1} messages of 16 senders a flush, {lone:.1} of a lone one");
        assert!(many > 14.0, "{many:.1} of 16 with seed {seed}");
        assert!((lone - 1.0).abs() < 0.01, "{lone}");
    }
}

#[test]
fn a_power_cut_takes_no_more_than_the_flush_interval_and_what_gathers() {
    let name = "a_power_cut_takes_no_more_than_the_flush_interval_and_what_gathers";
    for seed in seeds(40) {
        let _replay = Replay(seed, name);
        let sim = Sim::new(seed);
        let interval = Duration::from_millis(100);
        let config = StoreConfig {
            flush_interval_ms: 100,
            tail_bytes_max: LARGE_TAIL_BYTES,
            ..config(kept())
        };
        let mut oracle = Oracle::default();
        let safe = sim.block_on(async {
            let store = open(&sim, &config).await;
            oracle.fill(&sim, &store, 20).await;
            let safe = store.appended();
            // 2 ms gather, and the write and the fdatasync have time of their own.
            sim.sleep(interval + Duration::from_millis(20)).await;
            oracle.fill(&sim, &store, 3).await;
            safe
        });
        let (sim, _) = sim.crash();
        sim.block_on(async {
            let store = open(&sim, &config).await;
            assert!(store.appended() >= safe, "{:?} of {safe:?}", store.appended());
        });
    }
}
