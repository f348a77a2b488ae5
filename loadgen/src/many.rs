//! `--generators N`: one load from several processes, for hosts with more cores than one process
//! of threads can use well.
//!
//! ```text
//!   run --generators 3 ─┬─ run, a third of the senders and of the rate ─► a folder with histograms ─┐
//!                       ├─ run                                          ─► …                        ├─ merged row
//!                       └─ run                                          ─► …                        ┘
//! ```
//!
//! Each process is this program's own `run`, and its folder stays in `generators/`. All begin at
//! one time of the clock. Histograms are merged, rates added up. One invalid process makes the row
//! so.

use crate::children::ChildProgram;
use crate::cli::RunArgs;
use crate::error::{Error, Result};
use crate::plan::Mode;
use crate::row::{Kind, Percentiles, Row};
use crate::runner::Frame;
use crate::session::Shape;
use crate::signals::Stop;
use crate::stored::Stored;
use crate::verdict;
use clap::ValueEnum;
use protocol::checked::fit;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time that the processes have to start and to connect before the load begins.
const START_AHEAD: Duration = Duration::from_millis(1_500);

/// Refuses what several processes can't do.
///
/// # Errors
/// When an argument does not go with `--generators`.
pub(crate) fn check(args: &RunArgs) -> Result<()> {
    let wrong = |why: &str| Err(Error::Usage(format!("--generators {}: {why}", args.generators)));
    if args.load.senders < args.generators {
        return wrong("each needs a sender of its own: raise --senders");
    }
    if args.consume || args.consumers > 0 {
        return wrong(
            "what they send is not read by one process: leave --consume and --consumers out",
        );
    }
    Ok(())
}

