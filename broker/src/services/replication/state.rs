//! What replication keeps.

use super::following::Following;
use super::slaves::Slaves;
use netcore::ConnId;

/// Of one shard.
#[derive(Debug, Default)]
pub(crate) struct Replication {
    /// A master's slaves.
    pub(crate) slaves: Slaves<ConnId>,
    /// Slaves that were refused since the start.
    pub(crate) refused: u64,
    /// A later master of this name, as a name server says.
    pub(crate) replaced_by: Option<String>,
    /// Slaves have come further in this turn, and sends may go on.
    pub(crate) has_moved: bool,
    /// A slave's master.
    pub(crate) following: Following<ConnId>,
    /// How often a slave has taken over the master's tables.
    pub(crate) synchronized: u64,
}
