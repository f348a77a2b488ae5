//! RocketMQ's binary header.
//!
//! ```text
//!  0      2      3         5        9       13            17
//!  | code | lang | version | opaque | flag  | remarkLen R | remark, R bytes | extLen E | entries, E bytes |   big-endian
//!  | i16  | u8   | i16     | i32    | i32   | i32         |                 | i32      |                  |
//!
//!  entry: | keyLen i16 | key | valueLen i32 | value |
//! ```

use super::command::{CommandView, SerializeType};
use super::error::DecodeError;
use super::ext::Ext;
use crate::bytes::Reader;
use crate::codes::request;
use crate::json::text::RawText;

/// Bytes of a header without remark and fields.
pub(super) const HEADER_BYTES_MIN: usize = 2 + 1 + 2 + 4 + 4 + 4 + 4;
const _: () = assert!(HEADER_BYTES_MIN == 21);

pub(super) fn parse<'a>(header: &'a [u8], body: &'a [u8]) -> Result<CommandView<'a>, DecodeError> {
    let mut reader = Reader::new(header);
    let mut view = fixed_part(&mut reader, body).ok_or(DecodeError::TooShort {
        what: "the binary header",
        expected: HEADER_BYTES_MIN,
        found: header.len(),
    })?;
    let remark = sized(&mut reader, "remark")?;
    let remark = utf8(remark, "the remark", &reader)?;
    view.remark = (!remark.is_empty()).then(|| RawText::plain(remark));
    let entries = sized(&mut reader, "extFields")?;
    view.ext = read_entries(entries)?;
    if !view.is_response() {
        view.code = i16::try_from(view.code).map_or(view.code, request::from_short);
    }
    Ok(view)
}

fn fixed_part<'a>(reader: &mut Reader<'a>, body: &'a [u8]) -> Option<CommandView<'a>> {
    if reader.remaining() < HEADER_BYTES_MIN {
        return None;
    }
    Some(CommandView {
        serialize: SerializeType::RocketMq,
        code: i32::from(reader.i16()?),
        language: reader.u8()?,
        version: i32::from(reader.i16()?),
        opaque: reader.i32()?,
        flag: reader.i32()?,
        ext: Ext::EMPTY,
        body,
        remark: None,
    })
}

fn sized<'a>(reader: &mut Reader<'a>, what: &'static str) -> Result<&'a [u8], DecodeError> {
    let (offset, available) = (reader.position(), reader.remaining());
    reader.sized_i32().ok_or(DecodeError::Length { what, offset, available })
}

fn utf8<'a>(
    bytes: &'a [u8],
    what: &'static str,
    reader: &Reader<'_>,
) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|error| DecodeError::Utf8 {
        what,
        offset: reader.position() - bytes.len() + error.valid_up_to(),
    })
}

/// Every length and every text is checked here, so that walking the fields later can't fail.
fn read_entries(entries: &[u8]) -> Result<Ext<'_>, DecodeError> {
    let mut ext = Ext::binary(entries);
    let mut reader = Reader::new(entries);
    while reader.remaining() > 0 {
        let (offset, available) = (reader.position(), reader.remaining());
        let key = reader.sized_i16().ok_or(DecodeError::Length {
            what: "a field's key",
            offset,
            available,
        })?;
        utf8(key, "a field's key", &reader)?;
        let key_end = reader.position();
        let value = sized(&mut reader, "a field's value")?;
        utf8(value, "a field's value", &reader)?;
        let value_end = reader.position();
        ext.add_binary(key_end - key.len()..key_end, value_end - value.len()..value_end);
    }
    Ok(ext)
}
