//! Kept memory on a real tmpfs: what a process left is read by the next, and nothing else is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rt::real::{Core, CorePlacement, launch};
use rt::ring::RingConfig;
use rt::{BufSlice, File, KeptError, KeptMemory, KeptShape, OpenMode, Runtime};
use std::future::Future;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const SLOT: usize = 64 * 1024;
const SHAPE: KeptShape =
    KeptShape { head_bytes: 8192, slot_bytes: SLOT, slots: 8, reserved_slots: 3 };

fn on_a_core<F: Future<Output = ()> + 'static>(test: impl Fn(Core) -> F + Clone + Send + 'static) {
    let running = launch(&[CorePlacement::Unpinned], RingConfig::default(), move |core, _| {
        let test = test.clone();
        async move {
            test(core).await;
            Ok(())
        }
    });
    running.unwrap().join().unwrap();
}

/// A folder on /dev/shm, which every Linux has.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("ringmq-test-").tempdir_in("/dev/shm").unwrap()
}

async fn made(core: &Core, folder: &Path, name: &str) -> (KeptMemory, PathBuf) {
    let kept = core.make_kept(folder, SHAPE).await.unwrap();
    let path = folder.join(name);
    kept.name(&path).unwrap();
    (kept, path)
}

#[test]
fn what_was_stored_and_appended_is_there_when_its_process_is_gone() {
    let dir = folder();
    let path = dir.path().to_owned();
    on_a_core(move |core| {
        let dir = path.clone();
        async move {
            let (kept, path) = made(&core, &dir, "a.tail").await;
            let [first, second] = [SLOT, 10].map(|bytes| kept.take(bytes).unwrap());
            second.append(5, |free| free.copy_from_slice(b"hello"));
            kept.store(16, 4711);
            kept.store_bytes(24, b"a path that is no multiple of 8");
            assert_eq!((first.slot(), second.slot()), (Some(0), Some(1)));
            assert_eq!((second.capacity(), kept.load(16)), (SLOT, 4711));
            assert!(matches!(core.open_kept(&path).await, Err(KeptError::Locked)));
            let peeked = async || core.peek_kept(&path, 24).await.unwrap();
            assert_eq!(peeked().await[16..], 4711_u64.to_le_bytes(), "whoever has the lock");
            drop(kept);
            assert!(matches!(core.open_kept(&path).await, Err(KeptError::Locked)), "chunks live");
            drop((first, second));
            assert_eq!(peeked().await.len(), 24);
            let left = core.open_kept(&path).await.unwrap();
            assert!(matches!(core.open_kept(&path).await, Err(KeptError::Locked)));
            assert_eq!(left.read(16, 8).unwrap(), 4711_u64.to_le_bytes());
            assert_eq!(left.read(24, 40).unwrap()[..31], *b"a path that is no multiple of 8");
            let place = (SHAPE.head_bytes + SLOT) as u64;
            assert_eq!(left.read(place, 5).unwrap(), b"hello");
            assert_eq!(left.read(SHAPE.bytes() as u64 - 3, 10).unwrap().len(), 3);
            left.release(place, SLOT as u64).unwrap();
            assert_eq!(left.read(place, 5).unwrap(), [0; 5]);
            left.remove().unwrap();
            assert!(matches!(core.open_kept(&path).await, Err(KeptError::Missing)));
        }
    });
}

#[test]
fn a_file_without_a_name_and_one_that_is_removed_leave_nothing() {
    let dir = folder();
    let path = dir.path().to_owned();
    on_a_core(move |core| {
        let dir = path.clone();
        async move {
            drop(core.make_kept(&dir, SHAPE).await.unwrap());
            assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
            let (kept, path) = made(&core, &dir, "b.tail").await;
            assert_eq!(core.list_kept(&dir, ".tail").await, std::slice::from_ref(&path));
            let other = core.make_kept(&dir, SHAPE).await.unwrap();
            assert!(other.name(&path).is_err(), "a name is taken once");
            kept.remove().unwrap();
            assert!(core.list_kept(&dir, ".tail").await.is_empty());
        }
    });
}

#[test]
fn memory_is_reserved_before_it_is_used_and_given_back() {
    let dir = folder();
    let path = dir.path().to_owned();
    on_a_core(move |core| {
        let dir = path.clone();
        async move {
            let (kept, path) = made(&core, &dir, "c.tail").await;
            let used = || {
                use std::os::unix::fs::MetadataExt;
                usize::try_from(std::fs::metadata(&path).unwrap().blocks()).unwrap() * 512
            };
            assert_eq!(used(), SHAPE.reserved_bytes());
            let held: Vec<_> = (0..4).map(|_| kept.take(SLOT).unwrap()).collect();
            assert!(kept.take(5 * SLOT).is_none(), "not so many side by side");
            let pair = kept.take(SLOT + 1).unwrap();
            assert_eq!((pair.slot(), pair.capacity()), (Some(4), 2 * SLOT));
            assert_eq!(used(), SHAPE.reserved_bytes() + 3 * SLOT);
            drop((held, pair));
            kept.release_free();
            assert_eq!(used(), SHAPE.reserved_bytes());
            assert_eq!(kept.reserved_bytes(), SHAPE.reserved_bytes());
        }
    });
}

