//! One shard: a complete broker on one core. The struct, and what its tasks get of it.
//!
//! Everything here belongs to one thread: no lock, nothing shared. What may take time (disk) runs
//! as a task, which holds a [`Cx`] and comes back through [`Cx::with`].
//!
//! Each part has its room, its methods and its invariants there; a function takes the parts that it
//! needs, and the whole only where it joins them (a request's handler, a service).

use crate::checked;
use crate::config::ShardOptions;
use crate::desk::counts::Desk;
use crate::peers::Peers;
use crate::reads::state::Reads;
use crate::sends::state::Sends;
use crate::services::state::Services;
use crate::tables::Tables;
use engine::Store;
use netcore::{Net, Network};
use protocol::headers::Scratch;
use protocol::native::records::RecordPlan;
use rt::Runtime as _;
use rt::real::Core;
use std::cell::OnceCell;
use std::rc::Rc;

/// What is the same for the life of a shard. A task has a clone of it.
#[derive(Clone)]
pub(crate) struct Cx {
    /// The configuration.
    pub(crate) options: Rc<ShardOptions>,
    /// The core.
    pub(crate) core: Core,
    /// The messages.
    pub(crate) store: Store<Core>,
    /// The network whose handler the shard is; there from the moment it listens.
    pub(crate) network: Rc<OnceCell<Network<Shard>>>,
}

impl Cx {
    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.core.wall_ms()
    }

    /// Milliseconds of the monotonic clock, for deadlines.
    pub(crate) fn monotonic_ms(&self) -> i64 {
        checked::to_i64(self.core.now_nanos() / 1_000_000)
    }

    /// Lends the shard to a task, which must not be inside another such call.
    pub(crate) fn with<T>(&self, then: impl FnOnce(&mut Shard, &mut Net) -> T) -> T {
        let network = self.network.get().expect("tasks begin when the shard listens");
        network.with(then)
    }
}

/// See the module's text.
pub(crate) struct Shard {
    /// What does not change.
    pub(crate) cx: Cx,
    /// What it knows: topics, groups, offsets, members, locks.
    pub(crate) tables: Tables,
    /// The other ends of its connections.
    pub(crate) peers: Peers,
    /// Messages on their way into the log.
    pub(crate) sends: Sends,
    /// Reads that wait, for messages or for the disk.
    pub(crate) reads: Reads,
    /// What it counts of requests.
    pub(crate) desk: Desk,
    /// What its services keep.
    pub(crate) services: Services,
    /// Memory that is used again.
    pub(crate) scratch: ScratchSpace,
    /// It takes leave: lost name servers are no news.
    pub(crate) is_stopping: bool,
}

/// Memory that requests of one turn after the other use, so that none allocates.
#[derive(Default)]
pub(crate) struct ScratchSpace {
    /// What headers need to be decoded.
    pub(crate) headers: Scratch,
    /// A text that is being made.
    pub(crate) text: String,
    /// The properties that say where a delayed message goes.
    pub(crate) delay: Vec<u8>,
    /// The property that says which lite topic a message goes to.
    pub(crate) light: Vec<u8>,
    /// The checked records of a native frame.
    pub(crate) plans: Vec<RecordPlan>,
}
