//! What tools ask about timers: GET_TIMER_CHECK_POINT 60, GET_TIMER_METRICS 61.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::services::timers;
use crate::shard::Shard;
use netcore::Net;
use protocol::codes::response;
use protocol::json;
use protocol::remoting::CommandView;

/// Apache's broker without a timer wheel answers so.
fn switched_off(remark: &str) -> Refusal {
    Refusal::new(response::SYSTEM_ERROR, remark)
}

/// How far the timers are, as `timercheck` has it: seven numbers of 8 bytes.
pub(crate) fn check_point(shard: &mut Shard, _: &CommandView<'_>) -> Result<Task, Refusal> {
    if !shard.cx.options.process.timers.enabled {
        return Err(switched_off("The checkpoint is null"));
    }
    Ok(task(&shard.cx, |cx| async move {
        let point = timers::check_point(&cx.core, &cx.options.store_root).await;
        let point = point.map_err(|error| {
            let remark = format!("the checkpoint of timers can't be read: {error}");
            Refusal::new(response::SYSTEM_ERROR, remark)
        })?;
        Ok(Reply::ok().bytes(point.to_vec()))
    }))
}

/// How many timer messages wait for each topic.
pub(crate) fn metrics(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    _: &CommandView<'_>,
) -> Result<Done, Refusal> {
    if !shard.cx.options.process.timers.enabled {
        return Err(switched_off("The timer message store is null"));
    }
    let body = shard.services.timers.metrics.borrow().body();
    ticket.ok_body(net, &json::to_fastjson(&body));
    Ok(Done::Answered)
}
