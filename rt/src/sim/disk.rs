//! Files in memory, twice: as programs see them now, and as they would be after a power cut. See
//! the fault model in the parent module's text.

use super::random::Random;
use crate::convert::fits;
use crate::runtime::DirEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

mod pages;
mod space;
use pages::Pages;

/// What a device writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// What a power cut did, so that a test can show that it was not vacuous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashReport {
    /// Writes that had not been synced when the power went.
    pub unsynced_writes: usize,
    /// Those of them that are on the disk in part.
    pub torn_writes: usize,
    /// Those of them that are gone altogether.
    pub lost_writes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

/// A name made (`Some`) or removed (`None`) in `dir`, not yet durable.
#[derive(Clone, Debug)]
struct NameOp {
    seq: u64,
    path: PathBuf,
    node: Option<Node>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
}

#[derive(Clone, Debug)]
struct PendingOp {
    seq: u64,
    change: Change,
    done: bool,
    /// The device takes it whatever becomes of the process (O_DIRECT).
    is_direct: bool,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Pages,
    durable: Pages,
    pending: Vec<PendingOp>,
    /// Blocks below here are its own whether they were written or not (fallocate).
    reserved_bytes: u64,
    modified_ms: i64,
    /// Pages of it were lost behind everybody's back: the next fdatasync says so.
    has_failed: bool,
}

/// What a sync of a whole file system covers.
pub(super) struct DoneBelow {
    /// Of each file that has such: the operations that were done.
    files: Vec<(usize, Vec<u64>)>,
    names: u64,
}

/// The files of a machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    /// By folder, each in order.
    name_ops: BTreeMap<PathBuf, Vec<NameOp>>,
    locks: BTreeSet<PathBuf>,
    seq: u64,
    /// Bytes of the device; `None`: no limit.
    capacity: Option<u64>,
    /// Handles by file: a removed file keeps its blocks while it has one.
    open_counts: BTreeMap<usize, usize>,
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{}: no such file or folder", path.display()))
}

