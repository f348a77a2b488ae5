//! Registration with the name servers: everything at start, on every new link and every 30 s, a
//! changed topic at once. A slave without a stream from its master registers about every second:
//! the answer says where the master is.

use super::replication::slave;
use crate::checked;
use crate::peers::asked::{Question, Request};
use crate::peers::dials::Purpose;
use crate::peers::name_servers::{ANSWER_MS, Notice};
use crate::shard::Shard;
use netcore::{ConnId, Framing, Net};
use protocol::bodies::{KvTable, RegisterBrokerBody, perm};
use protocol::codes::{request, response};
use protocol::json;
use protocol::remoting::{CommandView, ExtWriter};
use std::rc::Rc;

/// Dials and registers where that is due; a name server that owes an answer for too long loses its
/// connection.
pub(crate) fn tick(shard: &mut Shard, net: &mut Net) {
    let now_ms = shard.cx.now_ms();
    for (index, address) in shard.peers.name_servers.due_dials(now_ms) {
        net.dial(address, Purpose::NameServer { index }.tag(), Framing::Remoting);
    }
    for (conn, question) in shard.peers.asked.overdue(now_ms) {
        match question {
            Question::Register => net.close(conn, "a registration was not answered"),
            Question::Unregister => {}
        }
    }
    let period_ms = checked::millis_i64(shard.cx.options.process.register_every);
    let due = shard.peers.name_servers.due_registrations(now_ms, period_ms);
    if !due.is_empty() {
        register(shard, net, &due, None);
    }
    look_for_master(shard, net, now_ms);
}

/// The registration has no topics: those of a slave count nowhere, and there may be many.
fn look_for_master(shard: &mut Shard, net: &mut Net, now_ms: i64) {
    let is_slave = shard.cx.options.process.replication.is_slave();
    if !is_slave || shard.is_stopping || shard.services.replication.following.is_up() {
        return;
    }
    let due = shard.peers.name_servers.due_looks(now_ms);
    if !due.is_empty() {
        register(shard, net, &due, Some(&[]));
    }
}

/// Tells the name servers that know this broker of topics that changed in this turn. One that is
/// not registered yet gets everything when it is: it refuses a first registration of a single
/// topic.
pub(crate) fn turn_ended(shard: &mut Shard, net: &mut Net) {
    let changed = shard.tables.topics.take_changed();
    if changed.is_empty() {
        return;
    }
    changed.iter().for_each(|topic| shard.peers.routes.forget(topic));
    let conns: Vec<ConnId> = shard.peers.name_servers.registered().collect();
    register(shard, net, &conns, Some(&changed));
}

fn register(shard: &mut Shard, net: &mut Net, conns: &[ConnId], only: Option<&[Rc<str>]>) {
    let body = json::to_fastjson(&registration(shard, only));
    let options = shard.cx.options.clone();
    let ext = |ext: &mut ExtWriter<'_>| {
        ext.str("brokerName", &options.broker);
        ext.str("brokerAddr", &options.address);
        ext.str("clusterName", &options.process.cluster);
        ext.str("haServerAddr", &options.ha_address);
        ext.int("brokerId", options.process.replication.broker_id());
        ext.bool("compressed", false);
        ext.int("bodyCrc32", 0);
    };
    let request = Request { code: request::REGISTER_BROKER, ext: &ext, body: &body };
    let deadline_ms = shard.cx.now_ms().saturating_add(ANSWER_MS);
    for conn in conns {
        shard.peers.asked.ask(net, *conn, Question::Register, deadline_ms, &request);
    }
}

fn registration(shard: &Shard, only: Option<&[Rc<str>]>) -> RegisterBrokerBody {
    let mut wrapper = shard.tables.topics.wrapper(only);
    let permission = shard.cx.options.process.permission;
    for config in wrapper.topic_config_table.values_mut() {
        // A broker that may not be read or written says so in each of its topics.
        config.perm &= permission | perm::INHERIT;
    }
    RegisterBrokerBody { filter_server_list: vec![], topic_config_serialize_wrapper: wrapper }
}

