//! Turns requests into answers and changes the tables. It is pure: the caller supplies time and
//! connection and writes the file.
//!
//! One file per family: `brokers` (requests of brokers), `lookups` (lookups by clients and tools),
//! `admin` (changes by people).

mod admin;
mod answer;
mod brokers;
mod lookups;
#[cfg(test)]
mod tests;

pub(crate) use answer::{Answer, Answered, Refusal};

use crate::config::{Config, LookupRules};
use crate::kv::KvConfig;
use crate::route::RouteTable;
use foldhash::quality::RandomState;
use protocol::codes::{request as code, response};
use protocol::remoting::CommandView;
use std::borrow::Cow;
use std::net::SocketAddr;

/// The sender of a request, and the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<C> {
    /// Its connection.
    pub conn: C,
    /// Its address, for log lines.
    pub peer: SocketAddr,
    /// Monotonic milliseconds of the server's clock.
    pub now_ms: i64,
}

/// The state of a name server, and its treatment of requests. `C` names a connection.
#[derive(Debug)]
pub(crate) struct NameServer<C> {
    /// Brokers and topics.
    pub routes: RouteTable<C>,
    /// Key-value configuration.
    pub kv: KvConfig,
    config: Config,
    /// Those of its settings that each question for a route needs.
    lookups: LookupRules,
    started_ms: i64,
    /// The secret of [`crate::route::BodyPrint`].
    body_keys: RandomState,
}

impl<C: Copy + Eq> NameServer<C> {
    /// A server that starts now with this configuration.
    pub(crate) fn new(config: Config, kv: KvConfig, now_ms: i64) -> Self {
        Self {
            routes: RouteTable::new(config.route_options()),
            kv,
            lookups: config.lookup_rules(),
            config,
            started_ms: now_ms,
            body_keys: RandomState::default(),
        }
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Carries out a request and returns the answer.
    pub(crate) fn answer(&mut self, request: &CommandView<'_>, asker: Asker<C>) -> Answer {
        let answered = match request.code {
            code::GET_ROUTEINFO_BY_TOPIC => self.route_info(request, asker.now_ms),
            code::REGISTER_BROKER => self.register_broker(request, asker),
            code::UNREGISTER_BROKER => self.unregister_broker(request, asker.peer),
            code::BROKER_HEARTBEAT => self.broker_heartbeat(request, asker.now_ms),
            code::QUERY_DATA_VERSION => self.query_data_version(request, asker.now_ms),
            code::GET_BROKER_MEMBER_GROUP => self.broker_member_group(request),
            code::GET_BROKER_CLUSTER_INFO => Ok(self.cluster_info()),
            code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER
            | code::GET_TOPICS_BY_CLUSTER
            | code::GET_SYSTEM_TOPIC_LIST_FROM_NS
            | code::GET_UNIT_TOPIC_LIST
            | code::GET_HAS_UNIT_SUB_TOPIC_LIST
            | code::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => self.topic_list(request),
            code::PUT_KV_CONFIG => self.put_kv(request),
            code::GET_KV_CONFIG => self.get_kv(request),
            code::DELETE_KV_CONFIG => self.delete_kv(request),
            code::GET_KVLIST_BY_NAMESPACE => self.kv_list(request),
            code::WIPE_WRITE_PERM_OF_BROKER => self.wipe_write_perm(request, asker.peer),
            code::ADD_WRITE_PERM_OF_BROKER => self.add_write_perm(request, asker.peer),
            code::DELETE_TOPIC_IN_NAMESRV => self.delete_topic(request, asker.peer),
            code::REGISTER_TOPIC_IN_NAMESRV => self.register_topic(request),
            code::UPDATE_NAMESRV_CONFIG => self.update_config(request, asker.peer),
            code::GET_NAMESRV_CONFIG => Ok(Answer::body(self.config.settings.print().into_bytes())),
            other => {
                let remark = format!(" request type {other} not supported");
                Ok(Answer::error(response::REQUEST_CODE_NOT_SUPPORTED, remark))
            }
        };
        answered.unwrap_or_else(|refusal| {
            tracing::warn!(peer = %asker.peer, code = request.code, %refusal, "request refused");
            refusal.into()
        })
    }
}

/// A header field that must be there and not be empty.
fn name<'a>(request: &CommandView<'a>, field: &'static str) -> Result<Cow<'a, str>, Refusal> {
    let value = request.ext.require(field)?;
    if value.is_empty() { Err(Refusal::Empty(field)) } else { Ok(value) }
}

/// A header field that counts only when it is not empty.
fn optional<'a>(request: &CommandView<'a>, field: &'static str) -> Option<Cow<'a, str>> {
    request.ext.get(field).filter(|value| !value.is_empty())
}

/// The body as JSON in fastjson's dialect.
fn json_body<T: serde::de::DeserializeOwned>(
    request: &CommandView<'_>,
    what: &'static str,
) -> Result<T, Refusal> {
    protocol::json::from_lenient(request.body).map_err(|error| Refusal::Body {
        what,
        bytes: request.body.len(),
        reason: error.to_string(),
    })
}
