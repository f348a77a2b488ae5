//! What a matrix asks brokers besides sends: who is there, who follows, where logs end.

use crate::cli::matrix::Maker;
use crate::cluster::{Caller, Cluster};
use crate::error::Result;
use protocol::codes::request;
use protocol::json::parse_lenient;
use serde_json::Value;

/// Whether a master is known at this name server.
pub(super) fn is_registered(namesrv: &str) -> bool {
    let seen = Cluster::connect(namesrv).and_then(|mut cluster| cluster.brokers());
    seen.is_ok_and(|brokers| !brokers.is_empty())
}

/// Whether a slave follows the master that listens here.
pub(super) fn follows(maker: Maker, port: u16) -> bool {
    let addr = format!("127.0.0.1:{port}");
    let slaves = match maker {
        Maker::Ringmq => runtime_number(&addr, "haSlaves").ok().flatten(),
        Maker::Apache => body(&addr, "HA status", request::GET_BROKER_HA_STATUS)
            .ok()
            .and_then(|status| status.get("inSyncSlaveNums")?.as_u64()),
    };
    slaves.is_some_and(|slaves| slaves > 0)
}

/// Where a broker's log ends; `None` when it does not tell.
pub(super) fn log_end(addr: &str) -> Option<u64> {
    runtime_number(addr, "commitLogMaxOffset").ok().flatten()
}

fn runtime_number(addr: &str, key: &str) -> Result<Option<u64>> {
    let info = body(addr, "runtime info", request::GET_BROKER_RUNTIME_INFO)?;
    let value = info.get("table").and_then(|table| table.get(key)).and_then(Value::as_str);
    Ok(value.and_then(|value| value.parse().ok()))
}

fn body(addr: &str, operation: &'static str, code: i32) -> Result<Value> {
    let mut caller = Caller::connect("connect to broker", addr)?;
    let reply = caller.call(operation, code, |_| (), &[])?.success(operation)?;
    let parsed = parse_lenient(reply.view()?.body);
    parsed.map_err(|error| reply.unreadable(operation, &error.to_string()))
}
