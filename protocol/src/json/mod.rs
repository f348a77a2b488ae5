//! JSON as RocketMQ's peers really write it: fastjson's dialect, read and written.
//!
//! * [`text`] and [`scan`]: the zero-allocation scanner under everything else; remoting headers use
//!   it directly.
//! * [`from_lenient`], [`parse_lenient`]: bodies in. Keys unquoted, in single quotes, numbers or
//!   inline objects (`{{"brokerName":"b"}:12}`: such a key is its own JSON text), numbers and
//!   booleans as strings and back, enums by name or ordinal, null as absent.
//! * [`to_fastjson`], [`to_standard`]: bodies out, numeric and object keys as fastjson writes them,
//!   or quoted.

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
pub(crate) use write_text::{write_int, write_string};
