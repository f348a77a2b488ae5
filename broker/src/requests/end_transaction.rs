//! END_TRANSACTION 37: a producer says how its transaction ends. Clients send it one-way.
//!
//! What becomes of it is in [`crate::services::transactions`]. A producer that does not know yet
//! (0) is asked later; Apache does not answer that at all, here it is answered with SUCCESS.

use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::services::transactions::end::{EndRequest, Outcome, end};
use crate::shard::Shard;
use protocol::codes::response;
use protocol::remoting::{CommandView, HeaderError};
use protocol::sys_flag::{TRANSACTION_COMMIT, TRANSACTION_ROLLBACK};

/// Not decided yet.
const UNKNOWN: i32 = 0;

/// Reads the header, and gives the rest to a task.
pub(crate) fn begin(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let outcome = command.ext.require_i32("commitOrRollback")?;
    command.ext.require("msgId")?;
    let outcome = match outcome {
        TRANSACTION_COMMIT => Some(Outcome::Commit),
        TRANSACTION_ROLLBACK => Some(Outcome::Rollback),
        UNKNOWN => None,
        other => {
            let remark = format!("commitOrRollback is {other}, neither 0 nor 8 nor 12");
            return Err(Refusal::new(response::INVALID_PARAMETER, remark));
        }
    };
    let Some(request) = read(command, outcome)? else {
        return Ok(task(&shard.cx, |_| async { Ok(Reply::ok()) }));
    };
    Ok(task(&shard.cx, move |cx| async move { end(&cx, &request).await }))
}

/// `None` when the producer does not know yet.
fn read(
    command: &CommandView<'_>,
    outcome: Option<Outcome>,
) -> Result<Option<EndRequest>, HeaderError> {
    let ext = &command.ext;
    let group = ext.require("producerGroup")?.into_owned();
    let half_offset = ext.require_i64("tranStateTableOffset")?;
    let log_offset = ext.require_i64("commitLogOffset")?;
    let was_asked = ext.get_bool("fromTransactionCheck").unwrap_or(false);
    Ok(outcome.map(|outcome| EndRequest { group, half_offset, log_offset, outcome, was_asked }))
}
