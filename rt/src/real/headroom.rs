//! How much memory this process could still take before the kernel kills somebody for it.
//!
//! The least of what the machine has available and of what each control group above the process
//! leaves under its limit. Of a group's use the pages of files do not count: they make way. Memory
//! of a tmpfs does not.

use crate::runtime::MemoryRoom;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// A limit of version 1 from here on is none: 9,223,372,036,854,771,712 is what it says then.
const NO_LIMIT_BYTES: u64 = 1 << 62;

/// See the module's text. `u64::MAX` when the system does not say.
pub(super) fn headroom_bytes() -> u64 {
    left_of(&read_to_string("/proc/self/cgroup").unwrap_or_default())
}

/// Of the machine and of these groups, as /proc/self/cgroup names them.
fn left_of(groups: &str) -> u64 {
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let of_groups = group_folders(groups).filter_map(|(folder, is_v1)| {
        if is_v1 { left_in_v1(&folder) } else { left_in_v2(&folder) }
    });
    of_groups.chain(machine).min().unwrap_or(u64::MAX)
}

/// The same with the pressure: of the whole machine, or of the process's own group where that is
/// higher (only groups of version 2 tell of it).
pub(super) fn memory_room() -> MemoryRoom {
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_groups = group_folders(&groups).filter(|(_, is_v1)| !is_v1);
    let files = of_groups.map(|(folder, _)| folder.join("memory.pressure"));
    let stalled = files
        .chain([PathBuf::from("/proc/pressure/memory")])
        .filter_map(|file| stalled_permille(&read_to_string(file).ok()?));
    let stalled_permille = stalled.max().unwrap_or(0);
    MemoryRoom { left_bytes: left_of(&groups), stalled_permille }
}

/// `some avg10=1.25 avg60=0.31 avg300=0.06 total=1234`: hundredths of the last ten seconds.
fn stalled_permille(pressure: &str) -> Option<u32> {
    let line = pressure.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    let (whole, fraction) = line.split(' ').next()?.split_once('.')?;
    let tenth = fraction.get(..1)?.parse::<u32>().ok()?;
    Some(whole.parse::<u32>().ok()?.min(100) * 10 + tenth)
}

/// `MemAvailable:  22794 kB` in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The folders of the control groups that the process is in, and of those above, as `text`
/// (/proc/self/cgroup) names them; whether each is of the first version.
fn group_folders(text: &str) -> impl Iterator<Item = (PathBuf, bool)> {
    text.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
        let root = match controllers {
            "" => Some(("/sys/fs/cgroup", false)),
            named if named.split(',').any(|name| name == "memory") => {
                Some(("/sys/fs/cgroup/memory", true))
            }
            _ => None,
        };
        let above = Path::new(path).ancestors();
        let folders: Vec<(PathBuf, bool)> = root
            .into_iter()
            .flat_map(|(root, is_v1)| {
                let below = |path: &Path| path.strip_prefix("/").unwrap_or(path).to_owned();
                above.map(move |path| (Path::new(root).join(below(path)), is_v1))
            })
            .collect();
        folders
    })
}

fn number(folder: &Path, file: &str) -> Option<u64> {
    read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

/// The numbers of `memory.stat` by name.
fn stat(folder: &Path, names: [&str; 2]) -> u64 {
    let text = read_to_string(folder.join("memory.stat")).unwrap_or_default();
    sum_of(&text, names)
}

fn sum_of(stat: &str, names: [&str; 2]) -> u64 {
    let lines = stat.lines().filter_map(|line| line.split_once(' '));
    let wanted = lines.filter(|(name, _)| names.contains(name));
    wanted.filter_map(|(_, value)| value.trim().parse::<u64>().ok()).sum()
}

fn left_in_v2(folder: &Path) -> Option<u64> {
    // "max" is no number: no limit.
    let limits = ["memory.max", "memory.high"].into_iter().filter_map(|file| number(folder, file));
    let limit = limits.min()?;
    let of_files = stat(folder, ["inactive_file", "active_file"]);
    Some(limit.saturating_sub(number(folder, "memory.current")?.saturating_sub(of_files)))
}

fn left_in_v1(folder: &Path) -> Option<u64> {
    // A store at rest asks four times a second, and each file costs the kernel a walk: none is read
    // for a group that limits nothing.
    let limit = number(folder, "memory.limit_in_bytes").filter(|limit| *limit < NO_LIMIT_BYTES)?;
    let of_files = stat(folder, ["total_inactive_file", "total_active_file"]);
    Some(limit.saturating_sub(number(folder, "memory.usage_in_bytes")?.saturating_sub(of_files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   22794 kB\n"), Some(22_794 * 1024));
        let stat = "anon 5\nfile 900\ninactive_file 30\nactive_file 4\nshmem 7\n";
        assert_eq!(sum_of(stat, ["inactive_file", "active_file"]), 34);
    }

    #[test]
    fn pressure_is_read_in_thousandths_and_its_absence_is_none() {
        let text = "some avg10=12.34 avg60=0.31 avg300=0.06 total=1234\nfull avg10=99.00 x\n";
        assert_eq!(stalled_permille(text), Some(123));
        assert_eq!(stalled_permille("some avg10=0.00 avg60=0.00"), Some(0));
        assert_eq!(stalled_permille("some avg10=x"), None);
        let room = memory_room();
        assert!(room.left_bytes > 0 && room.stalled_permille <= 1_000, "{room:?}");
    }

    #[test]
    fn what_a_group_of_either_version_has_left_counts_pages_of_files_as_free() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(left_in_v2(dir.path()), None, "no files");
        write("memory.max", "max\n");
        write("memory.high", "max\n");
        write("memory.current", "600000\n");
        write("memory.stat", "anon 5\ninactive_file 100000\nactive_file 50000\nshmem 300000\n");
        assert_eq!(left_in_v2(dir.path()), None, "no limit");
        write("memory.high", "1000000\n");
        assert_eq!(left_in_v2(dir.path()), Some(550_000));
        write("memory.max", "500000\n");
        assert_eq!(left_in_v2(dir.path()), Some(50_000), "the lower limit counts");
        write("memory.limit_in_bytes", "700000\n");
        write("memory.usage_in_bytes", "800000\n");
        write("memory.stat", "total_inactive_file 50000\ntotal_active_file 1\n");
        assert_eq!(left_in_v1(dir.path()), Some(0), "nothing below nothing");
        write("memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(left_in_v1(dir.path()), None, "no limit of version 1");
    }

    #[test]
    fn every_group_above_the_process_counts() {
        let folders = |text: &str| -> Vec<String> {
            group_folders(text).map(|(folder, _)| folder.display().to_string()).collect()
        };
        assert_eq!(
            folders("0::/system.slice/ringmq.service\n"),
            [
                "/sys/fs/cgroup/system.slice/ringmq.service",
                "/sys/fs/cgroup/system.slice",
                "/sys/fs/cgroup/",
            ]
        );
        let first = folders("9:cpu,cpuacct:/a\n8:memory:/a\n1:name=systemd:/a\n");
        assert_eq!(first, ["/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory/"]);
    }

    #[test]
    fn this_machine_says_how_much_it_has() {
        assert!(headroom_bytes() > 0 && headroom_bytes() < u64::MAX);
    }
}