/// An answer of a peer that the broker asked something.
pub(crate) fn answered(shard: &mut Shard, conn: ConnId, answer: &CommandView<'_>) {
    match shard.peers.asked.answered(conn, answer) {
        Some(Question::Register) => registered(shard, conn, answer),
        Some(Question::Unregister) | None => {}
    }
}

fn registered(shard: &mut Shard, conn: ConnId, answer: &CommandView<'_>) {
    let name = shard.peers.name_servers.answered(conn).map(str::to_owned);
    let Some(name) = name else { return };
    if answer.code != response::SUCCESS {
        tracing::warn!(
            "name server {name} refused the registration: {} {}",
            answer.code,
            answer.remark().unwrap_or_default()
        );
        return;
    }
    let field = |name| answer.ext.get(name).map(|value| value.into_owned());
    let (ha, master) = (field("haServerAddr"), field("masterAddr"));
    replaced(shard, &name, master.as_deref());
    slave::told(shard, ha, master);
    if answer.body.is_empty() {
        return;
    }
    match json::from_lenient::<KvTable>(answer.body) {
        Ok(ordered) => {
            let now_ms = shard.cx.now_ms();
            let names = ordered.table.keys().map(String::as_str);
            shard.tables.topics.mark_ordered(names, now_ms);
        }
        Err(error) => tracing::warn!(
            "name server {name} answered a registration with a body that can't be read: {error}"
        ),
    }
}

/// A name server names another master to a master: that one has a later epoch, and clients are
/// sent there.
fn replaced(shard: &mut Shard, name: &str, master: Option<&str>) {
    let options = &shard.cx.options;
    let is_master = !options.process.replication.is_slave();
    let other = master.filter(|other| is_master && **other != *options.address);
    let replication = &mut shard.services.replication;
    if replication.replaced_by.as_deref() == other {
        return;
    }
    replication.replaced_by = other.map(str::to_owned);
    if let Some(other) = other {
        tracing::error!(
            "name server {name} keeps {other} as the master of {}, whose epoch is later: clients \
             do not come here any more. Fix: stop this broker and start it as its slave \
             (--become SLAVE)",
            options.broker
        );
    }
}

/// A dial of name server `index` succeeded.
pub(crate) fn opened(shard: &mut Shard, net: &mut Net, index: usize, conn: ConnId) {
    shard.peers.name_servers.opened(index, conn);
    tick(shard, net);
}

/// A dial of name server `index` failed.
pub(crate) fn unreachable(shard: &mut Shard, index: usize, error: &std::io::Error) {
    let now_ms = shard.cx.now_ms();
    let notice = shard.peers.name_servers.dial_failed(index, now_ms);
    if let Notice::Down(name) = notice {
        tracing::warn!("name server {name} can't be reached ({error}), trying again every 2 s");
    }
}

/// A connection is gone. Whether it led to a name server.
pub(crate) fn closed(shard: &mut Shard, conn: ConnId) -> bool {
    let now_ms = shard.cx.now_ms();
    shard.peers.asked.closed(conn);
    let Some(notice) = shard.peers.name_servers.closed(conn, now_ms) else { return false };
    if let (Notice::Down(name), false) = (notice, shard.is_stopping) {
        tracing::warn!("the connection to name server {name} is lost, trying again every 2 s");
    }
    true
}

/// Takes this broker out of the routes before it stops.
pub(crate) fn unregister(shard: &mut Shard, net: &mut Net) {
    shard.is_stopping = true;
    let conns: Vec<ConnId> = shard.peers.name_servers.registered().collect();
    let options = shard.cx.options.clone();
    let ext = |ext: &mut ExtWriter<'_>| {
        ext.str("brokerName", &options.broker);
        ext.str("brokerAddr", &options.address);
        ext.str("clusterName", &options.process.cluster);
        ext.int("brokerId", options.process.replication.broker_id());
    };
    let request = Request { code: request::UNREGISTER_BROKER, ext: &ext, body: &[] };
    let deadline_ms = shard.cx.now_ms().saturating_add(ANSWER_MS);
    for conn in conns {
        shard.peers.asked.ask(net, conn, Question::Unregister, deadline_ms, &request);
    }
}
