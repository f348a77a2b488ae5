//! A row's histograms in HdrHistogram's interval log format (`.hlog`), which keeps all of them:
//! what is drawn or compared later is read from it.
//!
//! ```text
//!   Tag=response,0.000,3.000,7.426,HISTFAAA…            the window, 3 digits   ┐ from these the report
//!   Tag=service,…   Tag=lag,… (open loop)   Tag=generator-wait,… (closed loop)  ┘ can be drawn again
//!   Tag=end-to-end,…  of consumers beside the senders
//!   Tag=over-time,0.100,0.100,0.761,HISTFAAA…           each slice of the window, 2 digits
//! ```
//!
//! Values are nanoseconds; the maximum in each line is in ms, as the format has it.

use crate::error::{Error, Result};
use crate::recorder::Recorder;
use crate::row::{Kind, Row};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};
use hdrhistogram::{Counter, Histogram};
use std::time::Duration;

/// Tag of the slices of time.
pub const OVER_TIME: &str = "over-time";
/// Tag of the times from due to read.
pub const END_TO_END: &str = "end-to-end";
/// Nanoseconds in a millisecond, the unit of the maxima.
const MAX_DIVISOR: f64 = 1e6;

/// The log of a row; `None` when it has no histograms.
///
/// # Errors
/// When a histogram can't be written, which no histogram of this crate is.
pub fn log_text(row: &Row) -> Result<Option<Vec<u8>>> {
    let Some(recorder) = &row.recorder else { return Ok(None) };
    let mut text = Vec::new();
    write(&mut text, row, recorder).map_err(|why| {
        Error::Usage(format!("cannot write the histograms of {}: {why}", row.name))
    })?;
    Ok(Some(text))
}

fn write(text: &mut Vec<u8>, row: &Row, recorder: &Recorder) -> std::result::Result<(), String> {
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment(&format!("{}: values in ns, maxima in ms", row.name));
    builder.with_max_value_divisor(MAX_DIVISOR);
    let failed = |error: &dyn std::fmt::Debug| format!("{error:?}");
    let mut log = builder.begin_log_with(text, &mut serializer).map_err(|error| failed(&error))?;
    let window = Duration::from_secs_f64(row.seconds.max(0.0));
    let late = if row.kind == Kind::Closed { "generator-wait" } else { "lag" };
    let whole =
        [("response", &recorder.response), ("service", &recorder.service), (late, &recorder.lag)];
    let end_to_end = recorder.end_to_end.as_deref().map(|times| (END_TO_END, times));
    for (tag, histogram) in whole.into_iter().chain(end_to_end) {
        log.write_histogram(histogram, Duration::ZERO, window, Tag::new(tag))
            .map_err(|error| failed(&error))?;
    }
    let width = Duration::from_nanos(recorder.buckets.width_nanos);
    let mut begins = Duration::ZERO;
    for slice in &recorder.buckets.each {
        log.write_histogram(slice, begins, width, Tag::new(OVER_TIME))
            .map_err(|error| failed(&error))?;
        begins += width;
    }
    Ok(())
}

/// The histogram of the whole window with this tag, read back from a row's log.
///
/// # Errors
/// When the text is no such log, or has no such histogram.
pub fn read(log: &[u8], tag: &str) -> std::result::Result<Histogram<u64>, String> {
    let first = read_all(log, tag)?.into_iter().next();
    first.ok_or_else(|| format!("no histogram {tag}"))
}

/// All histograms with this tag, in their order.
///
/// # Errors
/// When the text is no such log.
pub fn read_all<C: Counter>(
    log: &[u8],
    tag: &str,
) -> std::result::Result<Vec<Histogram<C>>, String> {
    let mut found = Vec::new();
    for entry in IntervalLogIterator::new(log) {
        let LogEntry::Interval(interval) =
            entry.map_err(|error| format!("not a histogram log: {error:?}"))?
        else {
            continue;
        };
        if interval.tag().is_some_and(|found| found.as_str() == tag) {
            let bytes = STANDARD
                .decode(interval.encoded_histogram())
                .map_err(|error| format!("histogram {tag}: {error}"))?;
            let read = Deserializer::new().deserialize(&mut bytes.as_slice());
            found.push(read.map_err(|error| format!("histogram {tag}: {error:?}"))?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::Protocol;

    #[test]
    fn what_is_written_is_read_back_value_for_value() {
        let mut recorder = Recorder::new(Duration::from_secs(1), Protocol::Remoting);
        (1..=5_000u64).for_each(|value| recorder.answer(value * 200_000, value * 777, value * 70));
        let name = "r".to_owned();
        let row = Row { name, seconds: 1.0, recorder: Some(recorder.clone()), ..Row::default() };
        let log = log_text(&row).unwrap().unwrap();
        assert_eq!(read(&log, "response").unwrap(), recorder.response);
        assert_eq!(read(&log, "service").unwrap(), recorder.service);
        assert!(read(&log, "generator-wait").unwrap().is_empty());
        assert!(read(&log, "lag").is_err(), "a closed loop has none");
        let text = String::from_utf8(log).unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("Tag=over-time,")).count(), 10);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        assert!(read(b"Tag=response,x", "response").is_err());
        assert!(read(b"Tag=response,0.0,1.0,1.0,@@@@\n", "response").is_err());
        assert!(read(b"", "response").is_err());
    }
}
