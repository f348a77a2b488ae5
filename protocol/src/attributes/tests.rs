//! Changes of attributes and their refusals, with the texts of RocketMQ 5.5.0.

use super::*;

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The outcome of a header's text for a topic, as attributes or as the remark of the refusal.
fn topic(current: Option<&[(&str, &str)]>, text: &str) -> Result<Attributes, String> {
    let current = current.map(attributes);
    parse_changes(text)
        .and_then(|changes| alter(&TOPIC_ATTRIBUTES, current.as_ref(), &changes))
        .map_err(|error| error.to_string())
}

fn refusal(current: Option<&[(&str, &str)]>, text: &str) -> String {
    topic(current, text).expect_err(text)
}

#[test]
fn creation_sets_and_an_update_sets_changes_and_removes() {
    let created = topic(None, "+queue.type=BatchCQ,+message.type=FIFO");
    let expected = attributes(&[("message.type", "FIFO"), ("queue.type", "BatchCQ")]);
    assert_eq!(created, Ok(expected));

    let current = [("message.type", "FIFO"), ("queue.type", "BatchCQ"), ("reserve.time", "5")];
    let updated =
        topic(Some(&current), "+message.type=NORMAL,-reserve.time,+lite.topic.expiration=43200");
    let expected = attributes(&[
        ("lite.topic.expiration", "43200"),
        ("message.type", "NORMAL"),
        ("queue.type", "BatchCQ"),
    ]);
    assert_eq!(updated, Ok(expected));
    assert_eq!(topic(Some(&current), ""), Ok(attributes(&current)));
    assert_eq!(topic(None, ",,"), Ok(Attributes::new()));
}

#[test]
fn what_creation_fixes_no_update_sets_changes_or_removes() {
    let text = "attempt to update an unchangeable attribute. key: queue.type";
    assert_eq!(refusal(Some(&[]), "+queue.type=BatchCQ"), text);
    assert_eq!(refusal(Some(&[("queue.type", "BatchCQ")]), "+queue.type=SimpleCQ"), text);
    assert_eq!(refusal(Some(&[("queue.type", "BatchCQ")]), "-queue.type"), text);
}

#[test]
fn a_malformed_text_is_refused_as_java_refuses_it() {
    for (text, remark) in [
        ("message.type=FIFO", "add/alter attribute format is wrong: message.type"),
        ("message.type", "delete attribute format is wrong: message.type"),
        (",+message.type=FIFO", "delete attribute format is wrong: "),
        ("+message.type=", "Index 1 out of bounds for length 1"),
        ("=", "Index 0 out of bounds for length 0"),
        ("=x", "add/alter attribute format is wrong: "),
        ("+message.type=FIFO,+message.type=FIFO", "key duplication: +message.type"),
        ("+=x", "kv string format wrong."),
        ("+message-type=x", "kv string format wrong."),
        ("++message.type=x", "kv string format wrong."),
        ("x+=1", "kv string format wrong."),
    ] {
        assert_eq!(refusal(Some(&[]), text), remark, "{text}");
    }
    let empty_key = alter(&TOPIC_ATTRIBUTES, None, &attributes(&[("", "x")]));
    assert_eq!(empty_key, Err(AttributeError::EmptyKey));
    let no_sign = alter(&TOPIC_ATTRIBUTES, Some(&Attributes::new()), &attributes(&[("xa", "1")]));
    assert_eq!(no_sign.expect_err("no sign").to_string(), "wrong format key: a");
}

#[test]
fn a_change_that_does_not_fit_what_is_there_is_refused() {
    for (current, text, remark) in [
        (
            None,
            "-message.type",
            "only add attribute is supported while creating topic. key: message.type",
        ),
        (Some(&[][..]), "-message.type", "attempt to delete a nonexistent key: message.type"),
        (
            Some(&[("message.type", "FIFO")][..]),
            "+message.type=DELAY,-message.type",
            "alter duplication key. key: message.type",
        ),
        (
            Some(&[][..]),
            "+message.type=DELAY,-message.type",
            "alter duplication key. key: message.type",
        ),
        (None, "+colour=red", "unsupported key: colour"),
    ] {
        assert_eq!(refusal(current, text), remark, "{text}");
    }
}

#[test]
fn a_value_outside_an_attributes_range_is_refused() {
    for (text, remark) in [
        ("+queue.type=batchcq", "value is not in set: [SimpleCQ, BatchCQ]"),
        ("+cleanup.policy=KEEP", "value is not in set: [DELETE, COMPACTION]"),
        (
            "+message.type=ANY",
            "value is not in set: [UNSPECIFIED, MIXED, TRANSACTION, PRIORITY, FIFO, DELAY, LITE, \
                NORMAL]",
        ),
        ("+reserve.time=-2", "value is not in range(-1, 9223372036854775807)"),
        ("+reserve.time=soon", "For input string: \"soon\""),
        ("+lite.topic.expiration=43201", "value is not in range(-1, 43200)"),
    ] {
        assert_eq!(refusal(None, text), remark, "{text}");
    }
}

#[test]
fn a_groups_attributes_have_their_own_values() {
    let group = |key: &str, value: &str| {
        alter(&GROUP_ATTRIBUTES, Some(&Attributes::new()), &attributes(&[(key, value)]))
            .map_err(|error| error.to_string())
    };
    for (key, value) in [
        ("+priority.factor", "0"),
        ("+lite.bind.topic", ""),
        ("+lite.sub.model", "Exclusive"),
        ("+lite.sub.reset.offset.exclusive", "TRUE"),
        ("+lite.sub.reset.offset.unsubscribe", "false"),
        ("+lite.sub.client.quota", "-1"),
        ("+lite.sub.client.max.event.cnt", "10"),
        ("+lite.sub.wildcard", "a*"),
    ] {
        assert_eq!(group(key, value), Ok(attributes(&[(&key[1..], value)])), "{key}={value}");
    }
    for (key, value, remark) in [
        ("+priority.factor", "101", "value is not in range(0, 100)"),
        ("+lite.sub.model", "shared", "value is not in set: [Shared, Exclusive]"),
        ("+lite.sub.reset.offset.exclusive", "yes", "boolean attribute format is wrong."),
        ("+lite.sub.client.max.event.cnt", "9", "value is not in range(10, 9223372036854775807)"),
        ("+message.type", "FIFO", "unsupported key: message.type"),
    ] {
        assert_eq!(group(key, value), Err(remark.to_owned()), "{key}={value}");
    }
}

#[test]
fn every_default_is_a_value_that_its_attribute_accepts() {
    for attribute in TOPIC_ATTRIBUTES.iter().chain(&GROUP_ATTRIBUTES) {
        assert_eq!(attribute.values.check(attribute.default), Ok(()), "{}", attribute.name);
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[-+=,.a-c]{0,40}") {
        for current in [None, Some(&[("a", "1"), ("message.type", "FIFO")][..])] {
            let _ = topic(current, &text);
        }
    }
}
