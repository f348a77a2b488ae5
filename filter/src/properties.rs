//! What is known of a message.

use std::borrow::Cow;

/// The properties of one message.
pub trait Properties {
    /// The value of a property; `None` where the message has none of this name.
    fn get(&self, name: &str) -> Option<Cow<'_, str>>;
}
