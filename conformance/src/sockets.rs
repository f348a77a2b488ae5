//! Which ports a process has connections to, from the kernel's own tables.

use std::collections::{BTreeSet, HashSet};
use std::fs;

/// TCP_ESTABLISHED in /proc/net/tcp.
const ESTABLISHED: &str = "01";

/// Remote ports of the established connections of this process.
pub(crate) fn remote_ports(pid: u32) -> BTreeSet<u16> {
    let inodes = socket_inodes(pid);
    ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
        .flat_map(|text| {
            text.lines().skip(1).filter_map(|line| remote_port(line, &inodes)).collect::<Vec<_>>()
        })
        .collect()
}

fn socket_inodes(pid: u32) -> HashSet<String> {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return HashSet::new() };
    fds.flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect()
}

/// `sl local remote state tx:rx timer retransmits uid timeout inode …`
fn remote_port(line: &str, inodes: &HashSet<String>) -> Option<u16> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (remote, state, inode) = (fields.get(2)?, fields.get(3)?, fields.get(9)?);
    if *state != ESTABLISHED || !inodes.contains(*inode) {
        return None;
    }
    u16::from_str_radix(remote.rsplit(':').next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_of_ours_is_seen_and_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let me = std::process::id();
        assert!(!remote_ports(me).contains(&port));
        let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert!(remote_ports(me).contains(&port));
        drop(connection);
        assert!(!remote_ports(me).contains(&port));
    }
}
