//! Lite topics: children of a topic with `message.type=LITE`, each a light message queue
//! (`LiteUtil`).
//!
//! ```text
//!   %LMQ%$parent$child      the queue of one
//!   %LMQ%…                  any other light message queue
//! ```

use crate::names::LMQ_PREFIX;

/// The attribute of a group that names the parent topic that it consumes.
pub const BIND_TOPIC: &str = "lite.bind.topic";
/// … whose clients share a lite topic, or not.
pub const SUB_MODEL: &str = "lite.sub.model";
/// … that begins a lite topic anew when another client takes it over.
pub const RESET_EXCLUSIVE: &str = "lite.sub.reset.offset.exclusive";
/// … that begins a lite topic anew when a client leaves it.
pub const RESET_UNSUBSCRIBE: &str = "lite.sub.reset.offset.unsubscribe";
/// … that says how many events of one client are kept.
pub const EVENTS_MAX: &str = "lite.sub.client.max.event.cnt";
/// … that consumes all children of its topic.
pub const WILDCARD: &str = "lite.sub.wildcard";
/// The attribute of a topic that says after how many minutes without a message a child goes.
pub const EXPIRATION: &str = "lite.topic.expiration";
/// The value of `message.type` of a parent.
pub const MESSAGE_TYPE: &str = "LITE";
/// The only queue of a light message queue.
pub const QUEUE_ID: i32 = 0;

const SEPARATOR: char = '$';
/// What a folder's name takes, in bytes.
const QUEUE_BYTES_MAX: usize = 255;

/// The queue of a child; `None` without a name of either.
#[must_use]
pub fn queue(parent: &str, child: &str) -> Option<String> {
    let is_named = !parent.is_empty() && !child.is_empty();
    is_named.then(|| format!("{LMQ_PREFIX}{SEPARATOR}{parent}{SEPARATOR}{child}"))
}

/// Whether a topic is the queue of a child: by its prefix alone.
#[must_use]
pub fn is_queue(topic: &str) -> bool {
    topic.strip_prefix(LMQ_PREFIX).is_some_and(|rest| rest.starts_with(SEPARATOR))
}

/// Parent and child of a queue.
#[must_use]
pub fn parts(queue: &str) -> Option<(&str, &str)> {
    let rest = queue.strip_prefix(LMQ_PREFIX)?.strip_prefix(SEPARATOR)?;
    let (parent, child) = rest.split_once(SEPARATOR)?;
    let is_one = !parent.is_empty() && !child.is_empty() && !child.contains(SEPARATOR);
    is_one.then_some((parent, child))
}

/// Whether a child may have this name. RocketMQ 5.5.0 does not look: a name with `$` stops its
/// broker's dispatch for good, one with `/` is in no queue, and `,` makes two of it.
#[must_use]
pub fn is_child_name(parent: &str, child: &str) -> bool {
    let is_bad = |character: char| matches!(character, '$' | '/' | ',') || character.is_control();
    let bytes = LMQ_PREFIX.len() + 2 * SEPARATOR.len_utf8() + parent.len() + child.len();
    !child.is_empty() && bytes <= QUEUE_BYTES_MAX && !child.contains(is_bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_named_and_read_as_apache_does() {
        assert_eq!(queue("P", "a").as_deref(), Some("%LMQ%$P$a"));
        assert_eq!((queue("P", ""), queue("", "a")), (None, None));
        assert_eq!(parts("%LMQ%$P$a"), Some(("P", "a")));
        for none in ["%LMQ%$P$", "%LMQ%$$a", "%LMQ%$P", "%LMQ%$P$a$b", "%LMQ%P$a", "P$a"] {
            assert_eq!(parts(none), None, "{none}");
        }
        assert!(is_queue("%LMQ%$P$a$b") && !is_queue("%LMQ%mqtt") && !is_queue("T"));
    }

    #[test]
    fn names_that_would_stop_apaches_dispatch_are_told() {
        assert!(is_child_name("P", "a.b:c") && is_child_name("P", &"x".repeat(247)));
        for bad in ["", "a$b", "a/b", "a,b", "a\0", "a\u{1}b", &"x".repeat(248)] {
            assert!(!is_child_name("P", bad), "{bad:?}");
        }
    }
}
