//! The disk and filesystem under the store: the cost of a flush depends on them.

use super::{chosen, text};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Facts about the folder the store lies in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreDisk {
    /// The folder.
    pub folder: String,
    /// Filesystem type.
    pub filesystem: Option<String>,
    /// Mount options.
    pub mount_options: Option<String>,
    /// The device as mounted.
    pub device: Option<String>,
    /// The drive's model.
    pub model: Option<String>,
    /// `write back` or `write through`.
    pub write_cache: Option<String>,
    /// Whether the drive takes forced unit access writes.
    pub fua: Option<String>,
    /// The I/O scheduler in use.
    pub scheduler: Option<String>,
    /// 1 for spinning disks.
    pub rotational: Option<String>,
    /// Whether files can be opened with O_DIRECT here.
    pub o_direct: Option<bool>,
    /// Free bytes for this user.
    pub free_bytes: Option<u64>,
}

impl StoreDisk {
    /// Reads what is known about the disk under `folder`.
    #[must_use]
    pub fn collect(folder: &Path) -> Self {
        let mounts = text("/proc/self/mountinfo");
        let absolute = std::fs::canonicalize(folder).ok();
        let mount = mounts
            .as_deref()
            .zip(absolute.as_deref())
            .and_then(|(mounts, folder)| mount_of(mounts, folder));
        let queue = std::fs::metadata(folder).ok().and_then(|facts| queue_folder(facts.dev()));
        let read = |name: &str| queue.as_ref().and_then(|queue| text(format!("{queue}/{name}")));
        Self {
            folder: folder.display().to_string(),
            filesystem: mount.as_ref().map(|mount| mount.filesystem.clone()),
            mount_options: mount.as_ref().map(|mount| mount.options.clone()),
            device: mount.map(|mount| mount.device),
            model: queue.as_ref().and_then(|queue| text(format!("{queue}/../device/model"))),
            write_cache: read("write_cache"),
            fua: read("fua"),
            scheduler: read("scheduler").map(|list| chosen(&list).unwrap_or(list)),
            rotational: read("rotational"),
            o_direct: takes_o_direct(folder),
            free_bytes: free_bytes(folder),
        }
    }
}

/// Bytes this user may still write in `folder`'s filesystem.
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(folder).ok()?;
    // Filesystems without a size (ramfs) say 0 blocks: unknown, not full.
    if facts.f_blocks == 0 {
        return None;
    }
    facts.f_bavail.checked_mul(facts.f_frsize)
}

/// Whether a file can be opened with O_DIRECT, found by trying. Tmpfs before Linux 6.6 and many
/// network filesystems refuse.
fn takes_o_direct(folder: &Path) -> Option<bool> {
    let probe = tempfile::Builder::new().prefix(".o_direct-probe-").tempfile_in(folder).ok()?;
    let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
    Some(std::fs::OpenOptions::new().write(true).custom_flags(flags).open(probe.path()).is_ok())
}

/// One mount that covers the store.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    point: String,
    filesystem: String,
    device: String,
    options: String,
}

/// The mount with the longest mount point above `folder`, from `/proc/self/mountinfo`.
fn mount_of(mountinfo: &str, folder: &Path) -> Option<Mount> {
    let mounts = mountinfo.lines().filter_map(mount_line);
    mounts.filter(|mount| folder.starts_with(&mount.point)).max_by_key(|mount| mount.point.len())
}

/// `36 35 98:0 /root /point options … - type device super-options`
fn mount_line(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(4);
    let (point, options) = (front.next()?, front.next()?);
    let mut back = back.split(' ');
    let (filesystem, device, more) = (back.next()?, back.next()?, back.next().unwrap_or_default());
    Some(Mount {
        point: point.replace("\\040", " "),
        filesystem: filesystem.into(),
        device: device.into(),
        options: format!("{options},{more}"),
    })
}

/// The `queue` folder of the block device with this number; a partition has its disk's.
fn queue_folder(device: u64) -> Option<String> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let block = format!("/sys/dev/block/{major}:{minor}");
    [format!("{block}/queue"), format!("{block}/../queue")]
        .into_iter()
        .find(|path| Path::new(path).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_above_the_store_is_taken() {
        let mounts = include_str!("../../tests/fixtures/mountinfo.txt");
        let at = |folder: &str| mount_of(mounts, Path::new(folder)).unwrap();
        assert_eq!(
            (at("/srv/x").filesystem.as_str(), at("/srv/x").device.as_str()),
            ("ext4", "/dev/vda")
        );
        let data = at("/mnt/my disk/store");
        assert_eq!(
            (data.filesystem.as_str(), data.options.as_str()),
            ("xfs", "rw,noatime,rw,attr2,inode64")
        );
        assert_eq!(at("/mnt/my diskette").point, "/");
    }

    #[test]
    fn a_broken_line_is_skipped() {
        assert_eq!(mount_of("garbage\n36 35 98:0", Path::new("/")), None);
    }

    #[test]
    fn this_hosts_temporary_folder_is_described() {
        let folder = tempfile::tempdir().unwrap();
        let disk = StoreDisk::collect(folder.path());
        assert!(disk.o_direct.is_some() && disk.free_bytes.is_some(), "{disk:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the probe is gone");
    }
}
