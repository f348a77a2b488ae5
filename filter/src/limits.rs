//! What one expression may cost. Apache has no such limits; it parses until its stack overflows.

/// Bytes of an expression. The largest that are known have lists of some thousand texts behind
/// `IN`.
pub const EXPRESSION_BYTES_MAX: usize = 32 * 1024;

/// Levels of an expression: parentheses, `NOT`, signs, and operators on the result of others. A
/// chain of `AND` or of `OR` is one level. Reading and evaluating recurse as deep, on a core's
/// stack.
pub const DEPTH_MAX: usize = 100;
