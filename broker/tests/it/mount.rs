//! A small file system of a test's own, in a file, so that a test may fill it or make it stall
//! without touching the host's.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted ext4; unmounted when dropped.
pub(crate) struct Mount {
    dir: tempfile::TempDir,
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output =
        Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Mount {
    /// `mebibytes` of ext4. `None`, said loudly, where this host does not let a test mount (it
    /// takes root and loop devices): the only reason for which a test may end early.
    pub(crate) fn new(mebibytes: u64) -> Option<Self> {
        let mount = Self { dir: tempfile::tempdir().unwrap() };
        let image = mount.dir.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        std::fs::create_dir(mount.path()).unwrap();
        let (image, path) = (image.display().to_string(), mount.path().display().to_string());
        let made = run("mkfs.ext4", &["-q", "-m", "0", &image])
            .and_then(|()| run("mount", &["-o", "loop", &image, &path]));
        match made {
            Ok(()) => Some(mount),
            Err(why) => {
                eprintln!(
                    "SKIPPED: this host does not let a test mount a file system of its own: {why}"
                );
                None
            }
        }
    }

    /// Its root.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    /// A shell's script that runs its arguments in a control group whose writes to this file
    /// system's device are held to so many bytes a second, and the group's folder. `None`, said
    /// loudly, where this host does not let a test make one.
    pub(crate) fn writing_slowly(&self, bytes_a_second: u64) -> Option<(String, SlowGroup)> {
        let path = self.path();
        let asked = Command::new("findmnt").args(["-no", "MAJ:MIN", "-M"]).arg(path).output();
        let device = String::from_utf8(asked.unwrap().stdout).unwrap().trim().to_owned();
        let name = format!("ringmq-test-slow-{}", std::process::id());
        let versions = [
            (
                "/sys/fs/cgroup/blkio",
                "blkio.throttle.write_bps_device",
                format!("{device} {bytes_a_second}"),
            ),
            ("/sys/fs/cgroup", "io.max", format!("{device} wbps={bytes_a_second}")),
        ];
        for (root, file, limit) in versions {
            let folder = Path::new(root).join(&name);
            if std::fs::create_dir(&folder).is_err() {
                continue;
            }
            let group = SlowGroup(folder);
            if std::fs::write(group.0.join(file), &limit).is_ok() {
                let script = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", group.0.display());
                return Some((script, group));
            }
        }
        eprintln!("SKIPPED: this host does not let a test slow a device down");
        None
    }

    /// From now on writes to it do not end until [`Mount::thaw`].
    pub(crate) fn freeze(&self) {
        run("fsfreeze", &["-f", &self.path().display().to_string()]).unwrap();
    }

    /// Lets writes go on.
    pub(crate) fn thaw(&self) {
        run("fsfreeze", &["-u", &self.path().display().to_string()]).unwrap();
    }
}

/// A control group, removed when dropped.
pub(crate) struct SlowGroup(PathBuf);

impl Drop for SlowGroup {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir(&self.0);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let path = self.path().display().to_string();
        let _thawed = run("fsfreeze", &["-u", &path]); // a test that failed may have left it frozen
        let is_mounted =
            || std::fs::read_to_string("/proc/mounts").unwrap_or_default().contains(&path);
        if is_mounted() && Path::new(&path).exists() {
            let _gone = run("umount", &["-l", &path]);
        }
    }
}
