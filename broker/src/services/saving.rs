//! Writes the tables to their files, in RocketMQ's format and places.
//!
//! | file | written |
//! |---|---|
//! | `config/topics.json` | after the turn that changed it |
//! | `config/subscriptionGroup.json` | after the turn that changed it |
//! | `config/consumerOffset.json`, with `enableLmq` `config/lmqConsumerOffset.json` | every `flushConsumerOffsetInterval`, and at the end |
//! | `config/messageRequestMode.json` | after the turn that changed it |
//! | `config/consumerOrderInfo.json` | every `flushConsumerOffsetInterval`, and at the end |
//! | `config/delayOffset.json` | every `flushDelayOffsetInterval`, once the log is flushed that far, and at the end |
//!
//! A write replaces the whole file and keeps the one before as `.bak`, so a crash leaves the old or
//! the new one.

use crate::checked;
use crate::shard::{Cx, Shard};
use crate::tables::Tables;
use crate::tables::files::{
    DELAY_OFFSETS, FOLDER, GROUPS, OFFSETS, POP_ORDERS, REQUEST_MODES, TOPICS, offsets_file,
};
use netcore::Net;
use protocol::json;
use rt::{Priority, Runtime};
use std::io;
use std::path::Path;
use std::time::Duration;

/// After a round the next waits so many times as long as it took to make the text. A peer that
/// makes up groups or topics without end makes the core write large tables, but not all the time.
const PAUSE_FACTOR: u64 = 20;
/// After a file could not be written: a full disk is asked, and told of, once a second.
const FAILED_PAUSE_NANOS: u64 = 1_000_000_000;
/// How long [`save_now`] waits for a round under way before it looks again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(1);

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
const FILES: [SavedFile; 6] = [
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
    // It has news when `services::schedule` says so.
    SavedFile {
        path: DELAY_OFFSETS,
        is_periodic: false,
        take: |tables| {
            tables.delay_offsets.take_unsaved().map(|offsets| json::to_fastjson(&offsets))
        },
        put_back: |tables| tables.delay_offsets.set_unsaved(),
    },
    SavedFile {
        path: REQUEST_MODES,
        is_periodic: false,
        take: |tables| {
            let modes = &mut tables.request_modes;
            modes.take_unsaved().then(|| json::to_fastjson(modes.wrapper()))
        },
        put_back: |tables| tables.request_modes.set_unsaved(),
    },
    SavedFile {
        path: POP_ORDERS,
        is_periodic: true,
        take: |tables| tables.pop_orders.take_unsaved().map(|orders| json::to_fastjson(&orders)),
        put_back: |tables| tables.pop_orders.set_unsaved(),
    },
];

/// A file and its new text.
type Round = Vec<(&'static SavedFile, Vec<u8>)>;

/// Saves the periodic files when it is time, and what earlier rounds left.
pub(crate) fn tick(shard: &mut Shard, _: &mut Net) {
    let every_ms = checked::millis_i64(shard.cx.options.process.persist_every);
    let now_ms = shard.cx.now_ms();
    save(shard, now_ms.saturating_sub(shard.services.saving.periodic_ms) >= every_ms);
}

/// Saves what this turn changed.
pub(crate) fn turn_ended(shard: &mut Shard) {
    save(shard, false);
}

fn save(shard: &mut Shard, periodic_too: bool) {
    let started = shard.cx.core.now_nanos();
    if shard.services.saving.is_under_way || started < shard.services.saving.again_nanos {
        return; // a later turn or tick does it
    }
    let round = take(shard, periodic_too);
    if round.is_empty() {
        return;
    }
    let took = shard.cx.core.now_nanos() - started;
    shard.services.saving.again_nanos = started + PAUSE_FACTOR * took;
    shard.services.saving.is_under_way = true;
    let cx = shard.cx.clone();
    shard.cx.core.spawn(Priority::Background, async move {
        let failed = write(&cx, round).await;
        cx.with(|shard, _| ended(shard, &failed));
    });
}

fn take(shard: &mut Shard, periodic_too: bool) -> Round {
    if periodic_too {
        shard.services.saving.periodic_ms = shard.cx.now_ms();
    }
    let due = FILES.iter().filter(|file| periodic_too || !file.is_periodic);
    due.filter_map(|file| (file.take)(&mut shard.tables).map(|text| (file, text))).collect()
}

/// Saves all that is unsaved now, periodic files too, and completes when it is on disk. False when
/// a file could not be written: it is tried again later.
pub(crate) async fn save_now(cx: &Cx) -> bool {
    let begin = |shard: &mut Shard, _: &mut Net| {
        std::mem::replace(&mut shard.services.saving.is_under_way, true)
    };
    while cx.with(begin) {
        cx.core.sleep(LOOK_AGAIN_AFTER).await; // another round writes the same files
    }
    let round = cx.with(|shard, _| take(shard, true));
    let failed = write(cx, round).await;
    cx.with(|shard, _| ended(shard, &failed));
    failed.is_empty()
}

fn ended(shard: &mut Shard, failed: &[&'static SavedFile]) {
    shard.services.saving.is_under_way = false;
    failed.iter().for_each(|file| (file.put_back)(&mut shard.tables));
    if !failed.is_empty() {
        let again = shard.cx.core.now_nanos() + FAILED_PAUSE_NANOS;
        shard.services.saving.again_nanos = again;
    }
}

/// Writes the files of a round; returns those that could not be written.
async fn write(cx: &Cx, round: Round) -> Vec<&'static SavedFile> {
    let root = &cx.options.store_root;
    if let Err(error) = make_folder_once(cx).await {
        tracing::error!("make {}: {error}", root.join(FOLDER).display());
        return round.into_iter().map(|(file, _)| file).collect();
    }
    let mut failed = vec![];
    for (file, text) in round {
        let path = if file.path == OFFSETS { offsets_file(&cx.options) } else { file.path };
        if let Err(error) = replace(&cx.core, root, path, text).await {
            tracing::error!("write {}: {error}", root.join(path).display());
            failed.push(file);
        }
    }
    failed
}

async fn make_folder_once(cx: &Cx) -> io::Result<()> {
    if !cx.with(|shard, _| shard.services.saving.has_folder) {
        make_folder(&cx.core, &cx.options.store_root).await?;
        cx.with(|shard, _| shard.services.saving.has_folder = true);
    }
    Ok(())
}

/// Makes the folder of the files, so that a power cut does not take it with all that is in it:
/// making a file durable does not make its folder durable.
pub(crate) async fn make_folder<R: Runtime>(rt: &R, root: &Path) -> io::Result<()> {
    rt.create_dir_all(&root.join(FOLDER)).await?;
    rt.sync_dir(root).await
}

/// Writes one file. It is durable afterwards, once its folder is.
pub(crate) async fn replace<R: Runtime>(
    rt: &R,
    root: &Path,
    file: &str,
    text: Vec<u8>,
) -> io::Result<()> {
    rt.create_dir_all(&root.join(FOLDER)).await?; // somebody may have removed it
    rt.replace_file(&root.join(file), text, true).await
}
