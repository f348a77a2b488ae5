//! What is run: the Java programs with each client's jars, Apache's servers, our binaries. Built
//! when stale.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::Stop;

/// Where everything built lies.
#[derive(Debug)]
pub(crate) struct Artifacts {
    /// `target/conformance`.
    root: PathBuf,
    /// The folder with `mqnamesrv` and `mqbroker`.
    bin: PathBuf,
}

impl Artifacts {
    /// Below the target folder that this very program was built into.
    pub(crate) fn locate(bin_dir: Option<&Path>) -> Result<Self, Stop> {
        let exe = std::env::current_exe()
            .map_err(Stop::while_doing("finding this program's own path"))?;
        let target = exe.ancestors().nth(2).filter(|p| p.is_dir()).ok_or_else(|| {
            Stop::Cannot(format!("{} does not lie in a target folder", exe.display()))
        })?;
        let bin = bin_dir.map_or_else(|| target.join("release"), Path::to_path_buf);
        Ok(Self { root: target.join("conformance"), bin })
    }

    /// A folder for something else that is built.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Compiles the programs against one client version and collects its jars.
    pub(crate) fn build_programs(&self, client: &str) -> Result<(), Stop> {
        let out = self.root.join("java");
        let args = [
            "-P".to_owned(),
            format!("client-{client}"),
            format!("-DoutputRoot={}", out.display()),
            "compile".to_owned(),
        ];
        let dir = out.join(format!("client-{client}"));
        maven(
            &java_dir().join("pom.xml"),
            &args,
            &java_dir(),
            &dir,
            &format!("programs for client {client}"),
        )
    }

    /// Collects Apache's broker and name server with all they need.
    pub(crate) fn fetch_apache(&self) -> Result<(), Stop> {
        let out = self.root.join("apache");
        let args = [
            "dependency:copy-dependencies".to_owned(),
            "-DincludeScope=runtime".to_owned(),
            format!("-DoutputDirectory={}", out.display()),
        ];
        let sources = java_dir().join("apache");
        maven(&sources.join("pom.xml"), &args, &sources, &out, "Apache RocketMQ 5.5.0")
    }

    /// `cargo build --release` of the name server, and of the broker when it is ours; into the
    /// target folder in use.
    pub(crate) fn build_ringmq(&self, with_broker: bool) -> Result<(), Stop> {
        println!("building RingMQ's servers (release)");
        let target = self.root.parent().unwrap_or(&self.root);
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "-q", "-p", "namesrv"])
            .args(if with_broker { &["-p", "broker"][..] } else { &[] })
            .arg("--target-dir")
            .arg(target)
            .current_dir(workspace_dir())
            .stdin(Stdio::null())
            .status()
            .map_err(Stop::while_doing("starting cargo"))?;
        if status.success() {
            Ok(())
        } else {
            Err(Stop::Cannot("RingMQ's servers do not build".into()))
        }
    }

    /// One of our programs.
    pub(crate) fn ringmq(&self, program: &str) -> Result<PathBuf, Stop> {
        let path = self.bin.join(program);
        if path.is_file() {
            Ok(path)
        } else {
            Err(Stop::Cannot(format!("{} does not exist", path.display())))
        }
    }

    /// Class path of the programs with one client.
    pub(crate) fn client_classpath(&self, client: &str) -> String {
        let dir = self.root.join("java").join(format!("client-{client}"));
        format!("{}:{}", dir.join("classes").display(), dir.join("jars").join("*").display())
    }

    /// Class path of Apache's servers.
    pub(crate) fn apache_classpath(&self) -> String {
        self.root.join("apache").join("*").display().to_string()
    }
}

/// The crate's folder in the checkout this program was built from.
pub(crate) fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The checkout.
pub(crate) fn workspace_dir() -> PathBuf {
    crate_dir().parent().map_or_else(crate_dir, Path::to_path_buf)
}

fn java_dir() -> PathBuf {
    crate_dir().join("java")
}

/// The seed's broker configuration, byte for byte as printed there.
pub(crate) fn seed_config() -> PathBuf {
    crate_dir().join("seed").join("broker-a.properties")
}

/// Runs Maven unless `out` was made from exactly these sources; without the network first, since
/// the jars are mostly there.
fn maven(pom: &Path, args: &[String], sources: &Path, out: &Path, what: &str) -> Result<(), Stop> {
    let stamp = out.join(".made-from");
    let fingerprint = fingerprint(sources)?;
    if fs::read_to_string(&stamp).is_ok_and(|made| made == fingerprint) {
        return Ok(());
    }
    println!("Maven: {what}");
    let offline = run_maven(pom, args, true)?;
    if !offline.0 {
        let online = run_maven(pom, args, false)?;
        if !online.0 {
            return Err(Stop::Cannot(format!(
                "Maven could not make {what} (Maven Central reachable?):\n{}",
                online.1
            )));
        }
    }
    fs::write(&stamp, fingerprint)
        .map_err(Stop::while_doing(format!("writing {}", stamp.display())))
}

fn run_maven(pom: &Path, args: &[String], offline: bool) -> Result<(bool, String), Stop> {
    let output = Command::new("mvn")
        .args(offline.then_some("-o"))
        .args(["-q", "-B", "-f"])
        .arg(pom)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(Stop::while_doing("starting mvn"))?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// A hash over names and contents of everything below `sources`; wrong only ever towards building
/// once too often.
pub(crate) fn fingerprint(sources: &Path) -> Result<String, Stop> {
    let mut files = BTreeMap::new();
    collect(sources, &mut files)
        .map_err(Stop::while_doing(format!("reading {}", sources.display())))?;
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

fn collect(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_source_changes_the_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("A.java"), "class A {}").unwrap();
        let before = fingerprint(dir.path()).unwrap();
        assert_eq!(before, fingerprint(dir.path()).unwrap());
        fs::write(dir.path().join("A.java"), "class A { int b; }").unwrap();
        assert_ne!(before, fingerprint(dir.path()).unwrap());
    }

    #[test]
    fn the_seed_is_as_printed() {
        let text = fs::read_to_string(seed_config()).unwrap();
        assert!(
            text.contains("brokerId=0  // 0表示Master，>0表示Slave"),
            "the full-width comma is part of it"
        );
        let producer =
            fs::read_to_string(java_dir().join("src/main/java/ClusterProducerExample.java"))
                .unwrap();
        assert!(producer.contains("producer.setNamesrvAddr(\"localhost:9876;localhost:9877\");"));
    }
}
