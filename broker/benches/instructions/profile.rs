//! Reads callgrind's output file: how many instructions ran in and below the functions that count.
//!
//! ```text
//!   fn=(12) name              the caller; later only `fn=(12)`
//!   cfn=(5) name              the function that it calls
//!   calls=625 0               how often
//!   16 400                    line, instructions in and below the called function
//! ```
//!
//! Format: <https://valgrind.org/docs/manual/cl-format.html>.

use std::collections::{BTreeMap, BTreeSet};

/// What counts: the work of a frame, of the end of a turn, of the answers that a moving watermark
/// releases, and of the index, which comes later and is paid by the same core. Each is a function
/// of its own in the bench profile, by `#[inline(never)]` or because it is called through a pointer
/// or from several places. None may call another: it would count twice.
pub(crate) const PARTS: [(&str, &[&str]); 4] = [
    (
        "frame",
        &[
            "Handler for broker::shard::Shard>::on_frame",
            "Handler for broker::shard::Shard>::on_native_frame",
        ],
    ),
    (TURN_END, &["Handler for broker::shard::Shard>::on_turn_end"]),
    ("acknowledged", &["services::acknowledgements::moved"]),
    (INDEX, &["engine::store::Inner<R>>::index_piece"]),
];

/// The part whose cost for one message depends on how many turns went by while it was handled.
pub(crate) const TURN_END: &str = "turn end";

/// The part whose cost for one message depends on whether the index, which runs in the background,
/// keeps up: what it can't take at once it reads again from the log.
pub(crate) const INDEX: &str = "index";

/// Instructions of each of [`PARTS`].
pub(crate) type Counts = [u64; PARTS.len()];

#[derive(Default)]
struct Graph<'a> {
    names: BTreeMap<&'a str, &'a str>,
    /// Callees of each function, by callgrind's numbers.
    calls: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// Instructions in and below each function that somebody called.
    inclusive: BTreeMap<&'a str, u64>,
}

impl<'a> Graph<'a> {
    fn parse(text: &'a str) -> Self {
        let mut graph = Self::default();
        let (mut caller, mut callee, mut is_cost_of_call) = ("", "", false);
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn=") {
                caller = graph.number(name);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                callee = graph.number(name);
            } else if line.starts_with("calls=") {
                is_cost_of_call = true;
            } else if std::mem::take(&mut is_cost_of_call) {
                let cost = line.split_whitespace().nth(1).and_then(|cost| cost.parse().ok());
                *graph.inclusive.entry(callee).or_default() += cost.unwrap_or(0);
                graph.calls.entry(caller).or_default().insert(callee);
            }
        }
        graph
    }

    /// `(12) name` or `(12)`.
    fn number(&mut self, text: &'a str) -> &'a str {
        let (number, name) = text.split_once(' ').unwrap_or((text, ""));
        if !name.is_empty() {
            self.names.insert(number, name);
        }
        number
    }

    fn named(&self, pattern: &str) -> Option<&'a str> {
        // A pattern ends where the name does, or where a generic's hash or a cycle's mark begins.
        let ends = |rest: &str| rest.is_empty() || rest.starts_with([':', '\'', '<']);
        let is_it = |name: &str| name.rsplit_once(pattern).is_some_and(|(_, rest)| ends(rest));
        self.names.iter().find(|(_, name)| is_it(name)).map(|(number, _)| *number)
    }

    /// Whether `to` may run below `from`.
    fn reaches(&self, from: &str, to: &str) -> bool {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(function) = next.pop() {
            for callee in self.calls.get(function).into_iter().flatten() {
                if *callee == to {
                    return true;
                }
                if seen.insert(*callee) {
                    next.push(callee);
                }
            }
        }
        false
    }
}

/// The counts of a whole run, or why they can't be told. In a `short` run the index may not get to
/// work before the broker stops; then its count is 0.
pub(crate) fn counts(text: &str, short: bool) -> Result<Counts, String> {
    let graph = Graph::parse(text);
    let mut counted = vec![];
    let mut counts = Counts::default();
    for (count, (part, functions)) in counts.iter_mut().zip(PARTS) {
        let found: Vec<_> = functions.iter().filter_map(|function| graph.named(function)).collect();
        if found.is_empty() && !(short && part == INDEX) {
            return Err(format!(
                "{part}: none of {functions:?} was called as a function of its own. Fix: give it \
                    #[inline(never)], or its new name to PARTS"
            ));
        }
        *count = found.iter().map(|number| graph.inclusive.get(number).copied().unwrap_or(0)).sum();
        counted.extend(found);
    }
    for (from, to) in counted.iter().flat_map(|from| counted.iter().map(move |to| (*from, *to))) {
        if from != to && graph.reaches(from, to) {
            let [from, to] = [from, to].map(|number| graph.names[number]);
            return Err(format!("{to} runs below {from} and would count twice: mend PARTS"));
        }
    }
    Ok(counts)
}
