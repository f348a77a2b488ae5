//! What the store of a shard is built with.

use super::host;
use super::memory::{self, TailCache};
use engine::limits::LIGHT_QUEUES_MAX;
use engine::{
    DelayLevels, DeleteWhen, FlushPolicy, LogBackend, RetentionConfig, StoreConfig, TailPlace,
};
use protocol::config_file::{ConfigError, Settings};
use rt::real::NoSurvivor;
use std::path::PathBuf;

/// The store's settings. Its root is the process's; each shard puts its own in that place.
pub(super) fn store_config(settings: &Settings) -> Result<StoreConfig, ConfigError> {
    let mut config = StoreConfig {
        commitlog_file_bytes: settings.int("mappedFileSizeCommitLog"),
        consumequeue_file_units: settings.int::<u32>("mappedFileSizeConsumeQueue") / 20,
        append_property_crc: settings.bool("enabledAppendPropCRC"),
        message_bytes_max: settings.int("maxMessageSize"),
        tail_place: tail_place(settings, rt::real::survives_here())?,
        hot_messages_max: settings.int("maxTransferCountOnMessageInMemory"),
        hot_bytes_max: settings.int("maxTransferBytesOnMessageInMemory"),
        cold_messages_max: settings.int("maxTransferCountOnMessageInDisk"),
        cold_bytes_max: settings.int("maxTransferBytesOnMessageInDisk"),
        flush: match settings.text("flushDiskType") {
            "SYNC_FLUSH" => FlushPolicy::Sync,
            _ => FlushPolicy::Async,
        },
        backend: match settings.text("logBackend") {
            "mmap" => LogBackend::Mmap,
            _ => LogBackend::Direct,
        },
        flush_interval_ms: settings.int("flushIntervalCommitLog"),
        consumequeue_interval_ms: settings.int("flushIntervalConsumeQueue"),
        close_deadline_ms: settings.int("storeCloseDeadlineMs"),
        index_enabled: settings.bool("messageIndexEnable") && settings.bool("indexFileWriteEnable"),
        index_slots: settings.int("maxHashSlotNum"),
        index_entries: settings.int("maxIndexNum"),
        query_messages_max: settings.int("maxMsgsNumBatch"),
        retention: retention(settings)?,
        delay_levels: DelayLevels::parse(settings.text("messageDelayLevel")).map_err(|error| {
            settings.wrong("messageDelayLevel", format!("delays like 1s 5m 2h; {error}"))
        })?,
        builds_light_queues: settings.bool("enableLmq") && settings.bool("enableMultiDispatch"),
        light_queues_max: light_queues_max(settings),
        ..StoreConfig::new(settings.text("storePathRootDir"))
    };
    let cache = memory::tail_cache(settings.text("tailCacheBytes"))
        .ok_or_else(|| settings.wrong("tailCacheBytes", memory::TAIL_CACHE_ACCEPTED))?;
    (config.tail_bytes_max, config.tail_follows_memory) = match cache {
        TailCache::Bytes(bytes) => (bytes, false),
        TailCache::Auto => {
            (memory::auto_tail_bytes(host::memory_bytes(), settings.int("shardCount")), true)
        }
    };
    config.tail_bytes_max = config.tail_bytes_max.max(config.tail_bytes_min());
    Ok(config)
}

/// `maxLmqConsumeQueueNum` where `enableLmqQuota` asks for it, else the store's own limit.
fn light_queues_max(settings: &Settings) -> usize {
    let asked: usize = settings.int("maxLmqConsumeQueueNum");
    if settings.bool("enableLmqQuota") { asked.min(LIGHT_QUEUES_MAX) } else { LIGHT_QUEUES_MAX }
}

/// `tailPath`: where the tail's memory outlives the process. `here`: whether what is left in
/// /dev/shm is there for the next process.
fn tail_place(settings: &Settings, here: Result<(), NoSurvivor>) -> Result<TailPlace, ConfigError> {
    match (settings.text("tailPath"), here) {
        ("", _) => Ok(TailPlace::Private),
        ("auto", Ok(())) => {
            Ok(TailPlace::Folder { path: PathBuf::from("/dev/shm"), is_required: false })
        }
        ("auto", Err(reason)) => Ok(TailPlace::Nowhere { reason: reason.to_string() }),
        (path, _) if path.starts_with('/') => {
            Ok(TailPlace::Folder { path: PathBuf::from(path), is_required: true })
        }
        _ => Err(settings.wrong("tailPath", "auto, nothing, or a folder's path from the root on")),
    }
}

