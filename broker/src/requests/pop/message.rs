//! POP_MESSAGE 200050: the next messages of a topic, for one group.

use super::checks;
use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::limits::{LONG_POLL_MS_MAX, POP_MESSAGES_MAX};
use crate::reads::pop_ask::{PopAsk, PopKind};
use crate::services::pop::take;
use crate::shard::Shard;
use netcore::Net;
use protocol::codes::response;
use protocol::remoting::{CommandView, Ext, ExtWriter};

/// A client whose pop is so much older than it may wait has given up (`isTimeoutTooMuch`).
pub(crate) const TOO_LATE_MS: i64 = 500;
/// `ConsumeInitMode.MAX`.
const INIT_AT_END: i32 = 1;

/// A pop that arrived just now.
pub(crate) fn handle(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    match ask(shard, ticket, &command.ext) {
        Ok(ask) => {
            take::begin(shard, net, ask);
            Ok(Done::Waits)
        }
        // Java's client reads the fields of this answer without looking whether they are there.
        Err(late) if late.code == response::POLLING_TIMEOUT => {
            let zeros = |ext: &mut ExtWriter<'_>| {
                for name in ["popTime", "invisibleTime", "reviveQid", "restNum"] {
                    ext.int(name, 0);
                }
            };
            ticket.answer(net, late.code, Some(&late.remark), zeros, &[]);
            Ok(Done::Refused)
        }
        Err(refusal) => Err(refusal),
    }
}

fn ask(shard: &mut Shard, ticket: Ticket, ext: &Ext<'_>) -> Result<PopAsk, Refusal> {
    let (group, topic) = (ext.require("consumerGroup")?, ext.require("topic")?);
    let queue_id = ext.require_i32("queueId")?;
    let messages_max = ext.require_i32("maxMsgNums")?;
    let invisible_ms = ext.require_i64("invisibleTime")?;
    let (poll_ms, born_ms) = (ext.require_i64("pollTime")?, ext.require_i64("bornTime")?);
    let init_mode = ext.require_i32("initMode")?;
    let now_ms = shard.cx.now_ms();
    let born_ms = if born_ms == 0 { now_ms } else { born_ms };
    let host = &shard.cx.options.process.network.advertised_host;
    if now_ms.saturating_sub(born_ms).saturating_sub(poll_ms) > TOO_LATE_MS {
        let remark = format!("the broker[{host}] pop message is timeout too much");
        return Err(Refusal::new(response::POLLING_TIMEOUT, remark));
    }
    checks::broker_is_open(shard)?;
    if messages_max > POP_MESSAGES_MAX {
        let remark = format!("the broker[{host}] pop message's num is greater than 32");
        return Err(Refusal::new(response::INVALID_PARAMETER, remark));
    }
    let timers = &shard.cx.options.process.timers;
    if !timers.enabled {
        let remark = format!(
            "the broker[{host}] pop message is forbidden because timerWheelEnable is false"
        );
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    }
    if invisible_ms > timers.delay_ms_max {
        let remark = format!(
            "invisibleTime {invisible_ms} is longer than timers wait, {}ms (timerMaxDelaySec)",
            timers.delay_ms_max
        );
        return Err(Refusal::new(response::INVALID_PARAMETER, remark));
    }
    let allowed = checks::topic_and_group(shard, &topic, queue_id, &group)?;
    let (kind, expression) = (ext.get("expType"), ext.get("exp"));
    let filter = checks::filter(shard, kind.as_deref(), expression.as_deref())?;
    Ok(PopAsk {
        ticket,
        topic: allowed.topic,
        group: allowed.group,
        queue_id,
        kind: PopKind::Pop {
            messages_max: usize::try_from(messages_max).unwrap_or(0),
            invisible_ms,
            begins_at_end: init_mode == INIT_AT_END,
        },
        filter,
        until_ms: until(poll_ms, born_ms, now_ms),
        order: ext.get_bool("order").unwrap_or(false),
        attempt_id: ext.get("attemptId").map(|id| (*id).into()),
    })
}

/// Until when it may wait. A client's clock says when it asked; one that is wrong can't make it
/// wait longer than it asked for.
pub(super) fn until(poll_ms: i64, born_ms: i64, now_ms: i64) -> i64 {
    let poll_ms = poll_ms.clamp(0, LONG_POLL_MS_MAX);
    born_ms.saturating_add(poll_ms).min(now_ms.saturating_add(poll_ms))
}
