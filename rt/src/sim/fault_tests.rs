//! The faults that a test can ask for do what the fault model says, strike as often as asked, and
//! replay from the seed.

use super::*;
use crate::buf::AppendBuf;
use crate::runtime::{File, Filesystem};

const BLOCK: usize = 4096;

async fn direct(sim: &Sim, name: &str) -> SimFile {
    sim.open(Path::new(name), OpenMode::Direct).await.unwrap()
}

fn block(byte: u8) -> crate::buf::BufSlice {
    AppendBuf::copy_of(&[byte; BLOCK])
}

#[test]
fn errors_strike_the_operation_and_the_path_they_are_asked_for_and_as_often() {
    let sim = Sim::new(1);
    sim.block_on(async {
        sim.create_dir_all(Path::new("/a")).await.unwrap();
        let (bad, good) = (direct(&sim, "/a/x").await, direct(&sim, "/b").await);
        sim.inject(Fault::eio(FaultOp::Write, "/a").after(1).times(2));
        let mut outcomes = Vec::new();
        for _ in 0..5 {
            outcomes.push(bad.write_at(0, block(1)).await.is_ok());
            good.write_at(0, block(1)).await.unwrap();
        }
        assert_eq!(outcomes, [true, false, false, true, true]);
        sim.inject(Fault::eio(FaultOp::Read, "/b"));
        assert_eq!(good.read_at(0, 1).await.unwrap_err().raw_os_error(), Some(5));
        sim.clear_faults();
        good.read_at(0, 1).await.unwrap();
        assert_eq!((sim.fault_counts().write_errors, sim.fault_counts().read_errors), (2, 1));
    });
}

#[test]
fn a_failed_write_leaves_any_of_its_sectors() {
    let (mut whole, mut none, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let sim = Sim::new(seed);
        sim.block_on(async {
            let file = direct(&sim, "/x").await;
            file.write_at(0, AppendBuf::copy_of(&vec![1; 2 * BLOCK])).await.unwrap();
            sim.inject(Fault::eio(FaultOp::Write, "/x"));
            file.write_at(0, AppendBuf::copy_of(&vec![2; BLOCK])).await.unwrap_err();
            let found = file.read_at(0, 2 * BLOCK).await.unwrap();
            assert!(
                found[BLOCK..].iter().all(|byte| *byte == 1),
                "only what was written to changes"
            );
            let sectors: Vec<u8> = found[..BLOCK].chunks(512).map(|sector| sector[0]).collect();
            assert!(
                found[..BLOCK]
                    .chunks(512)
                    .all(|sector| sector.iter().all(|byte| *byte == sector[0])),
                "sectors are whole"
            );
            match sectors.iter().filter(|byte| **byte == 2).count() {
                0 => none += 1,
                8 => whole += 1,
                _ => torn += 1,
            }
        });
    }
    assert!(torn > 100 && whole + none < 20, "{whole} whole, {none} nothing, {torn} torn");
}

/// Writes, fails a sync, syncs again "successfully", cuts the power: how many of the seeds still
/// have the bytes.
fn kept_after_a_failed_sync(mode: OpenMode) -> usize {
    let mut kept = 0;
    for seed in 0..100 {
        let sim = Sim::new(seed);
        sim.block_on(async {
            let file = sim.open(Path::new("/x"), mode).await.unwrap();
            file.write_at(0, block(0)).await.unwrap();
            file.sync_data().await.unwrap();
            sim.sync_dir(Path::new("/")).await.unwrap();
            file.write_at(0, block(7)).await.unwrap();
            sim.inject(Fault::eio(FaultOp::Sync, "/x").times(1));
            file.sync_data().await.unwrap_err();
            assert_eq!(file.read_at(0, 1).await.unwrap()[0], 7, "programs still see it");
            file.sync_data().await.unwrap();
        });
        let (after, _) = sim.crash();
        kept += usize::from(
            after.block_on(after.read_file(Path::new("/x"))).unwrap() == vec![7; BLOCK],
        );
    }
    kept
}

#[test]
fn who_believes_the_second_fdatasync_of_a_cached_file_loses_data() {
    assert_eq!(
        kept_after_a_failed_sync(OpenMode::Buffered),
        0,
        "the kernel has dropped what the first could not write"
    );
    assert_eq!(kept_after_a_failed_sync(OpenMode::Direct), 100, "the device had it all along");
}

