//! Requests of brokers: registration, heartbeat, unregistration.

use super::{Answer, Answered, Asker, NameServer, Refusal, json_body, name, optional};
use crate::kv::ORDER_TOPIC_CONFIG;
use crate::route::{BodyPrint, Queues, Registration};
use protocol::bodies::{
    BrokerMemberGroup, DataVersion, GetBrokerMemberGroupResponseBody, KvTable, RegisterBrokerBody,
    TopicConfigSerializeWrapper,
};
use protocol::codes::version;
use protocol::json::to_fastjson;
use protocol::remoting::CommandView;
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use tracing::{debug, info, warn};

/// Brokers before this version send only their topics as body.
const REGISTER_BODY_SINCE: i32 = version::V3_0_11;

impl<C: Copy + Eq> NameServer<C> {
    pub(super) fn register_broker(
        &mut self,
        request: &CommandView<'_>,
        asker: Asker<C>,
    ) -> Answered {
        let crc = checked_crc(request)?;
        let registration = self.registration(request, crc)?;
        let (broker, addr) = (registration.broker_name.clone(), registration.broker_addr.clone());
        let topics = registration.topics.len();
        let known = self.routes.known_version(&registration.cluster, &addr).is_some();
        let registered = self.routes.register(registration, asker.conn, asker.now_ms);
        let registered = registered.map_err(|error| Refusal::Other(error.to_string()))?;
        match &registered.conflict_with {
            Some(holder) => {
                warn!(peer = %asker.peer, %broker, %addr, %holder, "ignored: a newer broker \
                    holds this id")
            }
            None if !known => {
                info!(peer = %asker.peer, %broker, %addr, topics, "broker registered")
            }
            None => debug!(peer = %asker.peer, %broker, %addr, topics, "broker registered again"),
        }
        let mut answer = Answer::ok();
        if let Some(holder) = &registered.conflict_with {
            // RingMQ's broker says so in its log; Apache's masters do not read it.
            answer = answer.with("masterAddr", holder.clone());
        }
        if let (Some(ha_addr), Some(master_addr)) = (registered.ha_addr, registered.master_addr) {
            answer = answer.with("haServerAddr", ha_addr).with("masterAddr", master_addr);
        }
        if self.config.settings.bool("returnOrderTopicConfigToBroker")
            && let Some(table) = self.kv.namespace(ORDER_TOPIC_CONFIG)
        {
            answer.body = to_fastjson(&KvTable { table: table.clone() });
        }
        Ok(answer)
    }

    /// What a registration says. A broker says all of it every 30 s, and mostly the same: a body
    /// that has not changed is not read again, and then it says no topics.
    fn registration(&self, request: &CommandView<'_>, crc: u32) -> Result<Registration, Refusal> {
        let compressed = request.ext.get_bool("compressed").unwrap_or(false);
        let said = BodyPrint {
            len: request.body.len(),
            crc,
            hash: self.body_keys.hash_one((request.version, compressed, request.body)),
        };
        let cluster = name(request, "clusterName")?;
        let broker_name = name(request, "brokerName")?;
        let broker_addr = name(request, "brokerAddr")?;
        let broker_id = request.ext.require_i64("brokerId")?;
        let known = (&*cluster, &*broker_name, &*broker_addr);
        let (version, topics, filter_servers) =
            match self.routes.version_if_unchanged(known, broker_id, said) {
                Some(version) => (version, vec![], None),
                None => {
                    let (topics, filter_servers) = body(request, compressed)?;
                    let table = topics.topic_config_table.into_iter();
                    let queues = table.map(|(topic, config)| (topic, queues_of(&config)));
                    (topics.data_version, queues.collect(), filter_servers)
                }
            };
        Ok(Registration {
            cluster: cluster.into_owned(),
            broker_name: broker_name.into_owned(),
            broker_addr: broker_addr.into_owned(),
            broker_id,
            ha_addr: request.ext.get("haServerAddr").unwrap_or_default().into_owned(),
            zone: optional(request, "__ZONE_NAME").map(std::borrow::Cow::into_owned),
            heartbeat_timeout_ms: request.ext.get_i64("heartbeatTimeoutMillis")?,
            enable_acting_master: request.ext.get_bool("enableActingMaster"),
            version,
            topics,
            filter_servers,
            body: Some(said),
        })
    }

