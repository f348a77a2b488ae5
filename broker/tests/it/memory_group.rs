//! A control group of a test's own, with a limit on its memory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// See the module's text; removed when dropped.
pub(crate) struct MemoryGroup {
    folder: PathBuf,
    limit_file: &'static str,
}

impl MemoryGroup {
    /// `None`, said loudly, where making one is not allowed.
    pub(crate) fn new(limit_bytes: u64) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringmq-test-{}-{nth}", std::process::id());
        let versions =
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        for (root, limit_file) in versions {
            let group = Self { folder: Path::new(root).join(&name), limit_file };
            let is_made = std::fs::create_dir(&group.folder).is_ok();
            if is_made && group.try_limit(limit_bytes) {
                return Some(group);
            }
        }
        eprintln!("SKIPPED: this host does not let a test make a memory control group");
        None
    }

    /// Sets the limit; whether the kernel let it be: version 1 refuses one that is in use.
    pub(crate) fn try_limit(&self, bytes: u64) -> bool {
        std::fs::write(self.folder.join(self.limit_file), bytes.to_string()).is_ok()
    }

    /// What its processes use, but for pages of files, which make way. A program's own pages are
    /// charged to the group that runs it first.
    pub(crate) fn used_bytes(&self) -> u64 {
        let read = |name: &str| std::fs::read_to_string(self.folder.join(name)).ok();
        let names = ["memory.usage_in_bytes", "memory.current"];
        let used: u64 = names.into_iter().find_map(read).unwrap().trim().parse().unwrap();
        let stat = read("memory.stat").unwrap();
        let of_files: u64 = stat
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(name, _)| matches!(*name, "inactive_file" | "active_file"))
            .map(|(_, bytes)| bytes.parse::<u64>().unwrap())
            .sum();
        used.saturating_sub(of_files)
    }

    /// A shell's script that runs its arguments in the group.
    pub(crate) fn entering(&self) -> String {
        format!("echo $$ > {}/cgroup.procs; exec \"$@\"", self.folder.display())
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir(&self.folder);
    }
}
