//! The blocking parts of the file system, run on a core's helper thread.

use crate::ring::lock_exclusively;
use crate::runtime::{DirEntry, FileWrite, OpenMode};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

pub(super) fn open(path: &Path, mode: OpenMode) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options.read(true);
    match mode {
        OpenMode::Read => {}
        OpenMode::Buffered | OpenMode::PageCache => _ = options.write(true).create(true),
        OpenMode::Direct => _ = options.write(true).create(true).custom_flags(libc::O_DIRECT),
    }
    Ok(options.open(path)?.into())
}

pub(super) fn list_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let is_dir = metadata.is_dir();
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = if is_dir { 0 } else { metadata.len() };
        entries.push(DirEntry {
            name,
            bytes,
            is_dir,
            modified_ms: if is_dir { 0 } else { modified_ms(&metadata) },
        });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Milliseconds since 1970; 0 where the file system keeps no such time.
fn modified_ms(metadata: &fs::Metadata) -> i64 {
    let since = metadata
        .modified()
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default();
    // A file system can say anything, also a time that no i64 holds.
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn replace_file(path: &Path, content: &[u8], keep_backup: bool) -> io::Result<()> {
    let beside = with_suffix(path, ".tmp");
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    if keep_backup && path.exists() {
        let backup = with_suffix(path, ".bak");
        // A hard link, then a rename over the original: at no moment is the name itself missing.
        match fs::remove_file(&backup) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::hard_link(path, &backup)?,
        }
    }
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn remove_dir_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn write_each(writes: &[FileWrite]) -> Vec<io::Result<()>> {
    let write = |FileWrite { path, offset, bytes }: &FileWrite| {
        OpenOptions::new().write(true).open(path)?.write_all_at(bytes, *offset)
    };
    writes.iter().map(write).collect()
}

pub(super) fn lock_file(path: &Path) -> io::Result<OwnedFd> {
    let fd = open(path, OpenMode::Buffered)?;
    lock_exclusively(&fd)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_keeps_the_old_content_as_backup_and_leaves_no_other_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("topics.json");
        for content in ["one", "two", "three"] {
            replace_file(&path, content.as_bytes(), true).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::read(dir.path().join("topics.json.bak")).unwrap(), b"two");
        assert_eq!(list_dir(dir.path()).unwrap().len(), 2);
    }

    #[test]
    fn a_locked_file_cannot_be_locked_again_until_it_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = lock_file(&path).unwrap();
        assert_eq!(lock_file(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        lock_file(&path).unwrap();
    }
}
