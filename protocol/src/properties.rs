//! Message properties: `name 0x01 value 0x02`, repeated; the last separator may be missing.
//!
//! They are kept as bytes: a broker looks up two or three of them and stores the rest untouched.

use crate::find::find_either;
use std::ops::Range;

/// Between name and value.
pub const NAME_VALUE_SEPARATOR: u8 = 1;
/// After a value.
pub const PROPERTY_SEPARATOR: u8 = 2;

/// Names of the properties a broker or client reads itself (`MessageConst.java`).
pub mod names {
    /// Space-separated keys for the index.
    pub const KEYS: &str = "KEYS";
    /// The tag.
    pub const TAGS: &str = "TAGS";
    /// "false": the sender does not wait for flush and replication.
    pub const WAIT_STORE_MSG_OK: &str = "WAIT";
    /// Delay level.
    pub const DELAY_TIME_LEVEL: &str = "DELAY";
    /// Original topic of a message in a retry topic.
    pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
    /// Original topic of a delayed or half message.
    pub const REAL_TOPIC: &str = "REAL_TOPIC";
    /// Original queue of a delayed or half message.
    pub const REAL_QUEUE_ID: &str = "REAL_QID";
    /// "true": a transactional message.
    pub const TRANSACTION_PREPARED: &str = "TRAN_MSG";
    /// Producer group of a transactional message.
    pub const PRODUCER_GROUP: &str = "PGROUP";
    /// Message id of the first of a chain of retries.
    pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
    /// How often a retry message was consumed.
    pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
    /// How often it may be consumed.
    pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
    /// Region of the broker.
    pub const MSG_REGION: &str = "MSG_REGION";
    /// Whether the broker traces.
    pub const TRACE_SWITCH: &str = "TRACE_ON";
    /// The client's message id.
    pub const UNIQ_KEY: &str = "UNIQ_KEY";
    /// Id of a transaction.
    pub const TRANSACTION_ID: &str = "__transactionId__";
    /// Cluster name, added by the broker.
    pub const CLUSTER: &str = "CLUSTER";
    /// Timer messages: a delay in seconds …
    pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
    /// … in milliseconds …
    pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
    /// … or when to deliver it, in milliseconds since 1970.
    pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
    /// The slot of the timer wheel that it waits in, in milliseconds since 1970; set by the broker.
    pub const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
    /// When the broker took the timer up.
    pub const TIMER_ENQUEUE_MS: &str = "TIMER_ENQUEUE_MS";
    /// When it delivered it.
    pub const TIMER_DEQUEUE_MS: &str = "TIMER_DEQUEUE_MS";
    /// How often it was stored again because it was too far away.
    pub const TIMER_ROLL_TIMES: &str = "TIMER_ROLL_TIMES";
    /// Marks that the timer message with this unique key is recalled.
    pub const TIMER_DEL_UNIQKEY: &str = "TIMER_DEL_UNIQKEY";
    /// Receipt of a popped message; never stored.
    pub const POP_CK: &str = "POP_CK";
    /// Messages in an inner batch.
    pub const INNER_NUM: &str = "INNER_NUM";
    /// Light message queues that a message is in besides its own, separated by commas.
    pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
    /// Its offset in each of them, in the same order; filled in by the broker.
    pub const INNER_MULTI_QUEUE_OFFSET: &str = "INNER_MULTI_QUEUE_OFFSET";
    /// The child of its topic that a message goes to: see [`crate::lite`].
    pub const LITE_TOPIC: &str = "__LITE_TOPIC";
    /// Sharding key of ordered messages.
    pub const SHARDING_KEY: &str = "__SHARDINGKEY";
    /// "reply" for the answer of a request-reply pair.
    pub const MESSAGE_TYPE: &str = "MSG_TYPE";
    /// Client id that waits for a reply.
    pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
    /// Topic of a dead-lettered message before.
    pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
    /// Id of a dead-lettered message before.
    pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
}

/// All well-formed properties. An entry without a 0x01 strictly inside is skipped, as Java skips
/// it.
pub fn iter(properties: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    spans(properties)
        .filter_map(|(name, value)| Some((properties.get(name)?, properties.get(value)?)))
}

/// The same of a text: separators are ASCII, so names and values are texts too.
pub fn iter_text(properties: &str) -> impl Iterator<Item = (&str, &str)> {
    spans(properties.as_bytes())
        .filter_map(|(name, value)| Some((properties.get(name)?, properties.get(value)?)))
}

