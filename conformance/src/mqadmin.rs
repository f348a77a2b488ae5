//! Apache's own `mqadmin`, at a program's request: `mqadmin COMMAND ARGUMENTS`, granted with what
//! it printed.

use std::fs;
use std::process::Command;

use crate::artifacts::Artifacts;
use crate::cluster::Cluster;
use crate::limits::MQADMIN_MAX;
use crate::process::{Interrupt, Managed, Stop};
use crate::target::JVM_QUICK;

/// Stands for a line end in a granted text, which is one line: ASCII's record separator.
const LINE_END: &str = "\u{1e}";

/// Runs one command to its end; the name servers are given unless the arguments name them.
pub(crate) fn run(
    artifacts: &Artifacts,
    cluster: &Cluster<'_>,
    interrupt: &Interrupt,
    arguments: &str,
    run_name: &str,
) -> Result<String, Stop> {
    let log = format!("mqadmin-{run_name}");
    let path = cluster.dir().join(format!("{log}.log"));
    fs::write(&path, "").map_err(Stop::while_doing(format!("writing {}", path.display())))?;
    let mut command = Command::new("java");
    command
        .args(JVM_QUICK)
        .arg("-Xmx128m")
        .arg(format!("-Duser.home={}", cluster.dir().display()))
        .args(["-cp", &artifacts.apache_classpath()])
        .arg("org.apache.rocketmq.tools.command.MQAdminStartup")
        .args(arguments.split_whitespace())
        .args(["-n", &cluster.ports().namesrv_addr("127.0.0.1")])
        .env("ROCKETMQ_HOME", cluster.dir())
        // consumerStatus writes files where it is.
        .current_dir(cluster.dir());
    let mut program = Managed::start(&log, command, cluster.dir())?;
    if !interrupt.wait_until(MQADMIN_MAX, || program.ended().is_some())? {
        return Err(Stop::Cannot(format!("mqadmin {arguments}: not done within {MQADMIN_MAX:?}")));
    }
    let printed = fs::read_to_string(&path)
        .map_err(Stop::while_doing(format!("reading {}", path.display())))?;
    Ok(printed.lines().collect::<Vec<_>>().join(LINE_END))
}
