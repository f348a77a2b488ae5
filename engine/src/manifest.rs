//! RingMQ's own small file beside RocketMQ's: what the ConsumeQueue files held, synced, when they
//! were last checked.
//!
//! ```text
//!   {"version":2,"log_end":…,"queues":{…},…}      JSON, one line
//!   crc32 1a2b3c4d                                of the line above
//! ```
//!
//! Why: ConsumeQueues are derived and may be deleted, all or one file, while the store is stopped;
//! and after a power cut whatever was not synced may be anything. The manifest says for a log
//! offset (`log_end`, a record boundary that was flushed) which units of which queue are good, so
//! recovery trusts exactly those and builds the rest from the log from `log_end` on. When a listed
//! queue is not there as listed, or the manifest is missing (a store of Apache RocketMQ), all are
//! built anew. Below `log_end` nothing can be a torn tail: what can't be read there is damage.
//!
//! It also remembers deleted topics: their records are still in the log, and a rebuild must not
//! bring them back.
//!
//! Why the checksum: a digit that changed would be believed. Why the version is read without it: a
//! newer format may have another one, and must be refused, not replaced.

use crate::config::FlushPolicy;
use crate::index::IndexMark;
use crate::paths::is_folder_name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version this program writes. Version 1 had no checksum and is read too.
pub(crate) const MANIFEST_VERSION: u32 = 2;

/// Units `[min, max)` of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedQueue {
    pub(crate) min: i64,
    pub(crate) max: i64,
}

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) version: u32,
    pub(crate) log_end: u64,
    /// Log files below are removed, or about to be.
    #[serde(default)]
    pub(crate) log_begin: u64,
    /// How the log goes on from `log_end`: under SYNC_FLUSH a break with records behind it is no
    /// torn tail.
    #[serde(default)]
    pub(crate) flush: FlushPolicy,
    pub(crate) queues: BTreeMap<String, BTreeMap<i32, ListedQueue>>,
    /// Topic to log offset: its records below are deleted.
    pub(crate) deleted: BTreeMap<String, u64>,
    /// The ConsumeQueue files are being built anew: what is listed says how long the queues are,
    /// not what their files hold.
    #[serde(default)]
    pub(crate) is_rebuilding: bool,
    /// From this log offset on every record is ours, and none without a checksum over all of it has
    /// a zero byte in topic or properties: one that has was torn, also long after the crash that
    /// tore it. `None`: nobody
    /// knows where another broker's records end.
    #[serde(default)]
    pub(crate) own_from: Option<u64>,
    /// The log takes another broker's records as they are, see [`crate::LogSource`].
    #[serde(default)]
    pub(crate) is_foreign: bool,
    /// The log is being cut there: what its files, its queues and its index hold from there on is
    /// no part of the store any more, and the next open removes what a crash left of it. `log_end`
    /// is the same.
    #[serde(default)]
    pub(crate) cut_at: Option<u64>,
    /// Store time of the last record: store times never go back, whatever the clock does.
    #[serde(default)]
    pub(crate) last_store_ms: i64,
    /// The index's files; `None` when no index was ever built.
    #[serde(default)]
    pub(crate) index: Option<IndexMark>,
}

/// What a manifest's bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A manifest.
    Good(Manifest),
    /// No manifest any more, for this reason: the queues are rebuilt from the log.
    Damaged(String),
    /// A newer program's: not ours to touch.
    Newer(u64),
}

/// The version alone, whatever else a newer format has.
#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

