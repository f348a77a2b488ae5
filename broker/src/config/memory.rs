//! How much memory a shard may have: what peers make it hold (half frames, answers that nobody
//! takes, log that only readers keep), and the log's tail (`tailCacheBytes`).
//!
//! Not the tables, which have limits of their own in `limits.rs`.

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

/// `tailCacheBytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TailCache {
    /// As many bytes for each shard, whatever the machine has.
    Bytes(usize),
    /// A part of the memory there is, while it is there.
    Auto,
}

/// Least and most of an explicit `tailCacheBytes`.
const TAIL_CACHE_BYTES: std::ops::RangeInclusive<usize> = 8 << 20..=1 << 36;
/// What `tailCacheBytes` accepts, for an error.
pub(super) const TAIL_CACHE_ACCEPTED: &str = "auto, or bytes from 8388608 to 68719476736";

/// All shards together may keep this part of the memory as cache (design D13).
const CACHE_PART_OF_MEMORY: u64 = 4;
/// Least for a shard: what is reserved at its start anyway.
const CACHE_BYTES_MIN: u64 = 64 << 20;

/// The value of `tailCacheBytes`; `None` when it is none.
pub(super) fn tail_cache(text: &str) -> Option<TailCache> {
    if text == "auto" {
        return Some(TailCache::Auto);
    }
    let bytes = text.parse().ok().filter(|bytes| TAIL_CACHE_BYTES.contains(bytes))?;
    Some(TailCache::Bytes(bytes))
}

/// What `auto` is for one shard, at most.
pub(super) fn auto_tail_bytes(memory_bytes: Option<u64>, shard_count: usize) -> usize {
    let shards: u64 = crate::checked::to(shard_count);
    let part = memory_bytes.unwrap_or_default() / CACHE_PART_OF_MEMORY / shards;
    let most: u64 = crate::checked::to(*TAIL_CACHE_BYTES.end());
    crate::checked::to(part.clamp(CACHE_BYTES_MIN, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_cache_is_a_number_within_bounds_or_a_quarter_of_the_memory() {
        assert_eq!(tail_cache("auto"), Some(TailCache::Auto));
        assert_eq!(tail_cache("67108864"), Some(TailCache::Bytes(64 << 20)));
        for wrong in ["", "Auto", "8388607", "68719476737", "-1", "64MiB"] {
            assert_eq!(tail_cache(wrong), None, "{wrong}");
        }
        assert_eq!(auto_tail_bytes(Some(8 << 30), 2), 1 << 30);
        assert_eq!(auto_tail_bytes(Some(128 << 20), 1), 64 << 20, "not less than this");
        assert_eq!(auto_tail_bytes(None, 1), 64 << 20);
        assert_eq!(auto_tail_bytes(Some(u64::MAX), 1), 1 << 36, "not more than this");
    }

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
