//! What the host says when the configuration is silent: its name, its address, the home folder.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The host's name, RocketMQ's default for `brokerName`.
pub(super) fn name() -> String {
    name_in(&std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default())
}

fn name_in(hostname: &str) -> String {
    let name = hostname.trim();
    if name.is_empty() { "DEFAULT_BROKER".to_owned() } else { name.to_owned() }
}

/// `$HOME/store`, RocketMQ's default for `storePathRootDir`.
pub(super) fn default_store() -> Option<String> {
    let home = std::env::var("HOME").ok().filter(|home| !home.is_empty())?;
    Some(format!("{home}/store"))
}

/// The address clients should use: the one that leads out of the host, else any that is not
/// loopback, else loopback.
pub(super) fn address() -> Ipv4Addr {
    let fib_trie = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    choose(routed(), &local_addresses(&fib_trie))
}

fn choose(routed: Option<Ipv4Addr>, own: &[Ipv4Addr]) -> Ipv4Addr {
    let mut candidates = routed.into_iter().chain(own.iter().copied());
    candidates.find(|address| usable(*address)).unwrap_or(Ipv4Addr::LOCALHOST)
}

/// The source address of the default route. Connecting a UDP socket sends nothing.
fn routed() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn usable(address: Ipv4Addr) -> bool {
    !address.is_loopback() && !address.is_unspecified()
}

/// The addresses marked `host LOCAL`: each stands on the line above its mark.
fn local_addresses(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut last: Option<Ipv4Addr> = None;
    let mut local = vec![];
    for line in fib_trie.lines() {
        if let Some(address) = line.trim().strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line.contains("/32 host LOCAL") {
            local.extend(last);
        }
    }
    local
}

/// Bytes of memory that this process may use: the machine's, or less where a control group says so.
pub(super) fn memory_bytes() -> Option<u64> {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = machine_memory(&text("/proc/meminfo"));
    let groups = limit_files(&text("/proc/self/cgroup"));
    let limits = groups.iter().filter_map(|file| limit_in(file, &text(file)));
    limits.chain(machine).min()
}

/// What a file of a control group says; `max` is no limit. In `memory.stat` of version 1 it is the
/// least of the group's own limit and of those above it, which a container may not see.
fn limit_in(file: &str, text: &str) -> Option<u64> {
    if !file.ends_with("/memory.stat") {
        return text.trim().parse().ok();
    }
    let line = text.lines().find_map(|line| line.strip_prefix("hierarchical_memory_limit "))?;
    line.trim().parse().ok()
}

/// `MemTotal:       24611508 kB`
fn machine_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The files that may hold a limit for the control group in `/proc/self/cgroup` and for those above
/// it, of both versions: `0::/a/b` is version 2, `4:memory:/a/b` version 1. A file that is not
/// there, or holds `max`, limits nothing. In a container the group's own path may not be mounted:
/// its root then is.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = vec![];
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, names) = match controllers {
            "" => ("/sys/fs/cgroup", ["memory.max", "memory.high"]),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", ["memory.limit_in_bytes", "memory.stat"])
            }
            _ => continue,
        };
        let ancestors = std::path::Path::new(path).ancestors();
        let below = ancestors.filter_map(|group| group.to_str()?.strip_prefix('/'));
        let folders = below.map(|group| match group {
            "" => root.to_owned(),
            group => format!("{root}/{group}"),
        });
        files.extend(folders.flat_map(|folder| names.map(|name| format!("{folder}/{name}"))));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_gives_the_hosts_own_addresses() {
        let table = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
Local:
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 10.1.2.3
        /32 host LOCAL
     |-- 10.1.2.255
        /32 link BROADCAST
";
        assert_eq!(local_addresses(table), [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 1, 2, 3)]);
    }

    #[test]
    fn the_kernels_name_is_the_name_and_a_host_without_one_has_a_default() {
        assert_eq!(name_in("web-1\n"), "web-1");
        assert_eq!(name_in("\n"), "DEFAULT_BROKER");
    }

    #[test]
    fn the_address_is_the_routed_one_then_any_of_the_hosts_own_then_loopback() {
        let (routed, local) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let own = [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED, local];
        assert_eq!(choose(Some(routed), &own), routed);
        assert_eq!(choose(Some(Ipv4Addr::LOCALHOST), &own), local);
        assert_eq!(choose(None, &own), local);
        assert_eq!(choose(None, &own[..2]), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn this_hosts_own_address_is_one_that_can_be_bound() {
        let listener = std::net::TcpListener::bind((address(), 0));
        assert!(listener.is_ok(), "{} can't be bound: {listener:?}", address());
    }

    #[test]
    fn limits_are_looked_for_from_the_processs_control_group_upwards() {
        assert_eq!(
            limit_files("4:cpu,memory:/a\n3:cpuset:/x\n0::/b/c\nnonsense\n"),
            [
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.stat",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.stat",
                "/sys/fs/cgroup/b/c/memory.max",
                "/sys/fs/cgroup/b/c/memory.high",
                "/sys/fs/cgroup/b/memory.max",
                "/sys/fs/cgroup/b/memory.high",
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/memory.high",
            ]
        );
        let stat = "cache 1\nhierarchical_memory_limit 4096\nhierarchical_memsw_limit 5\n";
        assert_eq!(limit_in("/a/memory.stat", stat), Some(4_096));
        assert_eq!(
            (limit_in("/a/memory.max", "max\n"), limit_in("/a/memory.stat", "")),
            (None, None)
        );
        assert_eq!(machine_memory("MemTotal:       2 kB\nMemFree: 1 kB\n"), Some(2_048));
        assert_eq!(machine_memory("MemTotal: many kB\n"), None);
        let machine = machine_memory(&std::fs::read_to_string("/proc/meminfo").unwrap()).unwrap();
        assert!((1..=machine).contains(&memory_bytes().unwrap()));
    }
}