impl Disk {
    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.parent().is_none()
            || path.as_os_str().is_empty()
            || self.names.get(path) == Some(&Node::Dir)
    }

    fn name(&mut self, path: &Path, node: Option<Node>) {
        let seq = self.next_seq();
        match node {
            Some(node) => self.names.insert(path.to_owned(), node),
            None => self.names.remove(path),
        };
        let folder = path.parent().unwrap_or(path).to_owned();
        self.name_ops.entry(folder).or_default().push(NameOp { seq, path: path.to_owned(), node });
    }

    pub(super) fn open(&mut self, path: &Path, create: bool) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(inode)) => return Ok(*inode),
            Some(Node::Dir) => {
                return Err(io::Error::new(
                    io::ErrorKind::IsADirectory,
                    format!("{}: is a folder", path.display()),
                ));
            }
            None => {}
        }
        let parent_is_there = path.parent().is_some_and(|parent| self.is_dir(parent));
        if !create || !parent_is_there {
            return Err(not_found(path));
        }
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.name(path, Some(Node::File(inode)));
        Ok(inode)
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let missing: Vec<PathBuf> =
            path.ancestors().filter(|dir| !self.is_dir(dir)).map(Path::to_owned).collect();
        for dir in missing.into_iter().rev() {
            if self.names.contains_key(&dir) {
                return Err(io::Error::new(
                    io::ErrorKind::NotADirectory,
                    format!("{}: is a file", dir.display()),
                ));
            }
            self.name(&dir, Some(Node::Dir));
        }
        Ok(())
    }

    pub(super) fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        if !self.is_dir(path) {
            return Err(not_found(path));
        }
        let children = self.below(path).filter(|(child, _)| child.parent() == Some(path));
        Ok(children.map(|(child, node)| self.entry(child, *node)).collect())
    }

    /// The folder itself and everything in it: paths sort by component, so they follow each other.
    fn below(&self, path: &Path) -> impl Iterator<Item = (&PathBuf, &Node)> {
        self.names.range(path.to_owned()..).take_while(move |(name, _)| name.starts_with(path))
    }

    fn entry(&self, path: &Path, node: Node) -> DirEntry {
        let name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match node {
            Node::Dir => DirEntry { name, bytes: 0, is_dir: true, modified_ms: 0 },
            Node::File(inode) => DirEntry {
                name,
                bytes: self.len(inode),
                is_dir: false,
                modified_ms: self.inodes[inode].modified_ms,
            },
        }
    }

    pub(super) fn read_all(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.names.get(path) {
            Some(Node::File(inode)) => Ok(self.read(*inode, 0, fits(self.len(*inode)))),
            _ => Err(not_found(path)),
        }
    }

    /// Old or new at any crash: the change is durable in the moment it is seen.
    pub(super) fn replace(
        &mut self,
        path: &Path,
        content: &[u8],
        keep_backup: bool,
        now_ms: i64,
    ) -> io::Result<()> {
        if !path.parent().is_some_and(|parent| self.is_dir(parent)) {
            return Err(not_found(path));
        }
        self.check_space(content.len().next_multiple_of(4096) as u64)?;
        let old = self.names.get(path).copied();
        if let (true, Some(old)) = (keep_backup, old) {
            let mut backup = path.as_os_str().to_owned();
            backup.push(".bak");
            self.name_durably(Path::new(&backup), old);
        }
        let mut fresh = Inode { modified_ms: now_ms, ..Inode::default() };
        fresh.now.write(0, content);
        fresh.durable = fresh.now.clone();
        self.inodes.push(fresh);
        self.name_durably(path, Node::File(self.inodes.len() - 1));
        Ok(())
    }

    /// The folders above become durable with it: `replace_file` syncs its folder, and a folder that
    /// could vanish would make "old or new" meaningless.
    fn name_durably(&mut self, path: &Path, node: Node) {
        if let Some(ops) = path.parent().and_then(|folder| self.name_ops.get_mut(folder)) {
            ops.retain(|op| op.path != path);
        }
        self.names.insert(path.to_owned(), node);
        self.durable_names.insert(path.to_owned(), node);
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        match self.names.get(path) {
            Some(Node::File(_)) => self.name(path, None),
            _ => return Err(not_found(path)),
        }
        Ok(())
    }

    pub(super) fn remove_dir_all(&mut self, path: &Path) {
        let inside: Vec<PathBuf> = self.below(path).map(|(name, _)| name.clone()).collect();
        for name in inside.iter().rev() {
            self.name(name, None);
        }
    }

    /// The newest name operation so far: a sync covers what was there when it was asked for.
    pub(super) fn name_ops(&self) -> u64 {
        self.seq
    }

    pub(super) fn sync_dir(&mut self, dir: &Path, upto: u64) -> io::Result<()> {
        if !self.is_dir(dir) {
            return Err(not_found(dir));
        }
        let Some(ops) = self.name_ops.get_mut(dir) else { return Ok(()) };
        let later = ops.split_off(ops.partition_point(|op| op.seq <= upto));
        for op in std::mem::replace(ops, later) {
            apply_name(&mut self.durable_names, &op);
        }
        Ok(())
    }

    pub(super) fn lock(&mut self, path: &Path) -> io::Result<()> {
        if self.locks.insert(path.to_owned()) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, format!("{}: locked", path.display())))
    }

    pub(super) fn unlock(&mut self, path: &Path) {
        self.locks.remove(path);
    }

    pub(super) fn len(&self, inode: usize) -> u64 {
        self.inodes[inode].now.len()
    }

    pub(super) fn read(&self, inode: usize, offset: u64, len: usize) -> Vec<u8> {
        self.inodes[inode].now.read(offset, len)
    }

    pub(super) fn begin_write(
        &mut self,
        inode: usize,
        offset: u64,
        data: &[u8],
        is_direct: bool,
    ) -> u64 {
        let seq = self.next_seq();
        let change = Change::Write { offset, data: data.to_vec() };
        self.inodes[inode].pending.push(PendingOp { seq, change, done: false, is_direct });
        seq
    }

    /// Writes that a killed process left in flight: (file, which).
    pub(super) fn late_writes(&self) -> Vec<(usize, u64)> {
        let of_file = |(nth, inode): (usize, &Inode)| -> Vec<(usize, u64)> {
            let late = inode.pending.iter().filter(|op| !op.done);
            late.map(|op| (nth, op.seq)).collect()
        };
        self.inodes.iter().enumerate().flat_map(of_file).collect()
    }

    /// The device gets to a write of a killed process, if it has not yet.
    pub(super) fn land(&mut self, inode: usize, seq: u64) {
        let pending = &mut self.inodes[inode].pending;
        let Some(at) = pending.iter().position(|op| op.seq == seq && !op.done) else { return };
        // Behind what was done before it lands.
        let late = pending.remove(at);
        pending.push(late);
        // Without space it has not been, and nobody is told.
        let _nobody_is_told = self.end_write(inode, seq);
    }

    /// The write takes place, or finds no space and has not been.
    pub(super) fn end_write(&mut self, inode: usize, seq: u64) -> io::Result<()> {
        let file = &self.inodes[inode];
        let Some(at) = file.pending.iter().position(|op| op.seq == seq) else { return Ok(()) };
        if let Change::Write { offset, data } = &file.pending[at].change
            && let Err(full) = self.check_space(file.now.missing_bytes(
                *offset,
                offset + data.len() as u64,
                file.reserved_bytes,
            ))
        {
            self.inodes[inode].pending.remove(at);
            return Err(full);
        }
        let Inode { now, pending, .. } = &mut self.inodes[inode];
        pending[at].done = true;
        pending[at].change.apply(now);
        Ok(())
    }

    /// The time of a file that was just made.
    pub(super) fn touch_new(&mut self, inode: usize, now_ms: i64) {
        if self.inodes[inode].modified_ms == 0 {
            self.touch(inode, now_ms);
        }
    }

    pub(super) fn touch(&mut self, inode: usize, now_ms: i64) {
        self.inodes[inode].modified_ms = now_ms;
    }

    pub(super) fn set_len(&mut self, inode: usize, len: u64) {
        let seq = self.next_seq();
        if len < self.inodes[inode].now.len() {
            self.inodes[inode].reserved_bytes = self.inodes[inode].reserved_bytes.min(len);
        }
        self.inodes[inode].now.set_len(len);
        self.inodes[inode].pending.push(PendingOp {
            seq,
            change: Change::SetLen(len),
            done: true,
            is_direct: false,
        });
    }

    pub(super) fn done_ops(&self, inode: usize) -> Vec<u64> {
        self.inodes[inode].pending.iter().filter(|op| op.done).map(|op| op.seq).collect()
    }

    pub(super) fn sync(&mut self, inode: usize, upto: &[u64]) {
        let Inode { durable, pending, .. } = &mut self.inodes[inode];
        for op in pending.iter().filter(|op| upto.contains(&op.seq)) {
            op.change.apply(durable);
        }
        pending.retain(|op| !upto.contains(&op.seq));
    }

    /// What a sync of everything below `folder` is to cover, if it began now.
    pub(super) fn done_below(&self, folder: &Path) -> DoneBelow {
        let inodes = self.below(folder).filter_map(|(_, node)| match node {
            Node::File(inode) => Some(*inode),
            Node::Dir => None,
        });
        let files = inodes.map(|inode| (inode, self.done_ops(inode)));
        DoneBelow {
            files: files.filter(|(_, ops)| !ops.is_empty()).collect(),
            names: self.name_ops(),
        }
    }

    /// Files, and names in the folder and in folders below it.
    pub(super) fn sync_below(&mut self, folder: &Path, done: &DoneBelow) {
        for (inode, ops) in &done.files {
            // What was lost before stays lost, and is still to be said.
            self.sync(*inode, ops);
        }
        let folders: Vec<PathBuf> =
            self.name_ops.keys().filter(|dir| dir.starts_with(folder)).cloned().collect();
        for dir in folders {
            // A folder that was removed meanwhile has no names.
            let _gone = self.sync_dir(&dir, done.names);
        }
    }

    /// A sync of everything that failed: some files lost what it was to cover of them.
    pub(super) fn fail_some(&mut self, done: &DoneBelow, random: &Random) {
        for (inode, ops) in &done.files {
            if random.below(4) == 0 {
                self.fail_sync(*inode, ops, false, random);
                self.inodes[*inode].has_failed = true;
            }
        }
    }

    /// Whether pages of a file were lost; said once.
    pub(super) fn take_failure(&mut self, inode: usize) -> bool {
        std::mem::take(&mut self.inodes[inode].has_failed)
    }

    pub(super) fn flip_byte(&mut self, path: &Path, offset: u64) {
        let Some(Node::File(inode)) = self.names.get(path).copied() else {
            panic!("{}: no file to damage", path.display())
        };
        let inode = &mut self.inodes[inode];
        assert!(offset < inode.now.len(), "{}: {offset} is past its end", path.display());
        inode.flip(offset, 0x55);
    }

    pub(super) fn after_kill(&self, random: &Random) -> Self {
        let mut next = self.clone();
        next.locks.clear();
        next.open_counts.clear();
        for inode in &mut next.inodes {
            let Inode { now, pending, has_failed, .. } = inode;
            // The kernel may have told somebody else, or forgotten the file.
            *has_failed = false;
            pending.retain(|op| op.done || random.below(3) > 0);
            for op in pending.iter_mut().filter(|op| !op.done) {
                if op.is_direct && random.below(2) == 0 {
                    continue; // it lands in the next life
                }
                op.done = true;
                op.change.apply(now);
            }
        }
        next.forget_unreachable();
        next
    }

    pub(super) fn after_power_cut(&self, random: &Random) -> (Self, CrashReport) {
        let mut report = CrashReport::default();
        let mut names = self.durable_names.clone();
        let mut name_ops: Vec<&NameOp> = self.name_ops.values().flatten().collect();
        name_ops.sort_by_key(|op| op.seq);
        for op in &name_ops[..random.index_below(name_ops.len() + 1)] {
            apply_name(&mut names, op);
        }
        let whole: BTreeMap<PathBuf, Node> = names
            .iter()
            .filter(|(path, _)| parents_are_there(path, &names))
            .map(|(p, n)| (p.clone(), *n))
            .collect();
        let inodes =
            self.inodes.iter().map(|inode| inode.after_power_cut(random, &mut report)).collect();
        let mut disk = Self {
            inodes,
            durable_names: whole.clone(),
            names: whole,
            seq: self.seq,
            capacity: self.capacity,
            ..Self::default()
        };
        disk.forget_unreachable();
        (disk, report)
    }
}

