//! What groups and topics say of lite topics in their attributes (`LiteMetadataUtil`).

use crate::tables::Tables;
use protocol::attributes::Attributes;
use protocol::lite;
use std::collections::{BTreeMap, BTreeSet};

fn of_group<'t>(tables: &'t Tables, group: &str) -> Option<&'t Attributes> {
    tables.groups.get(group).map(|group| &group.config.attributes)
}

fn is(tables: &Tables, group: &str, attribute: &str, value: &str) -> bool {
    let said = of_group(tables, group).and_then(|attributes| attributes.get(attribute));
    said.is_some_and(|said| said.eq_ignore_ascii_case(value))
}

/// The parent topic that a group consumes the children of.
pub(crate) fn bind_topic<'t>(tables: &'t Tables, group: &str) -> Option<&'t str> {
    of_group(tables, group)?.get(lite::BIND_TOPIC).map(String::as_str)
}

/// Whether a group consumes all children of its topic.
pub(crate) fn is_wildcard(tables: &Tables, group: &str) -> bool {
    of_group(tables, group).is_some_and(|attributes| attributes.contains_key(lite::WILDCARD))
}

/// Whether a lite topic has one client of a group at a time.
pub(crate) fn is_exclusive(tables: &Tables, group: &str) -> bool {
    is(tables, group, lite::SUB_MODEL, "Exclusive")
}

/// Whether a lite topic begins anew when another client takes it over.
pub(crate) fn resets_exclusive(tables: &Tables, group: &str) -> bool {
    is(tables, group, lite::RESET_EXCLUSIVE, "true")
}

/// The same when a client leaves it.
pub(crate) fn resets_unsubscribed(tables: &Tables, group: &str) -> bool {
    is(tables, group, lite::RESET_UNSUBSCRIBE, "true")
}

/// How many lite topics one client of a group is told of, where the group says it.
pub(crate) fn events_max(tables: &Tables, group: &str) -> Option<usize> {
    let said = of_group(tables, group)?.get(lite::EVENTS_MAX)?;
    said.parse().ok().filter(|max| *max > 0)
}

/// Whether the children of a topic are lite topics.
pub(crate) fn is_parent(tables: &Tables, topic: &str) -> bool {
    let topic = tables.topics.get(topic);
    let kind = topic.and_then(|topic| topic.config.attributes.get("message.type"));
    kind.is_some_and(|kind| kind == lite::MESSAGE_TYPE)
}

/// After how many minutes without a message the children of a topic go; −1 for never.
pub(crate) fn expiration_minutes(tables: &Tables, topic: &str) -> i64 {
    let topic = tables.topics.get(topic);
    let said = topic.and_then(|topic| topic.config.attributes.get(lite::EXPIRATION));
    said.and_then(|said| said.parse().ok()).unwrap_or(-1)
}

/// All parents, with [`expiration_minutes`].
pub(crate) fn parents(tables: &Tables) -> BTreeMap<String, i64> {
    let names = tables.topics.names().filter(|topic| is_parent(tables, topic));
    names.map(|topic| (topic.to_owned(), expiration_minutes(tables, topic))).collect()
}

/// The groups of lite topics, by their parents.
pub(crate) fn groups_of_parents(tables: &Tables) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for group in tables.groups.names() {
        if let Some(topic) = bind_topic(tables, group) {
            all.entry(topic.to_owned()).or_default().insert(group.to_owned());
        }
    }
    all
}
