//! A slave whose log is not its master's to its end: tries records until it is known where both
//! part, and is cut there.

use super::following::Stream;
use super::join;
use super::taking::Verdict;
use crate::shard::Shard;
use netcore::{ConnId, Net};
use rt::{Priority, Runtime as _};

/// A stream that was there to compare has done so: it ends, the log is cut if need be, and the next
/// one begins.
pub(super) fn compared(shard: &mut Shard, net: &mut Net, conn: ConnId, verdict: Verdict) {
    net.take_no_frames(conn);
    net.close(conn, "what was compared is known");
    let file_bytes = shard.cx.store.log_file_bytes();
    let following = &mut shard.services.replication.following;
    let cut_to = following.learn(verdict, file_bytes);
    following.stream = Stream::Joining;
    let cx = shard.cx.clone();
    match cut_to {
        Some(to) => shard.cx.core.spawn(Priority::Foreground, join::cut_and_join(cx, to)),
        None => shard.cx.core.spawn(Priority::Foreground, join::join(cx)),
    }
}
