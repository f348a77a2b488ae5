//! Registration with the name servers: everything at start, on every new link and every 30 s, a
//! changed topic at once.

use crate::peers::name_servers::Notice;
use crate::shard::Shard;
use netcore::{ConnId, Framing, Net};
use protocol::bodies::{KvTable, RegisterBrokerBody};
use protocol::codes::{request, response};
use protocol::json;
use protocol::remoting::{CommandHead, CommandView, ExtWriter, write_command};
use std::rc::Rc;

impl Shard {
    /// Dials and registers where that is due.
    pub(crate) fn tick_name_servers(&mut self, net: &mut Net, now_ms: i64) {
        for (tag, address) in self.name_servers.due_dials(now_ms) {
            net.dial(address, tag, Framing::Remoting);
        }
        for conn in self.name_servers.overdue(now_ms) {
            net.close(conn, "a registration was not answered");
        }
        let period_ms =
            i64::try_from(self.options.process.register_every.as_millis()).unwrap_or(i64::MAX);
        let due = self.name_servers.due_registrations(now_ms, period_ms);
        if !due.is_empty() {
            self.register(net, &due, None, now_ms);
        }
    }

    /// Tells the name servers that know this broker of topics that changed in this turn. One that
    /// is not registered yet gets everything when it is: it refuses a first registration of a
    /// single topic.
    pub(crate) fn register_changes(&mut self, net: &mut Net) {
        let changed = self.topics.take_changed();
        if changed.is_empty() {
            return;
        }
        let conns: Vec<ConnId> = self.name_servers.registered().collect();
        let now_ms = self.now_ms();
        self.register(net, &conns, Some(&changed), now_ms);
    }

    fn register(&mut self, net: &mut Net, conns: &[ConnId], only: Option<&[Rc<str>]>, now_ms: i64) {
        let body = json::to_fastjson(&self.registration(only));
        let options = self.options.clone();
        let ext = |ext: &mut ExtWriter<'_>| {
            ext.str("brokerName", &options.broker);
            ext.str("brokerAddr", &options.address);
            ext.str("clusterName", &options.process.cluster);
            ext.str("haServerAddr", &options.ha_address);
            ext.int("brokerId", 0);
            ext.bool("compressed", false);
            ext.int("bodyCrc32", 0);
        };
        for &conn in conns {
            let opaque = self.next_opaque();
            let Some(out) = net.out(conn) else { continue };
            let head =
                CommandHead { code: request::REGISTER_BROKER, opaque, ..CommandHead::default() };
            write_command(out.bytes(), &head, ext, &body);
            self.name_servers.sent(conn, opaque, now_ms);
        }
    }

    fn registration(&self, only: Option<&[Rc<str>]>) -> RegisterBrokerBody {
        let mut wrapper = self.topics.wrapper(only);
        let permission = self.options.process.permission;
        for config in wrapper.topic_config_table.values_mut() {
            // A broker that may not be read or written says so in each of its topics.
            config.perm &= permission | protocol::bodies::perm::INHERIT;
        }
        RegisterBrokerBody { filter_server_list: vec![], topic_config_serialize_wrapper: wrapper }
    }

    /// An answer to a request of ours.
    pub(crate) fn on_answer(&mut self, conn: ConnId, answer: &CommandView<'_>) {
        let Some(name) = self.name_servers.answered(conn, answer.opaque) else { return };
        if answer.code != response::SUCCESS {
            tracing::warn!(
                "name server {name} refused the registration: {} {}",
                answer.code,
                answer.remark().unwrap_or_default()
            );
            return;
        }
        if answer.body.is_empty() {
            return;
        }
        match json::from_lenient::<KvTable>(answer.body) {
            Ok(ordered) => {
                let now_ms = self.now_ms();
                self.topics.mark_ordered(ordered.table.keys().map(String::as_str), now_ms);
            }
            Err(error) => tracing::warn!(
                "name server {name} answered a registration with a body that can't be read: {error}"
            ),
        }
    }

    /// Whether the connection led to a name server.
    pub(crate) fn lost_name_server(&mut self, conn: ConnId) -> bool {
        let now_ms = self.now_ms();
        let Some(notice) = self.name_servers.closed(conn, now_ms) else { return false };
        if let (Notice::Down(name), false) = (notice, self.stopping) {
            tracing::warn!("the connection to name server {name} is lost, trying again every 2 s");
        }
        true
    }

    /// A dial to a name server failed.
    pub(crate) fn name_server_unreachable(&mut self, tag: u64, error: &std::io::Error) {
        let now_ms = self.now_ms();
        if let Notice::Down(name) = self.name_servers.dial_failed(tag, now_ms) {
            tracing::warn!("name server {name} can't be reached ({error}), trying again every 2 s");
        }
    }

    /// Takes this broker out of the routes before it stops.
    pub(crate) fn unregister(&mut self, net: &mut Net) {
        self.stopping = true;
        let conns: Vec<ConnId> = self.name_servers.registered().collect();
        for conn in conns {
            let opaque = self.next_opaque();
            let options = self.options.clone();
            let Some(out) = net.out(conn) else { continue };
            let head =
                CommandHead { code: request::UNREGISTER_BROKER, opaque, ..CommandHead::default() };
            let ext = |ext: &mut ExtWriter<'_>| {
                ext.str("brokerName", &options.broker);
                ext.str("brokerAddr", &options.address);
                ext.str("clusterName", &options.process.cluster);
                ext.int("brokerId", 0);
            };
            write_command(out.bytes(), &head, ext, &[]);
        }
    }
}
