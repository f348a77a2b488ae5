//! Replays every fuzz corpus on stable Rust: seeds, and counterexamples that were found once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use protocol::check;

/// A property of `protocol::check`.
type Check = fn(&[u8]);

const TARGETS: [(&str, Check); 6] = [
    ("batch", check::check_batch),
    ("command", check::check_command),
    ("json", check::check_json),
    ("native", check::check_native),
    ("properties", check::check_properties),
    ("records", check::check_records),
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn stems(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("folder");
    entries
        .map(|entry| {
            entry.expect("entry").path().file_stem().expect("name").to_string_lossy().into_owned()
        })
        .collect()
}

#[test]
fn every_target_is_replayed() {
    let replayed: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(stems(&fuzz().join("fuzz_targets")), replayed);
    assert_eq!(stems(&fuzz().join("corpus")), replayed);
}

#[test]
fn every_corpus_file_keeps_its_target_s_properties() {
    for (target, check) in TARGETS {
        let files: Vec<_> =
            std::fs::read_dir(fuzz().join("corpus").join(target)).expect("corpus").collect();
        assert!(files.len() >= 3, "{target}: {} files", files.len());
        for file in files {
            let path = file.expect("entry").path();
            let bytes = std::fs::read(&path).expect("corpus file");
            println!("{}", path.display());
            check(&bytes);
        }
    }
}