fn apply_name(names: &mut BTreeMap<PathBuf, Node>, op: &NameOp) {
    match op.node {
        Some(node) => names.insert(op.path.clone(), node),
        None => names.remove(&op.path),
    };
}

fn parents_are_there(path: &Path, names: &BTreeMap<PathBuf, Node>) -> bool {
    path.ancestors().skip(1).all(|dir| {
        dir.parent().is_none() || dir.as_os_str().is_empty() || names.get(dir) == Some(&Node::Dir)
    })
}

impl Change {
    fn apply(&self, pages: &mut Pages) {
        match self {
            Self::Write { offset, data } => pages.write(*offset, data),
            Self::SetLen(len) => pages.set_len(*len),
        }
    }
}

/// What a file's device did with the writes nobody had synced.
#[derive(Clone, Copy)]
enum Fate {
    Lost,
    Kept,
    /// The first so many sectors, over all writes in order.
    Prefix(u64),
    Scattered,
}

impl Inode {
    /// Flips bits of a byte: now, on the device, and in writes on their way there, which would mend
    /// it.
    fn flip(&mut self, offset: u64, bits: u8) {
        for pages in [&mut self.now, &mut self.durable] {
            let byte = pages.read(offset, 1).first().copied().unwrap_or(0);
            pages.write(offset, &[byte ^ bits]);
        }
        for op in &mut self.pending {
            let Change::Write { offset: at, data } = &mut op.change else { continue };
            let place = offset.checked_sub(*at).and_then(|place| usize::try_from(place).ok());
            if let Some(byte) = place.and_then(|place| data.get_mut(place)) {
                *byte ^= bits;
            }
        }
    }

