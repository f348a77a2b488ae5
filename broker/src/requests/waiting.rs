//! Sends that found no room in the log's tail: they wait for the device, in order, for as long as a client should.

use super::send::{self, Outcome};
use crate::reply::{Caller, Refusal};
use crate::shard::Shard;
use netcore::Net;
use protocol::codes::response;
use protocol::remoting::CommandView;
use rt::{Runtime as _, Share};
use std::time::Duration;

/// Between two attempts while the first that waits does not fit.
const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// Keeps a send until there is room.
pub(super) fn wait(shard: &mut Shard, net: &mut Net, caller: Caller, frame: &[u8]) {
    let now_ms = shard.now_ms();
    if !shard.waiting.push(caller.conn, frame, now_ms) {
        let remark = "[OVERLOAD]system busy, start flow control for a while";
        return send::refuse(shard, net, caller, &Refusal::new(response::SYSTEM_BUSY, remark));
    }
    start_draining(shard);
}

/// One task waits for room on behalf of all that wait.
fn start_draining(shard: &mut Shard) {
    let Some(network) = shard.network.clone().filter(|_| !shard.drain_running) else { return };
    shard.drain_running = true;
    let store = shard.store.clone();
    let core = shard.core.clone();
    shard.core.spawn(Share::Foreground, async move {
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
        let Ok(command) = CommandView::parse(&first.frame) else { continue }; // it was read once already
        let caller = Caller::new(first.conn, &command);
        if matches!(send::process(shard, net, caller, &command), Outcome::TailFull) {
            shard.waiting.put_back(first);
            return false;
        }
    }
    shard.drain_running = false;
    true
}

/// Answers the sends that waited too long with SYSTEM_BUSY, as RocketMQ cleans its send queue.
pub(crate) fn refuse_overdue(shard: &mut Shard, net: &mut Net, now_ms: i64) {
    let Some(limit_ms) = shard.options.process.serve.send_wait_ms else { return };
    while let Some(late) = shard.waiting.pop_overdue(limit_ms, now_ms) {
        let Ok(command) = CommandView::parse(&late.frame) else { continue };
        let remark = format!(
            "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: {}ms, size of queue: {}",
            now_ms - late.since_ms,
            shard.waiting.len()
        );
        send::refuse(shard, net, Caller::new(late.conn, &command), &Refusal::new(response::SYSTEM_BUSY, remark));
    }
}
