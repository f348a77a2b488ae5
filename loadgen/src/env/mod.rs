//! The environment that travels with every result: without it a figure can't be compared with
//! another.
//!
//! Every fact is read from a text file of the kernel by a pure parser. A fact that cannot be read
//! is `null`, not an error: a container without sysfs still gets its result.

pub mod cpu;
pub mod disk;
pub mod process;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The whole record, written to `environment.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// Host name.
    pub host: Option<String>,
    /// `uname -r` and `-v`.
    pub kernel: Option<String>,
    /// The kernel's command line.
    pub kernel_command_line: Option<String>,
    /// Processor facts.
    pub cpu: cpu::Cpu,
    /// Transparent huge pages: the chosen mode.
    pub transparent_huge_pages: Option<String>,
    /// Total memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Memory that may be locked, bytes (`None`: unlimited or unknown).
    pub memlock_bytes: Option<u64>,
    /// Open files that are allowed.
    pub open_files: Option<u64>,
    /// `vm.swappiness`.
    pub swappiness: Option<String>,
    /// `kernel.io_uring_disabled` (0: allowed).
    pub io_uring_disabled: Option<String>,
    /// The container's limits.
    pub cgroup: Cgroup,
    /// The store's disk and filesystem (this host; a remote broker's are not seen).
    pub store: disk::StoreDisk,
    /// Version and revision of the program.
    pub loadgen_version: String,
    /// Git revision that the program was built from, with `-dirty` behind it when files of the
    /// program had changed since. Files of schema 1 have the working directory's.
    pub revision: Option<String>,
    /// Whether this is a debug build, whose figures mean nothing.
    pub debug_build: bool,
    /// The exact command.
    pub command: Vec<String>,
    /// Noise during the run, filled in at its end.
    pub noise: Option<process::Noise>,
    /// The brokers under test, filled in once they are known.
    pub brokers: Vec<BrokerFacts>,
}

/// One broker under test.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokerFacts {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub addr: String,
    /// The version that it tells.
    pub version: Option<String>,
    /// Its flush policy.
    pub flush_disk_type: Option<String>,
    /// Its role. Role and flush policy together decide how durable an acknowledged message is.
    pub broker_role: Option<String>,
    /// CRC-32 of its whole configuration text, hex: tells two configurations apart.
    pub config_crc32: Option<String>,
    /// Its configuration as it tells it; for the program's own brokers, and others that do not
    /// tell it, the lines that started it.
    pub config: BTreeMap<String, String>,
}

impl BrokerFacts {
    /// The durability level printed on every chart.
    #[must_use]
    pub fn durability(&self) -> String {
        let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        format!("{}, {}", known(&self.flush_disk_type), known(&self.broker_role))
    }
}

/// Limits of the container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cgroup {
    /// `cpu.max`: quota and period in µs, or `max`.
    pub cpu_max: Option<String>,
    /// `memory.max`.
    pub memory_max: Option<String>,
    /// `io.max`.
    pub io_max: Option<String>,
    /// `cpuset.cpus.effective`.
    pub cpus: Option<String>,
}

impl Environment {
    /// Reads the facts of this host, and of the disk under the folder `store`.
    #[must_use]
    pub fn collect(store: &Path) -> Self {
        let rlimit = |resource| rustix::process::getrlimit(resource).current;
        Self {
            host: text("/proc/sys/kernel/hostname"),
            kernel: text("/proc/sys/kernel/osrelease").map(|release| {
                format!("{release} {}", text("/proc/sys/kernel/version").unwrap_or_default())
            }),
            kernel_command_line: text("/proc/cmdline"),
            cpu: cpu::Cpu::collect(),
            transparent_huge_pages: text("/sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|modes| chosen(&modes)),
            memory_bytes: text("/proc/meminfo").and_then(|text| memory_bytes(&text)),
            memlock_bytes: rlimit(rustix::process::Resource::Memlock),
            open_files: rlimit(rustix::process::Resource::Nofile),
            swappiness: text("/proc/sys/vm/swappiness"),
            io_uring_disabled: text("/proc/sys/kernel/io_uring_disabled"),
            cgroup: cgroup(),
            store: disk::StoreDisk::collect(store),
            loadgen_version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: crate::build_facts::REVISION.map(str::to_owned),
            debug_build: cfg!(debug_assertions),
            command: command(),
            noise: None,
            brokers: Vec::new(),
        }
    }
}

/// The command line, with the program's name and not its path.
fn command() -> Vec<String> {
    let mut words: Vec<String> = std::env::args().collect();
    if let Some(program) = words.first_mut()
        && let Some(name) = Path::new(program.as_str()).file_name()
    {
        *program = name.to_string_lossy().into_owned();
    }
    words
}

/// A small kernel file, trimmed; `None` when it is missing or empty.
pub(crate) fn text(path: impl AsRef<Path>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The bracketed choice of a sysfs list: `always [madvise] never`.
#[must_use]
pub fn chosen(list: &str) -> Option<String> {
    let (_, rest) = list.split_once('[')?;
    rest.split_once(']').map(|(choice, _)| choice.to_owned())
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The folder of this process's cgroup (version 2) below `/sys/fs/cgroup`.
fn cgroup_folder(proc_self_cgroup: &str) -> Option<String> {
    proc_self_cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(|path| format!("/sys/fs/cgroup{path}"))
}

fn cgroup() -> Cgroup {
    let folder = text("/proc/self/cgroup").and_then(|text| cgroup_folder(&text));
    let read = |file: &str| folder.as_ref().and_then(|folder| text(format!("{folder}/{file}")));
    Cgroup {
        cpu_max: read("cpu.max"),
        memory_max: read("memory.max"),
        io_max: read("io.max"),
        cpus: read("cpuset.cpus.effective"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bracketed_choice_is_found() {
        assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
        assert_eq!(chosen("none").as_deref(), None);
    }

    #[test]
    fn memory_and_cgroup_lines_are_read() {
        assert_eq!(
            memory_bytes("MemTotal:       24611508 kB\nMemFree: 1 kB\n"),
            Some(24_611_508 * 1024)
        );
        assert_eq!(memory_bytes("nothing"), None);
        assert_eq!(
            cgroup_folder("1:cpu:/x\n0::/user.slice/a\n").as_deref(),
            Some("/sys/fs/cgroup/user.slice/a")
        );
    }

    #[test]
    fn a_host_that_says_nothing_still_gives_a_record() {
        let record = Environment::collect(Path::new("/nonexistent/folder"));
        assert!(serde_json::to_string(&record).unwrap().contains("\"loadgen_version\""));
        assert!(record.store.filesystem.is_none());
    }
}