    pub(super) fn unregister_broker(
        &mut self,
        request: &CommandView<'_>,
        peer: SocketAddr,
    ) -> Answered {
        let (broker, addr) = (name(request, "brokerName")?, name(request, "brokerAddr")?);
        info!(%peer, %broker, %addr, "broker unregisters");
        self.routes.unregister(&broker, &addr);
        Ok(Answer::ok())
    }

    pub(super) fn broker_heartbeat(&mut self, request: &CommandView<'_>, now_ms: i64) -> Answered {
        self.routes.heartbeat(
            &name(request, "clusterName")?,
            &name(request, "brokerAddr")?,
            now_ms,
        );
        Ok(Answer::ok())
    }

    pub(super) fn query_data_version(
        &mut self,
        request: &CommandView<'_>,
        now_ms: i64,
    ) -> Answered {
        let (cluster, addr) = (name(request, "clusterName")?, name(request, "brokerAddr")?);
        let version: DataVersion = json_body(request, "DataVersion")?;
        let changed = self.routes.version_changed(&cluster, &addr, &version);
        self.routes.heartbeat(&cluster, &addr, now_ms);
        let answer = Answer::ok().with("changed", changed);
        match self.routes.known_version(&cluster, &addr) {
            Some(known) => Ok(Answer { body: to_fastjson(known), ..answer }),
            None => Ok(answer),
        }
    }

    pub(super) fn broker_member_group(&self, request: &CommandView<'_>) -> Answered {
        let (cluster, broker_name) =
            (name(request, "clusterName")?.into_owned(), name(request, "brokerName")?.into_owned());
        let broker_addrs = self.routes.member_addrs(&broker_name);
        let group = BrokerMemberGroup { broker_addrs, broker_name, cluster };
        Ok(Answer::body(to_fastjson(&GetBrokerMemberGroupResponseBody {
            broker_member_group: group,
        })))
    }
}

/// The body's checksum, which is what the header says if it says any.
fn checked_crc(request: &CommandView<'_>) -> Result<u32, Refusal> {
    let declared = request.ext.get_i32("bodyCrc32")?.unwrap_or(0);
    // Java's crc32 is cut to a positive int.
    let found = crc32fast::hash(request.body) & 0x7fff_ffff;
    if declared == 0 || u32::try_from(declared) == Ok(found) {
        Ok(found)
    } else {
        Err(Refusal::Other("crc32 not match".to_owned()))
    }
}

fn body(
    request: &CommandView<'_>,
    compressed: bool,
) -> Result<(TopicConfigSerializeWrapper, Option<Vec<String>>), Refusal> {
    if request.body.is_empty() {
        return Ok((TopicConfigSerializeWrapper::default(), None));
    }
    if request.version < REGISTER_BODY_SINCE {
        return Ok((json_body(request, "TopicConfigSerializeWrapper")?, None));
    }
    let body =
        RegisterBrokerBody::decode(request.body, compressed, request.version).map_err(|error| {
            Refusal::Body {
                what: "RegisterBrokerBody",
                bytes: request.body.len(),
                reason: error.to_string(),
            }
        })?;
    Ok((body.topic_config_serialize_wrapper, Some(body.filter_server_list)))
}

fn queues_of(config: &protocol::bodies::TopicConfig) -> Queues {
    Queues {
        read: config.read_queue_nums,
        write: config.write_queue_nums,
        perm: config.perm,
        sys_flag: config.topic_sys_flag,
    }
}
