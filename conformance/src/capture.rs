//! `conformance capture`: golden bytes from the real Java clients and Apache's servers.
//!
//! ```text
//!  client, broker ──> 127.0.0.2:P  recording proxy ──> 127.0.0.1:P  Apache's name server or broker
//! ```
//!
//! The servers bind to 127.0.0.1 and the broker advertises 127.0.0.2, so everybody comes through
//! the proxies and not a byte is changed. Of each wanted kind the longest frame is kept: it has the
//! most fields.

mod frames;
mod proxy;
mod wanted;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::artifacts::Artifacts;
use crate::cluster::Cluster;
use crate::dialogue;
use crate::limits::ANSWER_MAX;
use crate::options::{Against, Options};
use crate::ports::Ports;
use crate::prerequisites;
use crate::process::{Interrupt, Stop};
use crate::registration;
use crate::run::java_program;
use crate::target::{Config, JVM_QUICK, Target};

use self::frames::Recorder;
use self::proxy::Proxy;

/// A client that visits: its version, what its headers are written in.
type Visitor = (&'static str, &'static str);
/// With servers that answer in JSON.
const TO_JSON: [Visitor; 3] = [("4.9.8", "JSON"), ("5.5.0", "JSON"), ("4.9.8", "ROCKETMQ")];
/// With servers that answer in the binary form.
const TO_ROCKETMQ: [Visitor; 1] = [("5.5.0", "ROCKETMQ")];
/// Versions of clients older than the ones we run, asking by hand: 4.0.0-SNAPSHOT's age and 4.9.3.
const OLD_VERSIONS: [u16; 2] = [300, 399];

/// Records everything and writes the files; true when every wanted frame was seen.
pub(crate) fn run(options: &Options, into: &Path) -> Result<bool, Stop> {
    let interrupt = Interrupt::install()?;
    prerequisites::none(&prerequisites::missing_for_java())?;
    let artifacts = Artifacts::locate(options.bin_dir.as_deref())?;
    artifacts.fetch_apache()?;
    for client in ["4.9.8", "5.5.0"] {
        artifacts.build_programs(client)?;
    }
    let dir = tempfile::tempdir().map_err(Stop::while_doing("creating a temporary folder"))?;
    let recorder = Arc::new(Mutex::new(Recorder::default()));
    for (name, serialize, visitors) in
        [("json", None, &TO_JSON[..]), ("rocketmq", Some("ROCKETMQ"), &TO_ROCKETMQ)]
    {
        let session =
            Session { artifacts: &artifacts, dir: &dir.path().join(name), interrupt: &interrupt };
        session.record(serialize, visitors, &recorder)?;
    }
    let recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
    let missing = recorder.missing();
    store(recorder.kept(), into)?;
    println!("{} frames in {}", recorder.kept().len(), into.display());
    missing.iter().for_each(|name| println!("not seen: {name}"));
    Ok(missing.is_empty())
}

struct Session<'a> {
    artifacts: &'a Artifacts,
    dir: &'a Path,
    interrupt: &'a Interrupt,
}

impl Session<'_> {
    fn record(
        &self,
        serialize: Option<&'static str>,
        visitors: &[Visitor],
        recorder: &Arc<Mutex<Recorder>>,
    ) -> Result<(), Stop> {
        let ports = Ports::free()?;
        let listen = [ports.namesrv[0], ports.namesrv[1], ports.broker];
        let _proxies: Vec<Proxy> = listen
            .into_iter()
            .map(|port| Proxy::start(port, Arc::clone(recorder)))
            .collect::<Result<_, _>>()?;
        label(recorder, "broker5.5.0");
        let dir = self.dir.to_path_buf();
        let target = Target { against: Against::Apache, artifacts: self.artifacts, dir, serialize };
        let cluster = Cluster::start(target, ports, Config::BehindProxy, self.interrupt)?;
        let namesrv = format!("127.0.0.2:{}", ports.namesrv[0]);
        for (version, headers) in visitors {
            label(recorder, version);
            println!("recording client {version}, headers in {headers}");
            self.visit(version, headers, &namesrv, cluster.dir())?;
        }
        if serialize.is_none() {
            label(recorder, "5.5.0");
            self.mqadmin(&namesrv)?;
            for version in OLD_VERSIONS {
                label(recorder, &format!("v{version}"));
                ask_route(ports.namesrv[0], version)
                    .map_err(Stop::while_doing("asking for a route by hand"))?;
            }
        }
        Ok(())
    }

    fn visit(&self, version: &str, headers: &str, namesrv: &str, dir: &Path) -> Result<(), Stop> {
        let name = format!("golden-{}-{}", version.replace('.', ""), headers.to_lowercase());
        let mut command = java_program(self.artifacts, version, dir);
        command.arg(format!("-Drocketmq.serialize.type={headers}")).args([
            "ringmq.conformance.Main",
            "capture",
            namesrv,
            &name,
        ]);
        let verdict = dialogue::hold(command, &name, dir, self.interrupt, |what, _| {
            Err(Stop::Cannot(format!("nothing to grant: {what}")))
        })?;
        match verdict.failure {
            None => Ok(()),
            Some(why) => Err(Stop::Cannot(format!(
                "{name}: {why}\n{}",
                crate::cluster::tail(&dir.join(format!("{name}.log")))
            ))),
        }
    }

    /// Apache's own command line asks for the cluster (106); no client library does.
    fn mqadmin(&self, namesrv: &str) -> Result<(), Stop> {
        let output = Command::new("java")
            .args(JVM_QUICK)
            .arg("-Xmx128m")
            .arg(format!("-Duser.home={}", self.dir.display()))
            .env("ROCKETMQ_HOME", self.dir)
            .args([
                "-cp",
                &self.artifacts.apache_classpath(),
                "org.apache.rocketmq.tools.command.MQAdminStartup",
            ])
            .args(["clusterList", "-n", namesrv])
            .output()
            .map_err(Stop::while_doing("starting mqadmin"))?;
        if String::from_utf8_lossy(&output.stdout).contains("broker-a") {
            return Ok(());
        }
        Err(Stop::Cannot(format!(
            "mqadmin clusterList:\n{}",
            String::from_utf8_lossy(&output.stderr)
        )))
    }
}

fn label(recorder: &Mutex<Recorder>, text: &str) {
    recorder.lock().unwrap_or_else(PoisonError::into_inner).label = text.to_owned();
}

/// One GET_ROUTEINFO_BY_TOPIC with this version in its header, through the proxy.
fn ask_route(port: u16, version: u16) -> std::io::Result<()> {
    let header = format!(
        "{}{}{version}}}",
        r#"{"code":105,"extFields":{"topic":"TBW102"},"flag":0,"language":"JAVA","opaque":7,"#,
        r#""serializeTypeCurrentRPC":"JSON","version":"#,
    );
    let mut stream = TcpStream::connect((proxy::LISTEN, port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(&registration::request(&header, b"")?)?;
    let mut answer = [0; 64];
    stream.read_exact(&mut answer)?;
    thread::sleep(Duration::from_millis(200)); // the rest passes the proxy
    Ok(())
}

fn store(kept: &BTreeMap<String, Vec<u8>>, into: &Path) -> Result<(), Stop> {
    fs::create_dir_all(into).map_err(Stop::while_doing(format!("creating {}", into.display())))?;
    for (name, frame) in kept {
        let file = into.join(name);
        fs::write(&file, frame)
            .map_err(Stop::while_doing(format!("writing {}", file.display())))?;
    }
    Ok(())
}
