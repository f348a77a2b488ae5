//! Which messages of a queue a consumer wants: by tag, told by the 32-bit hash in the ConsumeQueue,
//! or by what the record says (SQL92, [`super::sql`]).
//!
//! Of tags the broker compares the hash only; clients compare the tag itself again. The codes are
//! computed here from the expression rather than taken from the heartbeat's `codeSet`, because the
//! C++ client fills that with `atoi(tag)` and the Rust client hashes tags with the blanks around
//! them.

use crate::limits::TAGS_PER_SUBSCRIPTION_MAX;
use engine::{RecordFilter, TagFilter};
use protocol::bodies::SubscriptionData;
use protocol::tags::java_hash;
use std::rc::Rc;

/// What a consumer wants of a queue.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// Everything.
    All,
    /// Messages whose tag hashes to one of these.
    Codes(Rc<[i32]>),
    /// Messages whose record this takes.
    Records(Rc<dyn RecordFilter>),
}

/// Two filters of records are the same when they are one.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, Self::All) => true,
            (Self::Codes(codes), Self::Codes(others)) => codes == others,
            (Self::Records(filter), Self::Records(other)) => Rc::ptr_eq(filter, other),
            _ => false,
        }
    }
}

impl Eq for Filter {}

impl Filter {
    /// Reads a TAG expression: `*` and nothing mean all, otherwise tags joined by `||`.
    pub(crate) fn parse(expression: Option<&str>) -> Result<Self, FilterError> {
        let expression = expression.unwrap_or("");
        if expression.is_empty() || expression == "*" {
            return Ok(Self::All);
        }
        if expression.split("||").all(str::is_empty) {
            return Err(FilterError::NoTags);
        }
        let tags = expression.split("||").map(str::trim).filter(|tag| !tag.is_empty());
        if tags.clone().count() > TAGS_PER_SUBSCRIPTION_MAX {
            return Err(FilterError::TooManyTags);
        }
        Ok(Self::Codes(tags.map(java_hash).collect()))
    }

    /// What a heartbeat subscribes to by tag; without an expression its codes decide.
    pub(crate) fn of_subscription(subscription: &SubscriptionData) -> Result<Self, FilterError> {
        if subscription.sub_string.is_empty() {
            Ok(Self::from_codes(&subscription.code_set))
        } else {
            Self::parse(Some(&subscription.sub_string))
        }
    }

    /// Messages with one of these codes; all when there is none.
    #[must_use]
    pub(crate) fn from_codes(codes: &[i32]) -> Self {
        if codes.is_empty() {
            Self::All
        } else {
            Self::Codes(codes.iter().copied().take(TAGS_PER_SUBSCRIPTION_MAX).collect())
        }
    }

    /// For a read of what is in memory.
    #[must_use]
    pub(crate) fn as_tag_filter(&self) -> TagFilter<'_> {
        match self {
            Self::All => TagFilter::All,
            Self::Codes(codes) => TagFilter::Codes(codes),
            Self::Records(filter) => TagFilter::Records(filter),
        }
    }

    /// Whether a message with this code in its ConsumeQueue unit passes, as far as that says it.
    #[must_use]
    pub(crate) fn wants(&self, tags_code: i64) -> bool {
        match self {
            Self::All | Self::Records(_) => true,
            Self::Codes(codes) => i32::try_from(tags_code).is_ok_and(|code| codes.contains(&code)),
        }
    }
}

/// Why an expression is refused (SUBSCRIPTION_PARSE_FAILED).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FilterError {
    /// Only separators.
    #[error("the expression has only separators and no tag")]
    NoTags,
    /// More tags than the limit.
    #[error("the expression has more than {TAGS_PER_SUBSCRIPTION_MAX} tags")]
    TooManyTags,
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::tags::tags_code;

    #[test]
    fn a_star_or_nothing_is_everything() {
        for expression in [None, Some(""), Some("*")] {
            assert_eq!(Filter::parse(expression), Ok(Filter::All));
        }
        assert!(Filter::All.wants(i64::MIN));
    }

    #[test]
    fn tags_are_trimmed_and_hashed_as_java_does() {
        let filter = Filter::parse(Some(" TagA || TagB ")).unwrap();
        assert!(filter.wants(tags_code("TagA")) && filter.wants(tags_code("TagB")));
        assert!(!filter.wants(tags_code("TagC")) && !filter.wants(0));
    }

    #[test]
    fn separators_alone_are_refused() {
        assert_eq!(Filter::parse(Some("||")), Err(FilterError::NoTags));
        let many = vec!["t"; TAGS_PER_SUBSCRIPTION_MAX + 1].join("||");
        assert_eq!(Filter::parse(Some(&many)), Err(FilterError::TooManyTags));
    }

    #[test]
    fn a_deliver_time_in_place_of_a_hash_matches_no_tag() {
        assert!(!Filter::from_codes(&[0]).wants(1_700_000_000_000));
    }
}
