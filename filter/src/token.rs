//! The tokens of `SelectorParser.jj`: the longest match wins, words are found in any case.
//!
//! A comment that is not closed is none: `--` without a line end are two signs.

use crate::error::Why;
use winnow::ascii::digit1;
use winnow::combinator::{alt, fail, opt, peek, repeat};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{Stateful, Stream};
use winnow::token::{any, one_of, take_till, take_until, take_while};

/// The rest of the text, and what is known of it.
pub(crate) type Input<'s> = Stateful<&'s str, State>;

/// What is known besides the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// How deep the grammar is at this place.
    pub(crate) levels: usize,
    /// How many bytes are left at the text's last line end; 0 where it has none. Without it each
    /// `--` would look for its line end through all of the rest.
    last_line_end: usize,
}

/// A whole text.
pub(crate) fn input(text: &str) -> Input<'_> {
    let last_line_end = text.rfind(['\n', '\r']).map_or(0, |at| text.len() - at);
    Stateful { input: text, state: State { levels: 0, last_line_end } }
}

/// What ended parsing: how many bytes were left, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped {
    pub(crate) bytes_left: usize,
    pub(crate) why: Why,
}

/// A result of a parser here.
pub(crate) type Parsed<T> = winnow::ModalResult<T, Stopped>;

impl ParserError<Input<'_>> for Stopped {
    type Inner = Self;

    fn from_input(input: &Input<'_>) -> Self {
        Self { bytes_left: input.eof_offset(), why: Why::Expected("a value or a property") }
    }

    fn into_inner(self) -> winnow::Result<Self::Inner, Self> {
        Ok(self)
    }
}

/// Ends parsing here, for good.
pub(crate) fn stop(input: &Input<'_>, why: Why) -> ErrMode<Stopped> {
    ErrMode::Cut(Stopped { bytes_left: input.eof_offset(), why })
}

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'s> {
    /// A keyword.
    Keyword(Keyword),
    /// A property's name.
    Name(&'s str),
    /// A whole number, with its `L` if it has one.
    Integer(&'s str),
    /// A number with a point or an exponent.
    Decimal(&'s str),
    /// A text with its quotes.
    Text(&'s str),
    /// One of `= <> > >= < <= ( ) , + -`.
    Sign(&'s str),
    /// The end of the expression.
    End,
}

/// The words that are no names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Not,
    And,
    Or,
    Between,
    In,
    True,
    False,
    Null,
    Is,
    Contains,
    StartsWith,
    EndsWith,
}

const KEYWORDS: [(&str, Keyword); 12] = [
    ("NOT", Keyword::Not),
    ("AND", Keyword::And),
    ("OR", Keyword::Or),
    ("BETWEEN", Keyword::Between),
    ("IN", Keyword::In),
    ("TRUE", Keyword::True),
    ("FALSE", Keyword::False),
    ("NULL", Keyword::Null),
    ("IS", Keyword::Is),
    ("CONTAINS", Keyword::Contains),
    ("STARTSWITH", Keyword::StartsWith),
    ("ENDSWITH", Keyword::EndsWith),
];

/// The next token. Where none begins, parsing ends for good.
pub(crate) fn token<'s>(input: &mut Input<'s>) -> Parsed<Token<'s>> {
    blanks(input)?;
    let Some(first) = opt(peek(any)).parse_next(input)? else { return Ok(Token::End) };
    match first {
        '\'' => text(input),
        '0'..='9' | '.' => alt((decimal, integer)).parse_next(input),
        'a'..='z' | 'A'..='Z' | '_' | '$' => word(input),
        _ => alt(("<>", ">=", "<=", one_of(['=', '>', '<', '(', ')', ',', '+', '-']).take()))
            .map(Token::Sign)
            .parse_next(input),
    }
    .map_err(|_: ErrMode<Stopped>| stop(input, Why::NoToken))
}

/// White space and comments.
pub(crate) fn blanks(input: &mut Input<'_>) -> Parsed<()> {
    let space = take_while(1.., [' ', '\t', '\n', '\r', '\x0C']).void();
    let block = ("/*", take_until(0.., "*/"), "*/").void();
    repeat(0.., alt((space, line_comment, block))).parse_next(input)
}

fn line_comment(input: &mut Input<'_>) -> Parsed<()> {
    if input.eof_offset() <= input.state.last_line_end || input.state.last_line_end == 0 {
        return fail(input);
    }
    let line_end = ['\n', '\r'];
    ("--", take_till(0.., line_end), one_of(line_end)).void().parse_next(input)
}

fn word<'s>(input: &mut Input<'s>) -> Parsed<Token<'s>> {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
    let word = take_while(1.., is_of_word).parse_next(input)?;
    let keyword = KEYWORDS.iter().find(|(text, _)| word.eq_ignore_ascii_case(text));
    Ok(keyword.map_or(Token::Name(word), |(_, keyword)| Token::Keyword(*keyword)))
}

