//! In steady state an append and a hot read allocate nothing. A binary of its own: the allocator
//! counts for all of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is a failed test")]

use engine::{
    QueueOffset, ReadRequest, ReadSlices, ReadStatus, Store, StoreConfig, TagFilter, TailPlace,
};
use protocol::record::RecordDraft;
use rt::Runtime;
use rt::sim::Sim;
use std::alloc::System;
use std::time::Duration;

mod counting {
    #![expect(unsafe_code, reason = "counting allocations needs a global allocator")]

    use super::System;
    use std::alloc::{GlobalAlloc, Layout};
    use std::cell::Cell;

    thread_local! {
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }

    /// The system's allocator, counting for each thread.
    pub(crate) struct Counting;

    // SAFETY: every call goes to the system's allocator unchanged.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            COUNT.with(|count| count.set(count.get() + 1));
            // SAFETY: the caller's promise about `layout` is passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: the pointer came from `alloc` above with this layout.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    /// Allocations that `run` makes.
    pub(crate) fn allocations(run: impl FnOnce()) -> u64 {
        let before = COUNT.with(Cell::get);
        run();
        COUNT.with(Cell::get) - before
    }
}

#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;

fn config(tail_place: TailPlace) -> StoreConfig {
    let mut config = StoreConfig { tail_place, ..StoreConfig::new("/store") };
    config.commitlog_file_bytes = 4 << 20;
    config.message_bytes_max = 8 * 1024;
    config.chunk_bytes = 64 * 1024;
    config.tail_bytes_max = 1 << 20;
    config.consumequeue_interval_ms = 5;
    config
}

fn draft(body: &[u8], queue_id: i32) -> RecordDraft<'_> {
    let host = "127.0.0.1:10911".parse().unwrap();
    RecordDraft {
        topic: "t",
        queue_id,
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: 1,
        born_host: host,
        store_timestamp_ms: 0,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &[b"TAGS\x01red\x02"],
    }
}

/// Sends and reads 100 messages and drains; what the machine does then is not counted.
fn round(sim: &Sim, store: &Store<Sim>, out: &mut ReadSlices) -> u64 {
    let body = [7; 1024];
    let counted = counting::allocations(|| {
        for nth in 0..100 {
            store.append(&draft(&body, nth % 4)).unwrap();
        }
        for queue_id in 0..4 {
            let max = store.queue_range("t", queue_id).unwrap().max_offset;
            let offset = QueueOffset(max.0 - 20);
            let request = ReadRequest {
                topic: "t",
                queue_id,
                offset,
                max_messages: 32,
                max_bytes: 1 << 20,
                filter: TagFilter::All,
                as_asked: false,
            };
            assert_eq!(store.read(&request, out), ReadStatus::Found);
            assert_eq!(out.messages, 20);
        }
        store.drain_arrivals(|_| ());
        out.clear();
    });
    sim.block_on(sim.sleep(Duration::from_millis(10)));
    counted
}

#[test]
fn append_and_hot_read_allocate_nothing_in_steady_state() {
    for place in
        [TailPlace::Private, TailPlace::Folder { path: "/dev/shm".into(), is_required: true }]
    {
        nothing_is_allocated(place);
    }
}

fn nothing_is_allocated(place: TailPlace) {
    let sim = Sim::new(1);
    let store = sim.block_on(Store::open(sim.clone(), config(place))).unwrap();
    let mut out = ReadSlices::default();
    let warm_up: u64 = (0..60).map(|_| round(&sim, &store, &mut out)).sum();
    assert!(warm_up > 0, "the counter counts");
    let steady: u64 = (0..200).map(|_| round(&sim, &store, &mut out)).sum();
    assert_eq!(steady, 0, "20,000 messages appended and read");
    sim.block_on(store.close()).unwrap();
}
