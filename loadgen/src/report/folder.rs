//! A run's folder, and the line it adds to the ledger.

use super::hgrm::percentile_text;
use super::html::page;
use super::table::summary;
use crate::env::Environment;
use crate::error::{Error, Result};
use crate::result::RunResult;
use crate::row::Kind;
use serde::Serialize;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A folder being filled. It is called `.FAIL` until [`RunFolder::finish`] has found the run good:
/// a run that was interrupted, failed or killed keeps what it has, and its name says so.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    out: PathBuf,
    name: String,
}

/// What the name of a folder ends with unless its run is good.
const FAIL: &str = ".FAIL";
/// Runs of one name (second, host, revision, workload) that find a folder.
const SAME_NAME_MAX: u32 = 100;

impl RunFolder {
    /// Makes `out/name.FAIL/` and `config/` in it. When another run has the name, a number is
    /// added to it.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn create(out: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(out).map_err(Error::file("create", out))?;
        let mut nth = 1;
        let (name, path) = loop {
            let name = if nth == 1 { name.to_owned() } else { format!("{name}-{nth}") };
            let path = out.join(format!("{name}{FAIL}"));
            match fs::create_dir(&path) {
                Ok(()) if !out.join(&name).exists() => break (name, path),
                Ok(()) => fs::remove_dir(&path).map_err(Error::file("remove", &path))?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists && nth < SAME_NAME_MAX => {}
                Err(error) => return Err(Error::file("create", &path)(error)),
            }
            nth += 1;
        };
        let folder = Self { path, out: out.to_owned(), name };
        let config = folder.config();
        fs::create_dir(&config).map_err(Error::file("create", &config))?;
        Ok(folder)
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of configurations and the children's logs.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path.join("config")
    }

    /// Writes a file into it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        fs::write(&path, content).map_err(Error::file("write", path))
    }

    /// The question and the expectation, before anything is measured.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_question(&self, result: &RunResult, command: &str) -> Result<()> {
        self.write("README.md", readme(result, command, None).as_bytes())
    }

    /// Writes all results, takes `.FAIL` from the folder's name when the run is valid, adds a line
    /// to the ledger. Returns the folder's path.
    ///
    /// # Errors
    /// When something can't be written.
    pub fn finish(
        self,
        result: &mut RunResult,
        environment: &Environment,
        command: &str,
    ) -> Result<PathBuf> {
        let valid = result.is_valid();
        result.name = if valid { self.name.clone() } else { format!("{}{FAIL}", self.name) };
        self.write("README.md", readme(result, command, Some(&summary(result))).as_bytes())?;
        self.write("environment.json", &pretty(environment)?)?;
        self.write("result.json", &pretty(result)?)?;
        self.write("summary.txt", format!("{}\n", summary(result)).as_bytes())?;
        self.write("report.html", page(result, environment).as_bytes())?;
        self.write_histograms(result)?;
        self.write("rows.csv", super::csv::rows(&result.rows).as_bytes())?;
        self.write("over_time.csv", super::csv::over_time(&result.rows).as_bytes())?;
        self.write_openmessaging(result)?;
        let end = self.out.join(&result.name);
        if valid {
            fs::rename(&self.path, &end).map_err(Error::file("rename", &self.path))?;
        }
        append_to_ledger(&self.out, result)?;
        Ok(end)
    }

    /// The end of a run that has findings and no rows: writes them into its README, and takes
    /// `.FAIL` from the folder's name when they are good. Returns the folder's path.
    ///
    /// # Errors
    /// When something can't be written.
    pub fn finish_findings(
        self,
        result: &RunResult,
        command: &str,
        (findings, is_good): (&str, bool),
    ) -> Result<PathBuf> {
        self.write("README.md", question(result, command, Some(findings)).as_bytes())?;
        if !is_good {
            return Ok(self.path);
        }
        let end = self.out.join(&self.name);
        fs::rename(&self.path, &end).map_err(Error::file("rename", &self.path))?;
        Ok(end)
    }

    fn write_openmessaging(&self, result: &RunResult) -> Result<()> {
        let folder = self.path.join("openmessaging");
        fs::create_dir_all(&folder).map_err(Error::file("create", folder))?;
        for row in &result.rows {
            let file = super::openmessaging::of_row(row, &result.workload, &result.target);
            if let Some(file) = file {
                self.write(&format!("openmessaging/{}.json", row.name), &pretty(&file)?)?;
            }
        }
        Ok(())
    }

    fn write_histograms(&self, result: &RunResult) -> Result<()> {
        let each = self.path.join("hgrm");
        fs::create_dir_all(&each).map_err(Error::file("create", each))?;
        for row in &result.rows {
            let Some(recorder) = &row.recorder else { continue };
            self.write(
                &format!("hgrm/{}-response.hgrm", row.name),
                percentile_text(&recorder.response).as_bytes(),
            )?;
            self.write(
                &format!("hgrm/{}-service.hgrm", row.name),
                percentile_text(&recorder.service).as_bytes(),
            )?;
            let late = if row.kind == Kind::Closed { "generator-wait" } else { "lag" };
            self.write(
                &format!("hgrm/{}-{late}.hgrm", row.name),
                percentile_text(&recorder.lag).as_bytes(),
            )?;
            if let Some(times) = &recorder.end_to_end {
                let name = format!("hgrm/{}-end-to-end.hgrm", row.name);
                self.write(&name, percentile_text(times).as_bytes())?;
            }
            for (stage, histogram) in recorder.stages.iter().flat_map(|stages| stages.named()) {
                let stage: String = stage
                    .chars()
                    .filter(|c| *c != '+')
                    .collect::<String>()
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join("-");
                self.write(
                    &format!("hgrm/{}-stage-{stage}.hgrm", row.name),
                    percentile_text(histogram).as_bytes(),
                )?;
            }
        }
        for row in &result.rows {
            if let Some(log) = super::hlog::log_text(row)? {
                self.write(&format!("{}.hlog", row.name), &log)?;
            }
        }
        if let Some(recorder) = result.headline().and_then(|row| row.recorder.as_ref()) {
            self.write("response.hgrm", percentile_text(&recorder.response).as_bytes())?;
            self.write("service.hgrm", percentile_text(&recorder.service).as_bytes())?;
        }
        Ok(())
    }
}

