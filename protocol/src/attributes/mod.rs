//! Attributes of topics and consumer groups: which there are, and how a request changes them.
//!
//! A request names its changes as `+key=value` (set) and `-key` (remove), separated by commas in a
//! header, or as a map whose keys keep the sign in a body. A topic that is being created takes only
//! `+`; afterwards some attributes can no longer change.
//!
//! Source: `AttributeParser` and `AttributeUtil.alterCurrentAttributes` of RocketMQ 5.5.0. The
//! texts of [`AttributeError`] are the messages of Java's exceptions, which a 5.5.0 broker puts
//! into the remark of its answer (code 1, SYSTEM_ERROR). Of several mistakes in one request Java
//! reports the first in the order of a `HashMap`; this module reports the first in the order of the
//! keys.

mod known;

pub use known::{GROUP_ATTRIBUTES, MESSAGE_TYPE, MIXED, TOPIC_ATTRIBUTES};

use std::collections::BTreeMap;

/// Attributes by name, or changes by signed name.
pub type Attributes = BTreeMap<String, String>;

/// One attribute that a broker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Name, without sign.
    pub name: &'static str,
    /// Whether it may be set, changed or removed after its topic or group was created.
    pub changeable: bool,
    /// What it may be set to.
    pub values: Values,
    /// The value that counts where the attribute is absent; empty where there is none.
    pub default: &'static str,
}

impl Attribute {
    const fn fixed(name: &'static str, values: Values, default: &'static str) -> Self {
        Self { name, changeable: false, values, default }
    }

    const fn changeable(name: &'static str, values: Values, default: &'static str) -> Self {
        Self { name, changeable: true, values, default }
    }
}

/// The values that an attribute accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// One of these texts, case counting; in the order in which Java prints the set.
    OneOf(&'static [&'static str]),
    /// A whole number, both bounds included.
    Range {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// `true` or `false` in any case.
    Bool,
    /// Any text.
    Any,
}

/// Why a change of attributes is refused. Each text is Java's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// `key=value` in a header without a `+` in the key.
    #[error("add/alter attribute format is wrong: {0}")]
    SetWithoutPlus(String),
    /// A key alone in a header, without a `-`.
    #[error("delete attribute format is wrong: {0}")]
    RemoveWithoutMinus(String),
    /// A `=` with nothing behind it, or with nothing on either side.
    #[error("Index {parts} out of bounds for length {parts}")]
    NothingBehindEquals {
        /// Parts that are not empty: 0 or 1.
        parts: usize,
    },
    /// The same signed key twice in a header.
    #[error("key duplication: {0}")]
    RepeatedInHeader(String),
    /// A key without even a sign.
    #[error("begin 1, end 0, length 0")]
    EmptyKey,
    /// Nothing behind the sign, or another sign in the name.
    #[error("kv string format wrong.")]
    KeyFormat,
    /// The same name set and removed.
    #[error("alter duplication key. key: {0}")]
    Repeated(String),
    /// A removal while the topic or group is being created.
    #[error("only add attribute is supported while creating topic. key: {0}")]
    OnlyAddOnCreate(String),
    /// A removal of what is not set.
    #[error("attempt to delete a nonexistent key: {0}")]
    NotSet(String),
    /// Neither `+` nor `-` in front.
    #[error("wrong format key: {0}")]
    NoSign(String),
    /// No attribute of this name.
    #[error("unsupported key: {0}")]
    Unknown(String),
    /// An attribute that only creation can set.
    #[error("attempt to update an unchangeable attribute. key: {0}")]
    Unchangeable(String),
    /// Not one of the values of [`Values::OneOf`].
    #[error("value is not in set: [{}]", .0.join(", "))]
    NotInSet(&'static [&'static str]),
    /// Not a number (`NumberFormatException`).
    #[error("For input string: \"{0}\"")]
    NotANumber(String),
    /// Outside the bounds of [`Values::Range`].
    #[error("value is not in range({min}, {max})")]
    NotInRange {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Not a value of [`Values::Bool`].
    #[error("boolean attribute format is wrong.")]
    NotABoolean,
}

