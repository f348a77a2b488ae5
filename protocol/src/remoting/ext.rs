//! The custom fields of a header (`extFields`), read in place.

use std::borrow::Cow;

use super::error::{HeaderError, excerpt};
use crate::bytes::Reader;
use crate::json::scan::Scanner;
use crate::json::text::RawText;

/// The custom fields of one header: a view into the frame, validated when the frame was parsed.
///
/// Each access walks the fields. A request of the data path is decoded in one walk by its own header type
/// ([`crate::headers`]); the getters here are for the other requests. Of a repeated key the last value counts.
#[derive(Debug, Clone, Copy)]
pub struct Ext<'a> {
    source: Source<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    /// The object's text after its `{`.
    Json(&'a str),
    /// Binary entries: key length i16, key, value length i32, value.
    Binary(&'a [u8]),
}

impl<'a> Ext<'a> {
    /// No fields.
    pub(super) const EMPTY: Ext<'static> = Ext { source: Source::Binary(&[]) };

    pub(super) fn json(after_brace: &'a str) -> Self {
        Self { source: Source::Json(after_brace) }
    }

    pub(super) fn binary(entries: &'a [u8]) -> Self {
        Self { source: Source::Binary(entries) }
    }

    /// All fields with escapes left in; null values are skipped.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        match self.source {
            Source::Json(text) => Entries(Inner::Json { scanner: Scanner::new(text), first: true }),
            Source::Binary(bytes) => Entries(Inner::Binary(Reader::new(bytes))),
        }
    }

    /// All fields; numbers and booleans as their text.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        self.entries().map(|(key, value)| (key.to_cow(), value.to_cow()))
    }

    /// Whether there is no field at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Cow<'a, str>> {
        self.entries().filter(|(found, _)| is(found, key)).last().map(|(_, value)| value.to_cow())
    }

    /// The value of a mandatory field.
    pub fn require(&self, field: &'static str) -> Result<Cow<'a, str>, HeaderError> {
        self.get(field).ok_or(HeaderError::Missing { field })
    }

    /// A 32-bit number; `None` when absent or empty.
    pub fn get_i32(&self, field: &'static str) -> Result<Option<i32>, HeaderError> {
        self.get(field).map_or(Ok(None), |text| parse_i32(field, &text))
    }

    /// A 64-bit number; `None` when absent or empty.
    pub fn get_i64(&self, field: &'static str) -> Result<Option<i64>, HeaderError> {
        self.get(field).map_or(Ok(None), |text| parse_i64(field, &text))
    }

    /// A boolean as Java reads it: "true" in any case is true, all else is false. `None` when absent.
    #[must_use]
    pub fn get_bool(&self, field: &str) -> Option<bool> {
        self.get(field).map(|text| parse_bool(&text))
    }

    /// A mandatory 32-bit number.
    pub fn require_i32(&self, field: &'static str) -> Result<i32, HeaderError> {
        self.get_i32(field)?.ok_or(HeaderError::Missing { field })
    }

    /// A mandatory 64-bit number.
    pub fn require_i64(&self, field: &'static str) -> Result<i64, HeaderError> {
        self.get_i64(field)?.ok_or(HeaderError::Missing { field })
    }
}

fn is(found: &RawText<'_>, key: &str) -> bool {
    match found.as_plain() {
        Some(plain) => plain == key,
        None => found.to_cow() == key,
    }
}

/// `Boolean.parseBoolean`: C++ clients' "1" is false, as it is to Java.
pub(crate) fn parse_bool(text: &str) -> bool {
    text.eq_ignore_ascii_case("true")
}

/// A number; an empty text counts as absent.
pub(crate) fn parse_i32(field: &'static str, text: &str) -> Result<Option<i32>, HeaderError> {
    parse(field, text, "a 32-bit number")
}

/// A number; an empty text counts as absent.
pub(crate) fn parse_i64(field: &'static str, text: &str) -> Result<Option<i64>, HeaderError> {
    parse(field, text, "a 64-bit number")
}

fn parse<T: std::str::FromStr>(field: &'static str, text: &str, expected: &'static str) -> Result<Option<T>, HeaderError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(HeaderError::Invalid { field, expected, found: excerpt(text) }),
    }
}

/// Iterator over the fields of an [`Ext`].
#[derive(Debug, Clone)]
pub struct Entries<'a>(Inner<'a>);

#[derive(Debug, Clone)]
enum Inner<'a> {
    Json { scanner: Scanner<'a>, first: bool },
    Binary(Reader<'a>),
}

impl<'a> Iterator for Entries<'a> {
    type Item = (RawText<'a>, RawText<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::Json { scanner, first } => loop {
                let key = scanner.next_key(first).ok()??;
                if let Some(value) = scanner.value().ok()?.to_text() {
                    return Some((key, value));
                }
            },
            Inner::Binary(reader) => loop {
                let key = std::str::from_utf8(reader.sized_i16()?).ok()?;
                let value = std::str::from_utf8(reader.sized_i32()?).ok()?;
                // Java reads a text of length 0 as null and puts no null into the map.
                if !key.is_empty() && !value.is_empty() {
                    return Some((RawText::plain(key), RawText::plain(value)));
                }
            },
        }
    }
}