/// Runs the load from `args.generators` processes and merges their rows.
///
/// # Errors
/// When one can't be started or leaves no row.
pub(crate) fn load(
    args: &RunArgs,
    frame: &Frame,
    folder: &Path,
    topic: &str,
    (name, label, shape): (&str, &str, Shape),
    stop: &Stop,
) -> Result<Row> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let start_at_us = fit::<u64, _>((since + START_AHEAD).as_micros());
    let mut children = Vec::new();
    for nth in 0..args.generators {
        let out = folder.join("generators").join((nth + 1).to_string());
        std::fs::create_dir_all(&out).map_err(Error::file("create", &out))?;
        let words = arguments(args, frame, &out, topic, shape, nth, start_at_us);
        children.push((ChildProgram::start("run", &words, &out)?, out));
    }
    while children.iter_mut().any(|(child, _)| child.ended().is_none()) {
        if stop.is_set() {
            // Each keeps what it has, as this one does.
            children.iter_mut().for_each(|(child, _)| _ = child.stop());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut rows = Vec::new();
    for (mut child, out) in children {
        match row_in(&out)? {
            Some(row) => rows.push(row),
            None => {
                stop.check()?;
                return Err(child.failed("leave a row", START_AHEAD));
            }
        }
    }
    let mut row = merged(rows, name, label, shape)?;
    if let Some(load) = &mut row.load {
        load.seed = frame.seed;
    }
    if stop.is_set() {
        row.invalid.insert(0, "interrupted".into());
    }
    Ok(row)
}

/// The part of a whole that the `nth` process of `of` gets.
fn part(whole: u32, nth: u32, of: u32) -> u32 {
    whole / of + u32::from(nth < whole % of)
}

fn arguments(
    args: &RunArgs,
    frame: &Frame,
    out: &Path,
    topic: &str,
    shape: Shape,
    nth: u32,
    start_at_us: u64,
) -> Vec<String> {
    let (common, load, of) = (&args.common, &args.load, args.generators);
    let seconds = |time: Duration| format!("{}", time.as_secs_f64());
    let mut words: Vec<String> = Vec::new();
    let mut add = |flag: &str, value: String| words.extend([format!("--{flag}"), value]);
    add("namesrv", args.target.namesrv.clone());
    add("topic", topic.to_owned());
    add("out", out.display().to_string());
    add("senders", part(load.senders, nth, of).to_string());
    if shape.in_flight > 0 {
        add("in-flight", shape.in_flight.to_string());
    }
    let mut start_us = start_at_us;
    if let Mode::Open { rate, .. } = shape.mode {
        add("rate", format!("{}", rate / f64::from(of)));
        add("shape", name_of(load.shape));
        // Between those of the others, as one process would send them.
        let gap_us = 1e6 * f64::from(common.batch) / rate;
        start_us +=
            fit::<u64, _>(Duration::from_secs_f64(gap_us * f64::from(nth) / 1e6).as_micros());
    }
    add("start-at", start_us.to_string());
    add("duration", seconds(load.duration));
    add("warmup", seconds(load.warmup));
    add("size", common.size.text());
    for (flag, number) in [
        ("batch", u64::from(common.batch)),
        ("tags", common.tags.into()),
        ("keys", common.keys),
        ("property-bytes", common.property_bytes.into()),
        ("burst", common.burst.into()),
        ("threads", common.threads.into()),
        ("skip-cores", u64::from(nth * common.threads)),
        ("of-cores", u64::from(of * common.threads)),
    ] {
        add(flag, number.to_string());
    }
    add("queue-skew", common.queue_skew.to_string());
    add("spin", name_of(common.spin));
    add("protocol", name_of(common.protocol));
    add("header", name_of(common.header));
    add("seed", (frame.seed + u64::from(nth)).to_string());
    words.extend(["--no-floor".to_owned(), "--json".to_owned()]);
    words
}

/// The name of a choice, as the command line has it.
fn name_of(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The row of the only run in a folder.
fn row_in(out: &Path) -> Result<Option<Row>> {
    let entries = std::fs::read_dir(out).map_err(Error::file("read", out))?;
    let folders: Vec<PathBuf> = entries
        .flatten()
        .map(|it| it.path())
        .filter(|path| path.join("result.json").exists())
        .collect();
    let Some(folder) = folders.first() else { return Ok(None) };
    Ok(Stored::open(folder)?.result.rows.into_iter().next())
}

fn merged(rows: Vec<Row>, name: &str, label: &str, shape: Shape) -> Result<Row> {
    let processes = rows.len();
    let mut rows = rows.into_iter();
    let mut whole = rows.next().ok_or_else(|| Error::Usage("no generator has a row".into()))?;
    let mut invalid: Vec<(usize, Vec<String>)> = vec![(1, std::mem::take(&mut whole.invalid))];
    for (nth, mut row) in rows.enumerate() {
        invalid.push((nth + 2, std::mem::take(&mut row.invalid)));
        add(&mut whole, row);
    }
    whole.name = name.to_owned();
    whole.label = format!("{label}, {processes} processes");
    whole.planned_rate_per_s = match shape.mode {
        Mode::Open { rate, .. } => Some(rate),
        Mode::Closed => None,
    };
    if let Some(load) = &mut whole.load {
        load.mode = shape.mode;
        load.generators = processes;
        load.threads *= processes;
    }
    let no_stages = whole.stages.take().is_some();
    if let Some(recorder) = &whole.recorder {
        whole.response = Percentiles::of(&recorder.response);
        whole.service = Percentiles::of(&recorder.service);
        let late = Percentiles::of(&recorder.lag);
        whole.lag = late.filter(|_| whole.kind == Kind::Open);
        whole.generator_wait = late.filter(|_| whole.kind == Kind::Closed);
        whole.over_time = crate::row::slices(recorder);
    }
    whole.late_percentiles = verdict::late_percentiles(&whole);
    whole.invalid = verdict::invalid_reasons(&whole, false);
    for (nth, reasons) in invalid {
        whole.invalid.extend(reasons.into_iter().map(|why| format!("generator {nth}: {why}")));
    }
    whole.notes = verdict::notes(&whole);
    if no_stages {
        whole.notes.push("stages of sends are in the folders of generators/".into());
    }
    Ok(whole)
}

/// Adds another process's counts and histograms.
fn add(whole: &mut Row, other: Row) {
    for (mine, theirs) in [
        (&mut whole.planned, other.planned),
        (&mut whole.sent, other.sent),
        (&mut whole.acknowledged, other.acknowledged),
        (&mut whole.answered_in_time, other.answered_in_time),
        (&mut whole.failed, other.failed),
        (&mut whole.unanswered, other.unanswered),
        (&mut whole.lost_connections, other.lost_connections),
        (&mut whole.overflows, other.overflows),
    ] {
        *mine += theirs;
    }
    whole.senders += other.senders;
    whole.rate_per_s += other.rate_per_s;
    whole.megabytes_per_s += other.megabytes_per_s;
    whole.usual_response_us = match (whole.usual_response_us, other.usual_response_us) {
        (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
        (mine, theirs) => mine.or(theirs),
    };
    whole.generator_cpu_share.extend(other.generator_cpu_share);
    whole.generator_busy_share.extend(other.generator_busy_share);
    let add_counts = |mine: &mut BTreeMap<String, u64>, theirs: BTreeMap<String, u64>| {
        theirs.into_iter().for_each(|(what, times)| *mine.entry(what).or_default() += times);
    };
    add_counts(&mut whole.errors, other.errors);
    add_counts(&mut whole.warmup_errors, other.warmup_errors);
    add_counts(&mut whole.strays, other.strays);
    for (what, remark) in other.remarks {
        whole.remarks.entry(what).or_insert(remark);
    }
    match (&mut whole.recorder, other.recorder) {
        (Some(mine), Some(theirs)) => mine.merge(&theirs),
        (mine, theirs) => *mine = mine.take().or(theirs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_differ_by_one_at_most() {
        for (whole, of) in [(7, 3), (3, 3), (64, 5)] {
            let parts: Vec<u32> = (0..of).map(|nth| part(whole, nth, of)).collect();
            assert_eq!(parts.iter().sum::<u32>(), whole);
            assert!(parts.iter().max().unwrap() - parts.iter().min().unwrap() <= 1);
        }
    }
}