/// `fileReservedTime`, `deleteWhen` and the disk's watermarks.
fn retention(settings: &Settings) -> Result<RetentionConfig, ConfigError> {
    let hours = DeleteWhen::parse(settings.text("deleteWhen"));
    let config = RetentionConfig {
        reserved_ms: settings.int::<u64>("fileReservedTime") * 3_600_000,
        delete_when: hours.ok_or_else(|| {
            settings.wrong("deleteWhen", "hours from 0 to 23, ';' between them: 04 or 04;16")
        })?,
        max_used_percent: settings.int("diskMaxUsedSpaceRatio"),
        clean_forcibly_percent: settings.int("diskSpaceCleanForciblyRatio"),
        warning_percent: settings.int("diskSpaceWarningLevelRatio"),
        clean_forcibly: settings.bool("cleanFileForciblyEnable"),
        interval_ms: settings.int("cleanResourceInterval"),
        file_interval_ms: settings.int("deleteCommitLogFilesInterval"),
        batch_max: settings.int("deleteFileBatchMax"),
    };
    Ok(config.within_bounds())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KEYS, options, try_options};
    use protocol::config_file::Properties;

    #[test]
    fn the_tail_is_where_it_outlives_the_process_or_where_it_is_asked_for() {
        let place = |value: Option<&str>, here| {
            let mut properties = Properties::default();
            if let Some(value) = value {
                properties.set("tailPath", value, "test");
            }
            tail_place(&Settings::resolve(&KEYS, &properties).unwrap(), here)
        };
        let folder = |path: &str, is_required| TailPlace::Folder { path: path.into(), is_required };
        let container = Err(NoSurvivor::Container);
        assert_eq!(place(None, Ok(())).unwrap(), folder("/dev/shm", false));
        let TailPlace::Nowhere { reason } = place(Some("auto"), container).unwrap() else {
            panic!("a container's /dev/shm was believed")
        };
        assert!(reason.contains("container"), "{reason}");
        assert_eq!(place(Some("/run/ringmq"), container).unwrap(), folder("/run/ringmq", true));
        assert_eq!(place(Some(""), Ok(())).unwrap(), TailPlace::Private);
        let wrong = place(Some("shm"), Ok(())).unwrap_err().to_string();
        assert!(wrong.contains("tailPath") && wrong.contains("accepted"), "{wrong}");
    }

    #[test]
    fn retention_has_rocketmqs_defaults_and_bounds() {
        assert_eq!(options(&[]).store.retention, RetentionConfig::default());
        let retention = options(&[
            ("fileReservedTime", "1"),
            ("deleteWhen", "01;13"),
            ("diskSpaceWarningLevelRatio", "99"),
        ])
        .store
        .retention;
        assert_eq!((retention.reserved_ms, retention.warning_percent), (3_600_000, 90));
        assert!(retention.delete_when.is_now(13 * 3_600_000, 0));
    }

    #[test]
    fn delay_levels_are_rocketmqs_or_those_of_the_file() {
        assert_eq!(options(&[]).store.delay_levels, DelayLevels::default());
        let levels = options(&[("messageDelayLevel", "2s 1d")]).store.delay_levels;
        assert_eq!(
            [1, 2, 3].map(|level| levels.due_ms(level, 0)),
            [2_000, 86_400_000, 86_400_000].map(Some)
        );
        let error = try_options(&[("messageDelayLevel", "1s 5x")]).unwrap_err().to_string();
        assert!(
            error.contains("messageDelayLevel") && error.contains("level 2 is \"5x\""),
            "{error}"
        );
    }

    #[test]
    fn light_queues_are_built_where_both_keys_ask_for_them() {
        let builds = |pairs: &[(&str, &str)]| options(pairs).store.builds_light_queues;
        assert!(!builds(&[]) && !builds(&[("enableLmq", "true")]));
        assert!(builds(&[("enableLmq", "true"), ("enableMultiDispatch", "true")]));
    }
}
