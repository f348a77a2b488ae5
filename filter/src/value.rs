//! Values and how Java compares them (`ComparisonExpression.__compare`).

use crate::java_numbers;
use crate::tree::Constant;
use std::borrow::Cow;
use std::cmp::Ordering;

/// A comparison that Java answers with an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

/// What a part of an expression gives for a message; of Java's types those that can occur.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Int(i32),
    Long(i64),
    Double(f64),
    Boolean(bool),
    Null,
}

impl<'a> Value<'a> {
    pub(crate) fn of(constant: &'a Constant) -> Self {
        match constant {
            Constant::Text(text) => Self::Text(Cow::Borrowed(text)),
            Constant::Int(number) => Self::Int(*number),
            Constant::Long(number) => Self::Long(*number),
            Constant::Double(number) => Self::Double(*number),
            Constant::Boolean(truth) => Self::Boolean(*truth),
            Constant::Null => Self::Null,
        }
    }
}

/// Compares two values that are not null. A text is read as the type of the other side; a truth
/// value is less than a number, and a number than a truth value.
pub(crate) fn compare(left: &Value<'_>, right: &Value<'_>) -> Result<Ordering, Failed> {
    use Value::{Boolean, Double, Int, Long, Text};
    Ok(match (left, right) {
        (Text(left), Text(right)) => left.cmp(right),
        (Text(left), Int(right)) => int(left)?.cmp(right),
        (Text(left), Long(right)) => long(left)?.cmp(right),
        (Text(left), Double(right)) => compare_doubles(double(left)?, *right),
        (Text(left), Boolean(right)) => left.eq_ignore_ascii_case("true").cmp(right),
        (Int(left), Text(right)) => left.cmp(&int(right)?),
        (Int(left), Int(right)) => left.cmp(right),
        (Int(left), Long(right)) => i64::from(*left).cmp(right),
        (Int(left), Double(right)) => compare_doubles(f64::from(*left), *right),
        (Long(left), Text(right)) => left.cmp(&long(right)?),
        (Long(left), Int(right)) => left.cmp(&i64::from(*right)),
        (Long(left), Long(right)) => left.cmp(right),
        (Long(left), Double(right)) => compare_doubles(*left as f64, *right),
        (Double(left), Text(right)) => compare_doubles(*left, double(right)?),
        (Double(left), Int(right)) => compare_doubles(*left, f64::from(*right)),
        (Double(left), Long(right)) => compare_doubles(*left, *right as f64),
        (Double(left), Double(right)) => compare_doubles(*left, *right),
        (Boolean(left), Boolean(right)) => left.cmp(right),
        // Apache casts the truth value itself to a text, which Java refuses.
        (Boolean(_), Text(_)) => return Err(Failed),
        _ => Ordering::Less,
    })
}

/// Two texts by order: both are read as doubles.
pub(crate) fn compare_texts_as_doubles(left: &str, right: &str) -> Result<Ordering, Failed> {
    Ok(compare_doubles(double(left)?, double(right)?))
}

/// `Double.compareTo`: -0.0 is less than 0.0, and NaN is equal to itself and greater than all else.
fn compare_doubles(left: f64, right: f64) -> Ordering {
    let order = |number: f64| if number.is_nan() { f64::NAN.abs() } else { number };
    order(left).total_cmp(&order(right))
}

fn int(text: &str) -> Result<i32, Failed> {
    let number = java_numbers::parse_integer(text).ok_or(Failed)?;
    i32::try_from(number).map_err(|_| Failed)
}

fn long(text: &str) -> Result<i64, Failed> {
    java_numbers::parse_integer(text).ok_or(Failed)
}

fn double(text: &str) -> Result<f64, Failed> {
    java_numbers::parse_double(text).ok_or(Failed)
}
