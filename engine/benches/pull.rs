//! What a hot pull of 32 messages of 1 KiB costs, adjacent (one slice) and interleaved with another
//! queue (32 slices).

mod common;

use common::{draft, store};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::{QueueOffset, ReadRequest, ReadSlices, TagFilter};
use std::hint::black_box;

fn pull(criterion: &mut Criterion) {
    let body = [7; 1024];
    let mut group = criterion.benchmark_group("pull 32 x 1 KiB");
    group.throughput(Throughput::Elements(32));
    for (name, queues) in [("adjacent", 1), ("interleaved", 2)] {
        let (_sim, store) = store(false);
        for nth in 0..1000 {
            let message = protocol::record::RecordDraft { queue_id: nth % queues, ..draft(&body) };
            assert!(store.append(&message).is_ok());
        }
        let mut out = ReadSlices::default();
        let request = ReadRequest {
            topic: "bench",
            queue_id: 0,
            offset: QueueOffset(100),
            max_messages: 32,
            max_bytes: 1 << 20,
            filter: TagFilter::All,
            as_asked: false,
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| store.read(black_box(&request), &mut out))
        });
        eprintln!(
            "{name}: {} messages in {} slices, {} bytes",
            out.messages,
            out.slices.len(),
            out.bytes
        );
    }
    group.finish();
}

criterion_group!(benches, pull);
criterion_main!(benches);
