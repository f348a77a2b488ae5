//! Writes the checkpoints that have been in the buffer for too long, and all of them at a stop.

use super::buffer::{Leaves, Point};
use super::gather::Of;
use super::hand_out::Batch;
use super::outlet::SpillOutlet;
use super::taken::Taken;
use crate::shard::Shard;
use engine::PhyOffset;
use futures_lite::future::yield_now;
use rt::{Priority, Runtime as _};
use std::time::Duration;

/// So many are written before others run.
const IN_A_ROW: usize = 64;
/// Between two looks at whether the task of a tick has ended.
const LOOK: Duration = Duration::from_millis(1);

/// Keeps the checkpoint of what was found in memory; false when it has to be written.
pub(super) fn keep(shard: &mut Shard, batch: &Batch, invisible_ms: i64, taken: &Taken) -> bool {
    let options = &shard.cx.options.process.pop.buffer;
    if !options.enabled || shard.is_stopping {
        return false;
    }
    let diff = |offset: &i64| i32::try_from(offset - batch.from).ok();
    let Some(diffs) = batch.offsets.iter().map(diff).collect() else { return false };
    let point = Point {
        key: batch.source.key.clone(),
        start_offset: batch.from,
        pop_time_ms: taken.pop_time_ms,
        invisible_ms,
        revive_queue: taken.revive_queue,
        diffs,
    };
    shard.services.pops.keep(point, batch.next, shard.cx.now_ms(), options)
}

/// Takes an acknowledgement of a checkpoint that is in memory; false when it has to be written.
pub(crate) fn ack(shard: &mut Shard, of: Of<'_>, offset: i64) -> bool {
    let (own, end) = (&shard.cx.options.broker, shard.cx.store.appended());
    shard.services.pops.ack_kept(of, offset, own, end)
}

/// Starts a task where something has to leave.
pub(super) fn tick(shard: &mut Shard) {
    let now_ms = shard.cx.now_ms();
    if shard.services.pops.begins_to_spill(now_ms) {
        shard.cx.core.spawn(Priority::Foreground, spill_due(shard.cx.clone()));
    }
}

/// The task of a tick that [`super::state::Pops::begins_to_spill`] said.
pub(super) async fn spill_due<O: SpillOutlet>(outlet: O) {
    let now_ms = outlet.rt().wall_ms();
    spill(&outlet, now_ms).await;
    outlet.with_pops(|pops| pops.spills = false);
}

/// Writes all: no requests come any more. It waits for the task of a tick, since two at once would
/// write a checkpoint twice.
pub(crate) async fn stopping<O: SpillOutlet>(outlet: &O) {
    while outlet.with_pops(|pops| std::mem::replace(&mut pops.spills, true)) {
        outlet.rt().sleep(LOOK).await;
    }
    spill(outlet, i64::MAX).await;
}

async fn spill<O: SpillOutlet>(outlet: &O, upto_ms: i64) {
    let broker = outlet.broker();
    for nth in 1.. {
        let leaves = outlet.with_pops(|pops| pops.buffer.leaves(upto_ms, &broker));
        let Some(leaves) = leaves else { return };
        match write(outlet, &leaves).await {
            Ok(end) => outlet.with_pops(|pops| {
                pops.buffer.left(&leaves);
                pops.cursors.release(&leaves.key, leaves.id, end);
            }),
            Err(why) => {
                tracing::warn!("checkpoints of POP stay in memory: {why}");
                return;
            }
        }
        if nth % IN_A_ROW == 0 {
            yield_now().await;
        }
    }
}

/// The end of the log behind its record.
async fn write<O: SpillOutlet>(outlet: &O, leaves: &Leaves) -> Result<PhyOffset, String> {
    let record = outlet.record(|writer| writer.check_point(&leaves.point, leaves.revive_queue))?;
    let properties = [record.properties()];
    let stored = outlet.append(&record.draft(&properties)).await;
    stored.map_err(|error| error.to_string())?;
    Ok(outlet.store().appended())
}
