//! Reading and writing fastjson's dialect of JSON, which RocketMQ's peers use.
//!
//! * [`text`] and [`scan`]: the scanner, which allocates nothing. Everything else builds on it;
//!   remoting headers use it directly.
//! * [`from_lenient`], [`parse_lenient`]: reading bodies. It accepts keys unquoted, in single
//!   quotes, numbers or inline objects (`{{"brokerName":"b"}:12}`: such a key is its own JSON
//!   text), numbers and booleans as strings and back, enums by name or ordinal, null as absent.
//! * [`to_fastjson`], [`to_standard`]: writing bodies, with numeric and object keys as fastjson
//!   writes them or quoted.

pub mod scan;
pub mod text;

mod coerce;
mod keys;
mod lenient;
mod write;
mod write_text;

pub use lenient::{from_lenient, parse_lenient};
pub use scan::JsonError;
pub use write::{to_fastjson, to_standard, write_fastjson, write_standard};
pub(crate) use write_text::{push_int, write_int, write_string};
