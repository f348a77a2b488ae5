//! The program as its users run it, and what it left behind.

use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// `loadgen`, with no terminal.
pub(crate) fn loadgen() -> Command {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
}

/// `loadgen run` against this name server, short, without a floor, into `out`.
pub(crate) fn run_command(namesrv: SocketAddr, out: &Path, more: &[&str]) -> Command {
    let mut run = loadgen();
    run.args(["run", "--namesrv", &namesrv.to_string(), "--no-floor", "--out"]).arg(out);
    if !more.contains(&"--warmup") {
        run.args(["--warmup", "0.1"]);
    }
    if !more.contains(&"--duration") {
        run.args(["--duration", "0.5"]);
    }
    run.args(more);
    run
}

/// A run that has ended.
pub(crate) struct Ended {
    pub code: Option<i32>,
    pub said: String,
    pub folder: PathBuf,
    pub result: Value,
    out: TempDir,
}

impl Ended {
    /// Runs `loadgen run` to its end.
    pub(crate) fn run(namesrv: SocketAddr, more: &[&str]) -> Self {
        let out = tempfile::tempdir().unwrap();
        let ended = run_command(namesrv, out.path(), more).output().unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr)
        );
        Self::read(out, ended.status.code(), said)
    }

    /// Reads the one folder of results in `out`.
    pub(crate) fn read(out: TempDir, code: Option<i32>, said: String) -> Self {
        let folder = only_folder(out.path()).unwrap_or_else(|| panic!("no folder: {said}"));
        let result = std::fs::read(folder.join("result.json"))
            .unwrap_or_else(|error| panic!("no result.json: {error}: {said}"));
        let result = serde_json::from_slice(&result).unwrap();
        Self { code, said, folder, result, out }
    }

    /// The folder of folders.
    pub(crate) fn out(&self) -> &Path {
        self.out.path()
    }

    /// The first row.
    pub(crate) fn row(&self) -> &Value {
        &self.result["rows"][0]
    }

    /// A count of the first row.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.row()[name].as_u64().unwrap_or_else(|| panic!("no {name}: {}", self.result))
    }

    /// Whether a reason of the first row has these words.
    pub(crate) fn is_invalid_because(&self, words: &str) -> bool {
        let reasons = self.row()["invalid"].as_array().unwrap();
        reasons.iter().any(|reason| reason.as_str().unwrap().contains(words))
    }

    /// Status 4, and a folder that says so.
    pub(crate) fn assert_failed(&self) {
        assert_eq!(self.code, Some(4), "{}", self.said);
        assert!(self.folder.to_string_lossy().ends_with(".FAIL"), "{:?}", self.folder);
    }
}

/// The folder of the only run in `out`.
pub(crate) fn only_folder(out: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(out).ok()?.flatten().map(|entry| entry.path());
    let mut folders = entries.filter(|path| path.is_dir());
    let folder = folders.next();
    assert_eq!(folders.next(), None, "more than one run's folder");
    folder
}

/// Runs it again where it says that nothing came back: a device may stand still for longer than a
/// test measures, under SYNC_FLUSH. After a few times that is what the test sees.
pub(crate) fn unless_the_disk_stands_still<T>(mut run: impl FnMut() -> (bool, T)) -> T {
    for _ in 0..5 {
        if let (true, outcome) = run() {
            return outcome;
        }
    }
    run().1
}
