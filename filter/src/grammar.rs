//! The grammar of `SelectorParser.jj`. All its operators are of one table, by how close they bind:
//!
//! | binds | operators |
//! |---|---|
//! | 5 | `NOT`, `+`, `-` before an operand |
//! | 4 | `>` `>=` `<` `<=`, `[NOT] CONTAINS`, `STARTSWITH`, `ENDSWITH`, `BETWEEN`, `IN` |
//! | 3 | `=` `<>` `IS [NOT] NULL` |
//! | 2 | `AND` |
//! | 1 | `OR` |
//!
//! Operators of one row go from left to right. As in Apache, the expression ends where no operator
//! follows an operand; what follows must be a token, and is ignored.

use crate::error::{SqlError, Why};
use crate::java_numbers;
use crate::limits::{DEPTH_MAX, EXPRESSION_BYTES_MAX};
use crate::operands::{self, Built};
use crate::token::{self, Input, Keyword, Parsed, Stopped, Token, blanks, stop, token, unquoted};
use crate::tree::{Constant, Node, Order, Part};
use winnow::combinator::{Infix, Postfix, Prefix, expression};
use winnow::error::{ErrMode, ParserError as _};
use winnow::prelude::*;
use winnow::stream::Stream;

const OR: i64 = 10;
const AND: i64 = 20;
const EQUALITY: i64 = 30;
const COMPARISON: i64 = 40;
const UNARY: i64 = 50;

/// The tree of an expression.
pub(crate) fn parse(text: &str) -> Result<Node, SqlError> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(SqlError { character: 1, why: Why::TooLong });
    }
    let mut input = token::input(text);
    whole(&mut input).map_err(|error| {
        let stopped = error.into_inner().unwrap_or_else(|_| unreachable!("texts are complete"));
        let before = text.len().saturating_sub(stopped.bytes_left);
        let character = text.char_indices().take_while(|(at, _)| *at < before).count() + 1;
        SqlError { character, why: stopped.why }
    })
}

fn whole(input: &mut Input<'_>) -> Parsed<Node> {
    let built = logic(input)?;
    token_here(input)?;
    built_or_stop(input, operands::boolean(built)).map(|built| built.node)
}

/// An expression with all operators.
fn logic(input: &mut Input<'_>) -> Parsed<Built> {
    expression(operand).prefix(prefix).postfix(postfix).infix(infix).parse_next(input)
}

/// An operand with nothing but its signs, as it stands behind `BETWEEN`.
fn unary(input: &mut Input<'_>) -> Parsed<Built> {
    let operators = expression(operand).prefix(prefix);
    operators.current_precedence_level(UNARY).parse_next(input)
}

fn built_or_stop(input: &Input<'_>, built: Result<Built, Why>) -> Parsed<Built> {
    built.map_err(|why| stop(input, why))
}

fn go_deeper(input: &mut Input<'_>) -> Parsed<()> {
    input.state.levels += 1;
    if input.state.levels > DEPTH_MAX { Err(stop(input, Why::TooDeep)) } else { Ok(()) }
}

/// A literal, a property, or an expression in parentheses.
fn operand(input: &mut Input<'_>) -> Parsed<Built> {
    blanks(input)?; // a refusal names the token, not the blanks before it
    let start = input.checkpoint();
    let constant = match token(input)? {
        Token::Name(name) => return Ok(operands::leaf(Node::Property(name.into()))),
        Token::Sign("(") => return parenthesis(input),
        Token::Text(quoted) => Ok(Constant::Text(unquoted(quoted))),
        Token::Integer(digits) => integer(digits),
        Token::Decimal(digits) => decimal(digits),
        Token::Keyword(Keyword::True) => Ok(Constant::Boolean(true)),
        Token::Keyword(Keyword::False) => Ok(Constant::Boolean(false)),
        Token::Keyword(Keyword::Null) => Ok(Constant::Null),
        Token::Keyword(_) | Token::Sign(_) | Token::End => Err(None),
    };
    constant.map(|constant| operands::leaf(Node::Constant(constant))).map_err(|why| {
        input.reset(&start);
        why.map_or_else(|| ErrMode::from_input(input), |why| stop(input, why))
    })
}

fn parenthesis(input: &mut Input<'_>) -> Parsed<Built> {
    go_deeper(input)?;
    let inner = logic(input).map_err(ErrMode::cut)?;
    sign(input, ")", "an operator or )")?;
    input.state.levels -= 1;
    Ok(inner)
}

