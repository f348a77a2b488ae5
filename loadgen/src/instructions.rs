//! Instructions that brokers executed, counted by `perf stat`, where host and kernel allow it.
//!
//! The number hardly depends on what else the machine does, unlike CPU time. Virtual machines often
//! have no counters; then there is no number, and the result says nothing about it.

use std::process::{Child, Command, Stdio};

/// What is counted: instructions of the process, in the kernel too.
const EVENT: &str = "instructions";

/// Counts while a row runs. Dropping it ends the counting.
#[derive(Debug)]
pub(crate) struct Counting {
    perf: Option<Child>,
}

/// Whether `perf` is here and can count.
#[must_use]
pub(crate) fn is_possible() -> bool {
    let tried = Command::new("perf")
        .args(["stat", "-x", ",", "-e", EVENT, "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output();
    tried.is_ok_and(|tried| instructions(&String::from_utf8_lossy(&tried.stderr)).is_some())
}

impl Counting {
    /// Begins to count for these processes; counts nothing when it can't.
    #[must_use]
    pub(crate) fn begin(pids: &[u32]) -> Self {
        let list: Vec<String> = pids.iter().map(u32::to_string).collect();
        let perf = Command::new("perf")
            .args(["stat", "-x", ",", "-e", EVENT, "-p", &list.join(",")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self { perf: perf.ok() }
    }

    /// Ends it, and gives the number.
    #[must_use]
    pub(crate) fn end(mut self) -> Option<u64> {
        let perf = self.perf.take()?;
        let pid = i32::try_from(perf.id()).ok().and_then(rustix::process::Pid::from_raw)?;
        // As Ctrl-C would: it prints what it has counted.
        let _ended_already = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let said = perf.wait_with_output().ok()?;
        instructions(&String::from_utf8_lossy(&said.stderr))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(perf) = &mut self.perf {
            let _ended_already = perf.kill();
            let _reaped = perf.wait();
        }
    }
}

/// The number in a line `123456,,instructions,…`; `<not supported>` and `<not counted>` are none.
fn instructions(said: &str) -> Option<u64> {
    let mut lines = said.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let cells = lines.find(|cells| cells.get(2).is_some_and(|event| event.starts_with(EVENT)))?;
    cells.first()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_and_what_is_not_supported_is_none() {
        let counted = "1234567,,instructions,1001304,100.00,,\n";
        assert_eq!(instructions(counted), Some(1_234_567));
        assert_eq!(instructions(&format!("warning: x\n{counted}")), Some(1_234_567));
        assert_eq!(instructions("9,,instructions:u,1,100.00,,"), Some(9));
        assert_eq!(instructions("<not supported>,,instructions,0,100.00,,"), None);
        assert_eq!(instructions("<not counted>,,instructions,0,100.00,,"), None);
        assert_eq!(instructions("perf: command not found"), None);
    }
}
