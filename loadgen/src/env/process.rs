//! CPU time of threads and processes, and the noise of other tenants during a run.

use super::text;
use serde::{Deserialize, Serialize};

/// CPU time of the calling thread, ns.
#[must_use]
pub fn thread_cpu_nanos() -> Option<u64> {
    text("/proc/thread-self/schedstat").and_then(|line| run_nanos(&line))
}

/// CPU time of all live threads of a process, ns.
#[must_use]
pub fn process_cpu_nanos(pid: u32) -> Option<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let times = tasks.filter_map(|task| {
        text(task.ok()?.path().join("schedstat")).and_then(|line| run_nanos(&line))
    });
    Some(times.sum())
}

/// Resident memory of a process, bytes.
#[must_use]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = text(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Bytes that a process has had fetched from a device; what was in the page cache is not in it.
/// `None` when the kernel does not tell it (another user's process).
#[must_use]
pub fn device_read_bytes(pid: u32) -> Option<u64> {
    let io = text(format!("/proc/{pid}/io"))?;
    let line = io.lines().find_map(|line| line.strip_prefix("read_bytes:"))?;
    line.trim().parse().ok()
}

/// Processes of this program that measure, and are neither this one, nor its parent, nor its
/// children.
#[must_use]
pub fn other_loadgens() -> Vec<u32> {
    const CHILDREN: [&str; 4] = ["mqbroker", "mqnamesrv", "noop-target", "--exit-with-parent"];
    let own = std::process::id();
    let parent = |pid: u32| -> Option<u32> {
        let stat = text(format!("/proc/{pid}/stat"))?;
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let is_other = |pid: &u32| {
        let Some(name) = text(format!("/proc/{pid}/comm")) else { return false };
        let Ok(line) = std::fs::read_to_string(format!("/proc/{pid}/cmdline")) else {
            return false;
        };
        name == "loadgen"
            && !line.split('\0').any(|word| CHILDREN.contains(&word))
            && *pid != own
            && parent(*pid) != Some(own)
            && parent(own) != Some(*pid)
    };
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_other).collect()
}

/// `run-ns wait-ns slices` of a schedstat file.
fn run_nanos(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// The shares of this host that others took during the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Noise {
    /// Share of CPU time the hypervisor gave to others, in percent.
    pub steal_percent: Option<f64>,
    /// Share of time some task waited for a CPU (PSI), in percent.
    pub cpu_pressure_percent: Option<f64>,
    /// Share of time some task waited for I/O, in percent.
    pub io_pressure_percent: Option<f64>,
    /// Share of time some task waited for memory, in percent.
    pub memory_pressure_percent: Option<f64>,
}

/// Counters at one moment; two of them give the [`Noise`] between.
#[derive(Clone, Debug)]
pub struct NoiseStart {
    at: std::time::Instant,
    cpu: Option<CpuTimes>,
    pressure_us: [Option<u64>; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CpuTimes {
    steal: u64,
    total: u64,
}

impl NoiseStart {
    /// Reads the counters now.
    #[must_use]
    pub fn now() -> Self {
        let pressure = |what: &str| {
            text(format!("/proc/pressure/{what}")).and_then(|text| some_total_us(&text))
        };
        Self {
            at: std::time::Instant::now(),
            cpu: text("/proc/stat").and_then(|text| cpu_times(&text)),
            pressure_us: [pressure("cpu"), pressure("io"), pressure("memory")],
        }
    }

    /// The noise since then.
    #[must_use]
    pub fn until_now(&self) -> Noise {
        let end = Self::now();
        let wall_us = end.at.duration_since(self.at).as_micros().max(1) as f64;
        let percent = |index: usize| {
            let (start, end) = (self.pressure_us[index]?, end.pressure_us[index]?);
            Some(end.saturating_sub(start) as f64 * 100.0 / wall_us)
        };
        let steal = self.cpu.zip(end.cpu).map(|(start, end)| {
            let total = end.total.saturating_sub(start.total).max(1);
            end.steal.saturating_sub(start.steal) as f64 * 100.0 / total as f64
        });
        Noise {
            steal_percent: steal,
            cpu_pressure_percent: percent(0),
            io_pressure_percent: percent(1),
            memory_pressure_percent: percent(2),
        }
    }
}

/// The first line of `/proc/stat`: user nice system idle iowait irq softirq steal …, in ticks.
fn cpu_times(stat: &str) -> Option<CpuTimes> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|tick| tick.parse().ok()).collect();
    Some(CpuTimes { steal: *ticks.get(7)?, total: ticks.iter().take(8).sum() })
}

/// `some avg10=… avg60=… avg300=… total=12345`
fn some_total_us(pressure: &str) -> Option<u64> {
    let line = pressure.lines().find(|line| line.starts_with("some "))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_number_of_the_first_line() {
        let stat = include_str!("../../tests/fixtures/proc-stat.txt");
        assert_eq!(cpu_times(stat), Some(CpuTimes { steal: 80, total: 1000 }));
        assert_eq!(cpu_times("cpu 1 2 3"), None);
    }

    #[test]
    fn pressure_totals_are_read() {
        let text = "some avg10=0.00 avg60=0.12 avg300=0.00 total=458291\nfull avg10=0.00 \
            avg60=0.00 avg300=0.00 total=3\n";
        assert_eq!(some_total_us(text), Some(458_291));
        assert_eq!(some_total_us(""), None);
    }

    #[test]
    fn this_threads_cpu_time_grows_with_work() {
        let Some(before) = thread_cpu_nanos() else { return };
        let mut sum = 0u64;
        while thread_cpu_nanos().unwrap() < before + 1_000_000 {
            sum = sum.wrapping_mul(31).wrapping_add(before);
        }
        assert!(std::hint::black_box(sum) != 1);
        assert!(process_cpu_nanos(std::process::id()).unwrap() >= before);
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
    }
}