impl Manifest {
    /// The log begins at `log_begin` from now on, and queues where `min_of` says.
    pub(crate) fn begin_at(&mut self, log_begin: u64, min_of: impl Fn(&str, i32) -> Option<i64>) {
        self.log_begin = log_begin;
        self.deleted.retain(|_, below| *below > log_begin);
        for (topic, queues) in &mut self.queues {
            for (queue_id, listed) in queues {
                listed.min =
                    min_of(topic, *queue_id).unwrap_or(listed.min).clamp(listed.min, listed.max);
            }
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded {
        let line_end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let (line, rest) = bytes.split_at_checked(line_end).unwrap_or_default();
        let version = match serde_json::from_slice::<VersionOnly>(line) {
            Ok(VersionOnly { version }) => version,
            Err(error) => return Decoded::Damaged(error.to_string()),
        };
        if version > u64::from(MANIFEST_VERSION) {
            return Decoded::Newer(version);
        }
        let expected = if version == 1 { String::new() } else { checksum_line(line) };
        if version == 0 || rest != expected.as_bytes() {
            return Decoded::Damaged(format!(
                "expected{expected:?} behind the first line, found {:?}",
                String::from_utf8_lossy(rest)
            ));
        }
        match serde_json::from_slice::<Self>(line) {
            Ok(manifest) => manifest.checked(),
            Err(error) => Decoded::Damaged(error.to_string()),
        }
    }

    /// Version 1 has no checksum: what it lists must make sense at least, and a topic is a folder
    /// that may be removed.
    fn checked(self) -> Decoded {
        let mut topics = self.queues.keys().chain(self.deleted.keys());
        if let Some(topic) = topics.find(|topic| !is_folder_name(topic)) {
            return Decoded::Damaged(format!("the topic {topic:?} is no folder's name"));
        }
        for (topic, queues) in &self.queues {
            for (queue_id, ListedQueue { min, max }) in queues {
                if *min < 0 || max < min {
                    return Decoded::Damaged(format!("queue {queue_id} of {topic}: {min}..{max}"));
                }
            }
        }
        Decoded::Good(self)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = match serde_json::to_vec(self) {
            Ok(bytes) => bytes,
            Err(error) => panic!("maps of strings and numbers are JSON: {error}"),
        };
        let checksum = checksum_line(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }
}

fn checksum_line(line: &[u8]) -> String {
    format!("\ncrc32 {:08x}\n", crc32fast::hash(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let queues = BTreeMap::from([(
            "t".to_owned(),
            BTreeMap::from([(3, ListedQueue { min: 1, max: 9 })]),
        )]);
        Manifest { version: MANIFEST_VERSION, log_end: 4711, queues, ..Manifest::default() }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_no_good_manifest() {
        let whole = manifest().encode();
        assert_eq!(Manifest::decode(&whole), Decoded::Good(manifest()));
        for at in 0..whole.len() {
            assert!(!matches!(Manifest::decode(&whole[..at]), Decoded::Good(_)), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                assert!(
                    !matches!(Manifest::decode(&flipped), Decoded::Good(_)),
                    "bit {bit} of {at}"
                );
            }
        }
    }

    #[test]
    fn a_newer_version_is_known_whatever_follows_and_the_first_is_still_read() {
        assert_eq!(
            Manifest::decode(b"{\"version\":3,\"anything\":[]}\nblake3 00"),
            Decoded::Newer(3)
        );
        let first = b"{\"version\":1,\"log_end\":5,\"queues\":{},\"deleted\":{\"t\":4}}";
        let Decoded::Good(first) = Manifest::decode(first) else { panic!("version 1") };
        assert_eq!((first.version, first.log_end, first.deleted["t"]), (1, 5, 4));
        assert!(matches!(Manifest::decode(&[0; 100]), Decoded::Damaged(_)));
        for topic in ["", "..", "../x", "a/b"] {
            for lists in [
                format!("\"deleted\":{{}},\"queues\":{{\"{topic}\":{{}}}}"),
                format!("\"deleted\":{{\"{topic}\":1}},\"queues\":{{}}"),
            ] {
                let text = format!("{{\"version\":1,\"log_end\":5,{lists}}}");
                assert!(matches!(Manifest::decode(text.as_bytes()), Decoded::Damaged(_)), "{text}");
            }
        }
        for range in ["\"min\":-1,\"max\":4", "\"min\":5,\"max\":4"] {
            let text = format!(
                "{{\"version\":1,\"log_end\":5,\"deleted\":{{}},\
                    \"queues\":{{\"t\":{{\"0\":{{{range}}}}}}}}}"
            );
            assert!(matches!(Manifest::decode(text.as_bytes()), Decoded::Damaged(_)), "{text}");
        }
    }
}
