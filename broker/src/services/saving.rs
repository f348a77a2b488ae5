//! Writes the tables to their files, in RocketMQ's format and places.
//!
//! | file | written |
//! |---|---|
//! | `config/topics.json` | after the turn that changed it |
//! | `config/subscriptionGroup.json` | after the turn that changed it |
//! | `config/consumerOffset.json` | every `flushConsumerOffsetInterval`, and at the end |
//!
//! A write replaces the whole file and keeps the one before as `.bak`, so a crash leaves the old or
//! the new one.

use crate::checked;
use crate::shard::{Cx, Shard};
use crate::tables::Tables;
use crate::tables::files::{GROUPS, OFFSETS, TOPICS};
use netcore::Net;
use protocol::json;
use rt::{Priority, Runtime as _};

/// After a round the next waits so many times as long as it took to make the text. A peer that
/// makes up groups or topics without end makes the core write large tables, but not all the time.
const PAUSE_FACTOR: u64 = 20;

/// One saved table: its file, what is unsaved of it, and how it becomes unsaved again.
struct SavedFile {
    path: &'static str,
    /// Only when it is time, not after every change.
    is_periodic: bool,
    /// Its text, if anything changed since the last call.
    take: fn(&mut Tables) -> Option<Vec<u8>>,
    /// Writing failed: it is still to be done.
    put_back: fn(&mut Tables),
}

/// The one list of saved tables.
const FILES: [SavedFile; 3] = [
    SavedFile {
        path: TOPICS,
        is_periodic: false,
        take: |tables| {
            tables.topics.take_unsaved().then(|| json::to_fastjson(&tables.topics.for_file()))
        },
        put_back: |tables| tables.topics.set_unsaved(),
    },
    SavedFile {
        path: GROUPS,
        is_periodic: false,
        take: |tables| {
            tables.groups.take_unsaved().then(|| json::to_fastjson(&tables.groups.for_file()))
        },
        put_back: |tables| tables.groups.set_unsaved(),
    },
    SavedFile {
        path: OFFSETS,
        is_periodic: true,
        take: |tables| tables.offsets.take_unsaved().map(|offsets| json::to_fastjson(&offsets)),
        put_back: |tables| tables.offsets.set_unsaved(),
    },
];

/// How far the tables of a shard are saved.
#[derive(Debug)]
pub(crate) struct Saving {
    /// A task writes at this moment.
    is_under_way: bool,
    /// When the periodic files were taken last, in milliseconds since 1970.
    periodic_ms: i64,
    /// Not before this time of the monotonic clock.
    again_nanos: u64,
}

impl Saving {
    /// At the start of a shard.
    pub(crate) fn new(now_ms: i64) -> Self {
        Self { is_under_way: false, periodic_ms: now_ms, again_nanos: 0 }
    }
}

/// A file and its new text.
type Round = Vec<(&'static SavedFile, Vec<u8>)>;

/// Saves the periodic files when it is time, and what earlier rounds left.
pub(crate) fn tick(shard: &mut Shard, _: &mut Net) {
    let every_ms = checked::millis_i64(shard.cx.options.process.persist_every);
    let now_ms = shard.cx.now_ms();
    save(shard, now_ms.saturating_sub(shard.saving.periodic_ms) >= every_ms);
}

/// Saves what this turn changed.
pub(crate) fn turn_ended(shard: &mut Shard) {
    save(shard, false);
}

fn save(shard: &mut Shard, periodic_too: bool) {
    let started = shard.cx.core.now_nanos();
    if shard.saving.is_under_way || started < shard.saving.again_nanos {
        return; // a later turn or tick does it
    }
    let round = take(shard, periodic_too);
    if round.is_empty() {
        return;
    }
    let took = shard.cx.core.now_nanos() - started;
    shard.saving.again_nanos = started + PAUSE_FACTOR * took;
    shard.saving.is_under_way = true;
    let cx = shard.cx.clone();
    shard.cx.core.spawn(Priority::Background, async move {
        let failed = write(&cx, round).await;
        cx.with(|shard, _| {
            shard.saving.is_under_way = false;
            failed.iter().for_each(|file| (file.put_back)(&mut shard.tables));
        });
    });
}

fn take(shard: &mut Shard, periodic_too: bool) -> Round {
    if periodic_too {
        shard.saving.periodic_ms = shard.cx.now_ms();
    }
    let due = FILES.iter().filter(|file| periodic_too || !file.is_periodic);
    due.filter_map(|file| (file.take)(&mut shard.tables).map(|text| (file, text))).collect()
}

/// Everything that is not saved yet, for the end of the shard. Whether all could be written.
pub(crate) fn last_round(shard: &mut Shard) -> impl Future<Output = bool> + use<> {
    let (round, cx) = (take(shard, true), shard.cx.clone());
    async move { write(&cx, round).await.is_empty() }
}

/// Writes the files of a round; returns those that could not be written.
async fn write(cx: &Cx, round: Round) -> Vec<&'static SavedFile> {
    let mut failed = vec![];
    for (file, text) in round {
        let path = cx.options.store_root.join(file.path);
        let made = match path.parent() {
            Some(folder) => cx.core.create_dir_all(folder).await,
            None => Ok(()),
        };
        let written = match made {
            Ok(()) => cx.core.replace_file(&path, text, true).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::error!("write {}: {error}", path.display());
            failed.push(file);
        }
    }
    failed
}
