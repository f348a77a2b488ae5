//! What the host says when the configuration is silent: its name, its address, the home folder.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The host's name, RocketMQ's default for `brokerName`.
pub(super) fn name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
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
    routed().or_else(first_local).unwrap_or(Ipv4Addr::LOCALHOST)
}

/// The source address of the default route. Connecting a UDP socket sends nothing.
fn routed() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if usable(address) => Some(address),
        _ => None,
    }
}

fn usable(address: Ipv4Addr) -> bool {
    !address.is_loopback() && !address.is_unspecified()
}

/// The first address of the host's own in the kernel's routing table.
fn first_local() -> Option<Ipv4Addr> {
    local_addresses(&std::fs::read_to_string("/proc/net/fib_trie").ok()?)
        .into_iter()
        .find(|address| usable(*address))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_gives_the_hosts_own_addresses() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\nLocal:\n     |-- 127.0.0.1\n        \
                     /32 host LOCAL\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- \
                     10.1.2.255\n        /32 link BROADCAST\n";
        assert_eq!(local_addresses(table), [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 1, 2, 3)]);
    }

    #[test]
    fn there_is_always_an_address_and_a_name() {
        assert!(!address().is_unspecified());
        assert!(!name().is_empty());
    }
}
