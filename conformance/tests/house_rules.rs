//! The rules of the house, as tests: who may depend on whom, where unsafe may stand, how long
//! things may get.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// docs/ARCHITECTURE.md, "Who may use whom". Development dependencies are free: tests join what
/// production keeps apart.
const MAY_USE: [(&str, &[&str]); 9] = [
    ("protocol", &[]),
    ("rt", &[]),
    ("netcore", &["rt"]),
    ("engine", &["rt", "protocol"]),
    ("namesrv", &["rt", "netcore", "protocol"]),
    ("client", &["rt", "protocol"]),
    ("broker", &["rt", "netcore", "protocol", "engine", "namesrv", "client"]),
    ("loadgen", &["protocol", "client", "rt", "broker", "namesrv"]),
    ("conformance", &["client"]),
];

/// A file longer than this is split; the aim is 400.
const FILE_LINES_MAX: usize = 800;
/// A function longer than this is split; the aim is 50.
const FN_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, _) in MAY_USE {
        collect(&root().join(name), &mut found);
    }
    assert!(found.len() > 20, "only {} source files found", found.len());
    found
}

fn collect(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "corpus" {
            collect(&path, found);
        } else if name.ends_with(".rs") {
            let shown = path.strip_prefix(root()).unwrap().display().to_string();
            found.push((shown, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The names in a section of a Cargo.toml, `[dependencies]` and the like.
fn names_in(manifest: &str, section: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim() == format!("[{section}]");
        } else if inside && let Some((name, _)) = line.split_once(['.', '=', ' ']) {
            names.insert(name.trim().to_owned());
        }
    }
    names
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let ours: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in MAY_USE {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        for used in
            names_in(&manifest, "dependencies").iter().filter(|used| ours.contains(used.as_str()))
        {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} must not use {used}: see docs/ARCHITECTURE.md"
            );
        }
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = workspace.lines().find(|line| line.starts_with("members")).unwrap();
    for member in members.split('"').skip(1).step_by(2) {
        assert!(ours.contains(member), "{member} is missing in the table");
    }
}

#[test]
fn protocol_does_no_io_and_asks_no_clock() {
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("protocol/src/")) {
        for banned in ["std::fs", "std::thread", "TcpStream", "Instant::now", "SystemTime::now"] {
            assert!(!text.contains(banned), "{path}: protocol is pure, it must not use {banned}");
        }
    }
}

#[test]
fn unsafe_stands_only_in_its_modules_and_each_says_why() {
    let mut places = BTreeMap::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let marks = ["unsafe {", "unsafe impl", "unsafe fn"];
            if path.ends_with("house_rules.rs") || !marks.iter().any(|mark| code.contains(mark)) {
                continue;
            }
            let home = path == "rt/src/buf.rs"
                || path == "rt/src/lent.rs"
                || path.starts_with("rt/src/ring/");
            let counting_allocator = path.contains("/tests/") && text.contains("GlobalAlloc");
            assert!(
                home || counting_allocator,
                "{path}:{}: unsafe outside rt's ring, lent and buf modules",
                at + 1
            );
            let before = lines[at.saturating_sub(6)..=at].join("\n");
            assert!(
                before.contains("SAFETY") || before.contains("# Safety"),
                "{path}:{}: unsafe without a reason",
                at + 1
            );
            *places.entry(path.clone()).or_insert(0) += 1;
        }
    }
    assert!(!places.is_empty(), "the scan found no unsafe at all: it is broken");
}

#[test]
fn every_other_crate_forbids_unsafe() {
    for (name, _) in MAY_USE.iter().filter(|(name, _)| *name != "rt") {
        for main in ["src/lib.rs", "src/main.rs"] {
            if let Ok(text) = fs::read_to_string(root().join(name).join(main)) {
                assert!(
                    text.contains("#![forbid(unsafe_code)]"),
                    "{name}/{main} does not forbid unsafe code"
                );
            }
        }
    }
}

#[test]
fn files_and_functions_stay_short_and_every_file_says_what_it_is() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{path}: {lines} lines, at most {FILE_LINES_MAX}"));
        }
        if !text.starts_with("//!") && !text.starts_with("#!") {
            faults.push(format!("{path}: does not begin with a //! text"));
        }
        faults.extend(long_functions(&path, &text));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn long_functions(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut open: Option<(usize, usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let head = line.trim_start();
        let is_fn = [
            "fn ",
            "pub fn ",
            "pub(crate) fn ",
            "pub(super) fn ",
            "async fn ",
            "pub async fn ",
            "const fn ",
            "pub const fn ",
        ];
        if is_fn.iter().any(|start| head.starts_with(start)) && !head.ends_with(';') {
            open = Some((at, indent, head.chars().take(50).collect()));
        }
        if let Some((from, depth, name)) = &open
            && indent == *depth
            && head == "}"
        {
            let lines = at - from + 1;
            if lines > FN_LINES_MAX {
                faults.push(format!(
                    "{path}:{}: `{name}…` has {lines} lines, at most {FN_LINES_MAX}",
                    from + 1
                ));
            }
            open = None;
        }
    }
    faults
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut inside = false;
    for line in workspace.lines() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if inside && line.contains('=') && !line.contains("path = ") {
            assert!(line.contains(" # "), "no reason given: {line}");
        }
    }
}

#[test]
fn nothing_committed_names_the_machine_it_was_made_on() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        for banned in [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")] {
            if text.contains(banned) {
                faults.push(format!("{path} contains {banned}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
