//! The rules of the house, as tests: who may depend on whom, where unsafe may stand, how long
//! things may get, where imports may lead, what the documentation may say.
//!
//! Each rule prints all offenders at once, with path and line.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crates;
mod docs;
mod figures;
mod history;
mod imports;
mod lengths;
mod modules;

use std::fs;
use std::path::{Path, PathBuf};

/// Files are looked for in the repository, but not in these folders: what is built, and what git
/// keeps.
const NOT_OURS: [&str; 5] = ["target", ".git", "corpus", "node_modules", "artifacts"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The workspace's crates, by folder.
fn members() -> Vec<String> {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let list = workspace.split_once("members = [").expect("a list of members").1;
    let list = list.split_once(']').expect("the end of the list").0;
    let members: Vec<String> = list.split('"').skip(1).step_by(2).map(ToOwned::to_owned).collect();
    assert!(members.len() >= 9, "only {members:?} found: the scan is broken");
    members
}

/// Path from the root, and text, of every file of the crates whose name ends so.
fn sources(ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in members() {
        collect(&root().join(name), ending, &mut found);
    }
    assert!(found.len() >= 9, "only {} files end in {ending}", found.len());
    found
}

/// The same for the whole repository.
fn everywhere(ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root(), ending, &mut found);
    found
}

fn collect(dir: &Path, ending: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !NOT_OURS.contains(&name.as_str()) {
                collect(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            let shown = path.strip_prefix(root()).unwrap().display().to_string();
            found.push((shown, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Fails with all faults, one a line.
#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