/// Like Java's `Long`, and an `Integer` where it fits.
fn integer(digits: &str) -> Result<Constant, Option<Why>> {
    let digits = digits.trim_end_matches(['l', 'L']);
    let number: i64 = digits.parse().map_err(|_| Some(Why::IntegerTooLarge))?;
    Ok(i32::try_from(number).map_or(Constant::Long(number), Constant::Int))
}

/// Apache takes `Double.MIN_VALUE` for the least double: it is the least above zero.
fn decimal(digits: &str) -> Result<Constant, Option<Why>> {
    let number = java_numbers::parse_double(digits);
    let number = number.filter(|number| number.is_finite() && *number > 0.0);
    number.map(Constant::Double).ok_or(Some(Why::NotADouble))
}

/// The next token, if `wanted` knows it; otherwise nothing is taken.
fn next<'s, T>(
    input: &mut Input<'s>,
    wanted: impl FnOnce(&mut Input<'s>, Token<'s>) -> Parsed<Option<T>>,
) -> Parsed<T> {
    blanks(input)?;
    let start = input.checkpoint();
    let next = token(input)?;
    wanted(input, next)?.ok_or_else(|| {
        input.reset(&start);
        ErrMode::from_input(input)
    })
}

fn sign(input: &mut Input<'_>, wanted: &str, expected: &'static str) -> Parsed<()> {
    let is_wanted = |token| (token == Token::Sign(wanted)).then_some(());
    next(input, |_, token| Ok(is_wanted(token))).map_err(|error| otherwise(error, expected))
}

/// The same error; where it was only that another token stands here, it says what is expected.
fn otherwise(error: ErrMode<Stopped>, expected: &'static str) -> ErrMode<Stopped> {
    match error {
        ErrMode::Backtrack(at) => ErrMode::Cut(Stopped { why: Why::Expected(expected), ..at }),
        other => other,
    }
}

type BeforeOperand<'s> = Prefix<Input<'s>, Built, ErrMode<Stopped>>;
type BehindOperand<'s> = Postfix<Input<'s>, Built, ErrMode<Stopped>>;
type BetweenOperands<'s> = Infix<Input<'s>, Built, ErrMode<Stopped>>;

fn prefix<'s>(input: &mut Input<'s>) -> Parsed<BeforeOperand<'s>> {
    next(input, |input, token| {
        let operator: BeforeOperand<'s> = match token {
            Token::Sign("+") => Prefix(UNARY, |input, operand| {
                input.state.levels -= 1;
                Ok(operand)
            }),
            Token::Sign("-") => Prefix(UNARY, |input, operand| {
                input.state.levels -= 1;
                built_or_stop(input, operands::negate(operand))
            }),
            Token::Keyword(Keyword::Not) => Prefix(UNARY, |input, operand| {
                input.state.levels -= 1;
                built_or_stop(input, operands::not(operand))
            }),
            _ => return Ok(None),
        };
        go_deeper(input)?;
        Ok(Some(operator))
    })
}

fn infix<'s>(input: &mut Input<'s>) -> Parsed<BetweenOperands<'s>> {
    next(input, |_, token| {
        Ok(Some(match token {
            Token::Keyword(Keyword::Or) => {
                Infix::Left(OR, |input, a, b| built_or_stop(input, operands::or(a, b)))
            }
            Token::Keyword(Keyword::And) => {
                Infix::Left(AND, |input, a, b| built_or_stop(input, operands::and(a, b)))
            }
            Token::Sign("=") => {
                Infix::Left(EQUALITY, |input, a, b| built_or_stop(input, operands::equal(a, b)))
            }
            Token::Sign("<>") => {
                Infix::Left(EQUALITY, |input, a, b| built_or_stop(input, operands::not_equal(a, b)))
            }
            Token::Sign(">") => Infix::Left(COMPARISON, |input, a, b| {
                built_or_stop(input, operands::ordered(Order::Greater, a, b))
            }),
            Token::Sign(">=") => Infix::Left(COMPARISON, |input, a, b| {
                built_or_stop(input, operands::ordered(Order::GreaterOrEqual, a, b))
            }),
            Token::Sign("<") => Infix::Left(COMPARISON, |input, a, b| {
                built_or_stop(input, operands::ordered(Order::Less, a, b))
            }),
            Token::Sign("<=") => Infix::Left(COMPARISON, |input, a, b| {
                built_or_stop(input, operands::ordered(Order::LessOrEqual, a, b))
            }),
            _ => return Ok(None),
        }))
    })
}

