//! The scanner: walks a JSON text of fastjson's dialect without building anything.
//!
//! What it accepts beyond JSON: keys unquoted or in single quotes, strings in single quotes, keys
//! that are numbers, objects or arrays (their own text is the key), repeated commas, raw control
//! characters in strings. Peers send all of these, or the Java broker accepts them.

use super::text::{RawText, unescape};
use crate::find::{SEPARATOR_ESCAPE_BYTES, find_either, find_one_first, separator_escape};
use crate::limits::{JSON_DEPTH_MAX, JSON_VALUES_MAX};

/// Why a text is not JSON, even in fastjson's dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// A byte that cannot stand here.
    #[error("JSON: expected {expected} at byte {offset}, found {}", found_text(*.found))]
    Unexpected {
        /// Byte offset in the text.
        offset: usize,
        /// The text that would be right.
        expected: &'static str,
        /// The byte found; `None` at the end of the text.
        found: Option<u8>,
    },
    /// Nested deeper than [`JSON_DEPTH_MAX`].
    #[error("JSON: nested deeper than {JSON_DEPTH_MAX} levels at byte {offset}")]
    TooDeep {
        /// Byte offset in the text.
        offset: usize,
    },
    /// More than [`JSON_VALUES_MAX`] values.
    #[error("JSON: more than {JSON_VALUES_MAX} values at byte {offset}")]
    TooMany {
        /// Byte offset in the text.
        offset: usize,
    },
    /// Not UTF-8.
    #[error("JSON: invalid UTF-8 at byte {offset}")]
    Utf8 {
        /// Byte offset in the text.
        offset: usize,
    },
    /// Well-formed JSON of the wrong shape for the type that is read.
    #[error("JSON: {message}")]
    Shape {
        /// The part that does not fit, and where it is.
        message: String,
    },
}

fn found_text(found: Option<u8>) -> String {
    found.map_or_else(|| "the end".to_owned(), |byte| format!("{:?}", char::from(byte)))
}

/// A value, borrowed from the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawValue<'a> {
    /// A quoted string.
    Text(RawText<'a>),
    /// A number, as written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An object or array: its own text, brackets included.
    Nested(&'a str),
}

impl<'a> RawValue<'a> {
    /// The value as a text, as fastjson puts it into a `Map<String,String>`; `None` for null.
    #[must_use]
    pub fn to_text(self) -> Option<RawText<'a>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(text) | Self::Nested(text) => Some(RawText::plain(text)),
            Self::Bool(true) => Some(RawText::plain("true")),
            Self::Bool(false) => Some(RawText::plain("false")),
            Self::Null => None,
        }
    }
}

/// No 32-bit number has more digits.
const INT_DIGITS_MAX: usize = 10;
/// `"x":"`, and in a word of eight bytes all of it but the letter.
const LETTER_KEY_BYTES: usize = 5;
const LETTER_KEY: u64 = u64::from_le_bytes(*b"\"\0\":\"\0\0\0");
const LETTER_KEY_MASK: u64 = u64::from_le_bytes([0xFF, 0, 0xFF, 0xFF, 0xFF, 0, 0, 0]);
/// The key and a value of up to fifteen bytes, as most are, and what follows it.
const LETTER_MEMBER_BYTES: usize = LETTER_KEY_BYTES + 16 + 2;

/// Where a value ends that starts at `from`, and whether it has escapes: those of the separators of
/// properties and no others, else `None`.
#[inline]
fn plain_value_end(bytes: &[u8], from: usize) -> Option<(usize, bool)> {
    let mut end = find_either(bytes, from, b'"', b'\\')?;
    let mut escaped = false;
    while bytes.get(end) == Some(&b'\\') {
        separator_escape(bytes, end)?;
        escaped = true;
        end = find_either(bytes, end + SEPARATOR_ESCAPE_BYTES, b'"', b'\\')?;
    }
    Some((end, escaped))
}

