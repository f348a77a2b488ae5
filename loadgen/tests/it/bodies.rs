//! What a run really sends: bodies that nothing on their way can make smaller.

use crate::fake_broker::{Sends, start_one};
use crate::program::Ended;

/// Bytes of a payload before its filler.
const STAMP_BYTES: usize = 56;

#[test]
fn the_bodies_of_a_run_do_not_compress_across_messages_and_threads() {
    let broker = start_one(Sends::Acknowledged);
    Ended::run(broker.addr, &["--senders", "2", "--threads", "2", "--in-flight", "8"]);
    let bodies = broker.bodies();
    assert!(bodies.len() > 10 && bodies.iter().all(|body| body.len() == 1024));
    let fillers: Vec<u8> = bodies.iter().flat_map(|body| body[STAMP_BYTES..].to_vec()).collect();
    let least = fillers.len() - fillers.len() / 1_000;
    let zstd = zstd::encode_all(&fillers[..], 19).unwrap().len();
    let lz4 = lz4_flex::block::compress(&fillers).len();
    assert!(zstd >= least && lz4 >= least, "{} bytes: zstd {zstd}, lz4 {lz4}", fillers.len());
}
