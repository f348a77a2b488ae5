//! What a send waits for besides the store's own watermark: slaves.
//!
//! An acknowledgement waits for two watermarks: the store's `acknowledged` (the table in `engine`'s
//! `watermarks`), and, on a SYNC_MASTER, `replicated`: up to there as many slaves as are waited for
//! have said that they have the log. The master's flush and its slaves work side by side.
//!
//! | `brokerRole` | `inSyncReplicas` | waits for | if they do not come |
//! |---|---|---|---|
//! | ASYNC_MASTER | | nobody | |
//! | SYNC_MASTER | not set | one slave, if one is there and near enough when the message is stored | 12 after `slaveTimeout`; 11 at once if none was |
//! | SYNC_MASTER | 1 | nobody, as Apache 5.5.0 by default | |
//! | SYNC_MASTER | n | n − 1 slaves, be they there or not | 12 after `slaveTimeout` |
//!
//! With 11 and 12 the message is stored, and consumers see it: visibility never waits for slaves,
//! as in Apache without a controller. "Acknowledged" is SEND_OK alone.
//!
//! Pure.

use crate::config::{ReplicationOptions, Role, WaitsFor};
use engine::PhyOffset;

/// What one message waits for, besides the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nobody.
    Nobody,
    /// Slaves.
    Slaves,
    /// It would wait for one, and none is there: it waits for nobody, and its sender is told.
    NotThere,
}

/// How often slaves were waited for, and how that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplicaCounts {
    /// They had it in time.
    pub(crate) replicated: u64,
    /// Answered FLUSH_SLAVE_TIMEOUT.
    pub(crate) late: u64,
    /// Answered SLAVE_NOT_AVAILABLE.
    pub(crate) not_there: u64,
}

/// How far the slaves of one shard are, and what that means for sends.
#[derive(Debug)]
pub(crate) struct Replicas {
    waits_for: WaitsFor,
    /// As many slaves as are waited for have everything below. It never goes back: a slave that is
    /// gone still has what it had.
    replicated: PhyOffset,
    /// How far the slave is that has most of those that follow now.
    nearest: Option<PhyOffset>,
    /// See there.
    pub(crate) counts: ReplicaCounts,
}

impl Replicas {
    /// Of a broker with this role.
    pub(crate) fn new(options: &ReplicationOptions) -> Self {
        let waits_for = match options.role {
            Role::Master { waits_for } => waits_for,
            Role::Slave { .. } => WaitsFor::Nobody,
        };
        let replicated = PhyOffset(0);
        Self { waits_for, replicated, nearest: None, counts: ReplicaCounts::default() }
    }

    /// How many slaves have to have a message; `None`: sends wait for none.
    pub(crate) fn wanted(&self) -> Option<usize> {
        match self.waits_for {
            WaitsFor::Nobody => None,
            WaitsFor::Slaves(count) => Some(count),
            WaitsFor::OneThatIsThere { .. } => Some(1),
        }
    }

    /// What a message needs that is stored now and ends at `end`.
    #[inline]
    pub(crate) fn need(&self, end: PhyOffset) -> Need {
        match self.waits_for {
            WaitsFor::Nobody => Need::Nobody,
            WaitsFor::Slaves(_) => Need::Slaves,
            WaitsFor::OneThatIsThere { gap_bytes_max } => match self.nearest {
                Some(nearest) if end.0.saturating_sub(nearest.0) < gap_bytes_max => Need::Slaves,
                _ => Need::NotThere,
            },
        }
    }

    /// Whether the slaves that are waited for have everything below `end`.
    pub(crate) fn have(&self, end: PhyOffset) -> bool {
        end <= self.replicated
    }

    /// Up to here they have it.
    pub(crate) fn replicated(&self) -> PhyOffset {
        self.replicated
    }

    /// Slaves have come further, or gone: `nearest` is how far the first of them is, `replicated`
    /// how far as many are as are waited for. Whether sends may go on that waited.
    pub(crate) fn are_at(&mut self, nearest: Option<u64>, replicated: Option<u64>) -> bool {
        self.nearest = nearest.map(PhyOffset);
        let further = replicated.map(PhyOffset).filter(|upto| *upto > self.replicated);
        if let Some(upto) = further {
            self.replicated = upto;
        }
        further.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;

    fn replicas(pairs: &[(&str, &str)]) -> Replicas {
        Replicas::new(&options(pairs).replication)
    }

    #[test]
    fn an_async_master_and_one_of_a_single_replica_wait_for_nobody() {
        let one = [("brokerRole", "SYNC_MASTER"), ("inSyncReplicas", "1")];
        for pairs in [&one[..0], &one[..]] {
            let mut replicas = replicas(pairs);
            replicas.are_at(Some(5), None);
            assert_eq!((replicas.need(PhyOffset(9)), replicas.wanted()), (Need::Nobody, None));
        }
    }

    #[test]
    fn so_many_replicas_are_waited_for_be_they_there_or_not() {
        let mut replicas = replicas(&[("brokerRole", "SYNC_MASTER"), ("inSyncReplicas", "3")]);
        assert_eq!((replicas.need(PhyOffset(9)), replicas.wanted()), (Need::Slaves, Some(2)));
        assert!(replicas.are_at(Some(9), Some(7)));
        assert_eq!([7, 8].map(|end| replicas.have(PhyOffset(end))), [true, false]);
        assert!(!replicas.are_at(Some(9), None), "what they had they have");
        assert!(replicas.have(PhyOffset(7)));
    }

    #[test]
    fn without_a_number_one_slave_is_waited_for_that_is_there_and_near() {
        let pairs = [("brokerRole", "SYNC_MASTER"), ("haMaxGapNotInSync", "100")];
        let mut replicas = replicas(&pairs);
        assert_eq!(replicas.need(PhyOffset(9)), Need::NotThere);
        replicas.are_at(Some(50), Some(50));
        let needs = [149, 150].map(|end| replicas.need(PhyOffset(end)));
        assert_eq!(needs, [Need::Slaves, Need::NotThere]);
        replicas.are_at(None, None);
        assert_eq!(replicas.need(PhyOffset(51)), Need::NotThere);
    }
}
