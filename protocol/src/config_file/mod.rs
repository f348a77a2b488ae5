//! RocketMQ's `.properties` files, and the tables of keys a program understands.
//!
//! ```text
//! bytes ──parse──► Properties (key -> value, line) ──resolve with a table of Keys──► Settings (values, notes)
//! ```
//!
//! A program declares one table of [`Key`]s (name, type, default, doc). [`Settings::resolve`]
//! checks every value of the file against it, so that a wrong one is an error naming file, line,
//! key, what was found and what is accepted, and an unknown key is a [`Note`] with the nearest
//! known key. [`Settings::print`] is what `-p` shows: the same table with the values in force.

mod error;
mod key;
mod properties;
mod settings;

pub use error::{ConfigError, Note};
pub use key::{Key, Kind};
pub use properties::{Entry, Place, Properties};
pub use settings::Settings;

#[cfg(test)]
mod tests;