/// Reads the field `attributes` of UPDATE_AND_CREATE_TOPIC (17),
/// `+key1=value1,+key2=value2,-key3`, into changes whose keys keep their sign. An empty text is no
/// change.
pub fn parse_changes(text: &str) -> Result<Attributes, AttributeError> {
    let mut changes = Attributes::new();
    // Java's `split` drops the empty parts at the end, and only those.
    let text = text.trim_end_matches(',');
    for change in text.split(',').filter(|_| !text.is_empty()) {
        let (key, value) = split_change(change)?;
        if changes.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(AttributeError::RepeatedInHeader(key.to_owned()));
        }
    }
    Ok(changes)
}

fn split_change(change: &str) -> Result<(&str, &str), AttributeError> {
    if !change.contains('=') {
        return match change.contains('-') {
            true => Ok((change, "")),
            false => Err(AttributeError::RemoveWithoutMinus(change.to_owned())),
        };
    }
    // A second `=` ends the value: Java takes the first two parts.
    let mut parts = change.trim_end_matches('=').split('=');
    let key = parts.next().unwrap_or_default();
    let Some(value) = parts.next() else {
        return Err(AttributeError::NothingBehindEquals { parts: usize::from(!key.is_empty()) });
    };
    match key.contains('+') {
        true => Ok((key, value)),
        false => Err(AttributeError::SetWithoutPlus(key.to_owned())),
    }
}

/// The attributes that a topic or group has after `changes`.
///
/// `known` is [`TOPIC_ATTRIBUTES`] or [`GROUP_ATTRIBUTES`]. `current` is what the topic or group
/// has now, `None` when the request creates it. The keys of `changes` carry their sign.
pub fn alter(
    known: &'static [Attribute],
    current: Option<&Attributes>,
    changes: &Attributes,
) -> Result<Attributes, AttributeError> {
    let mut altered = current.cloned().unwrap_or_default();
    let plan = plan(current, changes)?;
    for (name, set) in &plan {
        check(known, name, *set, current.is_none())?;
    }
    for (name, set) in plan {
        match set {
            Some(value) => altered.insert(name.to_owned(), value.to_owned()),
            None => altered.remove(name),
        };
    }
    Ok(altered)
}

/// The value to set by name; `None` where the attribute goes away.
type Plan<'c> = BTreeMap<&'c str, Option<&'c str>>;

fn plan<'c>(
    current: Option<&Attributes>,
    changes: &'c Attributes,
) -> Result<Plan<'c>, AttributeError> {
    let mut plan = Plan::new();
    for (key, value) in changes {
        let mut letters = key.chars();
        let sign = letters.next().ok_or(AttributeError::EmptyKey)?;
        let name = letters.as_str();
        if name.is_empty() || name.contains(['+', '-']) {
            return Err(AttributeError::KeyFormat);
        }
        if plan.contains_key(name) {
            return Err(AttributeError::Repeated(name.to_owned()));
        }
        let set = match (sign, current) {
            ('+', _) => Some(value.as_str()),
            (_, None) => return Err(AttributeError::OnlyAddOnCreate(name.to_owned())),
            ('-', Some(current)) if current.contains_key(name) => None,
            ('-', Some(_)) => return Err(AttributeError::NotSet(name.to_owned())),
            _ => return Err(AttributeError::NoSign(name.to_owned())),
        };
        plan.insert(name, set);
    }
    Ok(plan)
}

fn check(
    known: &'static [Attribute],
    name: &str,
    set: Option<&str>,
    creating: bool,
) -> Result<(), AttributeError> {
    let attribute = known.iter().find(|attribute| attribute.name == name);
    let attribute = attribute.ok_or_else(|| AttributeError::Unknown(name.to_owned()))?;
    if !creating && !attribute.changeable {
        return Err(AttributeError::Unchangeable(name.to_owned()));
    }
    set.map_or(Ok(()), |value| attribute.values.check(value))
}

impl Values {
    /// Whether an attribute may have this value.
    pub fn check(self, value: &str) -> Result<(), AttributeError> {
        let refusal = match self {
            Self::OneOf(texts) if !texts.contains(&value) => AttributeError::NotInSet(texts),
            Self::Range { min, max } => match value.parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => return Ok(()),
                Ok(_) => AttributeError::NotInRange { min, max },
                Err(_) => AttributeError::NotANumber(value.to_owned()),
            },
            Self::Bool
                if !["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word)) =>
            {
                AttributeError::NotABoolean
            }
            _ => return Ok(()),
        };
        Err(refusal)
    }
}

#[cfg(test)]
mod tests;
