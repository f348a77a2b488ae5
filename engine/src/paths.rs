//! Names of the store's files, as RocketMQ has them.

use std::path::{Path, PathBuf};

/// Files of one store.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    root: PathBuf,
}

/// Longest name of a file that filesystems have.
const NAME_BYTES_MAX: usize = 255;

/// Whether a topic can be a folder's name. A topic in the log may be anything: no checksum covers
/// it.
pub(crate) fn is_folder_name(topic: &str) -> bool {
    !matches!(topic, "" | "." | "..")
        && topic.len() <= NAME_BYTES_MAX
        && memchr::memchr2(b'/', 0, topic.as_bytes()).is_none()
}

/// A file's name: the offset of its first byte in 20 digits.
pub(crate) fn offset_name(offset: u64) -> String {
    format!("{offset:020}")
}

/// The offset a file's name says, if it is such a name.
pub(crate) fn parse_offset_name(name: &str) -> Option<u64> {
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| name.parse().ok())
        .flatten()
}

impl Paths {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn commitlog(&self) -> PathBuf {
        self.root.join("commitlog")
    }

    pub(crate) fn commitlog_file(&self, start: u64) -> PathBuf {
        self.commitlog().join(offset_name(start))
    }

    pub(crate) fn consumequeue(&self) -> PathBuf {
        self.root.join("consumequeue")
    }

    pub(crate) fn topic(&self, topic: &str) -> PathBuf {
        self.consumequeue().join(topic)
    }

    pub(crate) fn queue(&self, topic: &str, queue_id: i32) -> PathBuf {
        self.topic(topic).join(queue_id.to_string())
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint")
    }

    pub(crate) fn abort(&self) -> PathBuf {
        self.root.join("abort")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// RingMQ's own: see [`crate::manifest`].
    pub(crate) fn manifest(&self) -> PathBuf {
        self.root.join("consumequeue.manifest")
    }

    /// RingMQ's own: see [`crate::flushed_mark`].
    pub(crate) fn flushed_mark(&self) -> PathBuf {
        self.root.join("commitlog.flushed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_store_is_never_one_of_another_place() {
        let (longest, longer) = ("t".repeat(255), "t".repeat(256));
        for name in ["T", "%RETRY%g", "a.b", "...", longest.as_str()] {
            assert!(is_folder_name(name), "{name:?}");
        }
        for name in ["", ".", "..", "../x", "a/b", "/", "a\0b", longer.as_str()] {
            assert!(!is_folder_name(name), "{name:?}");
        }
    }
}
