//! The real core: files through the ring, timers, mailboxes, several cores at once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rt::real::{Core, CorePlacement, available_cores, launch};
use rt::ring::RingConfig;
use rt::runtime::DIRECT_ALIGN;
use rt::{AppendBuf, BufSlice, File, FileWrite, Filesystem, OpenMode, Priority, Runtime};
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Runs `test` on a core of its own and hands its panic or error on.
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

/// A folder on the disk that holds the build, where O_DIRECT can be had (a tmpfs has none on older
/// kernels).
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

async fn written_and_read(core: Core, path: PathBuf, mode: OpenMode) {
    let file = match core.open(&path, mode).await {
        Err(error) if mode == OpenMode::Direct && error.kind() == io::ErrorKind::InvalidInput => {
            return;
        }
        other => other.unwrap(),
    };
    file.allocate(0, 1 << 20).await.unwrap();
    assert_eq!(file.len().await.unwrap(), 1 << 20);
    let block: Vec<u8> = (0..3 * DIRECT_ALIGN).map(|i| u8::try_from(i % 251).unwrap()).collect();
    file.write_at(DIRECT_ALIGN as u64, AppendBuf::copy_of(&block)).await.unwrap();
    file.sync_data().await.unwrap();
    for (from, len) in [(0, block.len()), (1, 10), (4095, 2), (5000, 5000), (0, 1)] {
        let read = file.read_at((DIRECT_ALIGN + from) as u64, len).await.unwrap();
        assert_eq!(&*read, &block[from..from + len], "{len} bytes from {from}");
    }
    let two = [AppendBuf::copy_of(&[1; DIRECT_ALIGN]), AppendBuf::copy_of(&[2; DIRECT_ALIGN])];
    for pieces in [[0, 1], [1, 0]].map(|order: [usize; 2]| order.map(|nth| two[nth].clone())) {
        let [first, second] = pieces.clone();
        file.write_both_durably_at(8 * DIRECT_ALIGN as u64, first, second).await.unwrap();
        let read = file.read_at(8 * DIRECT_ALIGN as u64, 2 * DIRECT_ALIGN).await.unwrap();
        assert_eq!(&*read, [&*pieces[0], &*pieces[1]].concat());
        file.write_both_at(8 * DIRECT_ALIGN as u64, BufSlice::empty(), pieces[1].clone())
            .await
            .unwrap();
        assert_eq!(file.read_at(8 * DIRECT_ALIGN as u64, 1).await.unwrap()[0], pieces[1][0]);
    }
    file.set_len(5 * DIRECT_ALIGN as u64 + 7).await.unwrap();
    assert_eq!(
        file.read_at(5 * DIRECT_ALIGN as u64, 100).await.unwrap().len(),
        7,
        "short at the end of the file"
    );
    assert_eq!(file.read_at(1 << 20, 100).await.unwrap().len(), 0, "nothing beyond it");
    assert_eq!(std::fs::read(&path).unwrap()[DIRECT_ALIGN..][..block.len()], block);
}

#[test]
fn what_is_written_is_read_back_at_any_offset_through_every_mode() {
    for mode in [OpenMode::Direct, OpenMode::Buffered, OpenMode::PageCache] {
        let dir = folder();
        let path = dir.path().join("00000000000000000000");
        on_a_core(move |core| written_and_read(core, path.clone(), mode));
    }
}

/// With a mapping each of these was SIGBUS, the end of all shards.
#[test]
fn a_file_that_others_cut_short_is_written_on_and_a_full_disk_is_an_error() {
    let dir = folder();
    let path = dir.path().join("00000000000000000000");
    on_a_core(move |core| {
        let path = path.clone();
        async move {
            let file = core.open(&path, OpenMode::PageCache).await.unwrap();
            file.allocate(0, 1 << 20).await.unwrap();
            let block = AppendBuf::copy_of(&[7; DIRECT_ALIGN]);
            file.write_at(0, block.clone()).await.unwrap();
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
            file.write_both_at(8192, block.clone(), block.clone()).await.unwrap();
            file.write_both_durably_at(65_536, block.clone(), block.clone()).await.unwrap();
            assert_eq!(file.len().await.unwrap(), 65_536 + 8192);
            let read = file.read_at(0, 16_384).await.unwrap();
            assert!(read[..8192].iter().all(|byte| *byte == 0), "what was cut off is gone");
            assert!(read[8192..].iter().all(|byte| *byte == 7));
            // The one file of which every Linux says that it is on a full disk.
            let full = core.open("/dev/full".as_ref(), OpenMode::PageCache).await.unwrap();
            let refused = full.write_at(0, block).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        }
    });
}

