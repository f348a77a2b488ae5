//! Where topics and brokers are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::codes::version::V4_9_4;
use crate::json::{write_fastjson, write_standard};

/// Most routes, of one or two brokers, are not longer.
const ROUTE_BYTES: usize = 512;

/// A broker (master and slaves under one name).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerData {
    /// Addresses by broker id; 0 = the master.
    pub broker_addrs: BTreeMap<i64, String>,
    /// Name.
    pub broker_name: String,
    /// Cluster.
    pub cluster: String,
    /// Whether a slave may act as master. Must be there for the Rust client.
    pub enable_acting_master: bool,
    /// Zone.
    pub zone_name: Option<String>,
}

/// Queues of a topic on a broker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueueData {
    /// Broker name.
    pub broker_name: String,
    /// Permission, see [`super::perm`].
    pub perm: i32,
    /// Queues to read.
    pub read_queue_nums: i32,
    /// Topic's system flag.
    #[serde(alias = "topicSynFlag")]
    pub topic_sys_flag: i32,
    /// Queues to write.
    pub write_queue_nums: i32,
}

/// Answer of GET_ROUTEINFO_BY_TOPIC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicRouteData {
    /// Brokers that have the topic.
    pub broker_datas: Vec<BrokerData>,
    /// Filter servers (removed long ago).
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// Order configuration.
    pub order_topic_conf: Option<String>,
    /// Queues per broker.
    pub queue_datas: Vec<QueueData>,
}

/// [`BrokerData`] of fields that stay where they are: the same text, and nothing is cloned.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerDataView<'a> {
    /// Addresses by broker id; 0 = the master.
    pub broker_addrs: Cow<'a, BTreeMap<i64, String>>,
    /// Name.
    pub broker_name: &'a str,
    /// Cluster.
    pub cluster: &'a str,
    /// Whether a slave may act as master.
    pub enable_acting_master: bool,
    /// Zone.
    pub zone_name: Option<&'a str>,
}

/// [`QueueData`] in the same way.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueDataView<'a> {
    /// Broker name.
    pub broker_name: &'a str,
    /// Permission, see [`super::perm`].
    pub perm: i32,
    /// Queues to read.
    pub read_queue_nums: i32,
    /// Topic's system flag.
    pub topic_sys_flag: i32,
    /// Queues to write.
    pub write_queue_nums: i32,
}

/// [`TopicRouteData`] in the same way.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicRouteView<'a> {
    /// Brokers that have the topic.
    pub broker_datas: Vec<BrokerDataView<'a>>,
    /// Filter servers (removed long ago).
    pub filter_server_table: BTreeMap<&'a str, &'a [String]>,
    /// Order configuration.
    pub order_topic_conf: Option<&'a str>,
    /// Queues per broker.
    pub queue_datas: Vec<QueueDataView<'a>>,
}

impl TopicRouteData {
    /// As [`TopicRouteView::encode_for`].
    #[must_use]
    pub fn encode_for(&self, client_version: i32, accept_standard_json_only: bool) -> Vec<u8> {
        encode_for(self, client_version, accept_standard_json_only)
    }
}

impl TopicRouteView<'_> {
    /// The route as the name server writes it to a client of this version: since 4.9.4, or when the
    /// client asks for it, with quoted broker ids; older clients expect them bare. Compact, because
    /// Go's client cuts the text at commas and colons.
    #[must_use]
    pub fn encode_for(&self, client_version: i32, accept_standard_json_only: bool) -> Vec<u8> {
        encode_for(self, client_version, accept_standard_json_only)
    }
}

fn encode_for<T: Serialize>(route: &T, client_version: i32, standard_only: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(ROUTE_BYTES);
    if client_version >= V4_9_4 || standard_only {
        write_standard(&mut out, route);
    } else {
        write_fastjson(&mut out, route);
    }
    out
}

/// Answer of GET_BROKER_CLUSTER_INFO; written with bare broker ids for every client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterInfo {
    /// Brokers by name.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Broker names by cluster.
    pub cluster_addr_table: BTreeMap<String, Vec<String>>,
}

/// Members of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerMemberGroup {
    /// Addresses by broker id.
    pub broker_addrs: BTreeMap<i64, String>,
    /// Broker name.
    pub broker_name: String,
    /// Cluster.
    pub cluster: String,
}

/// Answer of GET_BROKER_MEMBER_GROUP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GetBrokerMemberGroupResponseBody {
    /// Members.
    pub broker_member_group: BrokerMemberGroup,
}
