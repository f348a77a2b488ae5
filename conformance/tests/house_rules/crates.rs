//! Rules about whole crates: what they depend on and why, and where unsafe code may stand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::{members, none, root, sources};

/// docs/ARCHITECTURE.md's table "Who may use whom": crate → the crates of ours that it may use.
fn may_use() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let section = text.split_once("## Who may use whom").expect("the section").1;
    let rows = section.lines().skip_while(|line| !line.starts_with("|---"));
    let mut table = BTreeMap::new();
    for row in rows.skip(1).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, used] = cells[..] else { panic!("two cells expected: {row}") };
        let used = used.split(", ").filter(|used| *used != "–").map(ToOwned::to_owned).collect();
        table.insert(name.to_owned(), used);
    }
    table
}

/// The lines of a Cargo.toml's section, `dependencies` and the like: name → the whole line.
fn entries(manifest: &str, section: &str) -> BTreeMap<String, String> {
    let mut inside = false;
    let mut found = BTreeMap::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim() == format!("[{section}]");
        } else if inside
            && !line.starts_with('#')
            && let Some((name, _)) = line.split_once(['.', '=', ' '])
        {
            found.insert(name.trim().to_owned(), line.to_owned());
        }
    }
    found
}

fn manifest(name: &str) -> String {
    fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap()
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let table = may_use();
    let ours = members();
    let mut faults = Vec::new();
    for name in &ours {
        let Some(allowed) = table.get(name) else {
            faults.push(format!("docs/ARCHITECTURE.md: {name} is missing in the table"));
            continue;
        };
        let used: BTreeSet<String> = entries(&manifest(name), "dependencies")
            .into_keys()
            .filter(|used| ours.contains(used))
            .collect();
        for used in used.difference(allowed) {
            faults.push(format!("{name}/Cargo.toml: must not use {used}"));
        }
        for unused in allowed.difference(&used).filter(|used| ours.contains(used)) {
            faults.push(format!("docs/ARCHITECTURE.md: {name} does not use {unused}"));
        }
    }
    none(&faults);
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let mut faults = Vec::new();
    let sections = ["workspace.dependencies", "dependencies", "dev-dependencies"];
    let manifests = members().into_iter().chain([String::from(".")]);
    for name in manifests {
        for section in sections {
            for line in entries(&manifest(&name), section).values() {
                let inherited = line.contains("workspace = true") && !line.contains("features");
                if !inherited && !line.contains("path = ") && !line.contains(" # ") {
                    faults.push(format!("{name}/Cargo.toml: no reason given: {line}"));
                }
            }
        }
    }
    none(&faults);
}

#[test]
fn every_dependency_is_used() {
    let files = sources(".rs");
    let mut faults = Vec::new();
    for name in members() {
        for (section, folders) in [
            ("dependencies", &["src/", "build.rs"][..]),
            ("dev-dependencies", &["src/", "tests/", "benches/", "examples/"]),
        ] {
            for used in entries(&manifest(&name), section).into_keys() {
                let ident = used.replace('-', "_");
                let named = files.iter().any(|(path, text)| {
                    folders.iter().any(|folder| path.starts_with(&format!("{name}/{folder}")))
                        && names(text, &ident)
                });
                if !named {
                    faults.push(format!("{name}/Cargo.toml: {used} is never named in {folders:?}"));
                }
            }
        }
    }
    let all: Vec<String> = members().iter().map(|name| manifest(name)).collect();
    for name in entries(&manifest("."), "workspace.dependencies").into_keys() {
        let inherits = |manifest: &String| {
            ["dependencies", "dev-dependencies"]
                .iter()
                .any(|section| entries(manifest, section).contains_key(&name))
        };
        if !all.iter().any(inherits) && !members().contains(&name) {
            faults.push(format!("Cargo.toml: no crate inherits {name}"));
        }
    }
    none(&faults);
}

/// Whether code names a crate: the word stands alone, and not in a comment.
fn names(text: &str, ident: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).any(|code| {
        code.match_indices(ident).any(|(at, _)| {
            !code[..at].ends_with(part_of_word)
                && !code[at + ident.len()..].starts_with(part_of_word)
        })
    })
}

#[test]
fn protocol_does_no_io_and_asks_no_clock() {
    let banned = ["std::fs", "std::thread", "TcpStream", "Instant::now", "SystemTime::now"];
    let mut faults = Vec::new();
    for (path, text) in sources(".rs").iter().filter(|(path, _)| path.starts_with("protocol/src/"))
    {
        for banned in banned.iter().filter(|banned| text.contains(**banned)) {
            faults.push(format!("{path}: protocol is pure, it must not use {banned}"));
        }
    }
    none(&faults);
}

#[test]
fn unsafe_stands_only_in_its_modules_and_each_says_why() {
    let mut found = 0;
    let mut faults = Vec::new();
    for (path, text) in sources(".rs") {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let marks = ["unsafe {", "unsafe impl", "unsafe fn"];
            if path.contains("house_rules") || !marks.iter().any(|mark| code.contains(mark)) {
                continue;
            }
            found += 1;
            let home = ["rt/src/buf.rs", "rt/src/lent.rs", "rt/src/mmap.rs"]
                .contains(&path.as_str())
                || path.starts_with("rt/src/ring/");
            let counting_allocator = path.contains("/tests/") && text.contains("GlobalAlloc");
            if !home && !counting_allocator {
                let at = at + 1;
                faults.push(format!(
                    "{path}:{at}: unsafe outside rt's ring, buf, lent and mmap modules"
                ));
            }
            let before = lines[at.saturating_sub(6)..=at].join("\n");
            if !before.contains("SAFETY") && !before.contains("# Safety") {
                faults.push(format!("{path}:{}: unsafe without a reason", at + 1));
            }
        }
    }
    assert!(found > 0, "the scan found no unsafe at all: it is broken");
    none(&faults);
}

#[test]
fn every_other_crate_forbids_unsafe() {
    let mut faults = Vec::new();
    for name in members().iter().filter(|name| *name != "rt") {
        for main in ["src/lib.rs", "src/main.rs"] {
            if let Ok(text) = fs::read_to_string(root().join(name).join(main))
                && !text.contains("#![forbid(unsafe_code)]")
            {
                faults.push(format!("{name}/{main} does not forbid unsafe code"));
            }
        }
    }
    none(&faults);
}
