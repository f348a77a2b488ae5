//! Changes through `mqadmin`: key-value entries, permissions, topics, the running configuration.

use super::{Answer, Answered, NameServer, Refusal, json_body, name, optional};
use crate::route::Queues;
use protocol::bodies::{KvTable, TopicRouteData};
use protocol::codes::response;
use protocol::config_file::Properties;
use protocol::json::to_fastjson;
use protocol::remoting::CommandView;
use std::net::SocketAddr;
use tracing::{info, warn};

impl<C: Copy + Eq> NameServer<C> {
    pub(super) fn put_kv(&mut self, request: &CommandView<'_>) -> Answered {
        let (namespace, key) = (name(request, "namespace")?, name(request, "key")?);
        let value = request.ext.require("value")?;
        self.kv.put(&namespace, &key, &value).map_err(|limit| Refusal::Other(limit.to_string()))?;
        info!(%namespace, %key, %value, "key-value entry set");
        Ok(Answer { after_kv_write: true, ..Answer::ok() })
    }

    pub(super) fn get_kv(&self, request: &CommandView<'_>) -> Answered {
        let (namespace, key) = (name(request, "namespace")?, name(request, "key")?);
        Ok(match self.kv.get(&namespace, &key) {
            Some(value) => Answer::ok().with("value", value),
            None => Answer::error(
                response::QUERY_NOT_FOUND,
                format!("No config item, Namespace: {namespace} Key: {key}"),
            ),
        })
    }

    pub(super) fn delete_kv(&mut self, request: &CommandView<'_>) -> Answered {
        let (namespace, key) = (name(request, "namespace")?, name(request, "key")?);
        let removed = self.kv.delete(&namespace, &key);
        info!(%namespace, %key, removed, "key-value entry deleted");
        Ok(Answer { after_kv_write: removed, ..Answer::ok() })
    }

    pub(super) fn kv_list(&self, request: &CommandView<'_>) -> Answered {
        let namespace = name(request, "namespace")?;
        match self.kv.namespace(&namespace) {
            Some(table) => Ok(Answer::body(to_fastjson(&KvTable { table: table.clone() }))),
            None => Ok(Answer::error(
                response::QUERY_NOT_FOUND,
                format!("No config item, Namespace: {namespace}"),
            )),
        }
    }

    pub(super) fn wipe_write_perm(
        &mut self,
        request: &CommandView<'_>,
        peer: SocketAddr,
    ) -> Answered {
        let broker = name(request, "brokerName")?;
        let topics = self.routes.wipe_write_perm(&broker);
        info!(%peer, %broker, topics, "write permission wiped");
        Ok(Answer::ok().with("wipeTopicCount", topics))
    }

    pub(super) fn add_write_perm(
        &mut self,
        request: &CommandView<'_>,
        peer: SocketAddr,
    ) -> Answered {
        let broker = name(request, "brokerName")?;
        let topics = self.routes.add_write_perm(&broker);
        info!(%peer, %broker, topics, "write permission added");
        Ok(Answer::ok().with("addTopicCount", topics))
    }

    pub(super) fn delete_topic(&mut self, request: &CommandView<'_>, peer: SocketAddr) -> Answered {
        let (topic, cluster) = (name(request, "topic")?, optional(request, "clusterName"));
        let brokers = self.routes.delete_topic(&topic, cluster.as_deref());
        info!(%peer, %topic, ?cluster, brokers, "topic deleted from routes");
        Ok(Answer::ok())
    }

    pub(super) fn register_topic(&mut self, request: &CommandView<'_>) -> Answered {
        let topic = name(request, "topic")?;
        let route: TopicRouteData = json_body(request, "TopicRouteData")?;
        let queues = route.queue_datas.into_iter().map(|q| {
            let queues = Queues {
                read: q.read_queue_nums,
                write: q.write_queue_nums,
                perm: q.perm,
                sys_flag: q.topic_sys_flag,
            };
            (q.broker_name, queues)
        });
        let queues: Vec<_> = queues.collect();
        // RocketMQ answers success here too, and logs.
        if !queues.is_empty() && !self.routes.register_topic(&topic, &queues) {
            warn!(%topic, "topic not registered: one of its brokers is unknown, or the table is \
                full");
        }
        Ok(Answer::ok())
    }

    /// Applies all of the changes or none. They last until the server stops; the configuration file
    /// is not changed.
    pub(super) fn update_config(
        &mut self,
        request: &CommandView<'_>,
        peer: SocketAddr,
    ) -> Answered {
        let refuse = |error: &dyn std::error::Error| Refusal::Other(error.to_string());
        let properties =
            Properties::parse("request", request.body).map_err(|error| refuse(&error))?;
        if let Some(key) = self.config.protected(properties.iter().map(|(key, _)| key)) {
            warn!(%peer, key, "configuration change refused: the key is protected");
            return Ok(Answer::error(
                response::NO_PERMISSION,
                "Can not update config in black list.",
            ));
        }
        let mut settings = self.config.settings.clone();
        for (key, entry) in properties.iter() {
            if settings.knows(key) {
                settings.update(key, &entry.value, "request").map_err(|error| refuse(&error))?;
                info!(%peer, key, value = %entry.value, "configuration changed until the next \
                    start");
            } else {
                warn!(%peer, key, "unknown configuration key, ignored");
            }
        }
        self.config.settings = settings;
        self.lookups = self.config.lookup_rules();
        self.routes.set_options(self.config.route_options());
        Ok(Answer::ok())
    }
}