/// One line of the ledger.
#[derive(Serialize)]
struct LedgerLine<'a> {
    name: &'a str,
    started: &'a str,
    workload: &'a str,
    target: &'a str,
    durability: &'a str,
    valid: bool,
    integrity: Option<bool>,
    rows: Vec<LedgerRow<'a>>,
}

#[derive(Serialize)]
struct LedgerRow<'a> {
    name: &'a str,
    rate_per_s: f64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    floor_p50_us: Option<f64>,
    errors: u64,
    valid: bool,
}

/// The ledger lies beside the `runs` folder: `bench-results/ledger.jsonl`; beside the run for
/// another `--out`.
fn append_to_ledger(out: &Path, result: &RunResult) -> Result<()> {
    let beside_runs =
        out.file_name().is_some_and(|name| name == "runs").then(|| out.parent()).flatten();
    let path = beside_runs.unwrap_or(out).join("ledger.jsonl");
    let rows = result.rows.iter().map(|row| LedgerRow {
        name: &row.name,
        rate_per_s: row.rate_per_s,
        p50_us: row.response.and_then(|times| times.p50_us),
        p99_us: row.response.and_then(|times| times.p99_us),
        floor_p50_us: row.floor.and_then(|floor| floor.response.p50_us),
        errors: row.error_count(),
        valid: row.invalid.is_empty(),
    });
    let line = LedgerLine {
        name: &result.name,
        started: &result.started,
        workload: &result.workload,
        target: &result.target,
        durability: &result.durability,
        valid: result.is_valid(),
        integrity: result.integrity.as_ref().map(crate::integrity::IntegrityReport::holds),
        rows: rows.collect(),
    };
    let mut text = serde_json::to_vec(&line).map_err(|error| Error::Usage(error.to_string()))?;
    text.push(b'\n');
    let file = fs::OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut file| file.write_all(&text)).map_err(Error::file("append to", path))
}

/// JSON for people and machines.
///
/// # Errors
/// When a value has no JSON form; every value of this crate has one.
pub fn pretty(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value)
        .map_err(|error| Error::Usage(format!("cannot write JSON: {error}")))
}

fn readme(result: &RunResult, command: &str, answer: Option<&str>) -> String {
    format!(
        "{}\nCharts: `report.html`. Figures: `result.json`. Histograms: `response.hgrm`, \
         `service.hgrm` (headline row), `hgrm/` (all rows), `*.hlog` (all values of a row). \
         Tables: `rows.csv`, `over_time.csv`; for other tools `openmessaging/`. \
         Where it ran: `environment.json`. What ran: `config/`.\n",
        question(result, command, answer)
    )
}

/// What was asked, expected and answered, and how to ask again.
fn question(result: &RunResult, command: &str, answer: Option<&str>) -> String {
    let expectation = result
        .expectation
        .as_deref()
        .unwrap_or("None was written before the run (give one with `--expect`).");
    let answer = answer.map_or_else(
        || "The run has not ended, or did not end well.".to_owned(),
        |answer| format!("```text\n{answer}\n```"),
    );
    format!(
        "# {}\n\n## Question\n\n{}\n\n\
         ## Expectation, written before the run\n\n{expectation}\n\n\
         ## Answer\n\n{answer}\n\n\
         ## Exact command\n\n```text\n{command}\n```\n",
        result.name, result.question
    )
}
