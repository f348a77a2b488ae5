//! How many files the process may have open, sockets included, and who gets them.

use engine::limits::CONSUMEQUEUE_OPEN_FILES_MAX;
use netcore::limits::connections_max;
use rt::ring::{FileLimit, raise_file_limit};
use std::fmt;

/// Assumed when the system does not say: its usual limit for programs that don't ask.
const FILES_ASSUMED: u64 = 1_024;

/// More ConsumeQueue files than that are not kept open: each costs about a kilobyte of the kernel's
/// memory.
const CONSUMEQUEUE_FILES_MAX: usize = 65_536;

/// The process's open files, shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Files {
    limit: FileLimit,
    shards: usize,
}

impl Files {
    /// Raises the limit to what the system lets this process have.
    pub(super) fn raise(shards: usize) -> Self {
        let limit = raise_file_limit().unwrap_or_else(|error| {
            tracing::warn!("the limit of open files is not raised: {error}. Fix: `ulimit -n`");
            FileLimit { before: FILES_ASSUMED, now: FILES_ASSUMED }
        });
        Self { limit, shards }
    }

    /// ConsumeQueue files that each shard keeps open: half of what connections leave to it, so that
    /// thousands of queues need not be opened anew each second where the limit allows it.
    pub(super) fn consumequeue_files_max(self) -> usize {
        let left = self.limit.now / self.shards.max(1) as u64;
        let left = usize::try_from(left).unwrap_or(usize::MAX) - self.connections_max();
        (left / 2).clamp(CONSUMEQUEUE_OPEN_FILES_MAX, CONSUMEQUEUE_FILES_MAX)
    }

    /// Connections of each shard.
    pub(super) fn connections_max(self) -> usize {
        connections_max(self.limit.now, self.shards)
    }
}

/// For the greeting.
impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.connections_max();
        let all: u64 = crate::checked::to(connections * self.shards);
        let (limit, rest) = (self.limit, self.limit.now.saturating_sub(all));
        match self.shards {
            1 => write!(f, "{limit}: {connections} connections, {rest} kept for files"),
            shards => write!(
                f,
                "{limit}: {connections} connections for each of {shards} shards, {rest} kept for \
                 files"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_the_store() {
        let files = |now, shards| Files { limit: FileLimit { before: 1_024, now }, shards };
        let few = files(1_024, 1);
        assert_eq!(few.connections_max(), 512);
        assert_eq!(few.to_string(), "1024 open files: 512 connections, 512 kept for files");
        let raised = files(20_000, 4).to_string();
        assert!(raised.starts_with("20000 open files (raised from 1024): 4488 "), "{raised}");
        assert!(raised.ends_with("for each of 4 shards, 2048 kept for files"), "{raised}");
        let of_queues = |now, shards| files(now, shards).consumequeue_files_max();
        assert_eq!([of_queues(1_024, 1), of_queues(20_000, 4), of_queues(0, 1)], [256; 3]);
        assert_eq!(of_queues(1 << 40, 2), CONSUMEQUEUE_FILES_MAX);
    }
}
