//! The tables' files, in RocketMQ's format and places: `config/topics.json`,
//! `config/subscriptionGroup.json`, `config/consumerOffset.json`, `config/delayOffset.json`,
//! `config/messageRequestMode.json`, `config/consumerOrderInfo.json`, each with the version before
//! it beside it as `.bak`.
//!
//! This is how they are loaded; `services::saving` writes them.

use super::{Tables, consumers::ConsumerGroups, locks::QueueLocks, producers::ProducerGroups};
use crate::config::ShardOptions;
use crate::tables::delay_offsets::DelayOffsets;
use crate::tables::epochs;
use crate::tables::groups::SubscriptionGroups;
use crate::tables::not_served::NotServed;
use crate::tables::offsets::ConsumerOffsets;
use crate::tables::pop_orders::PopOrders;
use crate::tables::pull_offsets::PullOffsets;
use crate::tables::request_modes::RequestModes;
use crate::tables::topics::Topics;
use engine::Store;
use protocol::bodies::{TopicConfig, perm};
use protocol::{json, names};
use rt::Runtime;
use rt::real::Core;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of them all.
pub(crate) const FOLDER: &str = "config";
pub(crate) const TOPICS: &str = "config/topics.json";
pub(crate) const GROUPS: &str = "config/subscriptionGroup.json";
pub(crate) const OFFSETS: &str = "config/consumerOffset.json";
/// In place of it with `enableLmq`, as in Apache (`LmqConsumerOffsetManager`).
pub(crate) const LIGHT_OFFSETS: &str = "config/lmqConsumerOffset.json";
pub(crate) const DELAY_OFFSETS: &str = "config/delayOffset.json";
pub(crate) const REQUEST_MODES: &str = "config/messageRequestMode.json";
pub(crate) const POP_ORDERS: &str = "config/consumerOrderInfo.json";
/// How far timers are; binary.
pub(crate) const TIMER_CHECK: &str = "config/timercheck";

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

/// The tables as they were loaded.
pub(crate) struct Loaded {
    /// The tables.
    pub(crate) tables: Tables,
    /// Files that were damaged and whose backups were used.
    mended: Vec<Mended>,
}

/// Loads the tables of a shard; what is missing starts as a new broker's.
pub(crate) async fn load(core: &Core, options: &ShardOptions) -> Result<Loaded, TableError> {
    let now_ms = core.wall_ms();
    let limits = options.process.serve.limits;
    let mut tables = Tables {
        topics: Topics::new(options, now_ms),
        groups: SubscriptionGroups::new(&options.process, now_ms),
        offsets: ConsumerOffsets::default(),
        pulled: PullOffsets::default(),
        request_modes: RequestModes::default(),
        pop_orders: PopOrders::default(),
        delay_offsets: DelayOffsets::default(),
        epochs: epochs::load(core, &options.store_root).await,
        consumers: ConsumerGroups::new(limits),
        producers: ProducerGroups::new(limits),
        locks: QueueLocks::default(),
    };
    let mut files = vec![];
    let mended = &mut files;
    if let Some(saved) = load_one(core, &options.store_root.join(TOPICS), mended).await? {
        say_not_served(TOPICS, &tables.topics.load(saved));
    }
    if let Some(saved) = load_one(core, &options.store_root.join(GROUPS), mended).await? {
        say_not_served(GROUPS, &tables.groups.load(saved));
    }
    tables.offsets = load_offsets(core, options, mended).await?;
    if let Some(saved) = load_one(core, &options.store_root.join(DELAY_OFFSETS), mended).await? {
        tables.delay_offsets = DelayOffsets::load(saved);
    }
    if let Some(saved) = load_one(core, &options.store_root.join(REQUEST_MODES), mended).await? {
        tables.request_modes = RequestModes::load(saved);
    }
    if let Some(saved) = load_one(core, &options.store_root.join(POP_ORDERS), mended).await? {
        tables.pop_orders = PopOrders::load(saved);
    }
    Ok(Loaded { tables, mended: files })
}

/// A store whose `enableLmq` has changed has its offsets in the other file: Apache would begin
/// anew.
async fn load_offsets(
    core: &Core,
    options: &ShardOptions,
    mended: &mut Vec<Mended>,
) -> Result<ConsumerOffsets, TableError> {
    let own = offsets_file(options);
    let other = if own == OFFSETS { LIGHT_OFFSETS } else { OFFSETS };
    let mut saved = load_one(core, &options.store_root.join(own), mended).await?;
    if saved.is_none() {
        saved = load_one(core, &options.store_root.join(other), mended).await?;
    }
    let offsets = saved.map(ConsumerOffsets::load).unwrap_or_default();
    Ok(if own == LIGHT_OFFSETS { offsets.split_light() } else { offsets })
}

/// Where consumer offsets are.
pub(crate) fn offsets_file(options: &ShardOptions) -> &'static str {
    if options.process.lite.has_own_offsets { LIGHT_OFFSETS } else { OFFSETS }
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
        let is_light = topic.starts_with(names::LMQ_PREFIX);
        if !is_light && topics.get(topic).is_none() && !topics.is_not_served(topic) {
            let queues = lost.entry(topic.to_owned()).or_default();
            *queues = (*queues).max(queue_id.saturating_add(1));
        }
    });
    for (name, used) in lost {
        if let Err(why) = names::check_topic(&name) {
            tracing::warn!("{name:?} has messages, is not in {TOPICS} and is not served: {why}");
            continue;
        }
        let queues = queues_of_lost_topic(&name, used);
        let config = TopicConfig::new(&name, queues, perm::READ | perm::WRITE);
        match topics.create_if_absent(config, now_ms) {
            Ok(_) => tracing::warn!(
                "topic {name} has messages and is not in {TOPICS}: put back with {queues} queues"
            ),
            Err(error) => tracing::warn!(
                "topic {name} has messages and is not in {TOPICS}, and can't be put back: {error}"
            ),
        }
    }
}

/// How many queues a topic gets whose settings are lost and whose messages are in `used` queues.
pub(crate) fn queues_of_lost_topic(name: &str, used: i32) -> i32 {
    if names::is_retry_topic(name) || names::is_dlq_topic(name) {
        used
    } else {
        used.max(QUEUES_OF_LOST_TOPIC)
    }
}

/// The file, or its backup when the file is missing, empty or damaged (as RocketMQ does). Nothing
/// is loaded in silence from a file that is there and says nothing: groups would begin anew.
pub(crate) async fn load_one<R: Runtime, T: DeserializeOwned>(
    core: &R,
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

async fn read_if_there<R: Runtime>(core: &R, path: &Path) -> Result<Option<Vec<u8>>, TableError> {
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
pub(crate) async fn mend(core: &Core, loaded: &Loaded) {
    for Mended { path, damaged, good } in &loaded.mended {
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
