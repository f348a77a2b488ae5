//! A string of a JSON text, borrowed from it and unescaped only on demand.

use std::borrow::Cow;

use crate::find::{SEPARATOR_ESCAPE_BYTES, find_either, separator_escape};

/// A string as it stands between its quotes. The scanner has checked its escapes, so unescaping
/// can't fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawText<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> RawText<'a> {
    /// Text without escapes.
    #[must_use]
    pub fn plain(raw: &'a str) -> Self {
        Self { raw, escaped: false }
    }

    /// Text whose escapes were validated by the scanner.
    pub(crate) fn escaped(raw: &'a str) -> Self {
        Self { raw, escaped: true }
    }

    /// The text itself when nothing in it is escaped.
    #[must_use]
    pub fn as_plain(&self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw)
    }

    /// The text, borrowed when nothing is escaped.
    #[must_use]
    pub fn to_cow(&self) -> Cow<'a, str> {
        match self.as_plain() {
            Some(plain) => Cow::Borrowed(plain),
            None => {
                let mut out = String::with_capacity(self.raw.len());
                self.append_to(&mut out);
                Cow::Owned(out)
            }
        }
    }

    /// Appends the unescaped text; never longer than the raw text (`\xHH` of a non-ASCII byte: 4
    /// bytes become 2).
    pub fn append_to(&self, out: &mut String) {
        let mut from = 0;
        while self.escaped
            && let Some(at) = find_either(self.raw.as_bytes(), from, b'\\', b'\\')
        {
            out.push_str(self.raw.get(from..at).unwrap_or_default());
            from = if let Some(separator) = separator_escape(self.raw.as_bytes(), at) {
                out.push(char::from(separator));
                at + SEPARATOR_ESCAPE_BYTES
            } else {
                let escape = self.raw.get(at..).unwrap_or_default();
                let Some((character, length)) = unescape(escape) else { return };
                out.push(character);
                at + length
            };
        }
        out.push_str(self.raw.get(from..).unwrap_or_default());
    }
}

/// The character that an escape sequence at the start of `text` stands for, and the length of the
/// sequence.
///
/// fastjson's escapes: JSON's own, `\'`, `\v`, `\xHH`, and octal digits. A lone surrogate becomes
/// U+FFFD.
#[inline]
pub(crate) fn unescape(text: &str) -> Option<(char, usize)> {
    let character = match text.as_bytes().get(1)? {
        b'"' => '"',
        b'\'' => '\'',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' | b'F' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'v' => '\u{b}',
        digit @ b'0'..=b'7' => char::from(digit - b'0'),
        b'x' => {
            let value = hex(text.as_bytes().get(2..4)?)?;
            return Some((char::from_u32(value)?, 4));
        }
        b'u' => return unescape_utf16(text.as_bytes()),
        _ => return None,
    };
    Some((character, 2))
}

fn unescape_utf16(text: &[u8]) -> Option<(char, usize)> {
    let first = hex(text.get(2..6)?)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    let second = match text.get(6..8) {
        Some(b"\\u") => text.get(8..12).and_then(hex),
        _ => None,
    };
    match (first, second) {
        (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
            let scalar = 0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00);
            Some((char::from_u32(scalar)?, 12))
        }
        _ => Some((char::REPLACEMENT_CHARACTER, 6)),
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_fastjson_are_read() {
        for (raw, expected) in [
            (r"a\u0001b", "a\u{1}b"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83d-", "\u{fffd}-"),
            (r"\ud83dA", "\u{fffd}A"),
            (r"\u4e2d\n\t\\\'\/", "中\n\t\\'/"),
            (r"\x41\0\7\v", "A\0\u{7}\u{b}"),
            (r"\xe9", "é"),
        ] {
            assert_eq!(RawText::escaped(raw).to_cow(), expected, "{raw}");
        }
    }

    #[test]
    fn what_is_not_an_escape_is_refused() {
        for raw in ["\\", "\\q", "\\u12", "\\u12g4", "\\x1", "\\u00é"] {
            assert_eq!(unescape(raw), None, "{raw}");
        }
    }
}
