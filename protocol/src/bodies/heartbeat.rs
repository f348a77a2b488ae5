//! What a client tells about itself every 30 seconds.

use serde::{Deserialize, Serialize};

/// How a group consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumeType {
    /// Pull consumer.
    ConsumeActively,
    /// Push consumer.
    #[default]
    ConsumePassively,
    /// POP consumer.
    ConsumePop,
}

/// Who of a group gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageModel {
    /// Everyone.
    Broadcasting,
    /// One of them.
    #[default]
    Clustering,
    /// Lite topics (5.5).
    LiteSelective,
}

/// Where a group without offsets starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumeFromWhere {
    /// At the end.
    #[default]
    ConsumeFromLastOffset,
    /// Deprecated.
    ConsumeFromLastOffsetAndFromMinWhenBootFirst,
    /// Deprecated.
    ConsumeFromMinOffset,
    /// Deprecated.
    ConsumeFromMaxOffset,
    /// At the beginning.
    ConsumeFromFirstOffset,
    /// At a time.
    ConsumeFromTimestamp,
}

/// What a group wants of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionData {
    /// Class filter (removed long ago).
    pub class_filter_mode: bool,
    /// Java hashes of the tags. C++ clients send other numbers: see
    /// [`SubscriptionData::tag_codes`].
    pub code_set: Vec<i32>,
    /// TAG or SQL92.
    pub expression_type: String,
    /// `*`, `a || b`, or a SQL92 expression.
    pub sub_string: String,
    /// When the subscription was made.
    pub sub_version: i64,
    /// The tags.
    pub tags_set: Vec<String>,
    /// Topic.
    pub topic: String,
}

/// A subscription to everything, by tag, as Java's constructor leaves it.
impl Default for SubscriptionData {
    fn default() -> Self {
        Self {
            class_filter_mode: false,
            code_set: Vec::new(),
            expression_type: "TAG".to_owned(),
            sub_string: String::new(),
            sub_version: 0,
            tags_set: Vec::new(),
            topic: String::new(),
        }
    }
}

impl SubscriptionData {
    /// A TAG subscription from its expression, as Java's `FilterAPI.buildSubscriptionData` makes
    /// it.
    #[must_use]
    pub fn from_tags(topic: &str, expression: &str, sub_version: i64) -> Self {
        let mut tags: Vec<&str> =
            expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()).collect();
        if expression.trim().is_empty() || expression == "*" {
            tags.clear();
        }
        tags.sort_unstable();
        tags.dedup();
        Self {
            code_set: tags.iter().map(|tag| crate::tags::java_hash(tag)).collect(),
            sub_string: if tags.is_empty() { "*".to_owned() } else { expression.to_owned() },
            sub_version,
            tags_set: tags.into_iter().map(str::to_owned).collect(),
            topic: topic.to_owned(),
            ..Self::default()
        }
    }

    /// Whether messages are chosen by tag (`ExpressionType.isTagType`, which minds the case).
    #[must_use]
    pub fn is_tag_type(&self) -> bool {
        matches!(self.expression_type.as_str(), "" | "TAG")
    }

    /// Whether every message of the topic is wanted.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.is_tag_type() && (self.sub_string.is_empty() || self.sub_string == "*")
    }

    /// Hashes to compare a message's tag with; empty = all messages.
    ///
    /// Both the client's own `code_set` and the hashes of `sub_string`'s tags: C++ clients fill the
    /// set with other numbers, Rust clients hash untrimmed tags and expect the set to decide. A tag
    /// that passes by mistake is filtered by the client.
    #[must_use]
    pub fn tag_codes(&self) -> Vec<i32> {
        if self.is_all() {
            return Vec::new();
        }
        let mut codes = Self::from_tags(&self.topic, &self.sub_string, 0).code_set;
        codes.extend(&self.code_set);
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}

/// One consumer group of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerData {
    /// Where it starts.
    pub consume_from_where: ConsumeFromWhere,
    /// Push, pull or POP.
    pub consume_type: ConsumeType,
    /// Group.
    pub group_name: String,
    /// Clustering or broadcasting.
    pub message_model: MessageModel,
    /// What it wants.
    pub subscription_data_set: Vec<SubscriptionData>,
    /// Unit mode.
    pub unit_mode: bool,
}

/// One producer group of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerData {
    /// Group.
    pub group_name: String,
}

/// Body of HEART_BEAT.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HeartbeatData {
    /// Who: `<ip>@<instance>[@<unit>]`.
    #[serde(rename = "clientID", alias = "clientId")]
    pub client_id: String,
    /// Its consumer groups.
    pub consumer_data_set: Vec<ConsumerData>,
    /// Hash of its subscriptions (heartbeat V2), 0 = V1.
    pub heartbeat_fingerprint: i32,
    /// Its producer groups.
    pub producer_data_set: Vec<ProducerData>,
    /// The subscriptions are as before and left out (heartbeat V2).
    pub without_sub: bool,
}

/// Body of CHECK_CLIENT_CONFIG.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CheckClientRequestBody {
    /// Who.
    pub client_id: String,
    /// Group.
    pub group: String,
    /// Namespace.
    pub namespace: Option<String>,
    /// The subscription to check.
    pub subscription_data: SubscriptionData,
}
