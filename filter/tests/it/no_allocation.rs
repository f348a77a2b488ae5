//! Judging a message allocates nothing: the broker does it for every message that a read looks at.

use filter::{Expression, Properties};
use std::borrow::Cow;

struct Fixed;

impl Properties for Fixed {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "n" => Some(Cow::Borrowed("42")),
            "color" => Some(Cow::Borrowed("red")),
            _ => None,
        }
    }
}

#[test]
fn judging_allocates_nothing() {
    for text in [
        "n BETWEEN 1 AND 99.5 AND color IN ('red', 'blue') AND color CONTAINS 'e'",
        "missing = 1 OR color = 'green' OR NOT (n >= 42) OR missing IS NULL",
        "color > 5",
    ] {
        let expression = Expression::compile(text).unwrap();
        let counted = allocation_counter::measure(|| {
            std::hint::black_box(expression.judge(&Fixed));
        });
        assert_eq!(counted.count_total, 0, "{text}");
    }
}
