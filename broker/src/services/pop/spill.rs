//! Writes the checkpoints that have been in the buffer for too long, and all of them at a stop.

use super::buffer::{Acked, Leaves, Point};
use super::gather::Of;
use super::hand_out::Batch;
use super::storing::{append, not_timed, writer};
use super::taken::Taken;
use crate::answers::remoting::Refusal;
use crate::shard::{Cx, Shard};
use engine::PhyOffset;
use futures_lite::future::yield_now;
use rt::{Priority, Runtime as _};

/// So many are written before others run.
const IN_A_ROW: usize = 64;

/// Keeps the checkpoint of what was found in memory; false when it has to be written.
pub(super) fn keep(shard: &mut Shard, batch: &Batch, invisible_ms: i64, taken: &Taken) -> bool {
    let options = &shard.cx.options.process.pop.buffer;
    if !options.enabled || shard.is_stopping {
        return false;
    }
    let pops = &mut shard.services.pops;
    let (key, now_ms) = (&batch.source.key, shard.cx.now_ms());
    if pops.cursors.held(key) >= options.steps_max {
        return false;
    }
    let diff = |offset: &i64| i32::try_from(offset - batch.from).ok();
    let Some(diffs) = batch.offsets.iter().map(diff).collect() else { return false };
    let point = Point {
        key: key.clone(),
        start_offset: batch.from,
        pop_time_ms: taken.pop_time_ms,
        invisible_ms,
        revive_queue: taken.revive_queue,
        diffs,
    };
    let Some(id) = pops.buffer.add(point, now_ms, options) else { return false };
    pops.cursors.hold(key, batch.next, id);
    true
}

/// Takes an acknowledgement of a checkpoint that is in memory; false when it has to be written.
pub(crate) fn ack(shard: &mut Shard, of: Of<'_>, offset: i64) -> bool {
    let (pops, now_ms) = (&mut shard.services.pops, shard.cx.now_ms());
    match pops.buffer.ack(of, offset, &shard.cx.options.broker, now_ms) {
        Acked::No => return false,
        Acked::Here => {}
        Acked::Done(key, id) => pops.cursors.release(&key, id, shard.cx.store.appended()),
    }
    pops.counts.acknowledged += 1;
    true
}

/// Starts a task where something has to leave.
pub(super) fn tick(shard: &mut Shard) {
    let pops = &mut shard.services.pops;
    if pops.buffer.len() == 0 || pops.spills {
        return;
    }
    pops.spills = true;
    let cx = shard.cx.clone();
    shard.cx.core.spawn(Priority::Foreground, async move {
        let now_ms = cx.now_ms();
        spill(&cx, now_ms).await;
        cx.with(|shard, _| shard.services.pops.spills = false);
    });
}

/// Writes all: no requests come any more.
pub(crate) async fn stopping(cx: &Cx) {
    spill(cx, i64::MAX).await;
}

async fn spill(cx: &Cx, upto_ms: i64) {
    let broker = &cx.options.broker;
    for nth in 1.. {
        let leaves = cx.with(|shard, _| shard.services.pops.buffer.leaves(upto_ms, broker));
        let Some(leaves) = leaves else { return };
        match write(cx, &leaves).await {
            Ok(end) => cx.with(|shard, _| {
                let pops = &mut shard.services.pops;
                pops.buffer.left(&leaves);
                pops.cursors.release(&leaves.key, leaves.id, end);
            }),
            Err(refusal) => {
                tracing::warn!("checkpoints of POP stay in memory: {}", refusal.remark);
                return;
            }
        }
        if nth % IN_A_ROW == 0 {
            yield_now().await;
        }
    }
}

/// The end of the log behind its records.
async fn write(cx: &Cx, leaves: &Leaves) -> Result<PhyOffset, Refusal> {
    let Leaves { point, ack, revive_queue, .. } = leaves;
    let (check_point, ack) = cx.with(|shard, _| {
        let topic = protocol::pop::revive_topic(&shard.cx.options.process.cluster);
        let writer = writer(shard, &topic);
        let check_point = writer.check_point(point, *revive_queue);
        let ack = ack.as_ref().map(|ack| writer.ack(ack, *revive_queue, point.revive_ms()));
        let made = check_point.and_then(|point| Ok((point, ack.transpose()?)));
        made.map_err(|not| not_timed(shard, not))
    })?;
    // Its acknowledgement first: a checkpoint that is alone would bring what is acknowledged.
    if let Some(ack) = ack {
        append(cx, &ack).await?;
    }
    append(cx, &check_point).await?;
    Ok(cx.store.appended())
}
