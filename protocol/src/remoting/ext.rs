//! The custom fields of a header (`extFields`), read in place.

use std::borrow::Cow;

use super::error::{HeaderError, excerpt};
use crate::bytes::Reader;
use crate::json::JsonError;
use crate::json::scan::Scanner;
use crate::json::text::RawText;

/// How many fields are found again without scanning. A header of the data path has 14 to 18.
const INDEXED_MAX: usize = 20;

/// The custom fields of one header: a view into the frame, validated when the frame was parsed.
///
/// The parse remembers the positions of the first [`INDEXED_MAX`] fields; a header with more fields
/// is scanned again at each access. A request of the data path is decoded in one walk by its own
/// header type ([`crate::headers`]); the getters here are for the other requests. Of a repeated key
/// the last value counts.
#[derive(Debug, Clone, Copy)]
pub struct Ext<'a> {
    source: Source<'a>,
    count: usize,
    index: [FieldAt; INDEXED_MAX],
}

#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    /// The object's text after its `{`.
    Json(&'a str),
    /// Binary entries: key length i16, key, value length i32, value.
    Binary(&'a [u8]),
}

/// Where a field's key and value lie in the source. Two bytes an offset, so that the index stays
/// small enough to be moved around with its header; a header that needs more is not indexed
/// ([`Ext::add`]).
#[derive(Debug, Clone, Copy, Default)]
struct FieldAt {
    key: Span,
    value: Span,
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u16,
    /// Length, and whether the text has escapes in the highest bit.
    length: u16,
}

const ESCAPED: u16 = 1 << 15;

impl Span {
    /// `None` when it lies too far in, or is too long, for two bytes.
    fn new(start: usize, end: usize, escaped: bool) -> Option<Self> {
        let start_u16 = u16::try_from(start).ok()?;
        let length =
            u16::try_from(end.checked_sub(start)?).ok().filter(|length| *length < ESCAPED)?;
        Some(Self { start: start_u16, length: if escaped { length | ESCAPED } else { length } })
    }

    fn range(self) -> std::ops::Range<usize> {
        let start = usize::from(self.start);
        start..start + usize::from(self.length & !ESCAPED)
    }

    fn of_text(self, text: &str) -> Option<RawText<'_>> {
        let raw = text.get(self.range())?;
        Some(if self.length & ESCAPED == 0 { RawText::plain(raw) } else { RawText::escaped(raw) })
    }

    fn of_bytes(self, bytes: &[u8]) -> Option<RawText<'_>> {
        std::str::from_utf8(bytes.get(self.range())?).ok().map(RawText::plain)
    }
}

