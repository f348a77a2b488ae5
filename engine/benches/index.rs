//! What the index costs a message: its keys, entered behind the log, in the background.
//!
//! `cargo bench -p engine --bench index`. Each message has three keys: a unique one, one of KEYS, a
//! tag. The slot table has RocketMQ's five million slots, so each key is a cache miss, as in life.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::KeyQuery;
use std::hint::black_box;
use std::time::{Duration, Instant};

const MESSAGES: usize = 2_000;
const KEYS: u64 = 3;

/// A query indexes what is not indexed yet: one that wants no message does nothing else.
fn query() -> KeyQuery {
    KeyQuery {
        topic: "bench".into(),
        key: "k".into(),
        by_tag: false,
        max_messages: 0,
        begin_ms: 0,
        end_ms: i64::MAX,
    }
}

fn enter(c: &mut Criterion) {
    let mut group = c.benchmark_group("index");
    group.throughput(Throughput::Elements(MESSAGES as u64 * KEYS));
    for body in [100, 1024] {
        let (sim, store) = common::store(true);
        let (body_bytes, mut sent) = (vec![7; body], 0u64);
        group.bench_function(BenchmarkId::new("enter_keys", body), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    for _ in 0..MESSAGES {
                        sent += 1;
                        let properties = format!(
                            "UNIQ_KEY\u{1}7F0000010001AABBCCDD{sent:012X}\u{2}\
                                KEYS\u{1}order-{sent}\u{2}TAGS\u{1}red\u{2}"
                        );
                        let mut draft = common::draft(&body_bytes);
                        let pieces = [properties.as_bytes()];
                        draft.properties = &pieces;
                        while store.append(&draft).is_err() {
                            sim.block_on(store.wait_writable());
                        }
                    }
                    let started = Instant::now();
                    black_box(sim.block_on(store.query(query())).is_ok());
                    spent += started.elapsed();
                }
                spent
            });
        });
        assert_eq!(store.indexed(), store.appended(), "the query indexed everything");
    }
    group.finish();
}

criterion_group!(benches, enter);
criterion_main!(benches);
