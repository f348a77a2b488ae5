//! The remoting frame: a request or an answer of any kind.
//!
//! ```text
//!  0        4                  8                8+H              4+L
//!  | L  u32 | type u8, H u24   | header, H bytes | body           |   big-endian
//! ```
//!
//! `L` counts everything after itself. The header is JSON (type 0, [`json`]) or RocketMQ's binary
//! form (type 1, [`binary`]); each frame says which. The network layer cuts the stream into frames
//! and passes them on without `L`.

mod binary;
mod command;
mod error;
mod ext;
mod json;
mod write;

pub use command::{CommandView, FLAG_ONEWAY, FLAG_RESPONSE, SerializeType};
pub use error::{DecodeError, HeaderError};
pub use ext::{Entries, Ext};
pub(crate) use ext::{parse_bool, parse_i32, parse_i64};
pub use write::{
    CommandHead, ExtWriter, PreparedFields, Sender, write_command, write_command_as,
    write_command_head,
};
