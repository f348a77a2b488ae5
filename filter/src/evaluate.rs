//! What an expression says of a message: three-valued logic in Java's order, because a comparison
//! that fails ends the whole evaluation, and only what is evaluated can fail.

use crate::properties::Properties;
use crate::tree::{Constant, Node, Order, Part};
use crate::value::{Failed, Value, compare, compare_texts_as_doubles};
use std::borrow::Cow;
use std::cmp::Ordering;

/// True, false or unknown.
type Truth = Result<Option<bool>, Failed>;

/// The truth value of a node; unknown also where it has none.
pub(crate) fn truth(node: &Node, properties: &impl Properties) -> Truth {
    match node {
        Node::Constant(Constant::Boolean(truth)) => Ok(Some(*truth)),
        Node::Constant(_) | Node::Property(_) | Node::Negate(_) => Ok(None),
        Node::Cast(name) => Ok(properties.get(name).map(|_| false)),
        Node::Not(node) => Ok(truth(node, properties)?.map(|truth| !truth)),
        Node::And(nodes) => chain(nodes, false, properties),
        Node::Or(nodes) => chain(nodes, true, properties),
        Node::Equal(operands) => equal(operands, properties),
        Node::Ordered(order, operands) => {
            let [left, right] = &**operands;
            ordered(*order, &value(left, properties)?, right, properties)
        }
        Node::Between { operands, negated } => between(operands, *negated, properties),
        Node::Part { operand, part, search, negated } => {
            Ok(Some(has_part(&value(operand, properties)?, *part, search, *negated)))
        }
        Node::In { property, list, negated } => Ok(properties
            .get(property)
            .map(|text| list.binary_search_by(|one| (**one).cmp(&text)).is_ok() != *negated)),
    }
}

fn value<'a>(node: &'a Node, properties: &'a impl Properties) -> Result<Value<'a>, Failed> {
    Ok(match node {
        Node::Constant(constant) => Value::of(constant),
        Node::Property(name) => properties.get(name).map_or(Value::Null, Value::Text),
        Node::Negate(node) => match value(node, properties)? {
            Value::Int(number) => Value::Int(number.wrapping_neg()),
            Value::Long(number) => Value::Long(number.wrapping_neg()),
            Value::Double(number) => Value::Double(-number),
            Value::Text(_) | Value::Boolean(_) | Value::Null => Value::Null,
        },
        node => truth(node, properties)?.map_or(Value::Null, Value::Boolean),
    })
}

/// `AND` (decided by false) and `OR` (decided by true).
fn chain(nodes: &[Node], decides: bool, properties: &impl Properties) -> Truth {
    let mut so_far = Some(!decides);
    for node in nodes {
        match truth(node, properties)? {
            Some(truth) if truth == decides => return Ok(Some(decides)),
            Some(_) => {}
            None => so_far = None,
        }
    }
    Ok(so_far)
}

/// Null equals null; a null on the left alone is unknown, on the right alone false.
fn equal(operands: &[Node; 2], properties: &impl Properties) -> Truth {
    let [left, right] = operands;
    match (value(left, properties)?, value(right, properties)?) {
        (Value::Null, Value::Null) => Ok(Some(true)),
        (Value::Null, _) => Ok(None),
        (_, Value::Null) => Ok(Some(false)),
        (left, right) => Ok(Some(compare(&left, &right)? == Ordering::Equal)),
    }
}

/// The right side is not evaluated where the left one is null.
fn ordered(order: Order, left: &Value<'_>, right: &Node, properties: &impl Properties) -> Truth {
    if matches!(left, Value::Null) {
        return Ok(None);
    }
    let ordering = match (left, &value(right, properties)?) {
        (_, Value::Null) => return Ok(None),
        (Value::Text(left), Value::Text(right)) => compare_texts_as_doubles(left, right)?,
        (left, right) => compare(left, right)?,
    };
    Ok(Some(match order {
        Order::Greater => ordering.is_gt(),
        Order::GreaterOrEqual => ordering.is_ge(),
        Order::Less => ordering.is_lt(),
        Order::LessOrEqual => ordering.is_le(),
    }))
}

/// `value >= low AND value <= high`; negated `value < low OR value > high`.
fn between(operands: &[Node; 3], negated: bool, properties: &impl Properties) -> Truth {
    let [of, low, high] = operands;
    let of = value(of, properties)?;
    let (with_low, with_high) = if negated {
        (Order::Less, Order::Greater)
    } else {
        (Order::GreaterOrEqual, Order::LessOrEqual)
    };
    let first = ordered(with_low, &of, low, properties)?;
    if first == Some(negated) {
        return Ok(first);
    }
    let second = ordered(with_high, &of, high, properties)?;
    Ok(if second == Some(negated) { second } else { first.and(second) })
}

/// False for what is no text and for an empty search, negated or not.
fn has_part(of: &Value<'_>, part: Part, search: &str, negated: bool) -> bool {
    let Value::Text(text) = of else { return false };
    let text: &Cow<'_, str> = text;
    let has = match part {
        Part::Contains => text.contains(search),
        Part::StartsWith => text.starts_with(search),
        Part::EndsWith => text.ends_with(search),
    };
    !search.is_empty() && has != negated
}
