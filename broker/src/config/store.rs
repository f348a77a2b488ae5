//! What the store of a shard is built with.

use engine::{DeleteWhen, FlushPolicy, LogBackend, RetentionConfig, StoreConfig};
use protocol::config_file::{ConfigError, Settings};

/// The store's settings. Its root is the process's; each shard puts its own in that place.
pub(super) fn store_config(settings: &Settings) -> Result<StoreConfig, ConfigError> {
    let mut config = StoreConfig {
        commitlog_file_bytes: settings.int("mappedFileSizeCommitLog"),
        consumequeue_file_units: settings.int::<u32>("mappedFileSizeConsumeQueue") / 20,
        append_property_crc: settings.bool("enabledAppendPropCRC"),
        message_bytes_max: settings.int("maxMessageSize"),
        tail_bytes_max: settings.int("tailCacheBytes"),
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
        index_enabled: settings.bool("messageIndexEnable") && settings.bool("indexFileWriteEnable"),
        index_slots: settings.int("maxHashSlotNum"),
        index_entries: settings.int("maxIndexNum"),
        query_messages_max: settings.int("maxMsgsNumBatch"),
        retention: retention(settings)?,
        ..StoreConfig::new(settings.text("storePathRootDir"))
    };
    config.tail_bytes_max = config.tail_bytes_max.max(config.tail_bytes_min());
    Ok(config)
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
