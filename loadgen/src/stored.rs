//! Runs read back from their folders: to compare them, draw their report again, or verify them.
//!
//! Files of schema 1 are read too. They have no `.hlog`, so their rows come without histograms.

use crate::env::Environment;
use crate::error::{Error, Result};
use crate::recorder::Recorder;
use crate::report::hlog;
use crate::result::{RunResult, SCHEMA};
use crate::row::{Kind, Row};
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest file that is read: a result of a day is far below it.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A run's folder, read.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The folder.
    pub folder: PathBuf,
    /// Its result, with the histograms that it has.
    pub result: RunResult,
    /// Where it ran; unknown when the folder does not tell.
    pub environment: Environment,
}

impl Stored {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// When there is no `result.json`, it can't be read, or it is of a newer schema.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("result.json");
        let mut result: RunResult = parse(&path, &bytes(&path)?)?;
        if !(1..=SCHEMA).contains(&result.schema) {
            return Err(Error::Usage(format!(
                "{} has schema {}, this loadgen reads 1 to {SCHEMA}: use the loadgen that wrote it",
                path.display(),
                result.schema
            )));
        }
        for row in &mut result.rows {
            row.recorder = recorder(folder, row)?;
        }
        let path = folder.join("environment.json");
        let environment = match path.exists() {
            true => parse(&path, &bytes(&path)?)?,
            false => Environment::default(),
        };
        Ok(Self { folder: folder.to_owned(), result, environment })
    }
}

/// The histograms of a row from its log; `None` when it has none.
fn recorder(folder: &Path, row: &Row) -> Result<Option<Recorder>> {
    // The name comes from a file: it must not lead out of the folder.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let path = folder.join(format!("{}.hlog", row.name));
    if !row.name.chars().all(is_plain) || !path.exists() {
        return Ok(None);
    }
    let log = bytes(&path)?;
    let read = |tag| {
        hlog::read(&log, tag)
            .map_err(|why| Error::Usage(format!("{}: {why}: is the folder whole?", path.display())))
    };
    let window = Duration::try_from_secs_f64(row.seconds).unwrap_or_default();
    let mut recorder = Recorder::new(window, row.protocol);
    recorder.response = read("response")?;
    recorder.service = read("service")?;
    recorder.lag = read(if row.kind == Kind::Closed { "generator-wait" } else { "lag" })?;
    let slices = hlog::read_all::<u32>(&log, hlog::OVER_TIME)
        .map_err(|why| Error::Usage(format!("{}: {why}", path.display())))?;
    for (bucket, slice) in recorder.buckets.each.iter_mut().zip(slices) {
        // A slice of another program's making may not fit; the whole window is what counts.
        let _left_out = bucket.add(&slice);
    }
    if row.consuming.as_ref().is_some_and(|consuming| consuming.end_to_end.is_some()) {
        recorder.end_to_end = Some(Box::new(read(hlog::END_TO_END)?));
    }
    Ok(Some(recorder))
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let facts = fs::metadata(path).map_err(Error::file("read", path))?;
    if facts.len() > FILE_BYTES_MAX {
        let (path, found) = (path.display(), facts.len());
        return Err(Error::Usage(format!(
            "{path} has {found} bytes, at most {FILE_BYTES_MAX} are read: it is no run's file"
        )));
    }
    fs::read(path).map_err(Error::file("read", path))
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Usage(format!("{} can't be read: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_run_of_schema_1_is_read() {
        let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-results/runs");
        let stored = Stored::open(&runs.join("20260121-none"));
        assert!(stored.unwrap_err().to_string().contains("cannot read"));
        let run = Stored::open(&runs.join("20261121T015335-vm-1d045afda56c-quick")).unwrap();
        assert_eq!((run.result.schema, run.result.rows.len()), (1, 5));
        let first = &run.result.rows[0];
        assert_eq!((first.name.as_str(), first.acknowledged), ("closed-1x1", 306_404));
        assert!(first.load.is_none() && first.recorder.is_none());
        assert!(run.environment.kernel.is_some());
    }

    #[test]
    fn what_is_no_result_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        for (text, why) in [
            ("{", "can't be read"),
            (r#"{"schema":3}"#, "has schema 3, this loadgen reads 1 to 2"),
            (r#"{"schema":2,"rows":[{"kind":"sideways"}]}"#, "can't be read"),
        ] {
            fs::write(folder.path().join("result.json"), text).unwrap();
            let error = Stored::open(folder.path()).unwrap_err().to_string();
            assert!(error.contains("result.json") && error.contains(why), "{error}");
        }
        let row = r#"{"schema":2,"rows":[{"name":"../../etc/x"}]}"#;
        fs::write(folder.path().join("result.json"), row).unwrap();
        assert!(Stored::open(folder.path()).unwrap().result.rows[0].recorder.is_none());
    }
}
