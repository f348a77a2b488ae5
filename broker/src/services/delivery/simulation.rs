//! What the simulations of delay levels, timers and transactions share: seeds and how a failure
//! replays, a small store, appending with patience, and what an end takes.

use crate::sends::errors::PutError;
use engine::{
    AppendError, Appended, FlushPolicy, PhyOffset, Store, StoreConfig, TailMemory, TailPlace,
};
use protocol::record::RecordDraft;
use rt::sim::Sim;
use std::net::SocketAddr;
use std::ops::Range;

/// A simulation that runs over many seeds.
#[derive(Clone, Copy)]
pub(crate) struct Campaign {
    /// The environment variable that names one seed; with an `S` behind it, how many.
    pub(crate) variable: &'static str,
    /// What `cargo test` finds it by.
    pub(crate) filter: &'static str,
    /// Seeds of a plain `cargo test`.
    pub(crate) seeds: u64,
}

impl Campaign {
    /// The seeds that were asked for.
    pub(crate) fn seeds(&self) -> Range<u64> {
        let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
        match (number(self.variable.to_owned()), number(format!("{}S", self.variable))) {
            (Some(seed), _) => seed..seed + 1,
            (None, seeds) => 0..seeds.unwrap_or(self.seeds),
        }
    }

    /// Whether these are enough seeds that everything rare must have happened.
    pub(crate) fn is_whole(&self, seeds: &Range<u64>) -> bool {
        seeds.end - seeds.start >= self.seeds
    }

    /// Runs all seeds; over enough of them everything rare must have happened.
    pub(crate) fn play<T: Tallied>(&self, run: impl Fn(u64) -> T) {
        let seeds = self.seeds();
        let mut all = T::default();
        for seed in seeds.clone() {
            all.add(&run(seed));
        }
        println!("seeds {seeds:?}: {all:#?}");
        if self.is_whole(&seeds) {
            all.assert_not_vacuous();
        }
    }

    /// While it lives, a failure says how to replay it.
    pub(crate) fn replay(self, seed: u64) -> Replay {
        Replay(self, seed)
    }
}

/// What happened in a run, or in many.
pub(crate) trait Tallied: Default + std::fmt::Debug + PartialEq {
    /// Adds what happened in another run.
    fn add(&mut self, other: &Self);

    /// Fails when something rare never happened.
    fn assert_not_vacuous(&self);
}

/// A run that is the same each time.
pub(crate) fn assert_replays<T: Tallied>(run: impl Fn(u64) -> T) {
    for seed in 0..2 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

/// See [`Campaign::replay`].
pub(crate) struct Replay(Campaign, u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(Campaign { variable, filter, .. }, seed) = self;
            eprintln!("replay: {variable}={seed} cargo test -p broker --lib {filter}");
        }
    }
}

/// Who sends and stores.
pub(crate) fn host() -> SocketAddr {
    "127.0.0.1:10911".parse().unwrap()
}

/// A message for queue 0 of a topic.
pub(crate) fn draft<'a>(
    topic: &'a str,
    body: &'a [u8],
    properties: &'a [&'a [u8]],
) -> RecordDraft<'a> {
    RecordDraft {
        topic,
        queue_id: 0,
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: 1,
        born_host: host(),
        store_timestamp_ms: 0,
        store_host: host(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

/// A store with small files, so that a short life fills several. Even seeds flush before they
/// acknowledge.
pub(crate) fn config(root: &str, seed: u64) -> StoreConfig {
    let mut config = StoreConfig::new(root);
    config.commitlog_file_bytes = 256 * 1_024;
    config.consumequeue_file_units = 200;
    config.message_bytes_max = 8 * 1_024;
    config.chunk_bytes = 16 * 1_024;
    config.tail_bytes_max = config.tail_bytes_min();
    config.read_ahead_bytes = 16 * 1_024;
    config.cold_cache_bytes_max = 64 * 1_024;
    config.flush_interval_ms = 20;
    config.consumequeue_interval_ms = 30;
    config.checkpoint_interval_ms = 200;
    config.index_enabled = false;
    config.process_id = 1;
    if seed.is_multiple_of(2) {
        config.flush = FlushPolicy::Sync;
    } else {
        config.tail_place = TailPlace::Folder { path: "/dev/shm".into(), is_required: false };
    }
    config
}

/// Appends as soon as there is room, and tells of it.
pub(crate) async fn append(
    store: &Store<Sim>,
    draft: &RecordDraft<'_>,
    appended: impl Fn(),
) -> Result<Appended, PutError> {
    loop {
        match store.append(draft) {
            Ok(place) => {
                appended();
                return Ok(place);
            }
            Err(AppendError::TailFull { .. }) => store.wait_writable().await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Completes when everything below `end` is acknowledged.
pub(crate) async fn passed(store: &Store<Sim>, end: PhyOffset) -> Result<(), PutError> {
    loop {
        let seen = store.acknowledged();
        if end <= seen {
            return Ok(());
        }
        if let Some(reason) = store.poisoned() {
            return Err(PutError::Poisoned { reason });
        }
        store.acknowledged_beyond(seen).await;
    }
}

/// Calls `tell` whenever messages may have become visible.
pub(crate) async fn tell_arrivals(store: Store<Sim>, tell: impl Fn()) {
    while store.poisoned().is_none() {
        let seen = store.acknowledged();
        tell();
        store.acknowledged_beyond(seen).await;
    }
}

/// What of the log an end at this moment can't take.
pub(crate) fn survives(store: &Store<Sim>, is_power_cut: bool) -> PhyOffset {
    let is_kept = matches!(store.tail_memory(), TailMemory::Kept { .. });
    match (is_power_cut, is_kept) {
        (true, _) => store.flushed(),
        (false, true) => store.appended(),
        (false, false) => store.written(),
    }
}
