//! What a benchmark leaves for a campaign: each round's figure of the other side and of ours.
//!
//! ```text
//!   cargo bench … -- --pairs FILE      appends one line for each round, so that `loadgen campaign`
//!                                      can judge a target with rounds as it does with blocks
//!   {"figure":"pop-batch-rate","a":118934.1,"b":498935.0}
//! ```

use std::io::Write as _;

/// Appends a figure's rounds to the file of `--pairs`, if the program was given one. A is the other
/// side (Apache's broker, the bare device, a bound), B is ours; of a figure without another side A
/// is 1.
///
/// # Panics
/// When the file can't be written, or a value is no positive number: no interval of ratios has it.
pub fn keep(figure: &str, pairs: impl IntoIterator<Item = (f64, f64)>) {
    let Some(path) = std::env::args().skip_while(|arg| arg != "--pairs").nth(1) else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let mut file = file.unwrap_or_else(|error| panic!("{path}: {error}"));
    for (a, b) in pairs {
        assert!(a > 0.0 && b > 0.0 && (a * b).is_finite(), "{figure}: {a} and {b} have no ratio");
        writeln!(file, "{{\"figure\":\"{figure}\",\"a\":{a},\"b\":{b}}}").unwrap();
    }
}
