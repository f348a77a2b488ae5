//! Texts as numbers, as Java reads them: `Long.parseLong` and `Double.parseDouble`. What Rust's
//! `parse` takes is another set.

/// The zeros of the decimal digits that `Character.digit` knows within one UTF-16 unit; nine more
/// follow each. From Java 17 (Unicode 13).
const DIGIT_ZEROS: [u32; 37] = [
    0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66,
    0xDE6, 0xE50, 0xED0, 0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90,
    0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
];

fn digit(character: char) -> Option<i64> {
    let code = u32::from(character);
    let nth = DIGIT_ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    Some(code - DIGIT_ZEROS[nth]).filter(|digit| *digit < 10).map(i64::from)
}

/// `Long.parseLong`: a sign and decimal digits of any script, no blanks. `Integer.parseInt` is the
/// same with a smaller range.
pub(crate) fn parse_integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) if text.starts_with('-') => (-1, digits),
        Some(digits) => (1, digits),
        None => (1, text),
    };
    if digits.is_empty() {
        return None;
    }
    digits.chars().try_fold(0_i64, |number, character| {
        number.checked_mul(10)?.checked_add(sign * digit(character)?)
    })
}

/// `Double.parseDouble`: blanks and control characters around are ignored, `f`, `F`, `d` or `D` may
/// follow, `NaN`, `Infinity` and hexadecimal numbers are known.
pub(crate) fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim_matches(|character: char| character <= ' ');
    let (negative, number) = match text.strip_prefix(['-', '+']) {
        Some(number) => (text.starts_with('-'), number),
        None => (false, text),
    };
    let magnitude = match number {
        "NaN" => return Some(f64::NAN),
        "Infinity" => f64::INFINITY,
        _ => {
            let digits = number.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(number);
            match number.strip_prefix("0x").or_else(|| number.strip_prefix("0X")) {
                Some(hexadecimal) => parse_hexadecimal(hexadecimal)?,
                // What is left of Java's grammar is Rust's without its words.
                None if digits.starts_with(['-', '+']) => return None,
                None if digits.bytes().all(is_of_decimal) => digits.parse().ok()?,
                None => return None,
            }
        }
    };
    Some(if negative { -magnitude } else { magnitude })
}

fn is_of_decimal(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')
}

/// `1.8p3`, without its `0x`: hexadecimal digits, a power of two in decimal digits, perhaps `f` or
/// `d`.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (digits, power) = text.split_once(['p', 'P'])?;
    let power = power.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(power);
    let power_digits = power.strip_prefix(['-', '+']).unwrap_or(power);
    if power_digits.is_empty() || !power_digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let limit = if power.starts_with('-') { -100_000_000 } else { 100_000_000 };
    let power = power.parse().unwrap_or(limit).clamp(-100_000_000, 100_000_000);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = || whole.chars().chain(fraction.chars());
    if all().next().is_none() || !all().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    // 60 bits of the number, and whether anything follows them.
    let (mut bits, mut dropped, mut rest) = (0_u64, 0_i64, false);
    for digit in all().map(|digit| u64::from(digit.to_digit(16).unwrap_or_default())) {
        if bits >> 56 == 0 {
            bits = bits << 4 | digit;
        } else {
            dropped += 4;
            rest |= digit != 0;
        }
    }
    let power = power + dropped - 4 * i64::try_from(fraction.len()).ok()?;
    Some(scaled(bits | u64::from(rest), power))
}

/// `bits * 2^power`, rounded once, to even; the lowest bit also says that something follows.
fn scaled(bits: u64, power: i64) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    let highest = 63 - i64::from(bits.leading_zeros()) + power;
    if highest > 1_023 {
        return f64::INFINITY;
    }
    // The place of the lowest bit that the double has: 52 below the highest, or the subnormals'.
    let lowest = (highest - 52).max(-1_074);
    let kept = match u32::try_from(lowest - power) {
        Err(_) => bits << (power - lowest),
        Ok(shift @ 1..64) => {
            let (kept, lost) = (bits >> shift, bits & ((1 << shift) - 1));
            let half = 1 << (shift - 1);
            kept + u64::from(lost > half || lost == half && kept & 1 == 1)
        }
        Ok(0) => bits,
        Ok(_) => return 0.0,
    };
    // The highest bit of a normal number is not stored: it counts the exponent up by one.
    let exponent = u64::try_from(highest + 1_022).unwrap_or_default();
    f64::from_bits((exponent << 52) + kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of the table that `tests/oracle/ApacheVerdicts.java` printed.
    fn rows(kind: &str) -> Vec<(String, &'static str)> {
        let table = include_str!("../tests/oracle/verdicts.txt");
        let rows = table.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix('\t'));
        let fields = rows.map(|row| row.rsplit_once('\t').unwrap());
        fields.map(|(text, parsed)| (serde_json::from_str(text).unwrap(), parsed)).collect()
    }

    #[test]
    fn texts_become_the_doubles_that_java_reads() {
        let rows = rows("double");
        for (text, expected) in &rows {
            let found = parse_double(text).map(|number| format!("{:x}", number.to_bits()));
            assert_eq!(found.as_deref().unwrap_or("refused"), *expected, "{text:?}");
        }
        assert!(rows.len() >= 400);
    }

    #[test]
    fn texts_become_the_integers_that_java_reads() {
        let rows = rows("integer");
        for (text, expected) in &rows {
            let found = parse_integer(text).map(|number| number.to_string());
            assert_eq!(found.as_deref().unwrap_or("refused"), *expected, "{text:?}");
        }
        assert!(rows.iter().filter(|(_, parsed)| *parsed != "refused").count() > 20);
    }
}
