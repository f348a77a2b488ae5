//! Histograms in HdrHistogram's percentile text format (`.hgrm`), which its plotting tools read.
//! Values in µs.

use crate::row::{count_f64, micros};
use hdrhistogram::Histogram;
use std::fmt::Write as _;

/// Steps per halving of the distance to 100 %, as in HdrHistogram's own output.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// The text of one histogram of nanoseconds.
#[must_use]
pub fn percentile_text(histogram: &Histogram<u64>) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for value in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += value.count_since_last_iteration();
        let quantile = value.quantile_iterated_to();
        let at = micros(histogram.value_at_quantile(value.quantile()));
        let _infallible = if quantile < 1.0 {
            writeln!(text, "{at:12.3} {quantile:14.12} {total:10} {:14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(text, "{at:12.3} {quantile:14.12} {total:10} {:>14}", "inf")
        };
    }
    let _infallible = write!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n#[Max     = {:12.3}, Total count    = \
            {:12}]\n#[Buckets = {:12}, SubBuckets     = {:12}]\n",
        histogram.mean() / 1000.0,
        histogram.stdev() / 1000.0,
        micros(histogram.max()),
        histogram.len(),
        buckets(histogram),
        SUB_BUCKETS,
    );
    text
}

/// Sub-buckets of a histogram with three significant digits.
const SUB_BUCKETS: usize = 2048;

fn buckets(histogram: &Histogram<u64>) -> usize {
    (histogram.distinct_values() * 2 / SUB_BUCKETS).saturating_sub(1)
}

/// The points of a percentile spectrum: (1/(1−quantile), µs), up to where fewer than ten values lie
/// beyond.
#[must_use]
pub fn spectrum(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let last = count_f64(histogram.len()) / 10.0;
    let mut points = Vec::new();
    for value in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        let beyond = 1.0 - value.quantile_iterated_to();
        if beyond <= 0.0 || 1.0 / beyond > last {
            break;
        }
        let times = 1.0 / beyond;
        points.push((times, micros(value.value_iterated_to())));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::fine;

    #[test]
    fn the_text_ends_at_all_values_and_names_the_mean() {
        let mut histogram = fine();
        (1..=1000u64).for_each(|value| histogram.saturating_record(value * 1000));
        let text = percentile_text(&histogram);
        assert!(
            text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"),
            "{text}"
        );
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let words: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(words[1..], ["1.000000000000", "1000", "inf"]);
        assert!(text.contains("#[Mean    =      500."), "{text}");
        assert!(text.contains("Total count    =         1000]"));
    }

    #[test]
    fn a_spectrum_rises_and_ends_where_ten_values_lie_beyond() {
        let mut histogram = fine();
        (1..=1000u64).for_each(|value| histogram.saturating_record(value * 1000));
        let points = spectrum(&histogram);
        assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
        let last = points.last().unwrap().0;
        assert!((50.0..=100.0).contains(&last), "ends at 1/(1-q) = {last} of 1,000 values");
    }
}