impl<'a> Ext<'a> {
    /// No fields.
    pub(super) const EMPTY: Ext<'static> = Ext {
        source: Source::Binary(&[]),
        count: 0,
        index: [FieldAt { key: Span { start: 0, length: 0 }, value: Span { start: 0, length: 0 } };
            INDEXED_MAX],
    };

    /// Reads the object whose `{` was taken, checking every field, so that walking them later can't
    /// fail.
    pub(super) fn read_json(text: &'a str, scanner: &mut Scanner<'a>) -> Result<Self, JsonError> {
        let start = scanner.offset();
        let mut ext =
            Self { source: Source::Json(text.get(start..).unwrap_or_default()), ..Self::EMPTY };
        let mut first = true;
        'members: while scanner.more(&mut first, b'}')? {
            let span = |(from, to, escaped): (usize, usize, bool)| {
                Span::new(from - start, to - start, escaped)
            };
            while let Some([key, value]) = scanner.plain_member() {
                ext.add(span(key), span(value));
                if !scanner.take_comma_before_quote() {
                    continue 'members;
                }
            }
            let key = scanner.key_span()?;
            if let Some(value) = scanner.value_span()? {
                ext.add(span(key), span(value));
            }
        }
        Ok(ext)
    }

    /// Fields that were checked by the binary header's reader, which calls [`Ext::add_binary`] for
    /// each.
    pub(super) fn binary(entries: &'a [u8]) -> Self {
        Self { source: Source::Binary(entries), ..Self::EMPTY }
    }

    /// One field of binary entries: the range of its key and of its value. Java reads a text of
    /// length 0 as null and puts no null into the map.
    pub(super) fn add_binary(
        &mut self,
        key: std::ops::Range<usize>,
        value: std::ops::Range<usize>,
    ) {
        if !key.is_empty() && !value.is_empty() {
            self.add(
                Span::new(key.start, key.end, false),
                Span::new(value.start, value.end, false),
            );
        }
    }

    /// A field that the index can't hold makes the header one that is scanned at each access, as
    /// too many fields do.
    fn add(&mut self, key: Option<Span>, value: Option<Span>) {
        match (self.index.get_mut(self.count), key, value) {
            (Some(place), Some(key), Some(value)) => {
                *place = FieldAt { key, value };
                self.count += 1;
            }
            _ => self.count = INDEXED_MAX + 1,
        }
    }

    /// All fields with escapes left in; null values are skipped.
    #[must_use]
    pub fn entries(&self) -> Entries<'_, 'a> {
        if self.count > INDEXED_MAX {
            return Entries(match self.source {
                Source::Json(text) => Inner::Json { scanner: Scanner::new(text), first: true },
                Source::Binary(bytes) => Inner::Binary(Reader::new(bytes)),
            });
        }
        Entries(Inner::Indexed {
            fields: self.index.get(..self.count).unwrap_or_default().iter(),
            source: self.source,
        })
    }

    /// Calls `visit` for each of [`Ext::entries`]. Requests of the data path are decoded by it, so
    /// each kind of source has its own loop.
    #[inline]
    pub(crate) fn each(&self, mut visit: impl FnMut(Key<'a>, RawText<'a>)) {
        match self.source {
            Source::Json(text) if self.count <= INDEXED_MAX => {
                for field in self.index.get(..self.count).unwrap_or_default() {
                    let letter = if field.key.length == 1 {
                        text.as_bytes().get(usize::from(field.key.start))
                    } else {
                        None
                    };
                    let key = letter
                        .map(|letter| Key::Letter(*letter))
                        .or_else(|| field.key.of_text(text).map(Key::Text));
                    let (Some(key), Some(value)) = (key, field.value.of_text(text)) else { return };
                    visit(key, value);
                }
            }
            _ => self.entries().for_each(|(key, value)| visit(Key::Text(key), value)),
        }
    }

    /// All fields; numbers and booleans as their text.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.entries().map(|(key, value)| (key.to_cow(), value.to_cow()))
    }

    /// Whether there is no field at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Cow<'a, str>> {
        if self.count > INDEXED_MAX {
            let found = self.entries().filter(|(found, _)| is(found, key)).last();
            return found.map(|(_, value)| value.to_cow());
        }
        let fields = self.index.get(..self.count).unwrap_or_default();
        let found = fields.iter().rev().find(|field| self.is_key(field.key, key))?;
        let value = match self.source {
            Source::Json(text) => found.value.of_text(text),
            Source::Binary(bytes) => found.value.of_bytes(bytes),
        };
        value.map(|value| value.to_cow())
    }

    /// Whether a key of the index is this one. Most are told apart by their length alone.
    fn is_key(&self, found: Span, key: &str) -> bool {
        let escaped = found.length & ESCAPED != 0;
        if !escaped && usize::from(found.length) != key.len() {
            return false;
        }
        match self.source {
            Source::Json(text) if escaped => found.of_text(text).is_some_and(|text| is(&text, key)),
            Source::Json(text) => text.as_bytes().get(found.range()) == Some(key.as_bytes()),
            Source::Binary(bytes) => bytes.get(found.range()) == Some(key.as_bytes()),
        }
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

    /// A boolean as Java reads it: "true" in any case is true, all else is false. `None` when
    /// absent.
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

fn parse<T: std::str::FromStr>(
    field: &'static str,
    text: &str,
    expected: &'static str,
) -> Result<Option<T>, HeaderError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(HeaderError::Invalid { field, expected, found: excerpt(text) }),
    }
}

/// A field's key as [`Ext::each`] shows it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key<'a> {
    /// A key of one byte without an escape, as all keys of a V2 send are. It needs no text.
    Letter(u8),
    /// Any key, also of one letter.
    Text(RawText<'a>),
}

/// Iterator over the fields of an [`Ext`].
#[derive(Debug, Clone)]
pub struct Entries<'e, 'a>(Inner<'e, 'a>);

#[derive(Debug, Clone)]
enum Inner<'e, 'a> {
    Indexed { fields: std::slice::Iter<'e, FieldAt>, source: Source<'a> },
    Json { scanner: Scanner<'a>, first: bool },
    Binary(Reader<'a>),
}

impl<'a> Iterator for Entries<'_, 'a> {
    type Item = (RawText<'a>, RawText<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::Indexed { fields, source } => {
                let field = fields.next()?;
                match source {
                    Source::Json(text) => {
                        Some((field.key.of_text(text)?, field.value.of_text(text)?))
                    }
                    Source::Binary(bytes) => {
                        Some((field.key.of_bytes(bytes)?, field.value.of_bytes(bytes)?))
                    }
                }
            }
            Inner::Json { scanner, first } => loop {
                let key = scanner.next_key(first).ok()??;
                if let Some(value) = scanner.value().ok()?.to_text() {
                    return Some((key, value));
                }
            },
            Inner::Binary(reader) => loop {
                let key = std::str::from_utf8(reader.sized_i16()?).ok()?;
                let value = std::str::from_utf8(reader.sized_i32()?).ok()?;
                if !key.is_empty() && !value.is_empty() {
                    return Some((RawText::plain(key), RawText::plain(value)));
                }
            },
        }
    }
}
