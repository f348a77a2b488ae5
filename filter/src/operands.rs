//! Builds nodes and refuses operands, as the `create…` methods of Apache's expressions do.

use crate::error::Why;
use crate::limits::DEPTH_MAX;
use crate::tree::{Constant, Node, Order, Part};
use crate::value::{Value, compare};
use std::cmp::Ordering;

/// A node that is not in the tree yet, with how many levels it has.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) node: Node,
    levels: usize,
}

type Result<T = Built> = std::result::Result<T, Why>;

/// A node without others below it.
pub(crate) fn leaf(node: Node) -> Built {
    Built { node, levels: 1 }
}

fn above(below: usize, node: Node) -> Result {
    let levels = below + 1;
    if levels > DEPTH_MAX { Err(Why::TooDeep) } else { Ok(Built { node, levels }) }
}

/// Takes it for a truth value.
pub(crate) fn boolean(built: Built) -> Result {
    match built.node {
        Node::Property(name) => Ok(Built { node: Node::Cast(name), ..built }),
        node if node.is_boolean() => Ok(Built { node, ..built }),
        _ => Err(Why::NotBoolean),
    }
}

pub(crate) fn not(built: Built) -> Result {
    let Built { node, levels } = boolean(built)?;
    above(levels, Node::Not(Box::new(node)))
}

pub(crate) fn negate(Built { node, levels }: Built) -> Result {
    above(levels, Node::Negate(Box::new(node)))
}

pub(crate) fn and(left: Built, right: Built) -> Result {
    let (left, right) = (boolean(left)?, boolean(right)?);
    match left.node {
        // Apache nests to the left; three-valued logic is the same for a chain.
        Node::And(nodes) => chain(left.levels, nodes, right, Node::And),
        node => chain(left.levels + 1, vec![node], right, Node::And),
    }
}

pub(crate) fn or(left: Built, right: Built) -> Result {
    let (left, right) = (boolean(left)?, boolean(right)?);
    match left.node {
        Node::Or(nodes) => chain(left.levels, nodes, right, Node::Or),
        node => chain(left.levels + 1, vec![node], right, Node::Or),
    }
}

fn chain(levels: usize, mut nodes: Vec<Node>, last: Built, of: fn(Vec<Node>) -> Node) -> Result {
    nodes.push(last.node);
    above(levels.max(last.levels + 1) - 1, of(nodes))
}

pub(crate) fn equal(left: Built, right: Built) -> Result {
    for operand in [&left.node, &right.node] {
        if matches!(operand, Node::Constant(Constant::Null)) {
            return Err(Why::ComparedWithNull);
        }
    }
    if let (Node::Constant(Constant::Boolean(_)), Node::Constant(right)) = (&left.node, &right.node)
        && !matches!(right, Constant::Boolean(_))
    {
        return Err(Why::ComparedWithBoolean);
    }
    above(left.levels.max(right.levels), Node::Equal(Box::new([left.node, right.node])))
}

pub(crate) fn not_equal(left: Built, right: Built) -> Result {
    not(equal(left, right)?)
}

pub(crate) fn is_null(Built { node, levels }: Built) -> Result {
    above(levels, Node::Equal(Box::new([node, Node::Constant(Constant::Null)])))
}

pub(crate) fn is_not_null(built: Built) -> Result {
    not(is_null(built)?)
}

/// Properties, numbers, and what has a sign: for the latter the value decides.
fn check_ordered(node: &Node) -> Result<()> {
    let is_ordered = match node {
        Node::Constant(constant) => {
            matches!(constant, Constant::Int(_) | Constant::Long(_) | Constant::Double(_))
        }
        node => !node.is_boolean(),
    };
    if is_ordered { Ok(()) } else { Err(Why::NotOrdered) }
}

pub(crate) fn ordered(order: Order, left: Built, right: Built) -> Result {
    check_ordered(&left.node)?;
    check_ordered(&right.node)?;
    let levels = left.levels.max(right.levels);
    above(levels, Node::Ordered(order, Box::new([left.node, right.node])))
}

pub(crate) fn between(value: Built, low: Built, high: Built, negated: bool) -> Result {
    for operand in [&value.node, &low.node, &high.node] {
        check_ordered(operand)?;
    }
    if !negated
        && let (Node::Constant(low), Node::Constant(high)) = (&low.node, &high.node)
        && compare(&Value::of(high), &Value::of(low)) == Ok(Ordering::Less)
    {
        return Err(Why::EmptyRange);
    }
    let levels = value.levels.max(low.levels).max(high.levels);
    let operands = Box::new([value.node, low.node, high.node]);
    above(levels, Node::Between { operands, negated })
}

pub(crate) fn part(operand: Built, part: Part, search: Box<str>, negated: bool) -> Result {
    let Built { node, levels } = operand;
    above(levels, Node::Part { operand: Box::new(node), part, search, negated })
}

pub(crate) fn is_in(operand: Built, mut list: Vec<Box<str>>, negated: bool) -> Result {
    let Node::Property(property) = operand.node else { return Err(Why::NotAProperty) };
    list.sort_unstable();
    list.dedup();
    above(operand.levels, Node::In { property, list: list.into(), negated })
}
