//! The custom fields of a header (`extFields`), read in place.

use std::borrow::Cow;

use super::error::{HeaderError, excerpt};
use crate::bytes::Reader;
use crate::json::JsonError;
use crate::json::scan::Scanner;
use crate::json::text::RawText;

/// How many fields are found again without scanning. A header of the data path has 14 to 18.
const INDEXED_MAX: usize = 20;

/// How many letters have a place of their own, from `a` on: the keys of a V2 send and two more.
const LETTERS: usize = 16;
const ALPHABET: &str = "abcdefghijklmnop";

/// The custom fields of one header: a view into the frame, validated when the frame was parsed.
///
/// The parse remembers where the values of one-letter keys lie, and the first [`INDEXED_MAX`] other
/// fields; a header with more is scanned again at each access. A request of the data path is
/// decoded by its own header type ([`crate::headers`]); the getters here are for the other
/// requests. Of a repeated key the last value counts.
///
/// ```text
///   {"a":"group","b":"topic","i":"…","nsd":"false"}
///     letters[0] ^  [1] ^  letters[8] ^     ^ index[0]
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Ext<'a> {
    source: Source<'a>,
    /// Values of keys of one letter, in JSON headers. One that lies at 0 is not there: before a
    /// value comes its key.
    letters: [Span; LETTERS],
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

/// Start, end, and whether the text between them has escapes, as the scanner gives it.
type Place = (usize, usize, bool);

/// Where a letter's value is in [`Ext::letters`]; [`LETTERS`] and more for other bytes.
fn letter_place(letter: u8) -> usize {
    usize::from(letter.wrapping_sub(b'a'))
}

impl Span {
    const NONE: Self = Self { start: 0, length: 0 };

    fn is_there(self) -> bool {
        self.start != 0
    }

