//! Finding the frames in a full receive buffer, beside walking the same lengths with no check at
//! all.
//!
//! `cargo bench -p netcore --bench frame`; under `cargo test` each runs once. The sum of what was
//! found is asserted, so that nothing can be optimised away.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use netcore::frame::{LENGTH_BYTES, Protocol, fill, take};
use std::hint::black_box;

const FRAMES: usize = 45;
const PAYLOAD_BYTES: usize = 1420;
const MAX: usize = 16 << 20;

/// As much of a pipelined stream of sends as a receive buffer holds.
fn buffer() -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..FRAMES {
        bytes.extend_from_slice(&u32::try_from(PAYLOAD_BYTES).unwrap().to_be_bytes());
        bytes.resize(bytes.len() + PAYLOAD_BYTES, 7);
    }
    bytes
}

fn split_in_place(mut bytes: &[u8]) -> usize {
    let mut found = 0;
    while let Some(frame) = take(Protocol::Remoting, &mut bytes, MAX).unwrap() {
        found += frame.len();
    }
    found
}

fn walk_unchecked(bytes: &[u8]) -> usize {
    let (mut at, mut found) = (0, 0);
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at..at + LENGTH_BYTES].try_into().unwrap()) as usize;
        found += length;
        at += LENGTH_BYTES + length;
    }
    found
}

/// One frame that arrives in two halves: the copy that a half frame costs.
fn join_halves(bytes: &[u8], carry: &mut Vec<u8>) -> usize {
    carry.clear();
    let (mut first, mut second) = bytes[..LENGTH_BYTES + PAYLOAD_BYTES].split_at(700);
    assert!(!fill(Protocol::Remoting, carry, &mut first, MAX).unwrap());
    assert!(fill(Protocol::Remoting, carry, &mut second, MAX).unwrap());
    carry.len() - LENGTH_BYTES
}

fn frame_split(c: &mut Criterion) {
    let bytes = buffer();
    assert_eq!(split_in_place(&bytes), walk_unchecked(&bytes));
    let mut carry = Vec::with_capacity(2 * PAYLOAD_BYTES);
    assert_eq!(join_halves(&bytes, &mut carry), PAYLOAD_BYTES);
    let mut group = c.benchmark_group("frame split");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("45 frames in place", |b| b.iter(|| split_in_place(black_box(&bytes))));
    group.bench_function("the same lengths, unchecked", |b| {
        b.iter(|| walk_unchecked(black_box(&bytes)))
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("a frame in two halves", |b| {
        b.iter(|| join_halves(black_box(&bytes), &mut carry))
    });
    group.finish();
}

criterion_group!(benches, frame_split);
criterion_main!(benches);