#[test]
fn a_full_disk_refuses_blocks_but_not_rewrites_and_files_that_go_give_theirs_back() {
    let sim =
        Sim::with_config(SimConfig { capacity_bytes: Some(8 * 4096), ..SimConfig::with_seed(3) });
    sim.block_on(async {
        let file = direct(&sim, "/reserved").await;
        file.allocate(0, 6 * 4096).await.unwrap();
        assert_eq!(
            sim.disk_space(Path::new("/")).await.unwrap(),
            DiskSpace { total_bytes: 8 * 4096, available_bytes: 2 * 4096 }
        );
        let other = direct(&sim, "/other").await;
        for place in 0..2 {
            other.write_at(place * 4096, block(1)).await.unwrap();
        }
        assert_eq!(
            other.write_at(2 * 4096, block(1)).await.unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        assert_eq!(other.len().await.unwrap(), 2 * 4096, "the refused write did nothing");
        assert_eq!(
            other.allocate(0, 3 * 4096).await.unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        assert_eq!(
            sim.replace_file(Path::new("/config"), vec![1], false).await.unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        file.write_at(5 * 4096, block(2)).await.unwrap();
        other.write_at(0, block(2)).await.unwrap();
        other.set_len(1 << 30).await.unwrap();
        assert_eq!(sim.disk_space(Path::new("/")).await.unwrap().used_percent(), 100);
        sim.remove_file(Path::new("/reserved")).await.unwrap();
        assert_eq!(
            sim.disk_space(Path::new("/")).await.unwrap().available_bytes,
            0,
            "it is still open"
        );
        drop(file);
        assert_eq!(sim.disk_space(Path::new("/")).await.unwrap().available_bytes, 6 * 4096);
        other.write_at(2 * 4096, block(1)).await.unwrap();
        assert_eq!(sim.fault_counts().no_space, 3);
    });
    let after = sim.kill();
    assert_eq!(after.block_on(after.disk_space(Path::new("/"))).unwrap().available_bytes, 5 * 4096);
}

#[test]
fn short_reads_give_the_whole_or_an_error() {
    for seed in 0..50 {
        let sim = Sim::new(seed);
        sim.block_on(async {
            let file = sim.open(Path::new("/x"), OpenMode::Buffered).await.unwrap();
            let content: Vec<u8> = (0..9000_u32).map(|nth| nth.to_le_bytes()[0]).collect();
            file.write_at(0, AppendBuf::copy_of(&content)).await.unwrap();
            sim.inject(Fault::short_reads("/x").one_in(2));
            assert_eq!(&file.read_at(100, 5000).await.unwrap()[..], &content[100..5100]);
            assert_eq!(
                &file.read_at(8000, 5000).await.unwrap()[..],
                &content[8000..],
                "the end of the file is its end"
            );
            sim.inject(Fault::short_reads("/x"));
            sim.inject(Fault::eio(FaultOp::Read, "/x").after(1));
            file.read_at(0, 5000).await.unwrap_err();
            assert!(sim.fault_counts().short_reads > 0);
        });
    }
}

#[test]
fn a_slow_device_takes_its_time_and_nothing_else_changes() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let file = direct(&sim, "/x").await;
        sim.inject(Fault::slow(FaultOp::Sync, "/x", Duration::from_secs(5)));
        let before = sim.now_nanos();
        for nth in 0..10 {
            file.write_at(0, block(nth)).await.unwrap();
            file.sync_data().await.unwrap();
        }
        let took = Duration::from_nanos(sim.now_nanos() - before);
        assert!(took > Duration::from_secs(5) && took < Duration::from_secs(51), "{took:?}");
        assert_eq!(sim.fault_counts().slow, 10);
    });
}

#[test]
fn rot_flips_one_bit_of_something_written_and_a_power_cut_does_not_mend_it() {
    for seed in 0..50 {
        let sim = Sim::new(seed);
        sim.block_on(async {
            sim.create_dir_all(Path::new("/d")).await.unwrap();
            assert_eq!(sim.rot(Path::new("/d")), None);
            let file = direct(&sim, "/d/x").await;
            file.allocate(0, 1 << 20).await.unwrap();
            file.write_at(8192, block(0)).await.unwrap();
            file.sync_data().await.unwrap();
            for folder in ["/d", "/"] {
                sim.sync_dir(Path::new(folder)).await.unwrap();
            }
        });
        let (path, offset) = sim.rot(Path::new("/d")).unwrap();
        assert!(path == Path::new("/d/x") && (8192..12_288).contains(&offset));
        let (after, _) = sim.crash();
        let content = after.block_on(after.read_file(&path)).unwrap();
        let ones: u32 = content.iter().map(|byte| byte.count_ones()).sum();
        assert_eq!((ones, content[usize::try_from(offset).unwrap()].count_ones()), (1, 1));
    }
}

