//! Nothing that comes from a peer panics, overflows the stack or takes long.

use filter::limits::{DEPTH_MAX, EXPRESSION_BYTES_MAX};
use filter::{Expression, Properties, Verdict, Why};
use std::borrow::Cow;

/// Every property has this value.
struct All(&'static str);

impl Properties for All {
    fn get(&self, _: &str) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.0))
    }
}

fn run(text: &str) {
    if let Ok(expression) = Expression::compile(text) {
        for value in ["1", "x", "", "\u{0}", "1e999", "0x1p-1074", "-9223372036854775809"] {
            let _ = expression.judge(&All(value));
        }
    }
}

/// `FILTER_SEED` replays one.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let one = std::env::var("FILTER_SEED").ok().map(|seed| seed.parse().unwrap());
    let first = one.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("FILTER_SEED={first} cargo test -p filter --test it hostile");
    (0..count).map(move |nth| first.wrapping_add(nth))
}

#[test]
fn random_bytes_are_read_or_refused() {
    for seed in seeds(20_000) {
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        run(&String::from_utf8_lossy(&bytes));
        let ascii: String = bytes.iter().map(|byte| char::from(byte & 0x7F)).collect();
        run(&ascii);
    }
}

#[test]
fn random_tokens_are_read_or_refused() {
    const TOKENS: [&str; 40] = [
        "a",
        "b",
        "1",
        "2.5",
        ".5",
        "5.",
        "1e9",
        "0",
        "07",
        "9223372036854775808",
        "'x'",
        "''",
        "'",
        "''''",
        "(",
        ")",
        ",",
        "=",
        "<>",
        "<",
        "<=",
        ">",
        ">=",
        "+",
        "-",
        "--",
        "\n",
        "/*",
        "*/",
        "NOT",
        "AND",
        "OR",
        "BETWEEN",
        "IN",
        "IS",
        "NULL",
        "TRUE",
        "CONTAINS",
        "STARTSWITH",
        "ä",
    ];
    let mut compiled = 0;
    for seed in seeds(50_000) {
        let mut random = fastrand::Rng::with_seed(seed);
        let blank = if random.bool() { " " } else { "" };
        let count = random.usize(1..12);
        let text: Vec<&str> = (0..count).map(|_| TOKENS[random.usize(..TOKENS.len())]).collect();
        let text = text.join(blank);
        compiled += u64::from(Expression::compile(&text).is_ok());
        run(&text);
    }
    assert!(compiled > 100, "only {compiled} were expressions");
}

#[test]
fn however_deep_an_expression_is_the_stack_is_enough() {
    // A core's thread has 2 MiB; a quarter must do, in a debug build too.
    let quarter = std::thread::Builder::new().stack_size(512 << 10);
    let thread = quarter.spawn(|| {
        let many = EXPRESSION_BYTES_MAX;
        for (before, middle, behind, levels) in [
            ("(", "a = 1", ")", DEPTH_MAX),
            ("NOT ", "a", "", DEPTH_MAX - 1),
            ("NOT (", "a", ")", DEPTH_MAX / 2),
            ("- ", "a IS NULL", "", DEPTH_MAX - 2),
            ("+ ", "a = 1", "", DEPTH_MAX),
            ("", "a", " IS NULL", DEPTH_MAX - 1),
            ("", "a", " = 1", DEPTH_MAX - 1),
            ("", "a", " CONTAINS 'x'", DEPTH_MAX - 1),
            ("1 = (", "a", ")", DEPTH_MAX / 2),
            ("a = 1 AND (", "a", ")", DEPTH_MAX / 2),
        ] {
            let nested = |levels| {
                let text = format!("{}{middle}{}", before.repeat(levels), behind.repeat(levels));
                Expression::compile(&text)
            };
            let deepest =
                nested(levels).unwrap_or_else(|error| panic!("{before}{behind}: {error}"));
            let _ = deepest.judge(&All("1"));
            let piece = before.len() + behind.len();
            for levels in [DEPTH_MAX + 1, (many - middle.len()) / piece] {
                assert_eq!(nested(levels).unwrap_err().why, Why::TooDeep, "{before}{behind}");
            }
        }
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn long_chains_and_lists_are_no_levels() {
    let chain = vec!["a = 1"; 1_500].join(" OR ");
    assert_eq!(Expression::compile(&chain).unwrap().judge(&All("2")), Verdict::False);
    let chain = vec!["a = 1"; 1_500].join(" AND ");
    assert_eq!(Expression::compile(&chain).unwrap().judge(&All("1")), Verdict::True);
    let list = format!("a IN ('x'{})", ", 'yy'".repeat(2_000));
    assert_eq!(Expression::compile(&list).unwrap().judge(&All("yy")), Verdict::True);
    let long = format!("{chain}{}", " ".repeat(EXPRESSION_BYTES_MAX));
    assert_eq!(Expression::compile(&long).unwrap_err().why, Why::TooLong);
}

#[test]
fn a_refusal_names_the_character_where_it_was_noticed() {
    for (text, character) in [
        ("", 1),
        ("a = ", 5),
        ("a = 1 AND ;", 11),
        ("ä = 1", 1),
        ("a = 'ä' AND ? = 1", 13),
        ("a IN (1)", 7),
        ("a IN ('x' 'y')", 11),
        ("(a = 1", 7),
        ("a > 1 AND b NOT 1", 17),
        ("a = 9223372036854775808", 5),
        ("a BETWEEN 1 OR 2", 13),
    ] {
        let error = Expression::compile(text).unwrap_err();
        assert_eq!(error.character, character, "{text:?}: {error}");
    }
}
