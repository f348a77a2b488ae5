//! Tails that no store needs any more.
//!
//! A tail's head says which store it was made for. When the `abort` of that store does not name it,
//! everything of it is in the log, or the store is gone: such a file is removed by whoever starts
//! next in that folder. What is locked has a process. What was made where paths mean something else
//! (another mount namespace: a container that shares the folder) is left alone.

use super::format::{Decoded, Head, LINES_AT, TAIL_SUFFIX, TailName};
use super::takeover::OldTail;
use crate::flushed_mark::tail_in;
use crate::paths::Paths;
use rt::{KeptFile, Runtime};
use std::io;
use std::path::Path;

/// Removes the tails in `folder` that nobody needs.
///
/// A store that starts at the same moment must find its tail unlocked, so a tail is looked at
/// without its lock, and locked only when its store does not name it. It is asked again then: by
/// that time the file may be another one.
pub(crate) async fn remove_orphans<R: Runtime>(rt: &R, folder: &Path) {
    for path in rt.list_kept(folder, TAIL_SUFFIX).await {
        // Of another user, gone meanwhile, locked: not ours to remove.
        let Ok(page) = rt.peek_kept(&path, LINES_AT).await else { continue };
        if !is_orphan(rt, &page, &path).await {
            continue;
        }
        let Ok(file) = rt.open_kept(&path).await else { continue };
        let Ok(page) = file.read(0, LINES_AT) else { continue };
        if is_orphan(rt, &page, &path).await {
            remove(&file, &path);
        }
    }
}

/// Whether the tail with this head was made where paths mean what they mean here, for a store that
/// does not need it.
async fn is_orphan<R: Runtime>(rt: &R, page: &[u8], path: &Path) -> bool {
    let Decoded::Good(head) = Head::decode(page) else { return false };
    let name = TailName { incarnation: head.incarnation, path: path.to_owned() };
    head.namespace == rt.namespace() && !is_named(rt, &head, &name).await
}

impl OldTail {
    /// The store's `abort` names another tail now: this one goes, unless the store is a copy and
    /// the original still needs it.
    pub(crate) async fn remove<R: Runtime>(self, rt: &R, root: &Path) {
        let is_own = std::path::absolute(root).is_ok_and(|root| root == self.head().store);
        let incarnation = self.head().incarnation;
        let name = TailName { incarnation, path: self.path().to_owned() };
        let is_here = self.head().namespace == rt.namespace();
        if is_own || (is_here && !is_named(rt, self.head(), &name).await) {
            remove(self.file(), &name.path);
        }
    }
}

/// Whether the store that the tail was made for still needs it. One that can't be asked does.
async fn is_named<R: Runtime>(rt: &R, head: &Head, name: &TailName) -> bool {
    match rt.read_file(&Paths::new(&head.store).abort()).await {
        Ok(abort) => tail_in(&abort).is_some_and(|named| named.incarnation == name.incarnation),
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        }
    }
}

fn remove(file: &KeptFile, path: &Path) {
    match file.remove() {
        Ok(()) => tracing::info!(path = %path.display(), "a tail that no store needs is removed"),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a tail that no store needs stays");
        }
    }
}