#[test]
fn many_operations_at_once_all_complete() {
    let dir = folder();
    let path = dir.path().join("file");
    on_a_core(move |core| {
        let path = path.clone();
        async move {
            let file = core.open(&path, OpenMode::Buffered).await.unwrap();
            let (done_in, done) = core.mailbox::<u64>().unwrap();
            for i in 0..500_u64 {
                let (file, done_in) = (file.clone(), done_in.clone());
                core.spawn(Priority::Foreground, async move {
                    file.write_at(i * 8, AppendBuf::copy_of(&i.to_be_bytes())).await.unwrap();
                    let back = file.read_at(i * 8, 8).await.unwrap();
                    done_in.send(u64::from_be_bytes(back[..].try_into().unwrap()));
                });
            }
            let mut sum = 0;
            for _ in 0..500 {
                sum += done.receive().await.unwrap();
            }
            assert_eq!(sum, (0..500).sum::<u64>());
        }
    });
}

#[test]
fn errors_of_the_file_system_come_back_as_errors() {
    let dir = folder();
    let path = dir.path().to_owned();
    on_a_core(move |core| {
        let path = path.clone();
        async move {
            let missing = core.open(&path.join("missing"), OpenMode::Read).await;
            assert_eq!(missing.err().unwrap().kind(), io::ErrorKind::NotFound);
            std::fs::write(path.join("read only"), b"x").unwrap();
            let file = core.open(&path.join("read only"), OpenMode::Read).await.unwrap();
            assert!(file.write_at(0, AppendBuf::copy_of(b"y")).await.is_err());
        }
    });
}

#[test]
fn a_message_from_another_thread_wakes_a_sleeping_core() {
    let (sender_in, sender) = mpsc::channel();
    let (answer_in, answer) = mpsc::channel();
    let running = launch(&[CorePlacement::Unpinned], RingConfig::default(), move |core, _| {
        let (sender_in, answer_in) = (sender_in.clone(), answer_in.clone());
        async move {
            let (sender, mailbox) = core.mailbox::<u32>()?;
            sender_in.send(sender).unwrap();
            for _ in 0..3 {
                answer_in.send(mailbox.receive().await?).unwrap();
            }
            Ok(())
        }
    });
    let sender = sender.recv().unwrap();
    for i in 0..3 {
        std::thread::sleep(Duration::from_millis(20));
        sender.send(i);
        assert_eq!(answer.recv_timeout(Duration::from_secs(20)).unwrap(), i);
    }
    running.unwrap().join().unwrap();
}

#[test]
fn every_shard_runs_on_its_own_core_with_its_own_ring() {
    let cores = available_cores();
    let placements: Vec<_> =
        (0..3).map(|i| CorePlacement::Pinned(cores[i % cores.len()])).collect();
    let (told_in, told) = mpsc::channel();
    let running = launch(&placements, RingConfig::default(), move |core, shard| {
        let told_in = told_in.clone();
        async move {
            core.sleep(Duration::from_millis(5)).await;
            told_in.send((shard, core.random_u64())).unwrap();
            Ok(())
        }
    });
    running.unwrap().join().unwrap();
    let mut shards: Vec<_> = told.iter().collect();
    shards.sort_unstable();
    assert_eq!(shards.iter().map(|(shard, _)| *shard).collect::<Vec<_>>(), [0, 1, 2]);
    assert_ne!(shards[0].1, shards[1].1, "cores draw different random numbers");
}

#[test]
fn an_idle_core_uses_next_to_no_cpu() {
    let (cpu_in, cpu) = mpsc::channel();
    let running = launch(&[CorePlacement::Unpinned], RingConfig::default(), move |core, _| {
        let cpu_in = cpu_in.clone();
        async move {
            let (started, before) = (Instant::now(), thread_cpu_ns());
            core.sleep(Duration::from_secs(5)).await;
            let used = Duration::from_nanos(thread_cpu_ns() - before);
            cpu_in.send(used.as_secs_f64() / started.elapsed().as_secs_f64()).unwrap();
            Ok(())
        }
    });
    running.unwrap().join().unwrap();
    let share = cpu.recv().unwrap();
    // CPU time, not wall time: a busy machine does not add to it. A quiet one shows below 0.5 %.
    assert!(share < 0.02, "{:.2} % of a core in idle seconds", share * 100.0);
}

fn thread_cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_read_at_the_end_is_short_and_the_disk_says_how_full_it_is() {
    let dir = folder();
    let path = dir.path().to_owned();
    on_a_core(move |core| {
        let path = path.clone();
        async move {
            std::fs::write(path.join("short"), vec![7; 5000]).unwrap();
            for mode in [OpenMode::Read, OpenMode::Direct] {
                let file = match core.open(&path.join("short"), mode).await {
                    Err(refused) if refused.kind() == io::ErrorKind::InvalidInput => continue,
                    file => file.unwrap(),
                };
                assert_eq!(file.read_at(4000, 9000).await.unwrap().len(), 1000);
                assert_eq!(file.read_at(9000, 10).await.unwrap().len(), 0);
            }
            let space = core.disk_space(&path).await.unwrap();
            assert!(
                space.total_bytes > 0
                    && space.available_bytes <= space.total_bytes
                    && space.used_percent() <= 100
            );
            assert_eq!(
                core.disk_space(&path.join("missing")).await.unwrap_err().kind(),
                io::ErrorKind::NotFound
            );
            let entry = core.list_dir(&path).await.unwrap().remove(0);
            assert!(
                (core.wall_ms() - entry.modified_ms).abs() < 3_600_000,
                "{}",
                entry.modified_ms
            );
            assert!(core.utc_offset_seconds().abs() <= 14 * 3600);
        }
    });
}