    #[inline]
    fn of_place((start, end, escaped): Place) -> Option<Self> {
        Self::new(start, end, escaped)
    }

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
        letters: [Span::NONE; LETTERS],
        count: 0,
        index: [FieldAt { key: Span::NONE, value: Span::NONE }; INDEXED_MAX],
    };

    /// Reads the object whose `{` was taken, checking every field, so that walking them later can't
    /// fail. In place, as the index is long to be moved; fields of an object before it are gone.
    pub(super) fn read_json(
        &mut self,
        text: &'a str,
        scanner: &mut Scanner<'a>,
    ) -> Result<(), JsonError> {
        let start = scanner.offset();
        let text = text.get(start..).unwrap_or_default();
        if matches!(self.source, Source::Json(_)) {
            *self = Self::EMPTY;
        }
        self.source = Source::Json(text);
        let place = |(from, to, escaped)| (from - start, to - start, escaped);
        let mut first = true;
        'members: while scanner.more(&mut first, b'}')? {
            if scanner.letter_members(|letter, value| self.add_letter(letter, place(value))) {
                continue 'members;
            }
            while let Some([key, value]) = scanner.plain_member() {
                self.add_json(text, place(key), place(value));
                if !scanner.take_comma_before_quote() {
                    continue 'members;
                }
            }
            let key = scanner.key_span()?;
            if let Some(value) = scanner.value_span()? {
                self.add_json(text, place(key), place(value));
            }
        }
        Ok(())
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

    /// A field in whatever form. A key with escapes, which no client sends, may be any other key:
    /// such a header is scanned at each access.
    fn add_json(&mut self, text: &str, key: Place, value: Place) {
        let (start, end, escaped) = key;
        match text.as_bytes().get(start..end) {
            _ if escaped => self.count = INDEXED_MAX + 1,
            Some([letter]) if letter_place(*letter) < LETTERS => self.add_letter(*letter, value),
            _ => self.add(Span::new(start, end, false), Span::of_place(value)),
        }
    }

    #[inline]
    fn add_letter(&mut self, letter: u8, value: Place) {
        match (self.letters.get_mut(letter_place(letter)), Span::of_place(value)) {
            (Some(place), Some(value)) => *place = value,
            _ => self.count = INDEXED_MAX + 1,
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
            letters: self.letters.iter().enumerate(),
            fields: self.index.get(..self.count).unwrap_or_default().iter(),
            source: self.source,
        })
    }

    /// The values of the fields that `slot` knows, each at its place there. Requests of the data
    /// path are decoded by it: every field is looked at once.
    #[inline]
    pub(crate) fn collect<const N: usize>(
        &self,
        slot: impl Fn(&str) -> Option<usize>,
    ) -> [Option<RawText<'a>>; N] {
        let mut found = [None; N];
        for (key, value) in self.entries() {
            let slot = key.as_plain().map_or_else(|| slot(&key.to_cow()), &slot);
            if let Some(place) = slot.and_then(|slot| found.get_mut(slot)) {
                *place = Some(value);
            }
        }
        found
    }

    /// The values of the keys `a`, `b`, … when all keys of the header are such letters, as those of
    /// a V2 send are; `None` for a header that has others too.
    #[inline]
    pub(crate) fn letters(&self) -> Option<Letters<'_, 'a>> {
        let Source::Json(text) = self.source else { return None };
        (self.count == 0).then_some(Letters { text, spans: &self.letters })
    }

    /// All fields; numbers and booleans as their text.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.entries().map(|(key, value)| (key.to_cow(), value.to_cow()))
    }

    /// Whether there is no field at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0 && !self.letters.iter().any(|letter| letter.is_there())
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Cow<'a, str>> {
        if self.count > INDEXED_MAX {
            let found = self.entries().filter(|(found, _)| is(found, key)).last();
            return found.map(|(_, value)| value.to_cow());
        }
        if let ([letter], Source::Json(text)) = (key.as_bytes(), self.source)
            && let Some(value) = self.letters.get(letter_place(*letter))
            && value.is_there()
        {
            return value.of_text(text).map(|value| value.to_cow());
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
        if usize::from(found.length) != key.len() {
            return false;
        }
        match self.source {
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

/// The fields of a header whose keys are letters, see [`Ext::letters`].
#[derive(Clone, Copy)]
pub(crate) struct Letters<'e, 'a> {
    text: &'a str,
    spans: &'e [Span; LETTERS],
}

impl<'a> Letters<'_, 'a> {
    /// The value of the `nth` letter from `a` on.
    #[inline]
    pub(crate) fn get(self, nth: usize) -> Option<RawText<'a>> {
        let span = self.spans.get(nth)?;
        if span.is_there() { span.of_text(self.text) } else { None }
    }

    /// The same of a value that is one digit, as half of a send's numbers are.
    #[inline]
    pub(crate) fn digit(self, nth: usize) -> Option<u8> {
        let span = self.spans.get(nth).filter(|span| span.length == 1)?;
        let digit = self.text.as_bytes().get(usize::from(span.start))?.wrapping_sub(b'0');
        (digit <= 9).then_some(digit)
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
#[inline]
pub(crate) fn parse_i32(field: &'static str, text: &str) -> Result<Option<i32>, HeaderError> {
    parse(field, text, "a 32-bit number")
}

/// A number; an empty text counts as absent.
#[inline]
pub(crate) fn parse_i64(field: &'static str, text: &str) -> Result<Option<i64>, HeaderError> {
    parse(field, text, "a 64-bit number")
}

#[inline]
fn parse<T: std::str::FromStr + From<u8>>(
    field: &'static str,
    text: &str,
    expected: &'static str,
) -> Result<Option<T>, HeaderError> {
    match text.as_bytes() {
        // Half of a send's numbers.
        [digit @ b'0'..=b'9'] => Ok(Some(T::from(digit - b'0'))),
        [] => Ok(None),
        _ => parse_long(field, text, expected).map(Some),
    }
}

#[inline(never)]
fn parse_long<T: std::str::FromStr>(
    field: &'static str,
    text: &str,
    expected: &'static str,
) -> Result<T, HeaderError> {
    text.parse().map_err(|_| HeaderError::Invalid { field, expected, found: excerpt(text) })
}

/// Iterator over the fields of an [`Ext`].
#[derive(Debug, Clone)]
pub struct Entries<'e, 'a>(Inner<'e, 'a>);

#[derive(Debug, Clone)]
enum Inner<'e, 'a> {
    Indexed {
        letters: std::iter::Enumerate<std::slice::Iter<'e, Span>>,
        fields: std::slice::Iter<'e, FieldAt>,
        source: Source<'a>,
    },
    Json {
        scanner: Scanner<'a>,
        first: bool,
    },
    Binary(Reader<'a>),
}

impl<'a> Iterator for Entries<'_, 'a> {
    type Item = (RawText<'a>, RawText<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::Indexed { letters, fields, source } => {
                if let (Some((at, value)), Source::Json(text)) =
                    (letters.find(|(_, value)| value.is_there()), &source)
                {
                    return Some((RawText::plain(ALPHABET.get(at..=at)?), value.of_text(text)?));
                }
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
