//! Imports run one way: no circle of `use` paths among the files of a crate.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::modules::Tree;
use crate::{members, none, root};

/// Crates that still have circles. A crate leaves this list when it has none, and never comes back.
const NOT_YET: [&str; 6] = ["rt", "protocol", "netcore", "engine", "client", "loadgen"];

type Edges = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

#[test]
fn no_crate_has_a_circle_of_imports() {
    let mut faults = Vec::new();
    let mut edges_found = 0;
    for name in members() {
        for main in ["src/lib.rs", "src/main.rs"] {
            let main = Path::new(&name).join(main);
            let read = |path: &Path| fs::read_to_string(root().join(path)).ok();
            if read(&main).is_some() {
                let edges = Tree::load(&main, &read).edges();
                edges_found += edges.values().map(BTreeSet::len).sum::<usize>();
                let circles = circles(&edges);
                println!("{}: {} circles", main.display(), circles.len());
                if !NOT_YET.contains(&name.as_str()) {
                    faults.extend(circles.iter().map(|circle| shown(circle)));
                } else {
                    println!("{}", circles.iter().map(|c| shown(c)).collect::<Vec<_>>().join("\n"));
                }
            }
        }
    }
    assert!(edges_found > 500, "only {edges_found} imports found: the scan is broken");
    none(&faults);
}

fn shown(circle: &[PathBuf]) -> String {
    let names: Vec<String> = circle.iter().map(|path| path.display().to_string()).collect();
    names.join(" → ")
}

/// For each file that lies on circles a shortest one, each circle once; it ends where it begins.
fn circles(edges: &Edges) -> Vec<Vec<PathBuf>> {
    let mut seen = BTreeSet::new();
    edges
        .keys()
        .filter_map(|start| shortest_circle(edges, start))
        .filter(|circle| seen.insert(circle.iter().cloned().collect::<BTreeSet<_>>()))
        .collect()
}

fn shortest_circle(edges: &Edges, start: &PathBuf) -> Option<Vec<PathBuf>> {
    let mut came_from: BTreeMap<&PathBuf, &PathBuf> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(at) = next.pop_front() {
        for to in edges.get(at).into_iter().flatten() {
            if to == start {
                let mut circle = vec![start.clone(), at.clone()];
                let mut back = at;
                while back != start {
                    back = came_from[back];
                    circle.push(back.clone());
                }
                circle.reverse();
                return Some(circle);
            }
            if !came_from.contains_key(to) {
                came_from.insert(to, at);
                next.push_back(to);
            }
        }
    }
    None
}

fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    let edges = Tree::load(Path::new("lib.rs"), &read).edges();
    circles(&edges).iter().map(|circle| shown(circle)).collect()
}

#[test]
fn a_circle_is_found_through_any_kind_of_path() {
    let lib = ("lib.rs", "mod a; mod b;");
    for there in [
        "use crate::b::B;",
        "use super::b::{self, B as C};",
        "fn f() { use super::b::*; }",
        "fn f(b: crate::b::B) {}",
        "mod inner { use super::super::b::B; }",
    ] {
        let files = [lib, ("a.rs", there), ("b.rs", "use crate::a; pub struct B;")];
        assert_eq!(circles_of(&files), ["a.rs → b.rs → a.rs"], "{there}");
    }
}

#[test]
fn a_re_export_leads_to_the_file_that_defines() {
    let files = |there: &'static str| {
        [
            ("lib.rs", "mod a;"),
            ("a/mod.rs", there),
            ("a/child.rs", "use super::Other; pub struct Child;"),
            ("a/other.rs", "pub struct Other;"),
        ]
    };
    let door = "mod child; mod other; pub use child::Child; pub use other::Other;";
    assert_eq!(circles_of(&files(door)), [""; 0], "a/child.rs → a/other.rs, past a/mod.rs");
    let glob = "mod child; mod other; pub use child::Child; pub use other::*;";
    assert_eq!(circles_of(&files(glob)), [""; 0], "through a glob too");
    let defines = "mod child; pub use child::Child; pub struct Other;";
    assert_eq!(circles_of(&files(defines)), [""; 0], "a/mod.rs is a door, and needs no child");
    let circle = ["a/child.rs → a/mod.rs → a/child.rs"];
    let uses = "mod child; pub use child::Child; pub struct Other(Child);";
    assert_eq!(circles_of(&files(uses)), circle);
    let calls = "mod child; pub struct Other; fn f() { child::run(); }";
    assert_eq!(circles_of(&files(calls)), circle, "a path in code is as good as a use");
}

#[test]
fn tests_and_foreign_paths_make_no_circle() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use a::A;"),
        (
            "a.rs",
            "pub struct A; #[cfg(test)] mod tests { use crate::b::B; } use std::fs; use b::x;",
        ),
        ("b.rs", "use crate::A; pub struct B; #[cfg(test)] use crate::a;"),
    ];
    assert_eq!(circles_of(&files), [""; 0]);
}