    fn after_power_cut(&self, random: &Random, report: &mut CrashReport) -> Self {
        let sectors: u64 = self.pending.iter().map(|op| op.change.sectors()).sum();
        let fate = match random.below(4) {
            0 => Fate::Lost,
            1 => Fate::Kept,
            2 => Fate::Prefix(random.below(sectors + 1)),
            _ => Fate::Scattered,
        };
        let lengths_kept = if matches!(fate, Fate::Kept) {
            self.pending.len()
        } else {
            random.index_below(self.pending.len() + 1)
        };
        let mut pages = self.durable.clone();
        let mut sectors_before = 0;
        for (index, op) in self.pending.iter().enumerate() {
            let may_grow = index < lengths_kept;
            match &op.change {
                Change::SetLen(len) if may_grow => pages.set_len(*len),
                Change::SetLen(_) => {}
                Change::Write { offset, data } => {
                    let kept = survive(&mut pages, *offset, data, may_grow, |nth| {
                        fate.keeps(sectors_before + nth, random)
                    });
                    report.count(kept, op.change.sectors());
                }
            }
            sectors_before += op.change.sectors();
        }
        let reserved_bytes = self.reserved_bytes.min(pages.len());
        Self {
            now: pages.clone(),
            durable: pages,
            pending: Vec::new(),
            reserved_bytes,
            modified_ms: self.modified_ms,
            has_failed: false,
        }
    }
}

