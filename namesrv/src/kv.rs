//! Key-value configuration by namespace, mostly of order topics. It is small and kept in one file,
//! which is replaced as a whole.
//!
//! The file is RocketMQ's `kvConfig.json`: `{"configTable":{"namespace":{"key":"value"}}}`. This
//! module only reads and makes its content; `run` reads and replaces the file.

use crate::limits;
use protocol::json::{from_lenient, to_fastjson};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The namespace of order-topic configuration: key topic, value `brokerA:4;brokerB:4`.
pub(crate) const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

type Table = BTreeMap<String, BTreeMap<String, String>>;

/// All namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KvConfig {
    table: Table,
    entries: usize,
}

#[derive(Deserialize)]
struct FileRead {
    #[serde(rename = "configTable", default)]
    table: Table,
}

#[derive(Serialize)]
struct FileWritten<'a> {
    #[serde(rename = "configTable")]
    table: &'a Table,
}

/// Why an entry was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {found}, at most {max}")]
pub(crate) struct KvLimit {
    what: &'static str,
    found: usize,
    max: usize,
}

fn within(what: &'static str, found: usize, max: usize) -> Result<(), KvLimit> {
    if found <= max { Ok(()) } else { Err(KvLimit { what, found, max }) }
}

impl KvConfig {
    /// The content of a `kvConfig.json`, in fastjson's dialect; an empty file is an empty table.
    pub(crate) fn from_file(content: &[u8]) -> Result<Self, protocol::json::JsonError> {
        if content.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let file: FileRead = from_lenient(content)?;
        let entries = file.table.values().map(BTreeMap::len).sum();
        Ok(Self { table: file.table, entries })
    }

    /// The content for `kvConfig.json`.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        to_fastjson(&FileWritten { table: &self.table })
    }

    /// Sets a value.
    pub(crate) fn put(&mut self, namespace: &str, key: &str, value: &str) -> Result<(), KvLimit> {
        within("namespace bytes", namespace.len(), limits::KV_KEY_BYTES_MAX)?;
        within("key bytes", key.len(), limits::KV_KEY_BYTES_MAX)?;
        within("value bytes", value.len(), limits::KV_VALUE_BYTES_MAX)?;
        let new = self.get(namespace, key).is_none();
        within("key-value entries", self.entries + usize::from(new), limits::KV_ENTRIES_MAX)?;
        self.table
            .entry(namespace.to_owned())
            .or_default()
            .insert(key.to_owned(), value.to_owned());
        self.entries += usize::from(new);
        Ok(())
    }

    /// Removes a value and returns whether there was one. The namespace stays, as in RocketMQ: its
    /// list is then empty, not missing.
    pub(crate) fn delete(&mut self, namespace: &str, key: &str) -> bool {
        let removed = self.table.get_mut(namespace).and_then(|keys| keys.remove(key)).is_some();
        self.entries -= usize::from(removed);
        removed
    }

    /// One value.
    pub(crate) fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.table.get(namespace)?.get(key).map(String::as_str)
    }

    /// All values of a namespace.
    pub(crate) fn namespace(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.table.get(namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_there_after_a_restart() {
        let mut kv = KvConfig::default();
        kv.put(ORDER_TOPIC_CONFIG, "T", "broker-a:4;broker-b:4").unwrap();
        kv.put("other", "k", "\"quoted\" ü").unwrap();
        kv.put("other", "k", "replaced").unwrap();
        let back = KvConfig::from_file(&kv.to_file()).unwrap();
        assert_eq!(back, kv);
        assert_eq!(back.get("other", "k"), Some("replaced"));
        assert_eq!(back.entries, 2);
    }

    #[test]
    fn a_deleted_value_is_gone_and_its_namespace_stays() {
        let mut kv = KvConfig::default();
        kv.put("n", "k", "v").unwrap();
        assert!(kv.delete("n", "k"));
        assert!(!kv.delete("n", "k"));
        assert!(!kv.delete("unknown", "k"));
        assert_eq!(kv.namespace("n").map(BTreeMap::len), Some(0));
        assert_eq!(kv.entries, 0);
    }

    #[test]
    fn a_file_of_rocketmq_reads_and_a_broken_one_is_an_error() {
        let kv = KvConfig::from_file(
            b"{\n\t\"configTable\":{\"ORDER_TOPIC_CONFIG\":{\"T\":\"a:4\"}}\n}",
        )
        .unwrap();
        assert_eq!(kv.get(ORDER_TOPIC_CONFIG, "T"), Some("a:4"));
        assert_eq!(KvConfig::from_file(b"").unwrap(), KvConfig::default());
        assert!(KvConfig::from_file(b"{\"configTable\":").is_err());
    }

    #[test]
    fn limits_refuse_the_entry_and_keep_the_table() {
        let mut kv = KvConfig::default();
        let long = "x".repeat(limits::KV_VALUE_BYTES_MAX + 1);
        let error = kv.put("n", "k", &long).unwrap_err();
        assert_eq!(error.to_string(), "value bytes: 65537, at most 65536");
        assert!(kv.put(&long, "k", "v").is_err() && kv.put("n", &long, "v").is_err());
        kv.entries = limits::KV_ENTRIES_MAX;
        assert!(kv.put("n", "k", "v").is_err());
        assert_eq!(kv.namespace("n"), None);
    }
}
