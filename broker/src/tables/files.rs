//! The tables' files, in RocketMQ's format and places: `config/topics.json`,
//! `config/subscriptionGroup.json`, `config/consumerOffset.json`, each with the version before it
//! beside it as `.bak`.
//!
//! Topics and groups are written as soon as they change, offsets every five seconds and at the end.
//! A write replaces the whole file, so a crash leaves the old or the new one.

use crate::checked;
use crate::config::ShardOptions;
use crate::shard::{Shard, Tables};
use crate::tables::NotServed;
use crate::tables::groups::SubscriptionGroups;
use crate::tables::offsets::ConsumerOffsets;
use crate::tables::topics::Topics;
use engine::Store;
use protocol::bodies::{TopicConfig, perm};
use protocol::{json, names};
use rt::real::Core;
use rt::{Priority, Runtime};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

const TOPICS: &str = "config/topics.json";
const GROUPS: &str = "config/subscriptionGroup.json";
const OFFSETS: &str = "config/consumerOffset.json";

/// After a round the next waits so many times as long as it took to make the text.
const SAVE_PAUSE_FACTOR: u64 = 20;

/// Why a table can't be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    /// The file can't be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Neither the file nor its backup holds JSON.
    #[error(
        "{path} can't be understood ({reason}), and {backup} can't stand in ({backup_reason}). \
            Fix: repair one of them, or move both away to start without"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why: what was expected and found at which byte.
        reason: String,
        /// Its backup.
        backup: PathBuf,
        /// Why that is no better.
        backup_reason: String,
    },
}

/// A file that its backup stood in for.
#[derive(Debug)]
pub(crate) struct Mended {
    path: PathBuf,
    /// What is wrong with it; `None` when it was not there.
    damaged: Option<Vec<u8>>,
    good: Vec<u8>,
}

/// Loads the tables of a shard; what is missing starts as a new broker's.
pub(crate) async fn load(core: &Core, options: &ShardOptions) -> Result<Tables, TableError> {
    let now_ms = core.wall_ms();
    let mut tables = Tables {
        topics: Topics::new(options, now_ms),
        groups: SubscriptionGroups::new(&options.process, now_ms),
        offsets: ConsumerOffsets::default(),
        mended: vec![],
    };
    let mended = &mut tables.mended;
    if let Some(saved) = load_one(core, &options.store_root.join(TOPICS), mended).await? {
        say_not_served(TOPICS, &tables.topics.load(saved));
    }
    if let Some(saved) = load_one(core, &options.store_root.join(GROUPS), mended).await? {
        say_not_served(GROUPS, &tables.groups.load(saved));
    }
    if let Some(saved) = load_one(core, &options.store_root.join(OFFSETS), mended).await? {
        tables.offsets = ConsumerOffsets::load(saved);
    }
    Ok(tables)
}

fn say_not_served(file: &str, not_served: &[NotServed]) {
    for NotServed { name, why } in not_served {
        tracing::warn!("{name:?} stays in {file} and is not served: {why}");
    }
}

/// Queues of a topic that was created by a send, when nothing says how many: what clients ask for
/// by default.
const QUEUES_OF_LOST_TOPIC: i32 = 4;

/// Topics are written to their file right after the turn that made them, messages may be durable
/// earlier: a broker killed in between has messages of a topic that it does not know. They were
/// acknowledged, so the topic comes back.
pub(crate) fn put_back_lost_topics(topics: &mut Topics, store: &Store<Core>, now_ms: i64) {
    let mut lost: BTreeMap<String, i32> = BTreeMap::new();
    store.for_each_queue(|topic, queue_id, _| {
        if topics.get(topic).is_none() && !topics.is_not_served(topic) {
            let queues = lost.entry(topic.to_owned()).or_default();
            *queues = (*queues).max(queue_id.saturating_add(1));
        }
    });
    for (name, used) in lost {
        if let Err(why) = names::check_topic(&name) {
            tracing::warn!("{name:?} has messages, is not in {TOPICS} and is not served: {why}");
            continue;
        }
        let queues = if names::is_retry_topic(&name) || names::is_dlq_topic(&name) {
            used
        } else {
            used.max(QUEUES_OF_LOST_TOPIC)
        };
        match topics
            .create_if_absent(TopicConfig::new(&name, queues, perm::READ | perm::WRITE), now_ms)
        {
            Ok(_) => tracing::warn!(
                "topic {name} has messages and is not in {TOPICS}: put back with {queues} queues"
            ),
            Err(error) => tracing::warn!(
                "topic {name} has messages and is not in {TOPICS}, and can't be put back: {error}"
            ),
        }
    }
}

