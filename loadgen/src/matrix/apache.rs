//! Apache RocketMQ's programs, from the jars that Maven Central has.

use super::program::Program;
use crate::children::ChildProgram;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::signals::Stop;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const VERSION: &str = "5.5.0";
/// How often a line says that Maven still fetches.
const SAY_EVERY: Duration = Duration::from_secs(2);
/// Kills a process when its standard input ends, which is when loadgen has: a JVM does not look.
const WATCHDOG: &str = "while read -r line; do :; done; kill \"$0\"";

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>peer</groupId><artifactId>peer</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.rocketmq</groupId><artifactId>rocketmq-broker</artifactId>
<version>5.5.0</version></dependency>
<dependency><groupId>org.apache.rocketmq</groupId><artifactId>rocketmq-namesrv</artifactId>
<version>5.5.0</version></dependency>
</dependencies></project>
"#;

/// Java and the jars.
#[derive(Debug)]
pub(super) struct Java {
    program: String,
    jars: PathBuf,
    has_taskset: bool,
}

impl Java {
    /// Finds Java and the jars; has Maven fetch the jars when they are not there.
    ///
    /// # Errors
    /// When Java or Maven is missing, or the jars can't be fetched; the error says the fix.
    pub(super) fn find(jars: &Path, progress: &Progress, stop: &Stop) -> Result<Self> {
        let program = std::env::var("JAVA").unwrap_or_else(|_| "java".to_owned());
        let quiet = |name: &str, arg: &str| {
            let mut command = Command::new(name);
            command.arg(arg).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if !quiet(&program, "-version") {
            return Err(Error::Usage(format!(
                "--broker apache needs Java 8 to 17, and `{program} -version` does not run: \
                 install it, or name it in the variable JAVA"
            )));
        }
        fs::create_dir_all(jars).map_err(Error::file("create", jars))?;
        let jars = fs::canonicalize(jars).map_err(Error::file("resolve", jars))?;
        if !jars.join(format!("rocketmq-broker-{VERSION}.jar")).exists() {
            fetch(&jars, progress, stop)?;
        }
        Ok(Self { program, jars, has_taskset: quiet("taskset", "-V") })
    }

    /// Starts the program of a role.
    ///
    /// # Errors
    /// When it can't be started.
    pub(super) fn start(
        &self,
        role: &'static str,
        config: &Path,
        logs: &Path,
        core: Option<usize>,
        namesrv: &str,
        heap: &str,
    ) -> Result<Program> {
        let log = logs.join(format!("{role}.log"));
        let output = File::create(&log).map_err(Error::file("create", &log))?;
        let errors = output.try_clone().map_err(Error::file("share", &log))?;
        let mut command = match core.filter(|_| self.has_taskset) {
            Some(core) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["-c", &core.to_string(), &self.program]);
                pinned
            }
            None => Command::new(&self.program),
        };
        let home = fs::canonicalize(logs).map_err(Error::file("resolve", logs))?;
        let (main, heap) = match role {
            "namesrv" => ("namesrv.NamesrvStartup", "128m"),
            _ => ("broker.BrokerStartup", heap),
        };
        command
            .args([format!("-Xms{heap}"), format!("-Xmx{heap}"), "-XX:+UseG1GC".to_owned()])
            .arg(format!("-Duser.home={}", home.display()))
            .arg("-cp")
            .arg(self.jars.join("*"))
            .arg(format!("org.apache.rocketmq.{main}"))
            .arg("-c")
            .arg(config)
            .env("ROCKETMQ_HOME", &home)
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(errors));
        if role != "namesrv" {
            command.args(["-n", namesrv]);
        }
        let child = ChildProgram::run(role, command, log)?;
        let mut watchdog = Command::new("/bin/sh");
        watchdog.arg("-c").arg(WATCHDOG).arg(child.pid().to_string()).stdout(Stdio::null());
        let watchdog = ChildProgram::run("watchdog", watchdog, logs.join("watchdog.log"))?;
        Ok(Program::watched(child, watchdog))
    }
}

fn fetch(jars: &Path, progress: &Progress, stop: &Stop) -> Result<()> {
    let pom = jars.join("pom.xml");
    fs::write(&pom, POM).map_err(Error::file("write", &pom))?;
    let mut maven = Command::new("mvn");
    maven.arg("-q").arg("-f").arg(&pom).arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", jars.display()));
    let child = maven.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut child = child.map_err(Error::file("start (to fetch Apache RocketMQ's jars)", "mvn"))?;
    let (start, mut said) = (Instant::now(), Instant::now());
    progress.say(&format!("Maven fetches Apache RocketMQ {VERSION} into {} …", jars.display()));
    loop {
        let ended = child.try_wait().map_err(Error::file("wait for", "mvn"))?;
        match ended {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                return Err(Error::Usage(format!(
                    "Maven could not fetch Apache RocketMQ {VERSION} ({status}): put its jars \
                     into {} (--apache-jars names another folder)",
                    jars.display()
                )));
            }
            None => {}
        }
        if stop.is_set() {
            let _gone = child.kill();
            let _reaped = child.wait();
            return Err(Error::Interrupted);
        }
        if said.elapsed() > SAY_EVERY {
            progress.say(&format!("  Maven, {} s", start.elapsed().as_secs()));
            said = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
