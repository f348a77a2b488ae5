//! Writing strings and integers as JSON text, for headers and bodies alike.

/// Appends `text` in quotes, escaped as fastjson does: quotes, backslashes and control characters
/// only.
#[inline]
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    if needs_escape(text.as_bytes()) {
        return write_escaped(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(*byte, b'"' | b'\\'))
    {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        let Some((special, after)) = after.split_first() else { break };
        write_escape(out, *special);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Whether a text has bytes to escape, which is rare. It reads eight bytes at a time; the last read
/// may overlap the one before.
#[inline]
fn needs_escape(bytes: &[u8]) -> bool {
    let is_special = |byte: &u8| *byte < 0x20 || matches!(*byte, b'"' | b'\\');
    let (words, rest) = bytes.as_chunks::<8>();
    match (words, bytes.last_chunk::<8>()) {
        (_, Some(last)) => {
            words.iter().any(|word| word_needs_escape(*word))
                || (!rest.is_empty() && word_needs_escape(*last))
        }
        (_, None) => rest.iter().any(is_special),
    }
}

/// Whether one of the eight bytes must be escaped. `below` sets the high bit of each byte that is
/// less than `limit`. A borrow may also set the bit of the next higher byte, but only if a lower
/// byte was a true hit, so the answer is right.
#[inline]
fn word_needs_escape(word: [u8; 8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(word);
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let equals = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | equals(b'"') | equals(b'\\')) & (ONES << 7) != 0
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xF)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends `text` in quotes in ASCII only, as fastjson's BrowserCompatible feature does: the rest
/// as UTF-16 escapes.
pub(crate) fn write_ascii_string(out: &mut Vec<u8>, text: &str) {
    if text.is_ascii() {
        return write_string(out, text);
    }
    out.push(b'"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\' | 0..0x20)) => write_escape(out, byte),
            Ok(byte) if byte.is_ascii() => out.push(byte),
            _ => out.extend_from_slice(format!("\\u{unit:04X}").as_bytes()),
        }
    }
    out.push(b'"');
}

/// Appends a decimal number without allocating.
#[inline]
pub(crate) fn write_int(out: &mut Vec<u8>, number: i64) {
    match u8::try_from(number) {
        Ok(digit @ 0..=9) => out.push(b'0' + digit), // most numbers of a header
        _ => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
    }
}

/// The same for a text.
pub(crate) fn push_int(out: &mut String, number: i64) {
    out.push_str(itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_they_should() {
        for number in [0, 7, -1, 10, i64::MAX, i64::MIN, 1_700_000_000_000] {
            let mut out = Vec::new();
            write_int(&mut out, number);
            assert_eq!(String::from_utf8(out), Ok(number.to_string()));
        }
    }

    #[test]
    fn one_byte_to_escape_is_found_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255_u8 {
                    let mut bytes = vec![b'a'; length];
                    bytes[at] = byte;
                    assert_eq!(
                        needs_escape(&bytes),
                        byte < 0x20 || matches!(byte, b'"' | b'\\'),
                        "{byte} at {at} of {length}"
                    );
                }
            }
        }
    }

    #[test]
    fn only_what_must_be_escaped_is() {
        let mut out = Vec::new();
        write_string(&mut out, "a\"\\\n\u{1}\u{1f}é😀/");
        assert_eq!(String::from_utf8(out), Ok("\"a\\\"\\\\\\n\\u0001\\u001fé😀/\"".to_owned()));
        let mut ascii = Vec::new();
        write_ascii_string(&mut ascii, "a\"é😀\n");
        assert_eq!(String::from_utf8(ascii), Ok("\"a\\\"\\u00E9\\uD83D\\uDE00\\n\"".to_owned()));
    }
}
