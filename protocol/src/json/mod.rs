//! JSON as RocketMQ's peers really write it: fastjson's dialect, read and written.

pub mod scan;
pub mod text;

mod write_text;

pub use scan::JsonError;
pub(crate) use write_text::{write_int, write_string};