#[test]
fn the_log_is_written_from_it_without_a_copy() {
    let dir = folder();
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let paths = (dir.path().to_owned(), disk.path().join("log"));
    on_a_core(move |core| {
        let (dir, log) = paths.clone();
        async move {
            let kept = core.make_kept(&dir, SHAPE).await.unwrap();
            let chunk = kept.take(SLOT).unwrap();
            chunk.append(8192, |free| free.fill(7));
            let Ok(file) = core.open(&log, OpenMode::Direct).await else { return };
            file.write_both_at(0, BufSlice::new(chunk, 0..8192), BufSlice::empty()).await.unwrap();
            assert_eq!(std::fs::read(&log).unwrap(), [7; 8192]);
        }
    });
}

#[test]
fn what_somebody_else_may_have_put_there_is_refused() {
    let dir = folder();
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let paths = (dir.path().to_owned(), disk.path().to_owned());
    on_a_core(move |core| {
        let (dir, disk) = paths.clone();
        async move {
            let at = |name: &str| dir.join(name);
            drop(made(&core, &dir, "good.tail").await);
            let refused = async |name: &str| core.open_kept(&at(name)).await.err().unwrap();
            symlink(at("good.tail"), at("link.tail")).unwrap();
            assert!(matches!(refused("link.tail").await, KeptError::Link));
            std::fs::hard_link(at("good.tail"), at("hard.tail")).unwrap();
            assert!(matches!(refused("hard.tail").await, KeptError::Link));
            std::fs::remove_file(at("hard.tail")).unwrap();
            std::fs::create_dir(at("folder.tail")).unwrap();
            assert!(matches!(refused("folder.tail").await, KeptError::NotAFile));
            assert!(matches!(refused("none.tail").await, KeptError::Missing));
            let readable = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(at("good.tail"), readable).unwrap();
            assert!(matches!(refused("good.tail").await, KeptError::Mode { mode: 0o644 }));
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(at("good.tail"), private).unwrap();
            if std::os::unix::fs::chown(at("good.tail"), Some(12_345), None).is_ok() {
                let owner = refused("good.tail").await;
                assert!(matches!(owner, KeptError::Owner { found: 12_345, .. }), "{owner}");
            }
            let on_disk = core.make_kept(&disk, SHAPE).await.err().unwrap();
            assert!(matches!(on_disk, KeptError::NotTmpfs), "{on_disk}");
            std::fs::write(disk.join("d.tail"), b"x").unwrap();
            let on_disk = core.open_kept(&disk.join("d.tail")).await.err().unwrap();
            assert!(matches!(on_disk, KeptError::NotTmpfs), "{on_disk}");
            let missing = core.make_kept(&dir.join("nowhere"), SHAPE).await.err().unwrap();
            assert!(matches!(missing, KeptError::Missing), "{missing}");
            let huge = KeptShape { slot_bytes: 1 << 40, ..SHAPE };
            let huge = core.make_kept(&dir, huge).await.err().unwrap();
            assert!(matches!(huge, KeptError::NoRoom { .. }), "{huge}");
        }
    });
}

/// Page faults of this thread so far that needed no disk (field 10 of proc's stat).
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(7).unwrap().parse().unwrap()
}

#[test]
fn memory_that_was_reserved_ahead_meets_no_page_fault_when_it_is_filled() {
    const MIB: usize = 1 << 20;
    let dir = folder();
    let path = dir.path().to_owned();
    on_a_core(move |core| {
        let dir = path.clone();
        async move {
            let shape =
                KeptShape { head_bytes: 8192, slot_bytes: MIB, slots: 3, reserved_slots: 1 };
            let kept = core.make_kept(&dir, shape).await.unwrap();
            let first = kept.take(MIB).unwrap();
            core.reserve_ahead(&kept, 1).await;
            assert_eq!(kept.ready_bytes(), MIB);
            let chunk = kept.take(MIB).unwrap();
            let bytes = vec![7; MIB];
            let faults_of_filling = |chunk: &rt::AppendBuf| {
                let before = page_faults();
                chunk.append(MIB, |free| free.copy_from_slice(&bytes));
                page_faults() - before
            };
            let (at_first, ahead) = (faults_of_filling(&first), faults_of_filling(&chunk));
            assert!(at_first >= 256, "{at_first}: this count says something");
            assert!(ahead < 26, "{ahead} faults on 256 pages");
        }
    });
}
