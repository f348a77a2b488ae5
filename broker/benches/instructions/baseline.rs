//! The counts that were recorded last: one line a path, its name, its instructions per message and
//! what they are made of.

use super::profile::PARTS;
use std::collections::BTreeMap;
use std::path::Path;

/// More than this above the baseline fails: hash seeds and a turn more or less make a tenth of it.
const WORSE_BY_MAX: f64 = 0.02;

const HEAD: &str = "# Instructions per message, bench profile, x86-64. Written by: cargo bench \
    -p broker --bench instructions -- --record\n# path, all, then: frame, turn end, acknowledged, \
    index\n";

/// Instructions per message of each of [`PARTS`].
pub(crate) type PerMessage = [f64; PARTS.len()];

pub(crate) struct Baseline(BTreeMap<String, PerMessage>);

impl Baseline {
    /// Empty when there is no file yet.
    pub(crate) fn load(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let entry = |line: &str| {
            let mut words = line.split_whitespace();
            let name = words.next()?.to_owned();
            let mut numbers = words.skip(1).map(|count| count.parse().unwrap());
            Some((name, PerMessage::default().map(|_: f64| numbers.next().unwrap())))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect())
    }

    /// What to print, and whether the path got worse. Parts that are `left_out` are shown and not
    /// compared.
    pub(crate) fn compare(
        &self,
        name: &str,
        found: &PerMessage,
        left_out: &[&str],
    ) -> (String, bool) {
        let compared = |parts: &PerMessage| -> f64 {
            let is_compared = |nth: &usize| !left_out.contains(&PARTS[*nth].0);
            (0..parts.len()).filter(is_compared).map(|nth| parts[nth]).sum()
        };
        let all = compared(found);
        let parts: Vec<String> = (PARTS.iter().zip(found))
            .map(|((part, _), count)| format!("{part} {count:.0}"))
            .collect();
        let line = format!("{name}: {all:.0} instructions per message ({})", parts.join(", "));
        let Some(recorded) = self.0.get(name).map(compared) else {
            return (format!("{line}, no baseline"), false);
        };
        let ratio = all / recorded;
        let is_worse = ratio > 1.0 + WORSE_BY_MAX;
        let verdict = if is_worse { ": WORSE THAN THE BASELINE" } else { "" };
        (format!("{line}, baseline {recorded:.0}, ratio {ratio:.3}{verdict}"), is_worse)
    }

    pub(crate) fn set(&mut self, name: &str, found: PerMessage) {
        self.0.insert(name.to_owned(), found);
    }

    pub(crate) fn save(&self, path: &Path) {
        let line = |(name, parts): (&String, &PerMessage)| {
            let parts: String = parts.iter().map(|count| format!(" {count:.1}")).collect();
            let all: f64 = self.0[name].iter().sum();
            format!("{name} {all:.1}{parts}\n")
        };
        let lines: String = self.0.iter().map(line).collect();
        std::fs::write(path, HEAD.to_owned() + &lines).unwrap();
    }
}
