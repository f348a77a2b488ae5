//! The examples, as they are, against a real broker.

use crate::broker_process::Broker;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// The folder of the examples. `cargo test` builds them as programs only when no targets are chosen
/// (with `--all-targets` they become test harnesses), so they are built here, into the folder and
/// profile of this test. Of the whole workspace: for one package alone its dependencies would be
/// built again, with that package's features.
static EXAMPLES: LazyLock<PathBuf> = LazyLock::new(|| {
    let exe = std::env::current_exe().unwrap();
    let profile: &Path = exe.ancestors().nth(2).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "--locked", "--workspace", "--examples", "--target-dir"])
        .arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(
        built.status.success(),
        "the examples do not build: {}",
        String::from_utf8_lossy(&built.stderr)
    );
    profile.join("examples")
});

fn example(name: &str, args: &[&str]) -> Output {
    Command::new(EXAMPLES.join(name)).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn every_example_does_what_it_says() {
    let broker = Broker::start(2, &[]);
    let addr = broker.addr();
    assert!(
        said(&example("send", &[&addr, "T", "hello", "tag"])).contains("stored: queue offset 0")
    );
    assert!(
        said(&example("send_many", &[&addr, "T", "5000", "1"]))
            .contains("5000 stored, 0 failed, 0 unknown")
    );
    assert!(said(&example("fetch", &[&addr, "T", "group"])).contains("5001 messages"));
    assert!(
        said(&example("fetch", &[&addr, "T", "group"])).contains("0 messages"),
        "the group's offsets were committed"
    );
    let tagged = said(&example("fetch", &[&addr, "T", "other", "tag"]));
    assert!(tagged.contains(": hello") && tagged.contains("1 messages"), "{tagged}");
    assert!(said(&example("on_a_core", &[&addr, "C", "20"])).contains("20 received"));
}

#[test]
fn an_example_without_arguments_says_how_to_use_it_and_one_without_a_broker_names_the_address() {
    for name in ["send", "send_many", "fetch", "on_a_core"] {
        let output = example(name, &[]);
        assert!(
            !output.status.success()
                && String::from_utf8_lossy(&output.stderr)
                    .contains(&format!("usage: {name} HOST:PORT")),
            "{output:?}"
        );
    }
    let output = example("send", &["127.0.0.1:1", "T", "x"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains(
            "connect at 127.0.0.1:1: not sent, there is no connection (connecting failed"
        ),
        "{output:?}"
    );
}
