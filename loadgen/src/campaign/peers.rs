//! The brokers of a campaign: RingMQ, which it starts, and those that scripts have started.
//!
//! Two brokers share a core. The one whose turn it is not stands still (SIGSTOP), so that nothing
//! of it runs beside the other; sockets and memory stay as they are.

use crate::error::{Error, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::str::FromStr;

/// A broker that runs already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name server.
    pub namesrv: String,
    /// Its process.
    pub pid: u32,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts =
            text.split_once(',').and_then(|(namesrv, pid)| Some((namesrv, pid.parse().ok()?)));
        let (namesrv, pid) = parts
            .ok_or("write NAMESRV,PID as in 127.0.0.1:9876,4242: what the peer's script prints")?;
        Ok(Self { namesrv: namesrv.to_owned(), pid })
    }
}

/// A process that stands still until this is dropped.
#[derive(Debug)]
pub(crate) struct Stopped {
    pid: Pid,
}

impl Stopped {
    /// Stops a process.
    ///
    /// # Errors
    /// When there is no such process, or it is not ours to stop.
    pub(crate) fn new(pid: u32) -> Result<Self> {
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| Error::Usage(format!("{pid} is no process id")))?;
        kill_process(id, Signal::STOP).map_err(|error| {
            let source = std::io::Error::from(error);
            Error::Peer { operation: "pause process", peer: pid.to_string(), source }
        })?;
        Ok(Self { pid: id })
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may have been killed meanwhile; then it needs nothing.
        let _gone = kill_process(self.pid, Signal::CONT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_written_as_its_script_prints_it() {
        let peer: Peer = "127.0.0.1:9876,42".parse().unwrap();
        assert_eq!((peer.namesrv.as_str(), peer.pid), ("127.0.0.1:9876", 42));
        for wrong in ["", "127.0.0.1:9876", "a,b", ",x"] {
            assert!(wrong.parse::<Peer>().unwrap_err().contains("NAMESRV,PID"), "{wrong}");
        }
    }

    #[test]
    fn a_stopped_process_goes_on_when_it_is_let_go() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let state = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit(')').next().unwrap().trim().chars().next().unwrap()
        };
        let becomes = |wanted: &dyn Fn(char) -> bool| {
            let start = std::time::Instant::now();
            while !wanted(state(child.id())) && start.elapsed().as_secs() < 60 {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            wanted(state(child.id()))
        };
        let stopped = Stopped::new(child.id()).unwrap();
        assert!(becomes(&|state| state == 'T'));
        drop(stopped);
        assert!(becomes(&|state| state != 'T'));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
