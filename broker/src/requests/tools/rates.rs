//! VIEW_BROKER_STATS_DATA 315: how much went by in the last minute, hour and day, by the names and
//! keys of Apache's `BrokerStatsManager`.
//!
//! | name | key | of |
//! |---|---|---|
//! | TOPIC_PUT_NUMS, TOPIC_PUT_SIZE | topic | messages, bytes stored |
//! | GROUP_GET_NUMS, GROUP_GET_SIZE | topic@group | messages, bytes handed out |
//! | GROUP_GET_LATENCY | topic@group | milliseconds from a read's beginning to its answer |
//! | SNDBCK_PUT_NUMS | topic@group | messages given back |
//! | BROKER_PUT_NUMS, BROKER_GET_NUMS | cluster | messages stored, handed out |
//! | BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC | cluster | messages stored, but for the broker's own |

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::services::statistics;
use crate::shard::Shard;
use crate::tables::rates::Rate;
use netcore::Net;
use protocol::bodies::{BrokerStatsData, BrokerStatsItem};
use protocol::codes::response;
use protocol::json;
use protocol::remoting::CommandView;

/// What is known by a name and a key.
pub(crate) fn view(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let name = command.ext.require("statsName")?;
    let key = command.ext.require("statsKey")?;
    let Some([minute, hour, day]) = statistics::rates(shard, &name, &key) else {
        let remark = format!("The stats <{name}> <{key}> not exist");
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    };
    let body = BrokerStatsData {
        stats_day: item(day),
        stats_hour: item(hour),
        stats_minute: item(minute),
    };
    ticket.ok_body(net, &json::to_fastjson(&body));
    Ok(Done::Answered)
}

fn item(rate: Rate) -> BrokerStatsItem {
    let Rate { sum, per_second, per_event } = rate;
    BrokerStatsItem { avgpt: per_event, sum, tps: per_second }
}