fn postfix<'s>(input: &mut Input<'s>) -> Parsed<BehindOperand<'s>> {
    next(input, |_, token| {
        Ok(Some(match token {
            Token::Keyword(Keyword::Is) => Postfix(EQUALITY, null_test),
            Token::Keyword(Keyword::Not) => Postfix(COMPARISON, |input, operand| {
                let Token::Keyword(keyword) = token_here(input)? else {
                    return Err(stop(input, Why::Expected(BEHIND_NOT)));
                };
                comparison(input, operand, keyword, true)
            }),
            Token::Keyword(Keyword::Between) => {
                Postfix(COMPARISON, |i, operand| comparison(i, operand, Keyword::Between, false))
            }
            Token::Keyword(Keyword::In) => {
                Postfix(COMPARISON, |i, operand| comparison(i, operand, Keyword::In, false))
            }
            Token::Keyword(Keyword::Contains) => {
                Postfix(COMPARISON, |i, operand| comparison(i, operand, Keyword::Contains, false))
            }
            Token::Keyword(Keyword::StartsWith) => {
                Postfix(COMPARISON, |i, operand| comparison(i, operand, Keyword::StartsWith, false))
            }
            Token::Keyword(Keyword::EndsWith) => {
                Postfix(COMPARISON, |i, operand| comparison(i, operand, Keyword::EndsWith, false))
            }
            _ => return Ok(None),
        }))
    })
}

const BEHIND_NOT: &str = "BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH";

/// The next token, which stays.
fn token_here<'s>(input: &mut Input<'s>) -> Parsed<Token<'s>> {
    blanks(input)?;
    let start = input.checkpoint();
    let next = token(input)?;
    input.reset(&start);
    Ok(next)
}

/// What follows `IS`.
fn null_test(input: &mut Input<'_>, operand: Built) -> Parsed<Built> {
    let keyword = |wanted| move |token| (token == Token::Keyword(wanted)).then_some(());
    let has_not = next(input, |_, token| Ok(keyword(Keyword::Not)(token)));
    let negated = match has_not {
        Ok(()) => true,
        Err(ErrMode::Backtrack(_)) => false,
        Err(error) => return Err(error),
    };
    next(input, |_, token| Ok(keyword(Keyword::Null)(token)))
        .map_err(|error| otherwise(error, "NULL or NOT NULL"))?;
    let built = if negated { operands::is_not_null(operand) } else { operands::is_null(operand) };
    built_or_stop(input, built)
}

/// What follows one of the words that compare; behind `NOT` the word itself is still there.
fn comparison(
    input: &mut Input<'_>,
    operand: Built,
    keyword: Keyword,
    negated: bool,
) -> Parsed<Built> {
    let part = match keyword {
        Keyword::Between | Keyword::In => None,
        Keyword::Contains => Some(Part::Contains),
        Keyword::StartsWith => Some(Part::StartsWith),
        Keyword::EndsWith => Some(Part::EndsWith),
        _ => return Err(stop(input, Why::Expected(BEHIND_NOT))),
    };
    if negated {
        token(input)?;
    }
    let built = match (part, keyword) {
        (Some(part), _) => operands::part(operand, part, text(input)?, negated),
        (None, Keyword::In) => operands::is_in(operand, list(input)?, negated),
        (None, _) => {
            let low = unary(input).map_err(ErrMode::cut)?;
            let is_and = |token| (token == Token::Keyword(Keyword::And)).then_some(());
            next(input, |_, token| Ok(is_and(token)))
                .map_err(|error| otherwise(error, "AND and the higher number"))?;
            let high = unary(input).map_err(ErrMode::cut)?;
            operands::between(operand, low, high, negated)
        }
    };
    built_or_stop(input, built)
}

fn text(input: &mut Input<'_>) -> Parsed<Box<str>> {
    let unquote = |token| if let Token::Text(text) = token { Some(unquoted(text)) } else { None };
    next(input, |_, token| Ok(unquote(token))).map_err(|error| otherwise(error, "a text in quotes"))
}

/// `('a', 'b')`.
fn list(input: &mut Input<'_>) -> Parsed<Vec<Box<str>>> {
    sign(input, "(", "( and texts in quotes")?;
    let mut list = vec![text(input)?];
    loop {
        match token_here(input)? {
            Token::Sign(",") => {
                token(input)?;
                list.push(text(input)?);
            }
            _ => {
                sign(input, ")", ", or )")?;
                return Ok(list);
            }
        }
    }
}
