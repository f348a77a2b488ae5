//! `--rebuild-slave`: a slave that has nothing in common with its master begins anew, and what it
//! had is put aside.

use rt::Runtime as _;
use rt::real::Core;
use std::fs;
use std::io;
use std::path::Path;

/// What an earlier call put aside.
const PREFIX: &str = "replaced-";

/// Moves all of the store at `root` into a folder in it, so that nothing is copied and the operator
/// decides when it goes. Nothing else of the shard runs yet, so a rename on its core holds nobody
/// up.
///
/// # Errors
/// A broker has the store open, or the file system refuses.
pub(super) async fn put_aside(core: &Core, root: &Path) -> io::Result<()> {
    let at = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("put {} aside: {error}", path.display()))
    };
    let lock = root.join("lock");
    core.create_dir_all(root).await.map_err(|error| at(root, error))?;
    let _held = core.lock_file(&lock).await.map_err(|error| at(&lock, error))?;
    let aside = root.join(format!("{PREFIX}{}", core.wall_ms()));
    let mut moved = 0;
    for entry in fs::read_dir(root).map_err(|error| at(root, error))? {
        let entry = entry.map_err(|error| at(root, error))?;
        let name = entry.file_name();
        if name == "lock" || name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        if moved == 0 {
            fs::create_dir(&aside).map_err(|error| at(&aside, error))?;
        }
        moved += 1;
        fs::rename(entry.path(), aside.join(&name)).map_err(|error| at(&entry.path(), error))?;
    }
    if moved > 0 {
        tracing::warn!(
            "what the store had is in {} now: remove it when it is not needed",
            aside.display()
        );
    }
    Ok(())
}
