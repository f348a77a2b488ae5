//! What delay levels need of the broker around them. The one of a shard is [`Cx`]; a simulation has
//! another.

use super::state::Schedule;
use crate::services::delivery::outlet::Outlet;
use crate::shard::Cx;
use crate::tables::delay_offsets::DelayOffsets;
use engine::DelayLevels;

/// See the module's text.
pub(super) trait Home: Outlet {
    /// How long each level waits.
    fn delay_levels(&self) -> &DelayLevels;
    /// Lends what the levels share, and their progress.
    fn with_schedule<T>(&self, then: impl FnOnce(&mut Schedule, &mut DelayOffsets) -> T) -> T;
}

impl Home for Cx {
    fn delay_levels(&self) -> &DelayLevels {
        &self.options.process.store.delay_levels
    }

    fn with_schedule<T>(&self, then: impl FnOnce(&mut Schedule, &mut DelayOffsets) -> T) -> T {
        self.with(|shard, _| then(&mut shard.services.schedule, &mut shard.tables.delay_offsets))
    }
}
