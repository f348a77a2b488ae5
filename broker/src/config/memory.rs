//! How much memory peers may make a shard hold: half frames, answers that nobody takes, log that
//! only readers keep.
//!
//! Not the log's tail, which has `tailCacheBytes`, and not the tables, which have limits of their
//! own in `limits.rs`.

/// All shards together may be made to hold this part of the memory.
const PART_OF_MEMORY: u64 = 8;
/// A shard can take a few of the largest frames and answers on any machine.
const SHARD_BYTES_MIN: u64 = 256 << 20;
/// More than this serves nobody: a peer that is so far behind reads from disk just as well.
const SHARD_BYTES_MAX: u64 = 2 << 30;

/// The limit of one shard's memory account: an equal part of an eighth of the memory, within
/// bounds. `memory_bytes`: what the process may use, `None` when the system does not say.
pub(super) fn shard_bytes_max(memory_bytes: Option<u64>, shard_count: usize) -> usize {
    let shards: u64 = crate::checked::to(shard_count);
    let part = memory_bytes.unwrap_or_default() / PART_OF_MEMORY / shards;
    crate::checked::to(part.clamp(SHARD_BYTES_MIN, SHARD_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_gets_its_part_of_an_eighth_within_bounds() {
        let gib = |count: u64| Some(count << 30);
        assert_eq!(shard_bytes_max(gib(8), 1), 1 << 30);
        assert_eq!(shard_bytes_max(gib(32), 4), 1 << 30);
        assert_eq!(shard_bytes_max(gib(1), 1), 256 << 20, "not less than this");
        assert_eq!(shard_bytes_max(gib(64), 64), 256 << 20);
        assert_eq!(shard_bytes_max(gib(1024), 2), 2 << 30, "not more than this");
        assert_eq!(shard_bytes_max(None, 1), 256 << 20);
        assert_eq!(shard_bytes_max(Some(u64::MAX), 1), 2 << 30);
    }
}
