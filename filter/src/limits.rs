//! What one expression may cost. Apache has no such limits; it parses until its stack overflows.

/// Bytes of an expression: room for some hundred ids behind `IN`. Reading it takes the core's time.
pub const EXPRESSION_BYTES_MAX: usize = 16 * 1024;

/// Levels of an expression: parentheses, `NOT`, signs, and operators on the result of others. A
/// chain of `AND` or of `OR` is one level. Reading and evaluating recurse as deep, on a core's
/// stack.
pub const DEPTH_MAX: usize = 100;