#[test]
fn damage_of_what_is_not_synced_yet_stays_when_it_is() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let file = direct(&sim, "/x").await;
        file.write_at(0, block(7)).await.unwrap();
        file.sync_data().await.unwrap();
        file.write_at(0, block(7)).await.unwrap();
        sim.sync_dir(Path::new("/")).await.unwrap();
        sim.damage(Path::new("/x"), 5);
        file.sync_data().await.unwrap();
    });
    let (after, _) = sim.crash();
    let content = after.block_on(after.read_file(Path::new("/x"))).unwrap();
    assert_eq!(content[5], 7 ^ 0x55);
}

#[test]
fn the_wall_clock_jumps_and_files_keep_the_time_of_their_last_write() {
    let sim = Sim::new(1);
    let hour = Duration::from_secs(3600);
    let file = sim.block_on(direct(&sim, "/x"));
    let made_ms = sim.wall_ms();
    sim.advance_wall(hour);
    assert!(sim.wall_ms() >= made_ms + 3_600_000);
    let entry = |sim: &Sim| sim.block_on(sim.list_dir(Path::new("/"))).unwrap()[0].clone();
    assert!(entry(&sim).modified_ms <= made_ms);
    sim.block_on(file.write_at(0, block(1))).unwrap();
    let written_ms = entry(&sim).modified_ms;
    assert!(written_ms >= made_ms + 3_600_000);
    drop(file);
    let after = sim.kill();
    after.advance_wall(hour);
    assert_eq!(entry(&after).modified_ms, written_ms);
    assert!(after.wall_ms() >= made_ms + 7_200_000, "the clock goes on over a restart");
}

#[test]
fn a_run_with_faults_replays_from_its_seed() {
    let run = |seed| {
        let sim = Sim::new(seed);
        sim.inject(Fault::eio(FaultOp::Write, "/").one_in(3));
        sim.inject(Fault::slow(FaultOp::Write, "/", Duration::from_millis(1)).one_in(4));
        sim.block_on(async {
            let file = direct(&sim, "/x").await;
            for nth in 0..50 {
                let _either = file.write_at(4096 * nth, block(9)).await;
            }
        });
        (sim.digest(), sim.fault_counts(), sim.block_on(sim.read_file(Path::new("/x"))).unwrap())
    };
    assert!(run(5) == run(5));
    assert!(run(5).0 != run(6).0 && run(5).1.write_errors > 0);
}

#[test]
fn opens_fail_as_asked_and_leave_nothing_behind() {
    let sim = Sim::new(1);
    let errno = |outcome: io::Result<()>| outcome.unwrap_err().raw_os_error();
    sim.block_on(async {
        let (folder, path) = (Path::new("/a"), Path::new("/a/x"));
        sim.create_dir_all(folder).await.unwrap();
        sim.inject(Fault::too_many_open(folder).times(6));
        let opened = sim.open(path, OpenMode::Buffered).await;
        assert_eq!(errno(opened.map(drop)), Some(24));
        assert_eq!(errno(sim.lock_file(path).await.map(drop)), Some(24));
        assert_eq!(errno(sim.read_file(path).await.map(drop)), Some(24));
        assert_eq!(errno(sim.replace_file(path, vec![1], false).await), Some(24));
        assert_eq!(errno(sim.list_dir(folder).await.map(drop)), Some(24));
        assert_eq!(errno(sim.sync_dir(folder).await), Some(24));
        assert!(sim.list_dir(folder).await.unwrap().is_empty(), "nothing was made");
        sim.inject(Fault::eio(FaultOp::Open, folder).times(1));
        let opened = sim.open(path, OpenMode::Buffered).await;
        assert_eq!(errno(opened.map(drop)), Some(5));
        sim.open(path, OpenMode::Buffered).await.unwrap();
        assert_eq!(sim.fault_counts().open_errors, 7);
    });
}

#[test]
fn a_write_that_finds_no_space_leaves_some_of_its_first_sectors_and_may_be_tried_again() {
    let mut kept = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let sim = Sim::new(seed);
        sim.block_on(async {
            let file = direct(&sim, "/x").await;
            file.write_at(0, block(1)).await.unwrap();
            sim.inject(Fault::no_space(FaultOp::Write, "/x").times(1));
            let refused = file.write_at(0, block(2)).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
            let found = file.read_at(0, BLOCK).await.unwrap();
            let new = found.iter().take_while(|byte| **byte == 2).count();
            assert!(new % 512 == 0 && found[new..].iter().all(|byte| *byte == 1));
            kept.insert(new / 512);
            file.write_at(0, block(2)).await.unwrap();
            assert_eq!(&file.read_at(0, BLOCK).await.unwrap()[..], &[2; BLOCK]);
            assert_eq!((sim.fault_counts().no_space, sim.fault_counts().write_errors), (1, 0));
        });
    }
    assert_eq!(kept.len(), 9, "from none to all: {kept:?}");
}

