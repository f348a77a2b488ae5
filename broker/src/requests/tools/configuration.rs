//! GET_BROKER_CONFIG 26: every value in force, as `mqadmin getBrokerConfig` reads it.
//!
//! Source: Apache 5.5.0, `AdminBrokerProcessor.getBrokerConfig`: `key=value` lines in the body. Its
//! field `version` counts changes at run time; nothing here is changed at run time.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::shard::Shard;
use netcore::Net;
use protocol::remoting::CommandView;

/// Answers with the configuration of the shard that was asked: its own name, port and store.
pub(crate) fn get(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    _: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let options = &shard.cx.options;
    let own = [
        ("brokerName", options.broker.clone()),
        ("listenPort", options.port.to_string()),
        ("storePathRootDir", options.store_root.display().to_string()),
    ];
    let line = |line: &str| {
        let key = line.split('=').next().unwrap_or_default();
        let of_shard = own.iter().find(|(name, _)| *name == key);
        of_shard.map_or_else(|| format!("{line}\n"), |(name, value)| format!("{name}={value}\n"))
    };
    let text: String = options.process.printed.lines().map(line).collect();
    ticket.ok_body(net, text.as_bytes());
    Ok(Done::Answered)
}
