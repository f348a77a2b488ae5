//! The counts that were recorded last: one line a path, its name and its instructions per message.

use std::collections::BTreeMap;
use std::path::Path;

/// More than this above the baseline is said loudly: hash seeds make less.
const NOISE: f64 = 0.01;

const HEAD: &str = "# Instructions per message, bench profile, x86-64. Written by: cargo bench \
    -p broker --bench instructions -- --record\n";

pub struct Baseline(BTreeMap<String, f64>);

impl Baseline {
    /// Empty when there is no file yet.
    pub fn load(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let entry = |line: &str| {
            line.split_once(' ')
                .map(|(name, count)| (name.to_owned(), count.trim().parse().unwrap()))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect())
    }

    pub fn compare(&self, name: &str, found: f64) -> String {
        let Some(recorded) = self.0.get(name) else {
            return format!("{name}: {found:.0} instructions per message, no baseline");
        };
        let ratio = found / recorded;
        let verdict = if ratio > 1.0 + NOISE { ": WORSE THAN THE BASELINE" } else { "" };
        format!(
            "{name}: {found:.0} instructions per message, baseline {recorded:.0}, ratio \
                {ratio:.3}{verdict}"
        )
    }

    pub fn set(&mut self, name: &str, found: f64) {
        self.0.insert(name.to_owned(), found);
    }

    pub fn save(&self, path: &Path) {
        let lines: String =
            self.0.iter().map(|(name, count)| format!("{name} {count:.0}\n")).collect();
        std::fs::write(path, HEAD.to_owned() + &lines).unwrap();
    }
}
