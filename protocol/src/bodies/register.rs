//! A broker's registration.

use serde::{Deserialize, Serialize};

use super::TopicConfigSerializeWrapper;

/// Body of REGISTER_BROKER.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RegisterBrokerBody {
    /// Filter servers (removed long ago).
    pub filter_server_list: Vec<String>,
    /// The broker's topics.
    pub topic_config_serialize_wrapper: TopicConfigSerializeWrapper,
}
