//! What one shard keeps for its reads.

use super::admission::Admission;
use super::long_polls::LongPolls;
use super::pop_ask::PopAsk;
use super::pop_polls::PopPolls;
use super::read::Read;
use super::sql::Carried;
use engine::{ReadOrigins, ReadSlices};
use netcore::ConnId;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Reads {
    /// Those that wait for a message.
    pub(crate) long_polls: LongPolls<Read, ConnId>,
    /// Pops that wait for a message.
    pub(crate) pops: PopPolls<PopAsk, ConnId>,
    /// NOTIFICATIONs that wait for one.
    pub(crate) notifications: PopPolls<PopAsk, ConnId>,
    /// Both, as far as they are to run again.
    pub(crate) woken_pops: Vec<PopAsk>,
    /// The SQL92 expressions that pulls carried.
    pub(crate) carried: Carried,
    /// The places of those that read from disk.
    pub(crate) admission: Admission,
    /// Reused: what a read of memory returns.
    pub(crate) slices: ReadSlices,
    /// Reused: reads that are to run again.
    pub(crate) woken: Vec<Read>,
    /// Messages handed out, of both protocols.
    pub(crate) messages_out: u64,
    /// The same, by where they were.
    pub(crate) origins: ReadOrigins,
    /// Reads that found something.
    pub(crate) found: u64,
    /// Reads that found nothing.
    pub(crate) missed: u64,
}

impl Reads {
    /// Nothing yet; at most `long_polls_max` may wait.
    pub(crate) fn new(long_polls_max: usize) -> Self {
        Self {
            long_polls: LongPolls::new(long_polls_max),
            pops: PopPolls::new(long_polls_max),
            notifications: PopPolls::new(long_polls_max),
            woken_pops: vec![],
            carried: Carried::default(),
            admission: Admission::default(),
            slices: ReadSlices::default(),
            woken: vec![],
            messages_out: 0,
            origins: ReadOrigins::default(),
            found: 0,
            missed: 0,
        }
    }
}