#[test]
fn blocking_work_is_never_forgotten() {
    on_a_core(|core| async move {
        let busy = core.clone();
        core.spawn(Priority::Background, async move {
            loop {
                busy.sleep(Duration::from_micros(700)).await;
            }
        });
        for nth in 0..20_000_u32 {
            let work = core.blocking(move || nth + 1);
            let limit = async {
                core.sleep(Duration::from_secs(20)).await;
                panic!("job {nth} was forgotten");
            };
            assert_eq!(futures_lite::future::or(work, limit).await, nth + 1);
        }
    });
}

#[test]
fn work_that_nobody_waits_for_any_more_harms_nobody() {
    on_a_core(|core| async move {
        for _ in 0..50 {
            let slow =
                async { core.blocking(|| std::thread::sleep(Duration::from_millis(2))).await };
            futures_lite::future::or(slow, core.sleep(Duration::from_micros(100))).await;
        }
        assert_eq!(core.blocking(|| 7).await, 7);
    });
}

/// The kernel may leave "there is deferred work" set although there is none: a completion that was
/// taken in between its being queued and the flag's being set. A core that believes the flag turns
/// its ring for ever and serves nobody else.
#[test]
fn a_flag_that_the_kernel_leaves_set_starves_nobody() {
    writes_and_sleeps_in_turn();
}

/// glommio now and then parks a core whose tasks are ready (see `real::pulse`). Seen where cores
/// and other threads share CPUs, and nothing but the disk and the timers wakes a core.
#[test]
fn a_core_with_ready_tasks_does_not_sleep() {
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    let busy = std::thread::spawn(move || while !is_over.load(Ordering::Relaxed) {});
    let cores = [(); 4].map(|()| std::thread::spawn(writes_and_sleeps_in_turn));
    let outcomes = cores.map(std::thread::JoinHandle::join);
    over.store(true, Ordering::Relaxed);
    busy.join().unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "a core stood still");
}

/// What a broker under SYNC_FLUSH does, without its network: nothing but the disk and the timers
/// wakes the core.
fn writes_and_sleeps_in_turn() {
    const ROUNDS: u32 = 3_000;
    let (progress, seen) = mpsc::channel();
    let dir = folder();
    let path = dir.path().join("file");
    let thread = std::thread::spawn(move || {
        on_a_core(move |core| {
            let (path, progress) = (path.clone(), progress.clone());
            async move {
                core.set_idle_spin(Duration::from_micros(20));
                let file = core.open(&path, OpenMode::Buffered).await.unwrap();
                for nth in 0..ROUNDS {
                    file.write_at(0, AppendBuf::copy_of(&nth.to_be_bytes())).await.unwrap();
                    file.sync_data().await.unwrap();
                    core.sleep(Duration::from_micros(1)).await;
                    progress.send(nth).unwrap();
                }
            }
        });
    });
    let mut last = None;
    while last != Some(ROUNDS - 1) {
        last = Some(
            seen.recv_timeout(Duration::from_secs(30))
                .unwrap_or_else(|_| panic!("the core stands still after {last:?}")),
        );
    }
    thread.join().unwrap();
}

#[test]
fn many_files_are_written_in_one_job_and_synced_with_their_file_system() {
    on_a_core(|core| async move {
        let folder = folder();
        let path = |nth: u32| folder.path().join(nth.to_string());
        for nth in 0..3 {
            std::fs::write(path(nth), [1; 4]).unwrap();
        }
        let write = |nth: u32| FileWrite { path: path(nth), offset: 2, bytes: vec![7; 3] };
        let outcomes = core.write_each(vec![write(0), write(9), write(2)]).await;
        assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
        assert_eq!(outcomes[1].as_ref().unwrap_err().kind(), io::ErrorKind::NotFound);
        let filesystem = core.open_filesystem(folder.path()).await.unwrap();
        filesystem.sync().await.unwrap();
        filesystem.sync().await.unwrap();
        assert_eq!(std::fs::read(path(0)).unwrap(), [1, 1, 7, 7, 7]);
        assert_eq!(std::fs::read(path(1)).unwrap(), [1; 4]);
        assert!(!path(9).exists(), "a file that is gone is not made");
        let gone = core.open_filesystem(&path(9)).await.map(drop);
        assert_eq!(gone.unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}
