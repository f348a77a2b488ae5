//! What files cost on a disk of limited capacity, and what a failed operation or bits that rot do
//! to them.

use super::{Change, Disk, Fate, Inode, Node, PendingOp, survive};
use crate::runtime::DiskSpace;
use crate::sim::random::Random;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Total of a disk without a limit: large enough that no ratio of it is ever reached.
const UNLIMITED_BYTES: u64 = 1 << 50;

fn no_space(wanted: u64, free: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::StorageFull,
        format!("no space left on device: {wanted} bytes wanted, {free} free"),
    )
}

impl Disk {
    pub(in crate::sim) fn set_capacity(&mut self, bytes: Option<u64>) {
        self.capacity = bytes;
    }

    pub(in crate::sim) fn space(&self) -> DiskSpace {
        let total_bytes = self.capacity.unwrap_or(UNLIMITED_BYTES);
        DiskSpace { total_bytes, available_bytes: total_bytes.saturating_sub(self.used_bytes()) }
    }

    /// Blocks of every file that has a name or is still open: removing an open file frees nothing
    /// yet.
    fn used_bytes(&self) -> u64 {
        let named = self
            .names
            .values()
            .filter_map(|node| if let Node::File(inode) = node { Some(*inode) } else { None });
        let counted: BTreeSet<usize> = named.chain(self.open_counts.keys().copied()).collect();
        counted
            .iter()
            .filter_map(|inode| self.inodes.get(*inode))
            .map(|inode| inode.now.allocated_bytes(inode.reserved_bytes))
            .sum()
    }

    /// Refuses what would need more blocks than there are.
    pub(super) fn check_space(&self, wanted_bytes: u64) -> io::Result<()> {
        if wanted_bytes == 0 || self.capacity.is_none() {
            return Ok(());
        }
        let free = self.space().available_bytes;
        if wanted_bytes > free { Err(no_space(wanted_bytes, free)) } else { Ok(()) }
    }

    pub(in crate::sim) fn allocate(&mut self, inode: usize, upto: u64) -> io::Result<()> {
        let file = &self.inodes[inode];
        self.check_space(file.now.missing_bytes(0, upto, file.reserved_bytes))?;
        let file = &mut self.inodes[inode];
        file.reserved_bytes = file.reserved_bytes.max(upto);
        let len = file.now.len().max(upto);
        self.set_len(inode, len);
        Ok(())
    }

    pub(in crate::sim) fn opened(&mut self, inode: usize) {
        *self.open_counts.entry(inode).or_default() += 1;
    }

    pub(in crate::sim) fn closed(&mut self, inode: usize) {
        if let Some(count) = self.open_counts.get_mut(&inode) {
            *count -= 1;
            if *count == 0 {
                self.open_counts.remove(&inode);
            }
        }
    }

    /// A write that failed half-way: each of its sectors is on its way or never was.
    pub(in crate::sim) fn fail_write(&mut self, inode: usize, seq: u64, random: &Random) {
        self.end_write_early(inode, seq, |_| random.below(2) == 0);
    }

    /// A write that found no space: some of its first sectors are on their way.
    pub(in crate::sim) fn stop_write(&mut self, inode: usize, seq: u64, random: &Random) {
        let sectors = random.below(16);
        self.end_write_early(inode, seq, |nth| nth < sectors);
    }

    fn end_write_early(&mut self, inode: usize, seq: u64, keep: impl FnMut(u64) -> bool) {
        let file = &mut self.inodes[inode];
        let Some(at) = file.pending.iter().position(|op| op.seq == seq) else { return };
        let op = file.pending.remove(at);
        let Change::Write { offset, data } = &op.change else { return };
        let before = file.now.clone();
        survive(&mut file.now, *offset, data, false, keep);
        let survived = file.now.read(*offset, data.len());
        if survived != before.read(*offset, data.len()) {
            let change = Change::Write { offset: *offset, data: survived };
            file.pending.insert(at, PendingOp { seq, change, done: true, is_direct: false });
        }
    }

    /// A sync that failed. `direct`: what it was to cover stays in the device's cache, neither
    /// durable nor gone. Through the page cache it is worse, as on Linux: any part of it is
    /// durable, the rest never will be, and reads still show it.
    pub(in crate::sim) fn fail_sync(
        &mut self,
        inode: usize,
        upto: &[u64],
        direct: bool,
        random: &Random,
    ) {
        if direct {
            return;
        }
        let Inode { durable, pending, .. } = &mut self.inodes[inode];
        for op in pending.iter().filter(|op| upto.contains(&op.seq)) {
            match &op.change {
                Change::SetLen(len) => durable.set_len(*len),
                Change::Write { offset, data } => {
                    let fate = if random.below(2) == 0 { Fate::Lost } else { Fate::Scattered };
                    survive(durable, *offset, data, true, |nth| fate.keeps(nth, random));
                }
            }
        }
        pending.retain(|op| !upto.contains(&op.seq));
    }

    /// Flips one bit of what was written to some file below `under`; says where.
    pub(in crate::sim) fn rot(&mut self, under: &Path, random: &Random) -> Option<(PathBuf, u64)> {
        let files = self.below(under).filter_map(|(path, node)| match node {
            Node::File(inode) if self.inodes[*inode].now.has_bytes() => {
                Some((path.clone(), *inode))
            }
            _ => None,
        });
        let files: Vec<(PathBuf, usize)> = files.collect();
        let (path, inode) = files.get(random.index_below(files.len()))?.clone();
        let file = &mut self.inodes[inode];
        let offset = file.now.some_stored_byte(random)?;
        let bit = 1 << random.below(8);
        file.flip(offset, bit);
        Some((path, offset))
    }

    /// Forgets the bytes of files that no name leads to, now or after any crash. At a restart
    /// nothing is open.
    pub(super) fn forget_unreachable(&mut self) {
        let in_ops = self.name_ops.values().flatten().filter_map(|op| op.node);
        let reachable =
            self.names.values().chain(self.durable_names.values()).copied().chain(in_ops);
        let kept: BTreeSet<usize> = reachable
            .filter_map(|node| if let Node::File(inode) = node { Some(inode) } else { None })
            .collect();
        for (_, inode) in
            self.inodes.iter_mut().enumerate().filter(|(number, _)| !kept.contains(number))
        {
            *inode = Inode::default();
        }
    }
}
