//! Conversions of a JSON scalar to a number or a boolean, as free as fastjson's.

use super::scan::{JsonError, RawValue};

/// A whole number from a number, a numeric string, or a boolean; a fraction is cut off.
pub(super) fn integer(value: RawValue<'_>) -> Result<i128, JsonError> {
    let text = match value {
        RawValue::Bool(flag) => return Ok(i128::from(flag)),
        other => other.to_text().map(|text| text.to_cow()).unwrap_or_default(),
    };
    integer_of_text(text.trim())
}

/// A whole number written as text.
pub(super) fn integer_of_text(text: &str) -> Result<i128, JsonError> {
    if let Ok(number) = text.parse::<i128>() {
        return Ok(number);
    }
    let whole = text.parse::<f64>().map(f64::trunc).ok().filter(|number| number.abs() < 1e18);
    // Display of a whole f64 below 1e18 is its plain decimal digits.
    whole
        .and_then(|number| format!("{number:.0}").parse().ok())
        .ok_or_else(|| wrong("a number", text))
}

/// A floating-point number from a number or a numeric string.
pub(super) fn float(value: RawValue<'_>) -> Result<f64, JsonError> {
    let text = value.to_text().map(|text| text.to_cow()).unwrap_or_default();
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| wrong("a finite number", &text))
}

/// A boolean from `true`, "true" in any case, "1" or a number that is not 0.
pub(super) fn boolean(value: RawValue<'_>) -> Result<bool, JsonError> {
    match value {
        RawValue::Bool(flag) => Ok(flag),
        RawValue::Null => Ok(false),
        RawValue::Number(text) => Ok(text != "0"),
        RawValue::Text(text) => match text.to_cow().to_ascii_lowercase().as_str() {
            "true" | "1" | "y" | "t" => Ok(true),
            "false" | "0" | "n" | "f" | "" => Ok(false),
            other => Err(wrong("a boolean", other)),
        },
        RawValue::Nested(text) => Err(wrong("a boolean", text)),
    }
}

/// The name in `variants` that a name in any case, or an ordinal, stands for.
pub(super) fn variant(
    value: RawValue<'_>,
    variants: &'static [&'static str],
) -> Result<&'static str, JsonError> {
    let text = value.to_text().map(|text| text.to_cow()).unwrap_or_default();
    let by_name = variants.iter().find(|name| name.eq_ignore_ascii_case(&text));
    by_name
        .or_else(|| variants.get(text.parse::<usize>().ok()?))
        .copied()
        .ok_or_else(|| wrong(&format!("one of {variants:?}"), &text))
}

fn wrong(expected: &str, found: &str) -> JsonError {
    let excerpt: String = found.chars().take(64).collect();
    JsonError::Shape { message: format!("expected {expected}, found {excerpt:?}") }
}
