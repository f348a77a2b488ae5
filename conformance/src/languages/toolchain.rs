//! What the programs are built with and where to: `target/conformance/clients/LANGUAGE`. Each is
//! built again when its sources, which name all versions, have changed; the packages come through
//! the ordinary clients of the registries and stay in their caches.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::artifacts::{Artifacts, crate_dir, fingerprint};
use crate::language::Language;
use crate::prerequisites::runs;
use crate::process::Stop;

/// What a language needs, and how to get it.
type Needed = (&'static str, &'static [&'static str], &'static str);

const GO: [Needed; 1] = [(
    "go",
    &["version"],
    "Go 1.18 or newer (Debian/Ubuntu: apt install golang-go; Fedora: dnf install golang)",
)];
const NODE: [Needed; 2] = [
    (
        "node",
        &["--version"],
        "Node.js 14 or newer (Debian/Ubuntu: apt install nodejs; Fedora: dnf install nodejs)",
    ),
    ("npm", &["--version"], "npm (Debian/Ubuntu: apt install npm; Fedora: dnf install npm)"),
];
const CPP: [Needed; 2] = [
    ("python3", &["--version"], "Python 3 (Debian/Ubuntu: apt install python3)"),
    (
        "python3",
        &["-m", "pip", "--version"],
        "pip (Debian/Ubuntu: apt install python3-pip; Fedora: dnf install python3-pip)",
    ),
];
const RUST: [Needed; 1] = [("cargo", &["--version"], "Rust from https://rustup.rs")];

fn needed(language: Language) -> &'static [Needed] {
    match language {
        Language::Go => &GO,
        Language::Node => &NODE,
        Language::Cpp => &CPP,
        Language::Rust => &RUST,
    }
}

/// What the language needs and this machine lacks: the program, and how to get it.
pub(crate) fn missing(language: Language) -> Vec<(&'static str, &'static str)> {
    let lacks = |(program, version, _): &&Needed| !runs(program, version);
    let programs = needed(language).iter().filter(lacks);
    let mut missing: Vec<_> = programs.map(|&(program, _, get)| (program, get)).collect();
    if language == Language::Cpp && !cfg!(target_arch = "x86_64") {
        missing.push(("librocketmq.so", "a machine with x86-64: the wheel has no other library"));
    }
    missing
}

/// Builds programs and starts them.
#[derive(Debug)]
pub(crate) struct Toolchain {
    /// `target/conformance/clients`.
    root: PathBuf,
}

impl Toolchain {
    /// Below what else the suite builds.
    pub(crate) fn new(artifacts: &Artifacts) -> Self {
        Self { root: artifacts.folder("clients") }
    }

    /// Builds the language's program unless it was made from exactly these sources.
    pub(crate) fn build(&self, language: Language) -> Result<(), Stop> {
        let (sources, out) = (sources(language), self.root.join(language.name()));
        let stamp = out.join(".made-from");
        let made_from = fingerprint(&sources)?;
        if fs::read_to_string(&stamp).is_ok_and(|made| made == made_from) {
            return Ok(());
        }
        println!("building the program of {}", language.client());
        fs::create_dir_all(&out)
            .map_err(Stop::while_doing(format!("creating {}", out.display())))?;
        finish(&mut self.builder(language, &sources, &out)?, language)?;
        fs::write(&stamp, made_from)
            .map_err(Stop::while_doing(format!("writing {}", stamp.display())))
    }

    /// The command that installs the client and builds the program.
    fn builder(&self, language: Language, sources: &Path, out: &Path) -> Result<Command, Stop> {
        let mut command;
        match language {
            Language::Go => {
                command = Command::new("go");
                command.args(["build", "-buildvcs=false", "-o"]).arg(out.join("program")).arg(".");
                command.current_dir(sources);
            }
            Language::Node => {
                for name in ["package.json", "package-lock.json"] {
                    fs::copy(sources.join(name), out.join(name))
                        .map_err(Stop::while_doing(format!("copying {name}")))?;
                }
                command = Command::new("npm");
                command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
                command.current_dir(out);
            }
            Language::Cpp => {
                command = Command::new("python3");
                command.args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]);
                command.args(["--require-hashes", "--disable-pip-version-check", "--target"]);
                command.arg(out).arg("-r").arg(sources.join("requirements.txt"));
            }
            Language::Rust => {
                command = Command::new("cargo");
                command.args(["build", "--quiet", "--locked", "--target-dir"]).arg(out);
                command.current_dir(sources);
            }
        }
        Ok(command)
    }

    /// The program of a language, up to but without its arguments.
    pub(crate) fn program(&self, language: Language) -> Command {
        let (sources, out) = (sources(language), self.root.join(language.name()));
        match language {
            Language::Go => Command::new(out.join("program")),
            Language::Rust => Command::new(out.join("debug").join("program")),
            Language::Node => {
                let mut command = Command::new("node");
                command.arg(sources.join("program.js"));
                command.env("NODE_PATH", out.join("node_modules"));
                command
            }
            Language::Cpp => {
                let mut command = Command::new("python3");
                command.arg(sources.join("program.py")).env("PYTHONPATH", out);
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
        }
    }
}

fn sources(language: Language) -> PathBuf {
    crate_dir().join("clients").join(language.name())
}

fn finish(command: &mut Command, language: Language) -> Result<(), Stop> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Stop::while_doing(format!("starting {program}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Stop::Cannot(format!(
        "{program} could not make the program of {} (registry reachable?):\n{}{}",
        language.client(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    )))
}
