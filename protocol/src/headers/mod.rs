//! Custom headers of the data path, decoded in one walk over their fields, without allocating.
//!
//! Other requests read their few fields with [`crate::remoting::Ext`]'s getters.

mod pull;
mod recall;
mod scratch;
mod send;
mod send_back;

pub use pull::{PullHeader, PullResponseHeader};
pub use recall::RecallHeader;
pub use scratch::Scratch;
pub use send::{SendHeader, SendResponseHeader};
pub use send_back::SendBackHeader;

use crate::json::text::RawText;
use crate::remoting::HeaderError;
use crate::remoting::{parse_bool, parse_i32, parse_i64};

/// A field as a number, whatever its escapes; `None` when absent or empty.
#[inline]
fn opt_i32(field: &'static str, raw: Option<RawText<'_>>) -> Result<Option<i32>, HeaderError> {
    raw.map_or(Ok(None), |raw| match raw.as_plain() {
        Some(plain) => parse_i32(field, plain),
        None => parse_i32(field, &raw.to_cow()),
    })
}

#[inline]
fn opt_i64(field: &'static str, raw: Option<RawText<'_>>) -> Result<Option<i64>, HeaderError> {
    raw.map_or(Ok(None), |raw| match raw.as_plain() {
        Some(plain) => parse_i64(field, plain),
        None => parse_i64(field, &raw.to_cow()),
    })
}

#[inline]
fn req_i32(field: &'static str, raw: Option<RawText<'_>>) -> Result<i32, HeaderError> {
    opt_i32(field, raw)?.ok_or(HeaderError::Missing { field })
}

#[inline]
fn req_i64(field: &'static str, raw: Option<RawText<'_>>) -> Result<i64, HeaderError> {
    opt_i64(field, raw)?.ok_or(HeaderError::Missing { field })
}

#[inline]
fn is_true(raw: Option<RawText<'_>>) -> bool {
    raw.is_some_and(|raw| match raw.as_plain() {
        Some(plain) => parse_bool(plain),
        None => parse_bool(&raw.to_cow()),
    })
}
