//! What an append of 1 KiB costs, beside a bare memcpy of the same bytes. Simulated machine, writes
//! go nowhere.

mod common;

use common::{Discard, draft, store};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::Store;
use protocol::record::RecordDraft;
use rt::Runtime;
use rt::sim::Sim;
use std::hint::black_box;
use std::time::{Duration, Instant};

const BODY_BYTES: usize = 1024;

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("1 KiB");
    group.throughput(Throughput::Bytes(BODY_BYTES as u64));
    let body = [7; BODY_BYTES];
    let mut target = vec![0; 1 << 20];
    let mut at = 0;
    group.bench_function("memcpy", |bencher| {
        bencher.iter(|| {
            at = (at + BODY_BYTES) % (target.len() - BODY_BYTES);
            target[at..at + BODY_BYTES].copy_from_slice(black_box(&body));
        });
    });
    group.bench_function("crc32", |bencher| {
        bencher.iter(|| protocol::record::body_crc(black_box(&body)))
    });
    let (sim, store) = store(false);
    let draft = draft(&body);
    group.bench_function("append", |bencher| {
        bencher.iter_custom(|count| time_appends(&sim, &store, &draft, count))
    });
    group.finish();
    let counts = store.write_counts();
    let share = |bytes: u64| bytes as f64 / counts.record_bytes as f64;
    eprintln!(
        "{} bytes of records, copied {:.3} times in all",
        counts.record_bytes,
        1.0 + share(counts.copied_again_bytes)
    );
    eprintln!(
        "log end {}, {} messages",
        store.appended(),
        store.queue_range("bench", 0).map_or(0, |range| range.max_offset.0)
    );
}

/// The time of `count` appends alone: the writer's turns between them are not counted.
fn time_appends(
    sim: &Sim,
    store: &Store<Discard>,
    draft: &RecordDraft<'_>,
    count: u64,
) -> Duration {
    let (mut left, mut spent) = (count, Duration::ZERO);
    while left > 0 {
        let burst = left.min(1000);
        let start = Instant::now();
        let appended = (0..burst).take_while(|_| store.append(black_box(draft)).is_ok()).count();
        spent += start.elapsed();
        left -= u64::try_from(appended).unwrap_or(0);
        store.drain_arrivals(|arrival| {
            black_box(arrival.max_offset);
        });
        sim.block_on(sim.sleep(Duration::from_millis(2)));
    }
    spent
}

criterion_group!(benches, append);
criterion_main!(benches);