/// The file, or its backup when the file is missing, empty or damaged (as RocketMQ does). Nothing
/// is loaded in silence from a file that is there and says nothing: groups would begin anew.
async fn load_one<T: DeserializeOwned>(
    core: &Core,
    path: &Path,
    mended: &mut Vec<Mended>,
) -> Result<Option<T>, TableError> {
    let bytes = read_if_there(core, path).await?;
    let reason = match bytes.as_deref().map(parse::<T>) {
        Some(Ok(table)) => return Ok(Some(table)),
        Some(Err(reason)) => Some(reason),
        None => None,
    };
    let backup = with_suffix(path, ".bak");
    let good = read_if_there(core, &backup).await?;
    match (good.as_deref().map(parse::<T>), reason) {
        (Some(Ok(table)), reason) => {
            tracing::warn!(
                "{} is used in the place of {}: {}",
                backup.display(),
                path.display(),
                reason.as_deref().unwrap_or("it is missing")
            );
            mended.push(Mended {
                path: path.to_owned(),
                damaged: bytes,
                good: good.unwrap_or_default(),
            });
            Ok(Some(table))
        }
        (None, None) => Ok(None),
        (found, reason) => {
            let backup_reason =
                found.and_then(Result::err).unwrap_or_else(|| "it is missing".to_owned());
            let reason = reason.unwrap_or_else(|| "it is missing".to_owned());
            Err(TableError::Damaged { path: path.to_owned(), reason, backup, backup_reason })
        }
    }
}

async fn read_if_there(core: &Core, path: &Path) -> Result<Option<Vec<u8>>, TableError> {
    match core.read_file(path).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TableError::Read { path: path.to_owned(), source }),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    json::from_lenient(bytes).map_err(|error| error.to_string())
}

/// Puts what the backups held in the place of what is damaged, which is kept beside it as
/// `.damaged`: the next save would otherwise make it the backup.
pub(crate) async fn mend(core: &Core, tables: &Tables) {
    for Mended { path, damaged, good } in &tables.mended {
        if let Some(damaged) = damaged
            && let Err(error) =
                core.replace_file(&with_suffix(path, ".damaged"), damaged.clone(), false).await
        {
            tracing::warn!("keeping a copy of {}: {error}", path.display());
        }
        if let Err(error) = core.replace_file(path, good.clone(), false).await {
            tracing::warn!("write {}: {error}", path.display());
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What one round of saving writes.
struct Round {
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Shard {
    /// Writes topics and groups that changed in this turn.
    pub(crate) fn save_changed_topics(&mut self) {
        self.save(false);
    }

    /// Writes offsets when it is time.
    pub(crate) fn save_if_needed(&mut self, now_ms: i64) {
        let every_ms = checked::millis_i64(self.options.process.persist_every);
        self.save(now_ms.saturating_sub(self.offsets_saved_ms) >= every_ms);
    }

    fn save(&mut self, offsets_too: bool) {
        let started = self.core.now_nanos();
        if self.saving || started < self.save_again_nanos {
            return; // a later turn or tick does it
        }
        let round = self.unsaved(offsets_too);
        if round.files.is_empty() {
            return;
        }
        // A peer that makes up groups or topics without end makes the core write large tables, but
        // not all the time.
        self.save_again_nanos = started + SAVE_PAUSE_FACTOR * (self.core.now_nanos() - started);
        let Some(network) = self.network.clone() else { return };
        self.saving = true;
        let (core, root) = (self.core.clone(), self.options.store_root.clone());
        self.core.spawn(Priority::Background, async move {
            let failed = write(&core, &root, round).await;
            network.with(|shard, _| {
                shard.saving = false;
                shard.not_saved(&failed);
            });
        });
    }

    fn unsaved(&mut self, offsets_too: bool) -> Round {
        let mut files = vec![];
        if self.topics.take_unsaved() {
            files.push((TOPICS, json::to_fastjson(&self.topics.for_file())));
        }
        if self.groups.take_unsaved() {
            files.push((GROUPS, json::to_fastjson(&self.groups.for_file())));
        }
        let offsets = if offsets_too { self.offsets.take_unsaved() } else { None };
        if offsets_too {
            self.offsets_saved_ms = self.now_ms();
        }
        files.extend(offsets.map(|offsets| (OFFSETS, json::to_fastjson(&offsets))));
        Round { files }
    }

    fn not_saved(&mut self, failed: &[&'static str]) {
        for file in failed {
            match *file {
                TOPICS => self.topics.set_unsaved(),
                GROUPS => self.groups.set_unsaved(),
                _ => self.offsets.set_unsaved(),
            }
        }
    }

    /// Everything that is not saved yet, for the end of the shard.
    pub(crate) fn last_round(&mut self) -> impl Future<Output = bool> + use<> {
        let round = self.unsaved(true);
        let (core, root) = (self.core.clone(), self.options.store_root.clone());
        async move { write(&core, &root, round).await.is_empty() }
    }
}

/// Writes the files of a round; returns those that could not be written.
async fn write(core: &Core, root: &Path, round: Round) -> Vec<&'static str> {
    let mut failed = vec![];
    for (file, content) in round.files {
        let path = root.join(file);
        let made = match path.parent() {
            Some(folder) => core.create_dir_all(folder).await,
            None => Ok(()),
        };
        let written = match made {
            Ok(()) => core.replace_file(&path, content, true).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::error!("write {}: {error}", path.display());
            failed.push(file);
        }
    }
    failed
}