fn exponent<'s>(input: &mut Input<'s>) -> Parsed<&'s str> {
    (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1).take().parse_next(input)
}

fn decimal<'s>(input: &mut Input<'s>) -> Parsed<Token<'s>> {
    let digits = |input: &mut Input<'s>| digit1.parse_next(input);
    alt((
        (digits, '.', opt(digits), opt(exponent)).take(),
        ('.', digits, opt(exponent)).take(),
        (digits, exponent).take(),
    ))
    .map(Token::Decimal)
    .parse_next(input)
}

/// `0`, or digits that don't begin with it and may end with an `L`: of `007` and of `0L` only the
/// first character.
fn integer<'s>(input: &mut Input<'s>) -> Parsed<Token<'s>> {
    alt(("0", (digit1, opt(one_of(['l', 'L']))).take())).map(Token::Integer).parse_next(input)
}

/// `'…'`, where two quotes are one.
fn text<'s>(input: &mut Input<'s>) -> Parsed<Token<'s>> {
    let part = ('\'', take_till(0.., '\''), '\'').void();
    repeat(1.., part).map(|()| ()).take().map(Token::Text).parse_next(input)
}

/// The text that a token in quotes means.
pub(crate) fn unquoted(quoted: &str) -> Box<str> {
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    inner.replace("''", "'").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut input = input(text);
        std::iter::from_fn(|| token(&mut input).ok().filter(|token| *token != Token::End)).collect()
    }

    #[test]
    fn the_longest_token_wins() {
        use Token::{Decimal, Integer, Name, Sign, Text};
        assert_eq!(tokens("<><=<"), [Sign("<>"), Sign("<="), Sign("<")]);
        assert_eq!(
            tokens("1.5E+3 5.E 5E .5"),
            [Decimal("1.5E+3"), Decimal("5."), Name("E"), Integer("5"), Name("E"), Decimal(".5")]
        );
        assert_eq!(
            tokens("12L 0L 07"),
            [Integer("12L"), Integer("0"), Name("L"), Integer("0"), Integer("7")]
        );
        assert_eq!(tokens("'it''s' ''''"), [Text("'it''s'"), Text("''''")]);
        assert_eq!(tokens("anD $_1 ANDx")[0], Token::Keyword(Keyword::And));
        assert_eq!(tokens("anD $_1 ANDx")[1..], [Name("$_1"), Name("ANDx")]);
    }

    #[test]
    fn a_comment_that_is_not_closed_is_none() {
        assert_eq!(tokens("-- x\n1/* * ** */2"), [Token::Integer("1"), Token::Integer("2")]);
        assert_eq!(tokens("--x")[..2], [Token::Sign("-"), Token::Sign("-")]);
        assert!(tokens("/* x").is_empty() && tokens("'x").is_empty());
    }

    #[test]
    fn two_quotes_are_one() {
        assert_eq!(&*unquoted("'it''s'"), "it's");
        assert_eq!(&*unquoted("''''''"), "''");
        assert_eq!(&*unquoted("''"), "");
    }
}
