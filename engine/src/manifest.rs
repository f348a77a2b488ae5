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
//! A queue whose file can't be written or synced is in `behind` too, with the units that are
//! durable and the log offset from which its records are scanned again. Such a manifest has a
//! version of its own: a program that does not know `behind` would believe that all units are
//! there. The alternative, an older `log_end` for all, was dropped: the scan after a crash would
//! grow with every message of the other queues, and no topic could be deleted durably meanwhile.
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
use std::collections::{BTreeMap, btree_map};

/// The version this program writes. Version 1 had no checksum and is read too.
pub(crate) const MANIFEST_VERSION: u32 = 2;

/// Written, and the newest that is read, while queues are behind.
pub(crate) const MANIFEST_VERSION_BEHIND: u32 = 3;

/// Units `[min, max)` of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedQueue {
    pub(crate) min: i64,
    pub(crate) max: i64,
}

/// What is durable of a queue that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BehindQueue {
    /// Its units below are.
    pub(crate) durable: i64,
    /// Its records below this place of the log are among them.
    pub(crate) scan_from: u64,
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
    /// Written apart, by [`Encoding`].
    #[serde(skip_serializing)]
    pub(crate) queues: BTreeMap<String, BTreeMap<i32, ListedQueue>>,
    /// Listed queues of which not all units are durable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) behind: BTreeMap<String, BTreeMap<i32, BehindQueue>>,
    /// Topic to log offset: its records below are deleted.
    pub(crate) deleted: BTreeMap<String, u64>,
    /// The ConsumeQueue files are being built anew: what is listed says how long the queues are,
    /// not what their files hold.
    #[serde(default)]
    pub(crate) is_rebuilding: bool,
    /// From this log offset on every record is ours, and none without a checksum over all of it has
    /// a zero byte in topic or properties: one that has was torn, also long after the crash that
    /// tore it. `None`: nobody knows where another broker's records end.
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
        self.version = self.version.max(MANIFEST_VERSION);
        self.deleted.retain(|_, below| *below > log_begin);
        for (topic, queues) in &mut self.queues {
            for (queue_id, listed) in queues {
                listed.min =
                    min_of(topic, *queue_id).unwrap_or(listed.min).clamp(listed.min, listed.max);
                let behind = self.behind.get_mut(topic).and_then(|it| it.get_mut(queue_id));
                if let Some(behind) = behind {
                    behind.durable = behind.durable.max(listed.min);
                }
            }
        }
    }

    /// The log was flushed up to there when this was written: up to its log end, and up to where
    /// each topic was deleted, which a manifest waits for.
    pub(crate) fn flushed_upto(&self) -> u64 {
        self.deleted.values().fold(self.log_end, |upto, below| upto.max(*below))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded {
        let line_end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let (line, rest) = bytes.split_at_checked(line_end).unwrap_or_default();
        let version = match serde_json::from_slice::<VersionOnly>(line) {
            Ok(VersionOnly { version }) => version,
            Err(error) => return Decoded::Damaged(error.to_string()),
        };
        if version > u64::from(MANIFEST_VERSION_BEHIND) {
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
        for (topic, queues) in &self.behind {
            for (queue_id, BehindQueue { durable, .. }) in queues {
                let listed = self.queues.get(topic).and_then(|queues| queues.get(queue_id));
                if !listed.is_some_and(|listed| (listed.min..=listed.max).contains(durable)) {
                    return Decoded::Damaged(format!(
                        "queue {queue_id} of {topic}: {durable} units are durable of {listed:?}"
                    ));
                }
            }
        }
        Decoded::Good(self)
    }

    /// The log ends at `log_end` from now on: queues that were behind only there are not any more.
    pub(crate) fn cut_behind(&mut self, log_end: u64) {
        for (topic, behind) in &mut self.behind {
            let listed = self.queues.get(topic);
            behind.retain(|queue_id, behind| {
                let Some(listed) = listed.and_then(|queues| queues.get(queue_id)) else {
                    return false;
                };
                behind.durable = behind.durable.min(listed.max);
                behind.durable < listed.max && behind.scan_from < log_end
            });
        }
        self.behind.retain(|_, queues| !queues.is_empty());
    }

    /// The units of a listed queue that are durable, and if these are not all, from where in the
    /// log the others are scanned.
    pub(crate) fn durable(&self, topic: &str, queue_id: i32, listed: ListedQueue) -> BehindQueue {
        let behind = self.behind.get(topic).and_then(|queues| queues.get(&queue_id));
        behind.copied().unwrap_or(BehindQueue { durable: listed.max, scan_from: self.log_end })
    }

    /// From where in the log a start scans: below `log_end` for queues that are behind.
    pub(crate) fn scan_from(&self) -> u64 {
        let behind = self.behind.values().flat_map(BTreeMap::values);
        behind
            .map(|behind| behind.scan_from)
            .min()
            .map_or(self.log_end, |from| from.clamp(self.log_begin.min(self.log_end), self.log_end))
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut encoding = Encoding::begin(self);
        while encoding.encode_queues(usize::MAX) {}
        encoding.end()
    }
}

/// A manifest on its way to bytes, some queues at a time: 50,000 of them at once would keep a core
/// from its clients for many milliseconds.
pub(crate) struct Encoding {
    bytes: Vec<u8>,
    checksum: crc32fast::Hasher,
    /// Bytes that `checksum` has.
    summed: usize,
    topics: btree_map::IntoIter<String, BTreeMap<i32, ListedQueue>>,
    queues: btree_map::IntoIter<i32, ListedQueue>,
    is_in_topic: bool,
}

impl Encoding {
    pub(crate) fn begin(mut manifest: Manifest) -> Self {
        let topics = std::mem::take(&mut manifest.queues).into_iter();
        let mut bytes = json(&manifest);
        // The queues are the object's last field.
        bytes.pop();
        bytes.extend_from_slice(b",\"queues\":{");
        Self {
            bytes,
            checksum: crc32fast::Hasher::new(),
            summed: 0,
            topics,
            queues: BTreeMap::new().into_iter(),
            is_in_topic: false,
        }
    }

    /// Encodes at most `count` queues; false when none is left.
    pub(crate) fn encode_queues(&mut self, count: usize) -> bool {
        for _ in 0..count {
            if let Some((queue_id, listed)) = self.queues.next() {
                self.separate();
                self.bytes.extend_from_slice(format!("\"{queue_id}\":").as_bytes());
                self.bytes.extend_from_slice(&json(&listed));
            } else if !self.next_topic() {
                self.sum();
                return false;
            }
        }
        self.sum();
        true
    }

    fn next_topic(&mut self) -> bool {
        if std::mem::take(&mut self.is_in_topic) {
            self.bytes.push(b'}');
        }
        let Some((topic, queues)) = self.topics.next() else { return false };
        self.separate();
        self.bytes.extend_from_slice(&json(&topic));
        self.bytes.extend_from_slice(b":{");
        (self.queues, self.is_in_topic) = (queues.into_iter(), true);
        true
    }

    fn separate(&mut self) {
        if !self.bytes.ends_with(b"{") {
            self.bytes.push(b',');
        }
    }

    fn sum(&mut self) {
        self.checksum.update(self.bytes.get(self.summed..).unwrap_or_default());
        self.summed = self.bytes.len();
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(b"}}");
        self.sum();
        let checksum = checksum_line_of(self.checksum.finalize());
        self.bytes.extend_from_slice(checksum.as_bytes());
        self.bytes
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(error) => panic!("maps of strings and numbers are JSON: {error}"),
    }
}

fn checksum_line(line: &[u8]) -> String {
    checksum_line_of(crc32fast::hash(line))
}

fn checksum_line_of(checksum: u32) -> String {
    format!("\ncrc32 {checksum:08x}\n")
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
            Manifest::decode(b"{\"version\":4,\"anything\":[]}\nblake3 00"),
            Decoded::Newer(4)
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

    #[test]
    fn many_queues_encoded_in_pieces_are_the_same_bytes_and_decode_to_the_same() {
        let mut many = Manifest { version: MANIFEST_VERSION_BEHIND, ..manifest() };
        for topic in ["a", "a\"b\\", "%RETRY%g", "z"] {
            for queue_id in 0..7 {
                let listed = ListedQueue { min: 0, max: i64::from(queue_id) };
                many.queues.entry(topic.to_owned()).or_default().insert(queue_id, listed);
            }
        }
        many.queues.insert("none".to_owned(), BTreeMap::new());
        let behind = |durable, scan_from| BehindQueue { durable, scan_from };
        many.behind = BTreeMap::from([(
            "z".to_owned(),
            BTreeMap::from([(3, behind(2, 4000)), (5, behind(0, 4100))]),
        )]);
        let whole = many.clone().encode();
        for count in 1..10 {
            let mut encoding = Encoding::begin(many.clone());
            while encoding.encode_queues(count) {}
            assert_eq!(encoding.end(), whole, "{count} at a time");
        }
        assert_eq!(Manifest::decode(&whole), Decoded::Good(many.clone()));
        assert_eq!((many.scan_from(), manifest().scan_from()), (4000, 4711));
    }
}
