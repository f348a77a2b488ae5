//! Consumer groups as brokers configure them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DataVersion;

/// Growing delays between retries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExponentialRetryPolicy {
    /// First delay, in milliseconds.
    pub initial: i64,
    /// Longest delay, in milliseconds.
    pub max: i64,
    /// Factor.
    pub multiplier: i64,
}

impl Default for ExponentialRetryPolicy {
    fn default() -> Self {
        Self { initial: 5_000, max: 7_200_000, multiplier: 2 }
    }
}

/// Listed delays between retries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CustomizedRetryPolicy {
    /// Delays, in milliseconds.
    pub next: Vec<i64>,
}

/// How long a group waits before a retry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupRetryPolicy {
    /// For type CUSTOMIZED.
    pub customized_retry_policy: Option<CustomizedRetryPolicy>,
    /// For type EXPONENTIAL.
    pub exponential_retry_policy: Option<ExponentialRetryPolicy>,
    /// CUSTOMIZED or EXPONENTIAL.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Default for GroupRetryPolicy {
    fn default() -> Self {
        Self {
            customized_retry_policy: None,
            exponential_retry_policy: None,
            kind: "CUSTOMIZED".to_owned(),
        }
    }
}

/// A subscription fixed by configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SimpleSubscriptionData {
    /// Expression.
    pub expression: Option<String>,
    /// TAG or SQL92.
    pub expression_type: Option<String>,
    /// Topic.
    pub topic: String,
    /// Version.
    pub version: i64,
}

/// Settings of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupConfig {
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Broker to pull from.
    pub broker_id: i64,
    /// May consume broadcast.
    pub consume_broadcast_enable: bool,
    /// May consume.
    pub consume_enable: bool,
    /// May start at the first offset.
    pub consume_from_min_enable: bool,
    /// Ordered.
    pub consume_message_orderly: bool,
    /// How long one message may take, in minutes.
    pub consume_timeout_minute: i32,
    /// Name.
    pub group_name: String,
    /// Delays between retries.
    pub group_retry_policy: GroupRetryPolicy,
    /// System flag.
    pub group_sys_flag: i32,
    /// Members are told when the membership changes.
    pub notify_consumer_ids_changed_enable: bool,
    /// Retries before the dead-letter topic.
    pub retry_max_times: i32,
    /// Queues of the retry topic.
    pub retry_queue_nums: i32,
    /// Subscriptions fixed by configuration.
    pub subscription_data_set: Option<Vec<SimpleSubscriptionData>>,
    /// Broker to pull from when consumption is slow.
    pub which_broker_when_consume_slowly: i64,
}

impl Default for SubscriptionGroupConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: GroupRetryPolicy::default(),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
        }
    }
}

impl SubscriptionGroupConfig {
    /// A group with Java's defaults.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { group_name: name.to_owned(), ..Self::default() }
    }
}

/// Answer of GET_ALL_SUBSCRIPTIONGROUP_CONFIG, and `subscriptionGroup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupWrapper {
    /// Version.
    pub data_version: DataVersion,
    /// Forbidden topics by group.
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    /// Settings by group.
    pub subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
}