/// A position in a JSON text.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the beginning of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte offset reached.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The next byte that is not white space, without taking it.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes `byte` if it comes next.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes `byte` or fails.
    pub fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<(), JsonError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("the end")) }
    }

    /// The error that the byte at this position is not `expected`.
    #[cold]
    pub fn unexpected(&mut self, expected: &'static str) -> JsonError {
        let found = self.peek();
        JsonError::Unexpected { offset: self.at, expected, found }
    }

    /// The next key of an object whose `{` was taken, its colon taken too; `None` after its `}`.
    /// `first` starts true and is kept by the caller: it tells whether a comma must come before the
    /// key.
    #[inline]
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<RawText<'a>>, JsonError> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        self.key_and_colon().map(Some)
    }

    /// The key that comes next, and its colon.
    #[inline]
    pub(crate) fn key_and_colon(&mut self) -> Result<RawText<'a>, JsonError> {
        let key = self.key()?;
        self.expect(b':', "':'")?;
        Ok(key)
    }

    /// Whether another element follows in a container whose opening bracket was taken; takes commas
    /// and `close`.
    #[inline]
    pub fn more(&mut self, first: &mut bool, close: u8) -> Result<bool, JsonError> {
        let mut separated = *first;
        *first = false;
        while self.take(b',') {
            separated = true;
        }
        if self.take(close) {
            return Ok(false);
        }
        if separated { Ok(true) } else { Err(self.unexpected("',' or a closing bracket")) }
    }

    fn key(&mut self) -> Result<RawText<'a>, JsonError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote),
            Some(b'{' | b'[') => self.nested(JSON_DEPTH_MAX).map(RawText::plain),
            _ => self.run(is_key_byte, "a key").map(RawText::plain),
        }
    }

    /// The byte after the next: the first letter of a key in quotes.
    #[inline]
    pub(crate) fn second_byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at + 1).copied()
    }

    /// Takes `text`, which ends in ASCII, if it stands here.
    #[inline]
    pub(crate) fn take_text(&mut self, text: &[u8]) -> bool {
        let found = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(text));
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Takes `key` (quotes and colon included) and a whole 32-bit number right before a comma or
    /// the closing bracket. `None`, and nothing taken, for any other form.
    #[inline]
    pub(crate) fn plain_int(&mut self, key: &[u8]) -> Option<i32> {
        let number = self.text.as_bytes().get(self.at..)?.strip_prefix(key)?;
        let (sign, digits) = match number {
            [b'-', digits @ ..] => (-1, digits),
            digits => (1, digits),
        };
        let (mut value, mut count) = (0_i64, 0);
        for byte in digits.iter().take(INT_DIGITS_MAX) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value * 10 + i64::from(digit);
            count += 1;
        }
        if count == 0 || !matches!(digits.get(count), Some(b',' | b'}')) {
            return None;
        }
        let value = i32::try_from(sign * value).ok()?;
        self.at += key.len() + usize::from(sign < 0) + count;
        Some(value)
    }

    /// Takes `"key":"value"` without white space, as Java clients write most fields: where both
    /// texts lie. The value's only escapes are the separators of properties. `None`, and nothing
    /// taken, for any other form.
    #[inline]
    pub(crate) fn plain_member(&mut self) -> Option<[(usize, usize, bool); 2]> {
        let bytes = self.text.as_bytes();
        let key = self.at + 1;
        if bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let key_end = find_either(bytes, key, b'"', b'\\')?;
        if !bytes.get(key_end..)?.starts_with(b"\":\"") {
            return None;
        }
        let value = key_end + 3;
        let (value_end, escaped) = plain_value_end(bytes, value)?;
        self.at = value_end + 1;
        Some([(key, key_end, false), (value, value_end, escaped)])
    }

    /// Takes members `"x":"value"` of an object, without white space and with keys from `a` to `p`,
    /// as long as they follow one another: what the header of a V2 send consists of. `found` gets
    /// the letter and where the value lies, as [`Scanner::plain_member`] gives it. True when no
    /// other member follows; false, and before that member, when it has any other form.
    #[inline]
    pub(crate) fn letter_members(
        &mut self,
        mut found: impl FnMut(u8, (usize, usize, bool)),
    ) -> bool {
        let bytes = self.text.as_bytes();
        while let Some(member) = self.next_bytes::<LETTER_MEMBER_BYTES>() {
            let (Some(key), Some(value_begin)) =
                (member.first_chunk(), member[LETTER_KEY_BYTES..].first_chunk())
            else {
                return false;
            };
            let letter = member[1];
            if u64::from_le_bytes(*key) & LETTER_KEY_MASK != LETTER_KEY
                || !matches!(letter, b'a'..=b'p')
            {
                return false;
            }
            let value = self.at + LETTER_KEY_BYTES;
            let (end, escaped) = match find_one_first(*value_begin, b'"', b'\\') {
                Some(length) => (value + length, false),
                None => match plain_value_end(bytes, value) {
                    Some(end) => end,
                    None => return false,
                },
            };
            found(letter, (value, end, escaped));
            self.at = end + 1;
            if !self.take_comma_before_quote() {
                return true;
            }
        }
        false
    }

    #[inline]
    fn next_bytes<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.text.as_bytes().get(self.at..)?.first_chunk()
    }

    /// Takes the comma between two members when the next one's key follows it at once.
    #[inline]
    pub(crate) fn take_comma_before_quote(&mut self) -> bool {
        let found = self.next_bytes() == Some(b",\"");
        self.at += usize::from(found);
        found
    }

    /// Takes a key and its colon; where its text lies (without quotes), and whether it has escapes.
    #[inline]
    pub(crate) fn key_span(&mut self) -> Result<(usize, usize, bool), JsonError> {
        let quoted = matches!(self.peek(), Some(b'"' | b'\''));
        let (start, key) = (self.at, self.key()?);
        let span = span_of(start, self.at, quoted, key.as_plain().is_none());
        self.expect(b':', "':'")?;
        Ok(span)
    }

    /// Takes a value; where its text lies (without quotes), and whether it has escapes. `None` for
    /// null.
    #[inline]
    pub(crate) fn value_span(&mut self) -> Result<Option<(usize, usize, bool)>, JsonError> {
        let quoted = matches!(self.peek(), Some(b'"' | b'\''));
        let start = self.at;
        Ok(match self.value()? {
            RawValue::Null => None,
            RawValue::Text(text) => {
                Some(span_of(start, self.at, quoted, text.as_plain().is_none()))
            }
            _ => Some((start, self.at, false)),
        })
    }

    /// The next value; containers are checked and skipped as a whole.
    #[inline]
    pub fn value(&mut self) -> Result<RawValue<'a>, JsonError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote).map(RawValue::Text),
            Some(b'{' | b'[') => self.nested(JSON_DEPTH_MAX).map(RawValue::Nested),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => self.number().map(RawValue::Number),
            _ => self.literal(),
        }
    }

    #[inline]
    fn string(&mut self, quote: u8) -> Result<RawText<'a>, JsonError> {
        let start = self.at + 1;
        match find_either(self.text.as_bytes(), start, quote, b'\\') {
            Some(end) if self.text.as_bytes().get(end) == Some(&quote) => {
                self.at = end + 1;
                Ok(RawText::plain(self.text.get(start..end).unwrap_or_default()))
            }
            escape => self.string_with_escapes(quote, start, escape),
        }
    }

    /// The rest of a string from its first escape on.
    fn string_with_escapes(
        &mut self,
        quote: u8,
        start: usize,
        mut found: Option<usize>,
    ) -> Result<RawText<'a>, JsonError> {
        loop {
            let Some(at) = found else {
                self.at = self.text.len();
                return Err(self.unexpected("the closing quote"));
            };
            if self.text.as_bytes().get(at) == Some(&quote) {
                self.at = at + 1;
                return Ok(RawText::escaped(self.text.get(start..at).unwrap_or_default()));
            }
            let Some((_, length)) = unescape(self.text.get(at..).unwrap_or_default()) else {
                self.at = at + 1;
                return Err(self.unexpected("an escape sequence"));
            };
            found = find_either(self.text.as_bytes(), at + length, quote, b'\\');
        }
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        let text = self.run(is_number_byte, "a number")?;
        let is_integer =
            text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit())
                && text != "-";
        if is_integer || text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Ok(text);
        }
        self.at = start;
        Err(self.unexpected("a number"))
    }

    fn literal(&mut self) -> Result<RawValue<'a>, JsonError> {
        let start = self.at;
        match self.run(|byte| byte.is_ascii_alphabetic(), "a value")? {
            "null" => Ok(RawValue::Null),
            "true" => Ok(RawValue::Bool(true)),
            "false" => Ok(RawValue::Bool(false)),
            _ => {
                self.at = start;
                Err(self.unexpected("a value"))
            }
        }
    }

    fn run(
        &mut self,
        belongs: impl Fn(u8) -> bool,
        expected: &'static str,
    ) -> Result<&'a str, JsonError> {
        self.peek();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.bytes().position(|byte| !belongs(byte)).unwrap_or(rest.len());
        match rest.get(..length) {
            Some(run) if length > 0 => {
                self.at += length;
                Ok(run)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// The text of the container that starts here, after checking that it is well-formed.
    pub fn nested(&mut self, depth_left: usize) -> Result<&'a str, JsonError> {
        let start = self.at;
        self.skip_container(depth_left)?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn skip_container(&mut self, depth_left: usize) -> Result<(), JsonError> {
        let Some(depth_left) = depth_left.checked_sub(1) else {
            return Err(JsonError::TooDeep { offset: self.at });
        };
        let is_object = self.take(b'{');
        if !is_object {
            self.expect(b'[', "'{' or '['")?;
        }
        let close = if is_object { b'}' } else { b']' };
        let mut first = true;
        while self.more(&mut first, close)? {
            if is_object {
                match self.peek() {
                    Some(b'{' | b'[') => self.skip_container(depth_left)?,
                    _ => drop(self.key()?),
                }
                self.expect(b':', "':'")?;
            }
            match self.peek() {
                Some(b'{' | b'[') => self.skip_container(depth_left)?,
                _ => drop(self.value()?),
            }
        }
        Ok(())
    }
}

fn span_of(start: usize, end: usize, quoted: bool, escaped: bool) -> (usize, usize, bool) {
    let quote = usize::from(quoted);
    (start + quote, end - quote, escaped)
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'$' | b'-' | b'.' | b'+' | b'%' | b'@')
        || !byte.is_ascii()
}

fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Result<Vec<(String, RawValue<'_>)>, JsonError> {
        let mut scanner = Scanner::new(text);
        scanner.expect(b'{', "'{'")?;
        let (mut found, mut first) = (Vec::new(), true);
        while let Some(key) = scanner.next_key(&mut first)? {
            found.push((key.to_cow().into_owned(), scanner.value()?));
        }
        scanner.end()?;
        Ok(found)
    }

    #[test]
    fn reads_the_dialect() {
        let found = members("{a:1,'b':'x', \"c\" : true,,7:null,{\"q\":1}:[1,{z:2}],} \n")
            .expect("dialect");
        let expected = [
            ("a", RawValue::Number("1")),
            ("b", RawValue::Text(RawText::plain("x"))),
            ("c", RawValue::Bool(true)),
            ("7", RawValue::Null),
            ("{\"q\":1}", RawValue::Nested("[1,{z:2}]")),
        ];
        assert_eq!(found.len(), expected.len());
        for ((key, value), (expected_key, expected_value)) in found.iter().zip(expected) {
            assert_eq!((key.as_str(), *value), (expected_key, expected_value));
        }
    }

    #[test]
    fn refuses_what_fastjson_refuses() {
        for text in [
            "",
            "{",
            "{a}",
            "{a:}",
            "{\"a:1}",
            "{a:1 b:2}",
            "{a:tru}",
            "{a:1}}",
            "{a:1]",
            "{a:\"\\q\"}",
            "{a:--1}",
            "[1]",
        ] {
            assert!(members(text).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_is_limited_not_the_stack() {
        let deep = format!("{{a:{}", "[".repeat(1_000_000));
        assert!(matches!(members(&deep), Err(JsonError::TooDeep { .. })));
        let deep_keys = "{".repeat(1_000_000);
        assert!(matches!(members(&deep_keys), Err(JsonError::TooDeep { .. })));
    }
}
