//! Answers sends as the watermark of their acknowledgement moves, and shows consumers what it has
//! passed. Nothing to do where appending is enough.

use crate::reads::run::wake_arrivals;
use crate::sends::acknowledge::acknowledged;
use crate::shard::{Cx, Shard};
use netcore::Net;

/// Runs until the store is poisoned: nothing more is acknowledged then.
pub(crate) async fn run(cx: Cx) {
    loop {
        let seen = cx.store.acknowledged();
        cx.with(moved);
        if cx.store.poisoned().is_some() {
            return;
        }
        cx.store.acknowledged_beyond(seen).await;
    }
}

// A function of its own in every profile: benches/instructions counts from here.
#[inline(never)]
fn moved(shard: &mut Shard, net: &mut Net) {
    acknowledged(shard, net);
    wake_arrivals(shard, net);
}
