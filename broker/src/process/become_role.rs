//! `mqbroker -c FILE --become ROLE`: changes the role of the broker that runs with FILE.
//!
//! ```text
//!   FILE: brokerRole, brokerId ─► written anew, durably ─► SIGUSR2 to the process that has the store
//!     ─► it closes its store as for SIGTERM ─► starts itself anew, with the same command line
//! ```
//!
//! It is RocketMQ's way, a restart with another `brokerRole`, in one command: the file says what
//! the broker is, also after the next restart of the machine.

use super::supervisor::StartError;
use crate::config::{Options, Role};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long the broker may take to close its store and open it again.
const BACK_WITHIN: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// The id of a slave whose file names none.
const SLAVE_ID: i64 = 1;

/// Changes the role; what to say of it.
pub(super) fn become_role(
    file: &Path,
    role: &str,
    options: &Options,
) -> Result<String, StartError> {
    let is_slave = role == "SLAVE";
    let id = match options.replication.role {
        Role::Slave { id } if is_slave => id,
        _ if is_slave => SLAVE_ID,
        _ => 0,
    };
    let id = id.to_string();
    let text = fs::read_to_string(file).map_err(|error| said("read", file, &error))?;
    let text = with_keys(&text, &[("brokerRole", role), ("brokerId", &id)]);
    replace(file, &text).map_err(|error| said("write", file, &error))?;
    let shard = options.shard(0);
    let abort = shard.store_root.join("abort");
    let address = SocketAddr::new(options.network.bind, shard.port);
    let Some((pid, before)) = running(&abort) else {
        return Ok(format!(
            "{} says brokerRole={role}, brokerId={id}. No broker runs on {}: start it",
            file.display(),
            shard.store_root.display()
        ));
    };
    restart(pid)?;
    let began = Instant::now();
    while began.elapsed() < BACK_WITHIN {
        let is_new = fs::read(&abort).is_ok_and(|now| now != before);
        if is_new && TcpStream::connect_timeout(&reached(address), LOOK_AGAIN_AFTER).is_ok() {
            return Ok(format!("process {pid} is {role} now, brokerId={id}"));
        }
        thread::sleep(LOOK_AGAIN_AFTER);
    }
    Err(format!(
        "process {pid} was told to become {role}, and does not serve at {address} after {} s: its \
         log says why",
        BACK_WITHIN.as_secs()
    )
    .into())
}

fn said(operation: &str, path: &Path, error: &std::io::Error) -> String {
    format!("{operation} {}: {error}", path.display())
}

/// Where an address that stands for all is reached.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = address.ip();
    let loopback = if ip.is_ipv4() { [127, 0, 0, 1].into() } else { ip };
    if ip.is_unspecified() { SocketAddr::new(loopback, address.port()) } else { address }
}

/// The text of a .properties file with these keys set: each line of them says the new value, and
/// what is missing comes at the end.
fn with_keys(text: &str, pairs: &[(&str, &str)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (key, value) in pairs {
        let is_of_key = |line: &&mut String| {
            let name = line.split(['=', ':']).next().unwrap_or_default();
            name.trim() == *key && line.len() > name.len()
        };
        let mut found = false;
        for line in lines.iter_mut().filter(is_of_key) {
            *line = format!("{key}={value}");
            found = true;
        }
        if !found {
            lines.push(format!("{key}={value}"));
        }
    }
    lines.join("\n") + "\n"
}

fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = file.to_owned().into_os_string();
    beside.push(".new");
    let mut new = File::create(&beside)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    fs::rename(&beside, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// The process that has the store open, and what its `abort` holds.
fn running(abort: &Path) -> Option<(i32, Vec<u8>)> {
    let content = fs::read(abort).ok()?;
    let pid: i32 = std::str::from_utf8(&content).ok()?.lines().next()?.trim().parse().ok()?;
    let name = |pid: &str| fs::read(format!("/proc/{pid}/comm")).ok();
    let is_ours = name(&pid.to_string()).is_some_and(|name_of| Some(name_of) == name("self"));
    is_ours.then_some((pid, content))
}

fn restart(pid: i32) -> Result<(), StartError> {
    let process = Pid::from_raw(pid).ok_or_else(|| format!("{pid} is no process"))?;
    kill_process(process, Signal::USR2).map_err(|error| format!("SIGUSR2 to {pid}: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_the_role_and_keeps_the_rest() {
        let text = "# a slave\nbrokerName=a\nbrokerRole = SLAVE\nbrokerId:3\n#brokerId=7";
        let found = with_keys(text, &[("brokerRole", "SYNC_MASTER"), ("brokerId", "0")]);
        assert_eq!(
            found,
            "# a slave\nbrokerName=a\nbrokerRole=SYNC_MASTER\nbrokerId=0\n#brokerId=7\n"
        );
        assert_eq!(with_keys("", &[("brokerId", "1")]), "brokerId=1\n");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.properties");
        fs::write(&file, text).unwrap();
        replace(&file, &found).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), found);
    }

    #[test]
    fn a_store_without_a_broker_of_ours_has_nobody_to_tell() {
        let folder = tempfile::tempdir().unwrap();
        let abort = folder.path().join("abort");
        assert!(running(&abort).is_none());
        for content in ["", "x", "1\n", "999999999\n"] {
            fs::write(&abort, content).unwrap();
            assert!(running(&abort).is_none(), "{content:?}");
        }
        fs::write(&abort, std::process::id().to_string()).unwrap();
        assert!(running(&abort).is_some(), "this process is named as itself");
    }
}
