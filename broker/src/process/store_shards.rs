//! How many shards a store has: a fact of the store, checked at every start.
//!
//! A store of one shard is laid out as Apache RocketMQ's and carries no mark of ours, so that it
//! can be opened in place both ways. A store of more has `shard-0/ … shard-{N-1}/` and the number
//! in the file [`MARK`].

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The file in the root of a store of several shards: their number in decimal.
pub(super) const MARK: &str = "ringmq-shards";

/// Why a store can't be used with this number of shards.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShardCountError {
    /// It was made with another number.
    #[error(
        "the store {root} has {found} shard(s), shardCount is {wanted}: queues belong to shards, \
         so the number is fixed when a store is created. Fix: set \
         shardCount={found}, or give storePathRootDir another folder"
    )]
    Differs {
        /// The store.
        root: PathBuf,
        /// What it has.
        found: usize,
        /// What the configuration says.
        wanted: usize,
    },
    /// The mark is not a number.
    #[error(
        "{path} should hold the number of shards and holds {found:?}; {root} has {folders} shard \
            folder(s). Fix: write the number of shards it was created with into the file"
    )]
    Unreadable {
        /// The mark.
        path: PathBuf,
        /// Its content.
        found: String,
        /// The store.
        root: PathBuf,
        /// Folders `shard-0`, `shard-1`, … in it.
        folders: usize,
    },
    /// Shards and no mark.
    #[error(
        "{path} is missing, though {root} has {folders} shard folder(s): it holds the number of \
            shards. Fix: restore it, or write that number into it"
    )]
    NoMark {
        /// The mark.
        path: PathBuf,
        /// The store.
        root: PathBuf,
        /// Folders `shard-0`, `shard-1`, … in it.
        folders: usize,
    },
    /// A file where the store's folder should be.
    #[error(
        "{path}: expected a folder, found a file. Fix: move it away, or set storePathRootDir to \
            another place"
    )]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Checks that the store at `root` has `wanted` shards; a new store gets them.
pub(super) fn claim(root: &Path, wanted: usize) -> Result<(), ShardCountError> {
    if let Some(file) = root.ancestors().find(|path| path.is_file()) {
        return Err(ShardCountError::NotAFolder { path: file.to_owned() });
    }
    std::fs::create_dir_all(root).map_err(|source| io_error("create", root, source))?;
    match existing(root)? {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(ShardCountError::Differs { root: root.to_owned(), found, wanted }),
        None if wanted == 1 => Ok(()),
        None => write_mark(root, wanted),
    }
}

fn existing(root: &Path) -> Result<Option<usize>, ShardCountError> {
    let mark = root.join(MARK);
    match std::fs::read_to_string(&mark) {
        Ok(text) => {
            let count = text.trim().parse().ok().filter(|count| *count > 1);
            count.map(Some).ok_or_else(|| ShardCountError::Unreadable {
                path: mark,
                found: text,
                root: root.to_owned(),
                folders: shard_folders(root),
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match shard_folders(root) {
            0 => Ok(root.join("commitlog").exists().then_some(1)),
            folders => Err(ShardCountError::NoMark { path: mark, root: root.to_owned(), folders }),
        },
        Err(source) => Err(io_error("read", &mark, source)),
    }
}

fn shard_folders(root: &Path) -> usize {
    (0..).take_while(|shard| root.join(format!("shard-{shard}")).is_dir()).count()
}

/// Durable before any shard writes: a crash must not leave `shard-k/` folders without their number.
fn write_mark(root: &Path, count: usize) -> Result<(), ShardCountError> {
    let path = root.join(MARK);
    let write = || {
        let mut file = std::fs::File::create(&path)?;
        writeln!(file, "{count}")?;
        file.sync_all()?;
        std::fs::File::open(root)?.sync_all()
    };
    write().map_err(|source| io_error("write", &path, source))
}

fn io_error(operation: &'static str, path: &Path, source: std::io::Error) -> ShardCountError {
    ShardCountError::Io { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_fixed_when_the_store_is_created() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        claim(&root, 2).unwrap();
        claim(&root, 2).unwrap();
        let error = claim(&root, 1).unwrap_err().to_string();
        assert!(
            error.contains("has 2 shard(s), shardCount is 1") && error.contains("Fix:"),
            "{error}"
        );
    }

    #[test]
    fn a_store_of_apache_rocketmq_has_one_shard_and_gets_no_mark() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("commitlog")).unwrap();
        claim(dir.path(), 1).unwrap();
        assert!(!dir.path().join(MARK).exists());
        assert!(matches!(
            claim(dir.path(), 3),
            Err(ShardCountError::Differs { found: 1, wanted: 3, .. })
        ));
    }

    #[test]
    fn shards_without_their_number_and_a_file_in_the_place_of_the_folder_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        (0..3).for_each(|shard| {
            std::fs::create_dir(dir.path().join(format!("shard-{shard}"))).unwrap()
        });
        for wanted in [1, 3] {
            let error = claim(dir.path(), wanted).unwrap_err().to_string();
            assert!(
                error.contains("ringmq-shards is missing") && error.contains("3 shard folder(s)"),
                "{error}"
            );
        }
        assert!(!dir.path().join(MARK).exists());
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for root in [file.clone(), file.join("below")] {
            assert!(
                matches!(claim(&root, 1), Err(ShardCountError::NotAFolder { path }) if path == file)
            );
        }
    }

    #[test]
    fn a_mark_that_is_no_number_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MARK), "many").unwrap();
        assert!(claim(dir.path(), 2).unwrap_err().to_string().contains("many"));
    }
}
