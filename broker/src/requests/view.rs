//! VIEW_MESSAGE_BY_ID 33: the message at a place of the log.

use super::offsets::read_failed;
use crate::answers::remoting::{Caller, Refusal};
use crate::shard::Shard;
use engine::PhyOffset;
use netcore::Net;
use protocol::codes::response;
use protocol::remoting::{CommandView, write_command_head};
use rt::{BufSlice, Priority, Runtime as _};

/// One message by its physical offset, from memory or from disk: answered by a task.
pub(super) fn by_id(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let offset = command.ext.require_i64("offset")?;
    let Ok(at) = u64::try_from(offset) else { return Err(not_found(offset)) };
    let Some(network) = shard.network.clone() else { return Ok(()) };
    if !shard.begin_cold_read() {
        caller
            .refuse(net, &Refusal::new(response::SYSTEM_BUSY, "too many reads from disk at once"));
        return Ok(());
    }
    let store = shard.store.clone();
    shard.core.spawn(Priority::Foreground, async move {
        let found = store.message_at(PhyOffset(at)).await;
        network.with(|shard, net| {
            shard.cold_reads -= 1;
            match found {
                Ok(Some(message)) => answer(net, caller, message),
                Ok(None) => caller.refuse(net, &not_found(offset)),
                Err(error) => read_failed(shard, net, caller, &error),
            }
        });
    });
    Ok(())
}

fn not_found(offset: i64) -> Refusal {
    Refusal::new(response::SYSTEM_ERROR, format!("can not find message by the offset, {offset}"))
}

fn answer(net: &mut Net, caller: Caller, message: BufSlice) {
    if caller.is_oneway() {
        return;
    }
    if let Some(out) = net.out(caller.conn) {
        write_command_head(
            out.bytes(),
            &caller.head(response::SUCCESS, None),
            |_| {},
            message.len(),
        );
        out.slice(message);
    }
}
