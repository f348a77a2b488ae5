//! What an append of 1 KiB costs, beside a bare memcpy of the same bytes. Simulated runtime: no device, no clock.

mod common;

use common::{draft, store};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

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
    group.bench_function("crc32", |bencher| bencher.iter(|| protocol::record::body_crc(black_box(&body))));
    let (sim, store) = store();
    let draft = draft(&body);
    group.bench_function("append", |bencher| {
        bencher.iter(|| match store.append(black_box(&draft)) {
            Ok(appended) => {
                black_box(appended);
            }
            // The writer runs between measured batches of a full tail: rare, and part of what an append costs here.
            Err(_) => sim.block_on(store.wait_writable()),
        });
        store.drain_arrivals(|arrival| {
            black_box(arrival.max_offset);
        });
    });
    group.finish();
    eprintln!("log end {}, {} messages", store.appended(), store.queue_range("bench", 0).map_or(0, |range| range.max_offset.0));
}

criterion_group!(benches, append);
criterion_main!(benches);
