//! Strings and integers as JSON text: what the header writer and the body writer share.

/// Appends `text` in quotes, escaped as fastjson does: quotes, backslashes and control characters only.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Nearly every text has nothing to escape; without an early end this is a few vector instructions.
    if !rest.iter().fold(false, |any, byte| any | (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\')) {
        out.extend_from_slice(rest);
        out.push(b'"');
        return;
    }
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(*byte, b'"' | b'\\')) {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        let Some((special, after)) = after.split_first() else { break };
        write_escape(out, *special);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
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

/// Appends `text` in quotes in ASCII only, as fastjson's BrowserCompatible feature does: the rest as UTF-16 escapes.
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
pub(crate) fn write_int(out: &mut Vec<u8>, number: i64) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let mut magnitude = number.unsigned_abs();
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        if let (Some(place), Ok(digit)) = (digits.get_mut(start), u8::try_from(magnitude % 10)) {
            *place = b'0' + digit;
        }
        magnitude /= 10;
        if magnitude == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
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
    fn only_what_must_be_escaped_is() {
        let mut out = Vec::new();
        write_string(&mut out, "a\"\\\n\u{1}\u{1f}é😀/");
        assert_eq!(String::from_utf8(out), Ok("\"a\\\"\\\\\\n\\u0001\\u001fé😀/\"".to_owned()));
        let mut ascii = Vec::new();
        write_ascii_string(&mut ascii, "a\"é😀\n");
        assert_eq!(String::from_utf8(ascii), Ok("\"a\\\"\\u00E9\\uD83D\\uDE00\\n\"".to_owned()));
    }
}
