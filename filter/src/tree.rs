//! A compiled expression. Which operands a node may have is decided by [`super::operands`].

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Text(Box<str>),
    Int(i32),
    Long(i64),
    Double(f64),
    Boolean(bool),
    Null,
}

/// A comparison by order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What is asked of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Contains,
    StartsWith,
    EndsWith,
}

/// A part of an expression.
#[derive(Debug, PartialEq)]
pub(crate) enum Node {
    Constant(Constant),
    Property(Box<str>),
    /// A property where a truth value stands: false if the message has it, else unknown.
    Cast(Box<str>),
    Negate(Box<Node>),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    /// `=`; `IS NULL` is `= NULL`, which the grammar has no other way to write.
    Equal(Box<[Node; 2]>),
    Ordered(Order, Box<[Node; 2]>),
    /// Of the value, the low end and the high end.
    Between {
        operands: Box<[Node; 3]>,
        negated: bool,
    },
    Part {
        operand: Box<Node>,
        part: Part,
        search: Box<str>,
        negated: bool,
    },
    /// The list is sorted.
    In {
        property: Box<str>,
        list: Box<[Box<str>]>,
        negated: bool,
    },
}

impl Node {
    /// Whether it gives a truth value (Apache's `BooleanExpression`).
    pub(crate) fn is_boolean(&self) -> bool {
        match self {
            Self::Constant(constant) => matches!(constant, Constant::Boolean(_) | Constant::Null),
            Self::Property(_) | Self::Negate(_) => false,
            _ => true,
        }
    }
}
