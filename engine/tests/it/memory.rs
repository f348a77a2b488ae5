//! What readers make a store hold is charged to the shard's account: chunks that only their slices
//! keep alive, and what was read from disk for them. Appends never wait for it, reads from disk do.

use crate::oracle::{Oracle, draft, request, small_config};
use engine::{ColdRead, ReadError, ReadSlices, ReadStatus, Store, TagFilter};
use rt::sim::Sim;
use rt::{BufSlice, MemoryAccount, MemoryUse, Runtime};
use std::time::Duration;

async fn open(sim: &Sim, account: &MemoryAccount) -> Store<Sim> {
    let config = small_config("/store");
    Store::open_charging(sim.clone(), config, account.clone()).await.unwrap()
}

/// Sends messages of 3,000 bytes to one queue.
async fn fill(store: &Store<Sim>, oracle: &mut Oracle, count: usize) {
    for _ in 0..count {
        oracle.append_waiting(store, ("alpha", 0), "red", 3_000).await;
    }
}

/// The newest message, as a hot read answers it.
fn newest(store: &Store<Sim>, oracle: &Oracle) -> BufSlice {
    let at = oracle.sent.last().unwrap().at.queue_offset;
    let mut out = ReadSlices::default();
    let status = store.read(&request("alpha", 0, at.0, TagFilter::All), &mut out);
    assert_eq!(status, ReadStatus::Found);
    out.slices[0].clone()
}

#[test]
fn a_slow_readers_slices_are_charged_for_the_chunks_they_pin_and_appends_go_on() {
    let sim = Sim::new(1);
    sim.block_on(async {
        // Full with the first chunk: lending goes beyond the limit, appends do not notice.
        let account = MemoryAccount::new(4096);
        let store = open(&sim, &account).await;
        let (mut oracle, mut slices) = (Oracle::default(), Vec::new());
        for _ in 0..60 {
            fill(&store, &mut oracle, 10).await;
            slices.push(newest(&store, &oracle).part(0..200));
        }
        let lent = account.used_for(MemoryUse::LentChunks);
        let pinned: usize = slices.iter().map(BufSlice::charged_bytes).sum();
        assert!(lent > 40 * 16 * 1024, "{lent} bytes are lent");
        assert!(pinned >= lent, "each lent chunk is found by a slice of it");
        assert_eq!(account.used_bytes(), lent);
        slices.truncate(3);
        sim.sleep(Duration::from_millis(50)).await;
        let left = account.used_for(MemoryUse::LentChunks);
        assert!((16 * 1024..=3 * 32 * 1024).contains(&left), "{left} bytes for three chunks");
        slices.clear();
        sim.sleep(Duration::from_millis(50)).await;
        assert_eq!(account.used_bytes(), 0, "all of it was given back");
        store.close().await.unwrap();
    });
}

fn cold_request(offset: i64) -> engine::OwnedReadRequest {
    request("alpha", 0, offset, TagFilter::All).to_owned()
}

#[test]
fn a_thousand_cold_reads_at_once_stay_within_the_account_and_go_on_when_memory_is_back() {
    let sim = Sim::new(2);
    sim.block_on(async {
        let limit = 600 * 1024;
        let account = MemoryAccount::new(limit);
        let store = open(&sim, &account).await;
        let mut oracle = Oracle::default();
        fill(&store, &mut oracle, 1_100).await;
        store.close().await.unwrap();
        let store = open(&sim, &account).await;
        let mut answers: Vec<ColdRead> = Vec::new();
        let mut refused = 0;
        // Places far apart, and every answer is kept.
        let reads = (0..1_000).map(|nth| {
            let store = store.clone();
            async move { store.read_cold(cold_request(nth * 37 % 1_000)).await }
        });
        let ends = futures_util::future::join_all(reads.map(|read| async {
            let read = read.await;
            assert!(account.used_bytes() <= limit, "{} of {limit}", account.used_bytes());
            read
        }));
        for end in ends.await {
            match end {
                Ok(read) => answers.push(read),
                Err(ReadError::TooMuchMemory { wanted_bytes, used_bytes, limit_bytes }) => {
                    assert!(used_bytes + wanted_bytes > limit_bytes && limit_bytes == limit);
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(refused > 100 && answers.len() > 10, "{refused} refused, {}", answers.len());
        assert!(answers.iter().all(|read| read.status == ReadStatus::Found && read.messages > 0));
        assert!(account.used_for(MemoryUse::ColdWindows) > limit / 2);
        store.append(&draft("alpha", 0, b"appends go on", &[])).unwrap();
        drop(answers);
        for nth in 0..1_000 {
            let read = store.read_cold(cold_request(nth)).await.unwrap();
            assert_eq!(read.status, ReadStatus::Found);
        }
        assert!(account.used_bytes() <= 2 * 64 * 1024, "only what the cache keeps");
        store.close().await.unwrap();
        drop(store);
        assert_eq!(account.used_bytes(), 0);
    });
}

#[test]
fn a_read_that_meets_a_full_account_after_its_first_messages_returns_these() {
    let sim = Sim::new(3);
    sim.block_on(async {
        let account = MemoryAccount::new(1 << 20);
        let store = open(&sim, &account).await;
        let mut oracle = Oracle::default();
        // Neighbours in the queue that are far apart in the log: each is a read of its own.
        for _ in 0..8 {
            fill(&store, &mut oracle, 1).await;
            for _ in 0..12 {
                oracle.append_waiting(&store, ("beta", 0), "red", 3_000).await;
            }
        }
        store.close().await.unwrap();
        let store = open(&sim, &account).await;
        let held = account.charge(MemoryUse::Answers, (1 << 20) - 30_000);
        let read = store.read_cold(cold_request(0)).await.unwrap();
        assert!((1..8).contains(&read.messages), "{} messages", read.messages);
        assert_eq!(read.next_begin_offset.0, i64::try_from(read.messages).unwrap());
        let next = store.read_cold(cold_request(read.next_begin_offset.0)).await;
        assert!(matches!(next, Err(ReadError::TooMuchMemory { .. })), "{next:?}");
        assert!(next.unwrap_err().to_string().contains("readers hold"));
        drop((held, read));
        let next = store.read_cold(cold_request(3)).await.unwrap();
        assert_eq!((next.status, next.messages), (ReadStatus::Found, 5));
        store.close().await.unwrap();
    });
}
