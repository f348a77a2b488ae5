//! A row in the shape of the OpenMessaging Benchmark's result files, for the tools that read those.
//!
//! Its arrays have a value for each 10 s, latencies are in ms and `publishDelayLatency` in µs. It
//! has a name for every percentile; one that comes from too few messages is `null` here. The
//! publish latency is the response time: that benchmark measures from the actual send, which hides
//! a sender that was late, and calls the rest publish delay.

use crate::recorder::coarse;
use crate::row::{Row, count_f64};
use hdrhistogram::{Counter, Histogram};
use serde_json::{Map, Value, json};

/// One value of the arrays covers so many seconds.
const EVERY_S: f64 = 10.0;

/// That benchmark's names of percentiles, and the share of values below them.
const NAMED: [(&str, f64); 6] = [
    ("50pct", 0.5),
    ("75pct", 0.75),
    ("95pct", 0.95),
    ("99pct", 0.99),
    ("999pct", 0.999),
    ("9999pct", 0.9999),
];
/// The quantiles of the aggregated curves.
const CURVE: [f64; 9] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999];

/// The file of one row; `None` when it has no histograms.
#[must_use]
pub fn of_row(row: &Row, workload: &str, driver: &str) -> Option<Value> {
    let recorder = row.recorder.as_ref()?;
    let mut file = Map::new();
    let mut set = |key: &str, value: Value| {
        file.insert(key.to_owned(), value);
    };
    set("workload", json!(format!("{workload}: {}", row.label)));
    set("driver", json!(driver));
    set("messageSize", json!(row.size_bytes));
    set("topics", json!(1));
    set("partitions", json!(row.load.as_ref().map_or(0, |load| load.queues)));
    set("producersPerTopic", json!(row.senders));
    let consuming = row.consuming.as_ref();
    set("consumersPerTopic", json!(consuming.map_or(0, |it| it.consumers)));
    let slices = tens(row);
    let seconds = |index: usize| (row.seconds - index as f64 * EVERY_S).clamp(1e-9, EVERY_S);
    let rates: Vec<f64> = slices
        .iter()
        .enumerate()
        .map(|(index, slice)| count_f64(slice.len()) / seconds(index))
        .collect();
    set("publishRate", json!(rates));
    let errors = count_f64(row.error_count()) / row.seconds.max(1e-9);
    set("publishErrorRate", json!(vec![errors; rates.len()]));
    let consumed = consuming.map_or(0.0, |it| it.rate_per_s);
    set("consumeRate", json!(vec![consumed; rates.len()]));
    let backlog = |index: usize| {
        let (from, to) = (index as f64 * EVERY_S, (index + 1) as f64 * EVERY_S);
        let each = consuming.iter().flat_map(|it| &it.backlog);
        each.filter(|at| (from..to).contains(&at.at_s)).map(|at| at.messages).max().unwrap_or(0)
    };
    set("backlog", (0..rates.len()).map(backlog).collect());
    if let Some(times) = &recorder.end_to_end {
        aggregated(&mut set, "EndToEndLatency", 1e6, times);
    }
    each(&mut set, "publishLatency", 1e6, &slices);
    aggregated(&mut set, "PublishLatency", 1e6, &recorder.response);
    aggregated(&mut set, "PublishDelayLatency", 1e3, &recorder.lag);
    Some(Value::Object(file))
}

/// The slices of a row, put together to slices of 10 s.
fn tens(row: &Row) -> Vec<Histogram<u32>> {
    let Some(recorder) = &row.recorder else { return Vec::new() };
    let per_value = EVERY_S * 1e9 / recorder.buckets.width_nanos as f64;
    let mut slices: Vec<Histogram<u32>> = Vec::new();
    let mut in_last = 0.0;
    for bucket in &recorder.buckets.each {
        if slices.is_empty() || in_last >= per_value {
            slices.push(coarse());
            in_last = 0.0;
        }
        if let Some(Err(error)) = slices.last_mut().map(|last| last.add(bucket)) {
            unreachable!("slices have the same bounds: {error}");
        }
        in_last += 1.0;
    }
    slices
}

fn each(set: &mut impl FnMut(&str, Value), name: &str, unit_nanos: f64, slices: &[Histogram<u32>]) {
    let of = |value: &dyn Fn(&Histogram<u32>) -> Option<f64>| -> Value {
        slices.iter().map(|slice| json!(value(slice))).collect()
    };
    set(&format!("{name}Avg"), of(&|slice| Some(slice.mean() / unit_nanos)));
    for (named, share) in NAMED {
        set(&format!("{name}{named}"), of(&|slice| quantile(slice, share, unit_nanos)));
    }
    set(&format!("{name}Max"), of(&|slice| Some(slice.max() as f64 / unit_nanos)));
}

fn aggregated(
    set: &mut impl FnMut(&str, Value),
    name: &str,
    unit_nanos: f64,
    histogram: &Histogram<u64>,
) {
    set(&format!("aggregated{name}Avg"), json!(histogram.mean() / unit_nanos));
    for (named, share) in NAMED {
        set(&format!("aggregated{name}{named}"), json!(quantile(histogram, share, unit_nanos)));
    }
    set(&format!("aggregated{name}Max"), json!(histogram.max() as f64 / unit_nanos));
    let curve = CURVE.iter().filter_map(|share| {
        let value = quantile(histogram, *share, unit_nanos)?;
        Some((format!("{}", share * 100.0), json!(value)))
    });
    set(&format!("aggregated{name}Quantiles"), Value::Object(curve.collect()));
}

/// A quantile, unless fewer than 10 / (1 − q) values were recorded.
fn quantile<C: Counter>(histogram: &Histogram<C>, share: f64, unit_nanos: f64) -> Option<f64> {
    let enough = count_f64(histogram.len()) * (1.0 - share) >= 10.0 - 1e-6;
    enough.then(|| histogram.value_at_quantile(share) as f64 / unit_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::Protocol;
    use crate::recorder::Recorder;
    use std::time::Duration;

    #[test]
    fn arrays_have_a_value_for_each_ten_seconds_and_few_messages_have_no_percentile() {
        let mut recorder = Recorder::new(Duration::from_secs(25), Protocol::Remoting);
        for step in 0..2_500u64 {
            recorder.answer(step * 10_000_000, 2_000_000, 2_000_000);
        }
        let row = Row {
            seconds: 25.0,
            senders: 3,
            response: crate::row::Percentiles::of(&recorder.response),
            recorder: Some(recorder),
            ..Row::default()
        };
        let file = of_row(&row, "w", "d").unwrap();
        let numbers = |key: &str| file[key].as_array().unwrap().clone();
        assert_eq!((numbers("publishRate").len(), numbers("publishLatency50pct").len()), (3, 3));
        let rates: Vec<f64> =
            numbers("publishRate").iter().map(|rate| rate.as_f64().unwrap()).collect();
        assert!(rates.iter().all(|rate| (rate - 100.0).abs() < 1e-6), "{rates:?}");
        let p99 = numbers("publishLatency99pct");
        assert!((p99[0].as_f64().unwrap() - 2.0).abs() < 0.05, "{p99:?}");
        assert!(p99[2].is_null(), "500 messages have no p99");
        assert!(file["aggregatedPublishLatency999pct"].is_null());
        assert_eq!(file["aggregatedPublishLatencyQuantiles"].as_object().unwrap().len(), 7);
    }
}
