//! Every verdict of Apache's own classes, for a fixed list of expressions and seeded random ones.
//! The table and the program that made it are in `tests/oracle/`.

use filter::{Expression, Properties, Verdict};
use std::borrow::Cow;
use std::collections::HashMap;

struct Message(HashMap<String, String>);

impl Properties for Message {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.get(name).map(|value| Cow::Borrowed(value.as_str()))
    }
}

fn letter(verdict: Verdict) -> char {
    match verdict {
        Verdict::True => 'T',
        Verdict::False => 'F',
        Verdict::Unknown => 'N',
        Verdict::Failed => 'X',
    }
}

#[test]
fn every_verdict_is_apaches() {
    let table = include_str!("../oracle/verdicts.txt");
    let rows =
        |kind| table.lines().filter_map(move |line| line.strip_prefix(kind)?.strip_prefix('\t'));
    let messages: Vec<Message> =
        rows("message").map(|row| Message(serde_json::from_str(row).unwrap())).collect();
    let (mut differ, mut refused, mut seen) = (Vec::new(), 0, HashMap::<char, usize>::new());
    for row in rows("expression") {
        let (text, expected) = row.rsplit_once('\t').unwrap();
        let text: String = serde_json::from_str(text).unwrap();
        let found = match Expression::compile(&text) {
            Ok(expression) => {
                messages.iter().map(|message| letter(expression.judge(message))).collect()
            }
            Err(_) => "refused".to_owned(),
        };
        if expected == "refused" {
            refused += 1;
        } else {
            assert_eq!(expected.len(), messages.len(), "{text:?}");
            expected.chars().for_each(|letter| *seen.entry(letter).or_default() += 1);
        }
        if found != expected {
            differ.push(format!("{text:?}\n  Apache {expected}\n  here   {found}"));
        }
    }
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    // The table is not vacuous.
    assert!(messages.len() > 40 && refused > 200, "{} messages, {refused}", messages.len());
    assert!("TFNX".chars().all(|letter| seen[&letter] > 1_000), "{seen:?}");
}
