//! The store's properties, each file one of them, on the simulated runtime (and on real files in
//! `real_files`).
//!
//! A failing run prints its seed; `ENGINE_SEED=<seed> cargo test -p engine --test it <test>`
//! replays it alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is a failed test")]

mod apache_units;
mod append_all;
mod bad_store;
mod batch;
mod cache_follows_memory;
mod closing;
mod consumequeue_is_derived;
mod copied_once;
mod copy;
mod copy_simulation;
mod crash;
mod cuts;
mod damage;
mod deleted_topic_stays_deleted;
mod faults;
mod filter;
mod flipped_bits;
mod flushed_mark;
mod gathers;
mod hot_and_cold;
mod index;
mod index_damage;
mod index_handed;
mod kept_tail;
mod kept_tail_refused;
mod light;
mod log_goes_on;
mod many_queues;
mod memory;
mod names;
mod oracle;
mod own_reads;
mod raw;
mod real_files;
mod recover_every_byte_cut;
mod restart;
mod retention;
mod roll;
mod shared_windows;
mod simulation;
mod statuses;
mod stuck_queue;
mod synced_together;
mod tail_full;
mod time_search;
mod torn_stays_torn;
mod truncate;
mod units;
mod visible;
mod warm_after_kill;
mod zero_in_properties;