/// A full disk that fdatasync met is no write that can be tried again.
#[test]
fn the_failed_sync_of_a_durable_write_is_never_taken_for_a_full_disk() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let file = direct(&sim, "/x").await;
        let nothing = crate::buf::BufSlice::empty;
        sim.inject(Fault::no_space(FaultOp::Sync, "/x").times(1));
        let failed = file.write_both_durably_at(0, block(1), nothing()).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::Other);
        assert!(failed.to_string().contains("fdatasync: No space left"), "{failed}");
        sim.inject(Fault::no_space(FaultOp::Write, "/x").times(1));
        let failed = file.write_both_durably_at(0, block(1), nothing()).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::StorageFull);
    });
}

async fn written(sim: &Sim, names: &[&str]) {
    for name in names {
        let file = sim.open(Path::new(name), OpenMode::Buffered).await.unwrap();
        file.write_at(0, block(1)).await.unwrap();
    }
}

async fn content(sim: &Sim, name: &str) -> Option<Vec<u8>> {
    sim.read_file(Path::new(name)).await.ok()
}

#[test]
fn a_sync_of_a_file_system_makes_what_is_below_its_folder_durable_and_nothing_else() {
    let mut outside = 0;
    for seed in 0..50 {
        let sim = Sim::new(seed);
        sim.block_on(async {
            sim.create_dir_all(Path::new("/a/b")).await.unwrap();
            sim.sync_dir(Path::new("/")).await.unwrap();
            written(&sim, &["/a/x", "/a/b/y", "/z"]).await;
            sim.open_filesystem(Path::new("/a")).await.unwrap().sync().await.unwrap();
        });
        let sim = sim.crash().0;
        sim.block_on(async {
            assert_eq!(content(&sim, "/a/x").await, Some(vec![1; BLOCK]));
            assert_eq!(content(&sim, "/a/b/y").await, Some(vec![1; BLOCK]));
            outside += usize::from(content(&sim, "/z").await == Some(vec![1; BLOCK]));
        });
    }
    assert!(outside < 40, "{outside} of 50 others were durable too");
}

#[test]
fn a_sync_of_a_file_system_that_fails_makes_the_next_sync_of_what_was_lost_fail() {
    let (mut failed, mut lost) = (0, 0);
    for seed in 0..50 {
        let sim = Sim::new(seed);
        let is_told = sim.block_on(async {
            sim.create_dir_all(Path::new("/a")).await.unwrap();
            written(&sim, &["/a/x"]).await;
            sim.sync_dir(Path::new("/")).await.unwrap();
            sim.sync_dir(Path::new("/a")).await.unwrap();
            sim.inject(Fault::eio(FaultOp::Sync, "/a").times(1));
            let filesystem = sim.open_filesystem(Path::new("/a")).await.unwrap();
            assert_eq!(filesystem.sync().await.unwrap_err().raw_os_error(), Some(5));
            let file = sim.open(Path::new("/a/x"), OpenMode::Read).await.unwrap();
            let is_told = file.sync_data().await.is_err();
            assert!(file.sync_data().await.is_ok(), "said once");
            is_told
        });
        let sim = sim.crash().0;
        let is_whole = sim.block_on(content(&sim, "/a/x")) == Some(vec![1; BLOCK]);
        assert!(is_whole || is_told, "seed {seed}: lost, and nobody was told");
        (failed, lost) = (failed + usize::from(is_told), lost + usize::from(!is_whole));
    }
    assert!(failed > 5 && lost > 3, "{failed} {lost}");
}

#[test]
fn writes_into_several_files_fail_each_for_itself_and_make_none() {
    let sim = Sim::new(1);
    sim.block_on(async {
        written(&sim, &["/x", "/y"]).await;
        let write = |path: &str| FileWrite { path: path.into(), offset: 2, bytes: vec![7; 3] };
        sim.inject(Fault::eio(FaultOp::Write, "/y").times(1));
        let outcomes = sim.write_each(["/x", "/gone", "/y"].map(write).to_vec()).await;
        let kinds: Vec<_> =
            outcomes.iter().map(|o| o.as_ref().err().map(io::Error::kind)).collect();
        assert_eq!(kinds[..2], [None, Some(io::ErrorKind::NotFound)]);
        assert!(kinds[2].is_some());
        assert_eq!(content(&sim, "/x").await.unwrap()[..6], [1, 1, 7, 7, 7, 1]);
        assert_eq!(content(&sim, "/gone").await, None);
    });
}
