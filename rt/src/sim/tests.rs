//! The simulated runtime keeps its promises: same seed same run, synced data stays, un-synced data
//! may go.

use super::*;
use crate::buf::AppendBuf;
use crate::runtime::File;

const ROOT: &str = "/store";

async fn busy(sim: &Sim, tasks: u64) {
    sim.create_dir_all(Path::new(ROOT)).await.unwrap();
    for task in 0..tasks {
        let mine = sim.clone();
        sim.spawn(Priority::Foreground, async move {
            let file = mine
                .open(&Path::new(ROOT).join(format!("{task}")), OpenMode::Buffered)
                .await
                .unwrap();
            for step in 0..20 {
                file.write_at(step * 100, AppendBuf::copy_of(&[7; 100])).await.unwrap();
                mine.sleep(Duration::from_nanos(mine.random_u64() % 1000)).await;
            }
        });
    }
    sim.sleep(Duration::from_millis(20)).await;
}

fn digest_of(seed: u64) -> u64 {
    let sim = Sim::new(seed);
    sim.block_on(busy(&sim, 5));
    sim.digest()
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    for seed in 0..20 {
        assert_eq!(digest_of(seed), digest_of(seed), "seed {seed}");
        assert_ne!(digest_of(seed), digest_of(seed + 1), "seed {seed}");
    }
}

#[test]
fn synced_bytes_and_names_survive_a_power_cut() {
    for seed in 0..100 {
        let sim = Sim::new(seed);
        let path = Path::new(ROOT).join("a");
        sim.block_on(async {
            sim.create_dir_all(Path::new(ROOT)).await.unwrap();
            let file = sim.open(&path, OpenMode::Buffered).await.unwrap();
            file.write_at(0, AppendBuf::copy_of(b"kept")).await.unwrap();
            file.sync_data().await.unwrap();
            sim.sync_dir(Path::new(ROOT)).await.unwrap();
            sim.sync_dir(Path::new("/")).await.unwrap();
        });
        let (after, _) = sim.crash();
        assert_eq!(after.block_on(after.read_file(&path)).unwrap(), b"kept", "seed {seed}");
    }
}

#[test]
fn unsynced_bytes_are_lost_kept_or_torn_and_all_three_happen() {
    let mut total = CrashReport::default();
    for seed in 0..100 {
        let sim = Sim::new(seed);
        sim.block_on(busy(&sim, 3));
        let (_, report) = sim.crash();
        total.unsynced_writes += report.unsynced_writes;
        total.torn_writes += report.torn_writes;
        total.lost_writes += report.lost_writes;
    }
    assert!(total.torn_writes > 0 && total.lost_writes > 0, "{total:?}");
    assert!(total.torn_writes + total.lost_writes < total.unsynced_writes, "{total:?}");
}

#[test]
fn a_killed_process_loses_no_completed_write() {
    let sim = Sim::new(3);
    sim.block_on(busy(&sim, 1));
    let after = sim.kill();
    let content = after.block_on(after.read_file(&Path::new(ROOT).join("0"))).unwrap();
    assert_eq!(content, vec![7; 2000]);
}

#[test]
fn unaligned_direct_writes_and_missing_direct_io_are_refused() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let file = sim.open(Path::new("/a"), OpenMode::Direct).await.unwrap();
        let refused = file.write_at(1, AppendBuf::copy_of(&[0; 4096])).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        file.write_at(0, AppendBuf::copy_of(&[0; 4096])).await.unwrap();
    });
    let plain = Sim::with_config(SimConfig { direct_io: false, ..SimConfig::with_seed(1) });
    let refused = plain.block_on(plain.open(Path::new("/a"), OpenMode::Direct)).err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_lock_is_exclusive_until_dropped_or_the_process_dies() {
    let sim = Sim::new(1);
    let lock = sim.block_on(sim.lock_file(Path::new("/lock"))).unwrap();
    assert_eq!(
        sim.block_on(sim.lock_file(Path::new("/lock"))).err().unwrap().kind(),
        io::ErrorKind::WouldBlock
    );
    let killed = sim.kill();
    assert!(killed.block_on(killed.lock_file(Path::new("/lock"))).is_ok());
    drop(lock);
    assert!(sim.block_on(sim.lock_file(Path::new("/lock"))).is_ok());
}

#[test]
#[should_panic(expected = "stands still")]
fn a_wait_that_can_never_end_is_a_panic_with_the_seed() {
    Sim::new(1).block_on(std::future::pending::<()>());
}

const SHAPE: KeptShape =
    KeptShape { head_bytes: 4096, slot_bytes: 4096, slots: 4, reserved_slots: 2 };

#[test]
fn kept_memory_survives_a_kill_but_for_what_was_not_appended_and_no_power_cut() {
    let path = Path::new("/dev/shm/a.tail");
    let sim = Sim::new(5);
    let kept = sim.block_on(sim.make_kept(Path::new("/dev/shm"), SHAPE)).unwrap();
    assert!(sim.kill().kept_files().is_empty(), "no name, no file");
    kept.name(path).unwrap();
    kept.store(8, 77);
    let chunk = kept.take(1).unwrap();
    chunk.append(3, |free| free.copy_from_slice(b"abc"));
    let locked = sim.block_on(sim.open_kept(path)).err().unwrap();
    assert!(matches!(locked, KeptError::Locked), "{locked}");
    let next = sim.kill();
    chunk.append(3, |free| free.copy_from_slice(b"def"));
    let left = next.block_on(next.open_kept(path)).unwrap();
    assert_eq!(left.read(8, 8).unwrap(), 77_u64.to_le_bytes());
    let bytes = left.read(4096, 4096).unwrap();
    assert_eq!(&bytes[..3], b"abc");
    assert!(bytes[3..].iter().filter(|byte| **byte != 0).count() > 4000, "it may hold anything");
    drop(left);
    let third = next.kill();
    assert_eq!(third.kept_files(), [path]);
    assert!(third.crash().0.kept_files().is_empty());
}

#[test]
fn a_write_of_a_killed_process_may_land_late_and_a_cut_waits_for_it() {
    let (path, mut landed_late, mut cut_first) = (Path::new("/a"), 0, 0);
    for seed in 0..200 {
        let sim = Sim::new(seed);
        sim.block_on(async {
            let file = sim.open(path, OpenMode::Direct).await.unwrap();
            file.allocate(0, 8192).await.unwrap();
            sim.hold_writes(true);
            let write = file.write_at(0, AppendBuf::copy_of(&[7; 4096]));
            let held = async { sim.sleep(Duration::from_millis(1)).await };
            futures_lite::future::or(async { write.await.unwrap() }, held).await;
        });
        let next = sim.kill();
        next.block_on(async {
            let file = next.open(path, OpenMode::Direct).await.unwrap();
            let first = || async { file.read_at(0, 1).await.unwrap()[0] };
            let before = first().await;
            if seed % 2 == 0 {
                next.sleep(Duration::from_millis(6)).await;
                landed_late += u32::from(before != first().await);
            } else {
                file.set_len(0).await.unwrap();
                file.set_len(8192).await.unwrap();
                next.sleep(Duration::from_millis(6)).await;
                assert_eq!(first().await, 0, "seed {seed}: nothing lands behind a cut");
                cut_first += 1;
            }
        });
    }
    assert!(landed_late > 10 && cut_first == 100, "{landed_late} of 100 landed late");
}