/// Where the names and values of well-formed properties lie.
#[inline]
fn spans(properties: &[u8]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < properties.len() {
            let start = at;
            let name_end = find_either(properties, start, NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR)
                .unwrap_or(properties.len());
            if properties.get(name_end) != Some(&NAME_VALUE_SEPARATOR) {
                at = name_end + 1;
                continue;
            }
            let end = find_either(properties, name_end + 1, PROPERTY_SEPARATOR, PROPERTY_SEPARATOR)
                .unwrap_or(properties.len());
            at = end + 1;
            if start < name_end && name_end + 1 < end {
                return Some((start..name_end, name_end + 1..end));
            }
        }
        None
    })
}

/// The bytes of a property's value; of a repeated name the last one, as a Java map keeps it.
#[must_use]
pub fn get_bytes<'p>(properties: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let mut found = None;
    for entry in entries(properties) {
        if let Some([NAME_VALUE_SEPARATOR, value @ ..]) = entry.strip_prefix(name.as_bytes())
            && !value.is_empty()
        {
            found = Some(value);
        }
    }
    found
}

/// What lies between the separators, well-formed or not. Only these separators are looked for: the
/// broker asks this of every message it stores.
#[inline]
pub fn entries(properties: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = properties;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end =
            find_either(rest, 0, PROPERTY_SEPARATOR, PROPERTY_SEPARATOR).unwrap_or(rest.len());
        let (entry, later) = rest.split_at(end);
        rest = later.get(1..).unwrap_or_default();
        Some(entry)
    })
}

/// A property's value as text; `None` when absent or not UTF-8.
#[must_use]
pub fn get<'p>(properties: &'p [u8], name: &str) -> Option<&'p str> {
    std::str::from_utf8(get_bytes(properties, name)?).ok()
}

/// Appends one property with its closing separator. Separators inside name or value are left out,
/// since they would change the meaning of the other properties.
pub fn write(out: &mut Vec<u8>, name: &str, value: &str) {
    write_clean(out, name);
    out.push(NAME_VALUE_SEPARATOR);
    write_clean(out, value);
    out.push(PROPERTY_SEPARATOR);
}

fn write_clean(out: &mut Vec<u8>, text: &str) {
    let is_separator = |byte: &u8| matches!(*byte, NAME_VALUE_SEPARATOR | PROPERTY_SEPARATOR);
    if text.bytes().any(|byte| is_separator(&byte)) {
        out.extend(text.bytes().filter(|byte| !is_separator(byte)));
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends all properties except those named, each with its closing separator.
pub fn write_without(out: &mut Vec<u8>, properties: &[u8], without: &[&str]) {
    for (name, value) in iter(properties) {
        if !without.iter().any(|unwanted| unwanted.as_bytes() == name) {
            out.extend_from_slice(name);
            out.push(NAME_VALUE_SEPARATOR);
            out.extend_from_slice(value);
            out.push(PROPERTY_SEPARATOR);
        }
    }
}

/// Whether more properties may be appended after these bytes as they are, or a separator must come
/// first.
#[must_use]
pub fn needs_separator(properties: &[u8]) -> bool {
    properties.last().is_some_and(|last| *last != PROPERTY_SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_with_and_without_the_last_separator() {
        for props in [&b"TAGS\x01a\x02KEYS\x01k1 k2\x02"[..], b"TAGS\x01a\x02KEYS\x01k1 k2"] {
            assert_eq!(get(props, names::TAGS), Some("a"));
            assert_eq!(get(props, names::KEYS), Some("k1 k2"));
            assert_eq!(get(props, "KEY"), None);
        }
        assert!(
            needs_separator(b"a\x01b") && !needs_separator(b"a\x01b\x02") && !needs_separator(b"")
        );
    }

    #[test]
    fn skips_entries_that_java_skips_and_keeps_the_last_of_a_name() {
        let props = b"\x01x\x02a\x01\x02b\x02\x02n\x011\x02n\x012\x01x\x02";
        assert_eq!(iter(props).collect::<Vec<_>>(), [(&b"n"[..], &b"1"[..]), (b"n", b"2\x01x")]);
        assert_eq!(get(props, "n"), Some("2\u{1}x"));
        let all = [&b"\x01x"[..], b"a\x01", b"b", b"", b"n\x011", b"n\x012\x01x"];
        assert_eq!(entries(props).collect::<Vec<_>>(), all);
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut out = Vec::new();
        write(&mut out, "UNIQ_KEY", "7F00");
        write(&mut out, "a", "b\u{1}c\u{2}d");
        assert_eq!(get(&out, "UNIQ_KEY"), Some("7F00"));
        assert_eq!(get(&out, "a"), Some("bcd"));
        let mut rest = Vec::new();
        write_without(&mut rest, &out, &["UNIQ_KEY"]);
        assert_eq!(rest, b"a\x01bcd\x02");
    }
}
