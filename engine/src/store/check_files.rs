//! What must hold of a store's folders and log files before anything in them is touched.

use crate::config::StoreConfig;
use crate::error::{FileError, OpenError};
use crate::manifest::Manifest;
use crate::paths::{Paths, parse_offset_name};
use rt::Runtime;
use std::io;
use std::path::Path;

/// The log's files: the first one's start and the last one's end.
pub(super) struct LogRange {
    pub(super) begin: u64,
    pub(super) created_upto: u64,
}

/// The store's folders, their names durable: a synced file in a folder that is gone after a crash
/// is lost as well.
pub(super) async fn make_folders<R: Runtime>(rt: &R, paths: &Paths) -> Result<(), OpenError> {
    for folder in [paths.root(), &paths.commitlog(), &paths.consumequeue()] {
        make_folder(rt, folder).await?;
    }
    for folder in paths.root().ancestors().take(3).filter(|folder| !folder.as_os_str().is_empty()) {
        rt.sync_dir(folder).await.map_err(FileError::at("sync folder", folder, 0))?;
    }
    Ok(())
}

async fn make_folder<R: Runtime>(rt: &R, folder: &Path) -> Result<(), OpenError> {
    match rt.create_dir_all(folder).await {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
            ) =>
        {
            Err(OpenError::NotAFolder { path: folder.to_owned() })
        }
        made => Ok(made.map_err(FileError::at("make folder", folder, 0))?),
    }
}

/// Checks the log's files: no gap, all of the configured size, none missing of what was written
/// when the manifest was. Only the last ones may be shorter: a crash right after they were made.
pub(super) async fn log_range<R: Runtime>(
    rt: &R,
    paths: &Paths,
    config: &StoreConfig,
    manifest: Option<&Manifest>,
) -> Result<LogRange, OpenError> {
    let (folder, file_bytes) = (paths.commitlog(), config.commitlog_file_bytes);
    let entries = rt.list_dir(&folder).await.map_err(FileError::at("list", &folder, 0))?;
    let log_begin = manifest.map_or(0, |manifest| manifest.log_begin);
    let files =
        entries.iter().filter_map(|entry| Some((parse_offset_name(&entry.name)?, entry.bytes)));
    // Files below the manifest's beginning, and behind the place where the log was being cut, are
    // as good as removed: a crash came in between.
    let cut_at = manifest.and_then(|manifest| manifest.cut_at).unwrap_or(u64::MAX);
    let files: Vec<(u64, u64)> = files
        .filter(|(start, _)| start.saturating_add(file_bytes) > log_begin && *start < cut_at)
        .collect();
    // A log without a message may begin anywhere.
    let begin = files.first().map_or(log_begin - log_begin % file_bytes, |(begin, _)| *begin);
    let mut expected_start = begin;
    for (nth, (start, bytes)) in files.iter().copied().enumerate() {
        let is_last = nth + 1 == files.len();
        if bytes > file_bytes
            || (bytes < file_bytes && !is_last)
            || !start.is_multiple_of(file_bytes)
        {
            return Err(OpenError::FileSize {
                path: paths.commitlog_file(start),
                expected: file_bytes,
                found: bytes,
                key: "mappedFileSizeCommitLog",
            });
        }
        if start != expected_start {
            return Err(OpenError::MissingFile { path: paths.commitlog_file(expected_start) });
        }
        expected_start = start.saturating_add(file_bytes);
    }
    let last = files.last().map_or((begin, 0), |(start, bytes)| (*start, *bytes));
    check_end(paths, file_bytes, last, manifest)?;
    Ok(LogRange { begin, created_upto: expected_start })
}

/// What the manifest says was flushed must be in the files.
fn check_end(
    paths: &Paths,
    file_bytes: u64,
    last: (u64, u64),
    manifest: Option<&Manifest>,
) -> Result<(), OpenError> {
    let (start, bytes) = last;
    let flushed_upto = manifest.map(Manifest::flushed_upto);
    let Some(flushed_upto) = flushed_upto.filter(|upto| *upto > start + bytes) else {
        return Ok(());
    };
    let last_start = (flushed_upto - 1) - (flushed_upto - 1) % file_bytes;
    let found = if last_start == start { bytes } else { 0 };
    Err(OpenError::CutShort {
        path: paths.commitlog_file(last_start),
        expected: flushed_upto - last_start,
        found,
        manifest: paths.manifest(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_ends_before_what_the_manifest_says_was_flushed_is_refused() {
        let paths = Paths::new(Path::new("/store"));
        let check = |log_end: u64, deleted_at: u64| {
            let deleted = [("T".to_owned(), deleted_at)].into();
            let manifest = Manifest { log_end, deleted, ..Manifest::default() };
            check_end(&paths, 1_000, (2_000, 500), Some(&manifest))
        };
        assert!(check(2_500, 2_500).is_ok());
        for (log_end, deleted_at) in [(2_501, 100), (100, 2_501)] {
            let error = check(log_end, deleted_at).unwrap_err();
            let OpenError::CutShort { expected, found, .. } = error else { panic!("{error}") };
            assert_eq!((expected, found), (501, 500));
        }
    }
}
