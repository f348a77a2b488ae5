//! Sends that found no room in the log's tail: they wait for the device, in order, for as long as a
//! client should.

use super::send::{self, Outcome};
use crate::answers::remoting::{Caller, Refusal};
use crate::native;
use crate::sends::backlog::Waiting;
use crate::shard::Shard;
use netcore::{ConnId, Net};
use protocol::codes::response;
use protocol::remoting::CommandView;
use rt::{Priority, Runtime as _};
use std::time::Duration;

/// Between two attempts while the first that waits does not fit.
const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// Keeps a request, whole, until there is room; false when too much waits already.
pub(crate) fn wait_for_room(shard: &mut Shard, conn: ConnId, frame: &[u8]) -> bool {
    let (now_ms, now_nanos) = (shard.now_ms(), shard.core.now_nanos());
    let kept = shard.waiting.push(conn, frame, now_ms, now_nanos);
    if kept {
        start_draining(shard);
    }
    kept
}

/// One task waits for room on behalf of all that wait.
fn start_draining(shard: &mut Shard) {
    let Some(network) = shard.network.clone().filter(|_| !shard.drain_running) else { return };
    shard.drain_running = true;
    let store = shard.store.clone();
    let core = shard.core.clone();
    shard.core.spawn(Priority::Foreground, async move {
        loop {
            store.wait_writable().await;
            if network.with(drain) {
                return;
            }
            // There is room, but not enough for the first that waits.
            core.sleep(RETRY_PAUSE).await;
        }
    });
}

/// Does what waits, in order, until there is no room again. True when nothing waits any more.
fn drain(shard: &mut Shard, net: &mut Net) -> bool {
    while let Some(first) = shard.waiting.pop() {
        if matches!(process(shard, net, &first), Outcome::TailFull) {
            shard.waiting.put_back(first);
            return false;
        }
    }
    shard.drain_running = false;
    true
}

/// A request that was read once already, in the lane it came over.
fn process(shard: &mut Shard, net: &mut Net, waiting: &Waiting<ConnId>) -> Outcome {
    if native::is_native(&waiting.frame) {
        return native::process_waiting(
            shard,
            net,
            waiting.conn,
            &waiting.frame,
            waiting.since_nanos,
        );
    }
    match CommandView::parse(&waiting.frame) {
        Ok(command) => send::process(shard, net, Caller::new(waiting.conn, &command), &command),
        Err(_) => Outcome::Answered,
    }
}

/// Answers the sends that waited too long with SYSTEM_BUSY, as RocketMQ cleans its send queue.
pub(crate) fn refuse_overdue(shard: &mut Shard, net: &mut Net, now_ms: i64) {
    let Some(limit_ms) = shard.options.process.serve.send_wait_ms else { return };
    while let Some(late) = shard.waiting.pop_overdue(limit_ms, now_ms) {
        let remark = format!(
            "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: \
                {}ms, size of queue: {}",
            now_ms - late.since_ms,
            shard.waiting.len()
        );
        if native::is_native(&late.frame) {
            native::refuse_waiting(net, late.conn, &late.frame, remark);
        } else if let Ok(command) = CommandView::parse(&late.frame) {
            send::refuse(
                shard,
                net,
                Caller::new(late.conn, &command),
                &Refusal::new(response::SYSTEM_BUSY, remark),
            );
        }
    }
}
