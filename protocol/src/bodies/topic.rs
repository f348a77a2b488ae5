//! Topics as brokers configure and register them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DataVersion;

/// Bits of a topic's permission.
pub mod perm {
    /// New topics may take this one's settings.
    pub const INHERIT: i32 = 1;
    /// Producers may send.
    pub const WRITE: i32 = 2;
    /// Consumers may pull.
    pub const READ: i32 = 4;
    /// Priority.
    pub const PRIORITY: i32 = 8;
}

/// Settings of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicConfig {
    /// `queue.type`, `cleanup.policy`, `message.type`, ….
    pub attributes: BTreeMap<String, String>,
    /// Ordered topic.
    pub order: bool,
    /// Permission, see [`perm`].
    pub perm: i32,
    /// Queues to read.
    pub read_queue_nums: i32,
    /// SINGLE_TAG or MULTI_TAG.
    pub topic_filter_type: String,
    /// Name.
    pub topic_name: String,
    /// 1 unit, 2 unit-sub.
    pub topic_sys_flag: i32,
    /// Queues to write.
    pub write_queue_nums: i32,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            order: false,
            perm: perm::READ | perm::WRITE,
            read_queue_nums: 16,
            topic_filter_type: "SINGLE_TAG".to_owned(),
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

impl TopicConfig {
    /// A topic with equally many queues to read and write.
    #[must_use]
    pub fn new(name: &str, queue_nums: i32, perm: i32) -> Self {
        Self {
            topic_name: name.to_owned(),
            read_queue_nums: queue_nums,
            write_queue_nums: queue_nums,
            perm,
            ..Self::default()
        }
    }

    /// The text form of the compressed registration:
    /// `topicName readQueueNums writeQueueNums perm topicFilterType attributesJson`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self {
            topic_name,
            read_queue_nums,
            write_queue_nums,
            perm,
            topic_filter_type,
            attributes,
            ..
        } = self;
        let attributes =
            String::from_utf8(crate::json::to_fastjson(attributes)).expect("JSON is UTF-8");
        format!(
            "{topic_name} {read_queue_nums} {write_queue_nums} {perm} {topic_filter_type} \
                {attributes}"
        )
    }

    /// Reads the text form; `None` when it has fewer than five parts or a number is none.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ' ');
        let mut config = Self { topic_name: parts.next()?.to_owned(), ..Self::default() };
        config.read_queue_nums = parts.next()?.parse().ok()?;
        config.write_queue_nums = parts.next()?.parse().ok()?;
        config.perm = parts.next()?.parse().ok()?;
        config.topic_filter_type = parts.next()?.to_owned();
        // Java ignores attributes that are no JSON, too.
        if let Some(attributes) = parts.next() {
            config.attributes =
                crate::json::from_lenient(attributes.as_bytes()).unwrap_or_default();
        }
        Some(config)
    }
}

/// A static topic's mapping on one broker (5.x).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicQueueMappingInfo {
    /// Broker name.
    pub bname: String,
    /// Physical queue by logical one.
    pub curr_id_map: BTreeMap<i32, i32>,
    /// Changed.
    pub dirty: bool,
    /// Epoch.
    pub epoch: i64,
    /// Scope.
    pub scope: Option<String>,
    /// Topic.
    pub topic: String,
    /// Logical queues.
    pub total_queues: i32,
}

/// All topics of a broker: part of its registration, answer of GET_ALL_TOPIC_CONFIG, and
/// `topics.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicConfigSerializeWrapper {
    /// Version of the topics.
    pub data_version: DataVersion,
    /// Version of the mappings (5.x).
    pub mapping_data_version: Option<DataVersion>,
    /// Topics by name.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    /// Mappings of static topics (5.x).
    pub topic_queue_mapping_info_map: Option<BTreeMap<String, TopicQueueMappingInfo>>,
}

/// Body of UPDATE_AND_CREATE_TOPIC_LIST.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CreateTopicListRequestBody {
    /// Topics to create.
    pub topic_config_list: Vec<TopicConfig>,
}
