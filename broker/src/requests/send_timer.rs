//! Whether a timer message may be stored, in the words of remoting.

use crate::answers::remoting::Refusal;
use crate::sends::timer::{Asked, Timer};
use crate::services::timers::admit::may_wait;
use crate::shard::Shard;

/// Whether a message that asks for a time waits for it; `None` when it is stored as it is.
pub(super) fn admit(
    shard: &Shard,
    asked: &Asked<'_>,
    sys_flag: i32,
) -> Result<Option<Timer>, Refusal> {
    may_wait(shard, asked, sys_flag).map_err(|not| {
        let (code, remark) = not.code_and_remark(&shard.cx.options.process.timers);
        Refusal::new(code, remark)
    })
}