impl Fate {
    fn keeps(self, sector: u64, random: &Random) -> bool {
        match self {
            Self::Lost => false,
            Self::Kept => true,
            Self::Prefix(upto) => sector < upto,
            Self::Scattered => random.below(2) == 0,
        }
    }
}

impl Change {
    fn sectors(&self) -> u64 {
        match self {
            Self::SetLen(_) => 0,
            Self::Write { offset, data } => {
                (offset + data.len() as u64).div_ceil(SECTOR_BYTES) - offset / SECTOR_BYTES
            }
        }
    }
}

impl CrashReport {
    fn count(&mut self, kept_sectors: u64, sectors: u64) {
        self.unsynced_writes += 1;
        self.lost_writes += usize::from(kept_sectors == 0);
        self.torn_writes += usize::from(kept_sectors > 0 && kept_sectors < sectors);
    }
}

/// Applies the sectors of one write that `keep` keeps; returns how many.
fn survive(
    pages: &mut Pages,
    offset: u64,
    data: &[u8],
    may_grow: bool,
    mut keep: impl FnMut(u64) -> bool,
) -> u64 {
    let (mut at, mut rest, mut nth, mut kept) = (offset, data, 0, 0);
    while !rest.is_empty() {
        let room: usize = fits(SECTOR_BYTES - at % SECTOR_BYTES);
        let (sector, after) = rest.split_at(room.min(rest.len()));
        let fits = may_grow || at + sector.len() as u64 <= pages.len();
        if keep(nth) && fits {
            pages.write(at, sector);
            kept += 1;
        }
        at += sector.len() as u64;
        nth += 1;
        rest = after;
    }
    kept
}
