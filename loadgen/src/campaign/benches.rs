//! What benchmarks leave in a campaign's folder: targets that no load of loadgen measures.
//!
//! ```text
//!   FOLDER/benches/NAME.jsonl     one line a round: {"figure":"pop-batch-rate","a":118934.1,"b":498935.0}
//!   FOLDER/benches/NAME.txt       what the benchmark printed
//! ```
//!
//! A is the other side, as in a block; of a figure without another side A is 1. `campaign.sh` runs
//! them (`cargo bench … -- --pairs FILE`).

use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Line {
    figure: String,
    a: f64,
    b: f64,
}

/// The rounds of a figure, from all files of the folder in the order of their names.
///
/// # Errors
/// When a file can't be read, or a line is none of these or has no ratio.
pub(super) fn pairs(campaign: &Path, figure: &str) -> Result<Vec<(f64, f64)>> {
    let folder = campaign.join("benches");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(&folder).map_err(Error::file("read", &folder))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        for (nth, line) in text.lines().enumerate() {
            let wrong =
                |why: String| Error::Usage(format!("{}, line {}: {why}", path.display(), nth + 1));
            let line: Line =
                serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            if line.figure != figure {
                continue;
            }
            let ratio = line.b / line.a;
            if !(ratio > 0.0 && ratio.is_finite()) {
                return Err(wrong(format!("{} and {} have no ratio", line.a, line.b)));
            }
            found.push((line.a, line.b));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_of_all_files_are_found_and_a_line_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(pairs(folder.path(), "x").unwrap(), []);
        let benches = folder.path().join("benches");
        std::fs::create_dir(&benches).unwrap();
        let write = |name: &str, text: &str| std::fs::write(benches.join(name), text).unwrap();
        write(
            "b.jsonl",
            "{\"figure\":\"x\",\"a\":2,\"b\":6}\n{\"figure\":\"y\",\"a\":1,\"b\":9}\n",
        );
        write("a.jsonl", "{\"figure\":\"x\",\"a\":1.5,\"b\":3}\n");
        write("a.txt", "not looked at");
        assert_eq!(pairs(folder.path(), "x").unwrap(), [(1.5, 3.0), (2.0, 6.0)]);
        write("c.jsonl", "{\"figure\":\"x\",\"a\":0,\"b\":3}\n");
        let error = pairs(folder.path(), "x").unwrap_err().to_string();
        assert!(error.contains("c.jsonl, line 1: 0 and 3 have no ratio"), "{error}");
        write("c.jsonl", "{\"figure\":\"x\"}\n");
        let error = pairs(folder.path(), "x").unwrap_err().to_string();
        assert!(error.contains("c.jsonl, line 1: missing field `a`"), "{error}");
    }
}
