//! Bakes the git revision into the program, with `-dirty` behind it when a source of the program
//! differs from that revision.

use std::process::Command;

/// The crates whose code is in the program.
const CRATES: [&str; 9] =
    ["rt", "protocol", "netcore", "engine", "filter", "namesrv", "broker", "client", "loadgen"];

fn main() {
    // Every change of a source builds anew anyway; so this runs often enough to be true.
    for name in CRATES {
        for part in ["src", "Cargo.toml"] {
            println!("cargo:rerun-if-changed=../{name}/{part}");
        }
    }
    println!("cargo:rerun-if-changed=../Cargo.lock");
    // The log of HEAD grows with every commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    let Some(revision) = git(&["rev-parse", "--short=12", "HEAD"]) else { return };
    let places: Vec<String> = CRATES.iter().map(|name| format!("../{name}")).collect();
    let mut status = vec!["status", "--porcelain", "--untracked-files=no", "--", "../Cargo.lock"];
    status.extend(places.iter().map(String::as_str));
    let dirty = git(&status).is_none_or(|changed| !changed.is_empty());
    println!("cargo:rustc-env=LOADGEN_REVISION={revision}{}", if dirty { "-dirty" } else { "" });
}

/// The output of git, if it could say something.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
