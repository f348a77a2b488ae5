//! The validated options of the process and of each of its shards.

use crate::checked;
use crate::limits::NAME_SERVERS_MAX;
use engine::{DeleteWhen, FlushPolicy, LogBackend, RetentionConfig};
use protocol::config_file::{ConfigError, Settings};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// Ports of two neighbouring shards are this far apart: room for HA (+1) and the VIP port (−2) of
/// each.
const SHARD_PORT_STEP: u16 = 10;

/// What the process was told. Plain data: each shard gets its own copy.
#[derive(Clone, Debug)]
pub struct Options {
    /// `brokerClusterName`.
    pub cluster: String,
    /// `brokerName`, without the shard's suffix.
    pub broker: String,
    /// `namesrvAddr`, one entry each.
    pub name_servers: Vec<String>,
    /// `listenPort`: of shard 0.
    pub listen_port: u16,
    /// `bindAddress`.
    pub bind: IpAddr,
    /// `brokerIP1` as given: what clients are told.
    pub advertised_host: String,
    /// The same as an address: stored in every message and message id.
    pub advertised_ip: IpAddr,
    /// `brokerIP2`.
    pub ha_host: String,
    /// `haListenPort` of shard 0; `None`: the shard's port + 1.
    pub ha_port: Option<u16>,
    /// `storePathRootDir`.
    pub store_root: PathBuf,
    /// Sizes and intervals of the store.
    pub store: StoreOptions,
    /// `brokerPermission`.
    pub permission: i32,
    /// Automatic creation of topics and groups.
    pub create: CreateOptions,
    /// Limits and waits of requests.
    pub serve: ServeOptions,
    /// `flushConsumerOffsetInterval`.
    pub persist_every: Duration,
    /// `registerNameServerPeriod`, within RocketMQ's bounds.
    pub register_every: Duration,
    /// `shardCount`.
    pub shard_count: usize,
    /// `shardCores`, empty for all cores in order.
    pub cores: Vec<usize>,
    /// `idleSpinMicros`.
    pub idle_spin: Duration,
    /// `serverChannelMaxIdleTimeSeconds`.
    pub idle_timeout: Duration,
}

/// What the store of a shard is built with.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `mappedFileSizeCommitLog`.
    pub commitlog_file_bytes: u64,
    /// `mappedFileSizeConsumeQueue` in units.
    pub consumequeue_file_units: u32,
    /// `enabledAppendPropCRC`.
    pub append_property_crc: bool,
    /// `maxMessageSize`.
    pub message_bytes_max: usize,
    /// `tailCacheBytes`.
    pub tail_bytes_max: usize,
    /// `maxTransferCountOnMessageInMemory`.
    pub hot_messages_max: usize,
    /// `maxTransferBytesOnMessageInMemory`.
    pub hot_bytes_max: usize,
    /// `maxTransferCountOnMessageInDisk`.
    pub cold_messages_max: usize,
    /// `maxTransferBytesOnMessageInDisk`.
    pub cold_bytes_max: usize,
    /// `flushDiskType`.
    pub flush: FlushPolicy,
    /// `logBackend`.
    pub backend: LogBackend,
    /// `flushIntervalCommitLog`.
    pub flush_interval_ms: u64,
    /// `flushIntervalConsumeQueue`.
    pub consumequeue_interval_ms: u64,
    /// `messageIndexEnable` and `indexFileWriteEnable`.
    pub index_enabled: bool,
    /// `maxHashSlotNum`.
    pub index_slots: u32,
    /// `maxIndexNum`.
    pub index_entries: u32,
    /// `maxMsgsNumBatch`.
    pub query_messages_max: usize,
    /// `fileReservedTime`, `deleteWhen` and the disk's watermarks.
    pub retention: RetentionConfig,
}

/// What comes into being by itself.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// `defaultTopicQueueNums`.
    pub topic_queues: i32,
    /// `autoCreateTopicEnable`.
    pub topics: bool,
    /// `clusterTopicEnable`.
    pub cluster_topic: bool,
    /// `brokerTopicEnable`.
    pub broker_topic: bool,
    /// `autoCreateSubscriptionGroup`.
    pub groups: bool,
    /// `enableCreateSysGroup`.
    pub system_groups: bool,
    /// `msgTraceTopicName` when `traceTopicEnable`.
    pub trace_topic: Option<String>,
    /// `validateSystemTopicWhenUpdateTopic`.
    pub protect_system_topics: bool,
}

/// How requests are answered.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// `regionId`.
    pub region: String,
    /// `traceOn`.
    pub trace_on: bool,
    /// `longPollingEnable`.
    pub long_polling: bool,
    /// `shortPollingTimeMills`.
    pub short_polling_ms: i64,
    /// `notifyConsumerIdsChangedEnable`.
    pub notify_consumers: bool,
    /// `waitTimeMillsInSendQueue`; `None` without `brokerFastFailureEnable`: sends wait until there
    /// is room.
    pub send_wait_ms: Option<i64>,
    /// `syncFlushTimeout`.
    pub sync_flush_timeout_ms: i64,
    /// `startAcceptSendRequestTimeStamp`.
    pub accept_sends_from_ms: i64,
    /// `litePullMessageEnable`.
    pub lite_pull: bool,
    /// `pullBatchMaxMessageCount`.
    pub pull_messages_max: i32,
    /// `indexFileReadEnable`.
    pub queries: bool,
    /// `defaultQueryMaxNum`.
    pub unique_query_messages_max: usize,
}

impl Options {
    /// Validates what the table of keys could not: addresses, core lists, ports of all shards.
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let name_servers = name_servers(settings)?;
        let shard_count = settings.int::<usize>("shardCount");
        let listen_port = first_port(settings, "listenPort", shard_count, 1)?;
        let ha_port = first_port(settings, "haListenPort", shard_count, 0)?;
        let advertised_host = settings.text("brokerIP1").to_owned();
        let advertised_ip = resolve_host(&advertised_host).ok_or_else(|| {
            settings.wrong("brokerIP1", "an IP address or a name that resolves to one")
        })?;
        let bind = settings.text("bindAddress").parse().map_err(|_| {
            settings.wrong("bindAddress", "an IP address of this host, 0.0.0.0 for all")
        })?;
        if settings.text("storePathRootDir").is_empty() {
            return Err(settings
                .wrong("storePathRootDir", "a folder (HOME is not set, so there is no default)"));
        }
        Ok(Self {
            cluster: settings.text("brokerClusterName").to_owned(),
            broker: settings.text("brokerName").to_owned(),
            name_servers,
            listen_port,
            bind,
            ha_host: some_text(settings, "brokerIP2").unwrap_or_else(|| advertised_host.clone()),
            advertised_host,
            advertised_ip,
            ha_port: Some(ha_port).filter(|port| *port != 0),
            store_root: PathBuf::from(settings.text("storePathRootDir")),
            store: StoreOptions::from_settings(settings)?,
            permission: settings.int("brokerPermission"),
            create: CreateOptions::from_settings(settings),
            serve: ServeOptions::from_settings(settings),
            persist_every: millis(settings, "flushConsumerOffsetInterval"),
            register_every: millis(settings, "registerNameServerPeriod")
                .clamp(Duration::from_secs(10), Duration::from_secs(60)),
            shard_count,
            cores: cores(settings)?,
            idle_spin: Duration::from_micros(settings.int("idleSpinMicros")),
            idle_timeout: Duration::from_secs(settings.int("serverChannelMaxIdleTimeSeconds")),
        })
    }

    /// The options of shard `index`.
    #[must_use]
    pub fn shard(&self, index: usize) -> ShardOptions {
        // `from_settings` has seen that the last shard's port exists.
        let offset = checked::to::<u16, _>(index) * SHARD_PORT_STEP;
        let port = self.listen_port + offset;
        let alone = self.shard_count == 1;
        let broker = if alone { self.broker.clone() } else { format!("{}-s{index}", self.broker) };
        let ha_port = self.ha_port.map_or(port + 1, |first| first + offset);
        ShardOptions {
            index,
            broker,
            port,
            address: format!("{}:{port}", bracketed(&self.advertised_host)),
            ha_address: format!("{}:{ha_port}", bracketed(&self.ha_host)),
            store_host: SocketAddr::new(self.advertised_ip, port),
            store_root: if alone {
                self.store_root.clone()
            } else {
                self.store_root.join(format!("shard-{index}"))
            },
            process: self.clone(),
        }
    }
}

/// What one shard, a broker of its own, was told.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// Its number in the process.
    pub index: usize,
    /// The name it registers: `broker-a`, or `broker-a-s0` when there are several.
    pub broker: String,
    /// The port it listens on.
    pub port: u16,
    /// What it tells clients: host and port.
    pub address: String,
    /// What it tells slaves.
    pub ha_address: String,
    /// Stored in every message and part of every message id.
    pub store_host: SocketAddr,
    /// Its store.
    pub store_root: PathBuf,
    /// The rest.
    pub process: Options,
}

impl StoreOptions {
    fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            commitlog_file_bytes: settings.int("mappedFileSizeCommitLog"),
            consumequeue_file_units: settings.int::<u32>("mappedFileSizeConsumeQueue") / 20,
            append_property_crc: settings.bool("enabledAppendPropCRC"),
            message_bytes_max: settings.int("maxMessageSize"),
            tail_bytes_max: settings.int("tailCacheBytes"),
            hot_messages_max: settings.int("maxTransferCountOnMessageInMemory"),
            hot_bytes_max: settings.int("maxTransferBytesOnMessageInMemory"),
            cold_messages_max: settings.int("maxTransferCountOnMessageInDisk"),
            cold_bytes_max: settings.int("maxTransferBytesOnMessageInDisk"),
            flush: if settings.text("flushDiskType") == "SYNC_FLUSH" {
                FlushPolicy::Sync
            } else {
                FlushPolicy::Async
            },
            backend: if settings.text("logBackend") == "mmap" {
                LogBackend::Mmap
            } else {
                LogBackend::Direct
            },
            flush_interval_ms: settings.int("flushIntervalCommitLog"),
            consumequeue_interval_ms: settings.int("flushIntervalConsumeQueue"),
            index_enabled: settings.bool("messageIndexEnable")
                && settings.bool("indexFileWriteEnable"),
            index_slots: settings.int("maxHashSlotNum"),
            index_entries: settings.int("maxIndexNum"),
            query_messages_max: settings.int("maxMsgsNumBatch"),
            retention: retention(settings)?,
        })
    }
}

impl CreateOptions {
    fn from_settings(settings: &Settings) -> Self {
        let trace_topic = settings.text("msgTraceTopicName").to_owned();
        Self {
            topic_queues: settings.int("defaultTopicQueueNums"),
            topics: settings.bool("autoCreateTopicEnable"),
            cluster_topic: settings.bool("clusterTopicEnable"),
            broker_topic: settings.bool("brokerTopicEnable"),
            groups: settings.bool("autoCreateSubscriptionGroup"),
            system_groups: settings.bool("enableCreateSysGroup"),
            trace_topic: settings.bool("traceTopicEnable").then_some(trace_topic),
            protect_system_topics: settings.bool("validateSystemTopicWhenUpdateTopic"),
        }
    }
}

impl ServeOptions {
    fn from_settings(settings: &Settings) -> Self {
        Self {
            region: settings.text("regionId").to_owned(),
            trace_on: settings.bool("traceOn"),
            long_polling: settings.bool("longPollingEnable"),
            short_polling_ms: settings.i64("shortPollingTimeMills"),
            notify_consumers: settings.bool("notifyConsumerIdsChangedEnable"),
            send_wait_ms: settings
                .bool("brokerFastFailureEnable")
                .then(|| settings.i64("waitTimeMillsInSendQueue")),
            sync_flush_timeout_ms: settings.i64("syncFlushTimeout"),
            accept_sends_from_ms: settings.i64("startAcceptSendRequestTimeStamp"),
            lite_pull: settings.bool("litePullMessageEnable"),
            pull_messages_max: settings.int("pullBatchMaxMessageCount"),
            queries: settings.bool("indexFileReadEnable"),
            unique_query_messages_max: settings.int("defaultQueryMaxNum"),
        }
    }
}

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

/// The port of shard 0: the last shard's must exist too, with `above` more over it.
fn first_port(
    settings: &Settings,
    key: &str,
    shard_count: usize,
    above: usize,
) -> Result<u16, ConfigError> {
    let port: u16 = settings.int(key);
    let highest = usize::from(port) + (shard_count - 1) * usize::from(SHARD_PORT_STEP) + above;
    if highest <= usize::from(u16::MAX) {
        return Ok(port);
    }
    let expected = format!("a port with room for {shard_count} shards, 10 apart, below 65536");
    Err(settings.wrong(key, expected))
}

fn millis(settings: &Settings, key: &str) -> Duration {
    Duration::from_millis(settings.int(key))
}

fn some_text(settings: &Settings, key: &str) -> Option<String> {
    Some(settings.text(key).to_owned()).filter(|text| !text.is_empty())
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn resolve_host(host: &str) -> Option<IpAddr> {
    let resolved =
        || (host, 0).to_socket_addrs().ok()?.map(|address| address.ip()).find(IpAddr::is_ipv4);
    host.parse()
        .ok()
        .or_else(resolved)
        .filter(|ip: &IpAddr| *ip != IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

fn name_servers(settings: &Settings) -> Result<Vec<String>, ConfigError> {
    let text = settings.text("namesrvAddr");
    let servers: Vec<String> = text
        .split(';')
        .map(str::trim)
        .filter(|server| !server.is_empty())
        .map(str::to_owned)
        .collect();
    let valid = |server: &String| {
        server.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
        })
    };
    if servers.len() > NAME_SERVERS_MAX || !servers.iter().all(valid) {
        return Err(settings.wrong(
            "namesrvAddr",
            "addresses host:port, ';' between them: 127.0.0.1:9876;192.168.0.1:9876",
        ));
    }
    Ok(servers)
}

/// `0-3,8` as a list, in the order given.
fn cores(settings: &Settings) -> Result<Vec<usize>, ConfigError> {
    let text = settings.text("shardCores");
    let wrong = || settings.wrong("shardCores", "core numbers and ranges: 0-3,8");
    let mut cores = vec![];
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        if first > last || last > 4_095 {
            return Err(wrong());
        }
        cores.extend(first..=last);
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;
    use protocol::config_file::Properties;

    fn options(pairs: &[(&str, &str)]) -> Result<Options, ConfigError> {
        let mut properties = Properties::default();
        for (key, value) in
            [("brokerName", "b"), ("brokerIP1", "10.0.0.1"), ("storePathRootDir", "/s")]
                .iter()
                .chain(pairs)
        {
            properties.set(key, value, "test");
        }
        Options::from_settings(&Settings::resolve(&KEYS, &properties)?)
    }

    #[test]
    fn one_shard_is_the_broker_itself() {
        let shard = options(&[]).unwrap().shard(0);
        assert_eq!(
            (shard.broker.as_str(), shard.address.as_str(), shard.ha_address.as_str()),
            ("b", "10.0.0.1:10911", "10.0.0.1:10912")
        );
        assert_eq!(shard.store_root, PathBuf::from("/s"));
    }

    #[test]
    fn several_shards_are_brokers_ten_ports_apart_with_a_folder_each() {
        let options =
            options(&[("shardCount", "2"), ("listenPort", "20000"), ("shardCores", "0-1, 4")])
                .unwrap();
        let shard = options.shard(1);
        assert_eq!((shard.broker.as_str(), shard.port), ("b-s1", 20010));
        assert_eq!(shard.ha_address, "10.0.0.1:20011");
        assert_eq!(shard.store_root, PathBuf::from("/s/shard-1"));
        assert_eq!(options.cores, [0, 1, 4]);
    }

    #[test]
    fn retention_has_rocketmqs_defaults_and_bounds() {
        assert_eq!(options(&[]).unwrap().store.retention, RetentionConfig::default());
        let retention = options(&[
            ("fileReservedTime", "1"),
            ("deleteWhen", "01;13"),
            ("diskSpaceWarningLevelRatio", "99"),
        ])
        .unwrap()
        .store
        .retention;
        assert_eq!((retention.reserved_ms, retention.warning_percent), (3_600_000, 90));
        assert!(retention.delete_when.is_now(13 * 3_600_000, 0));
    }

    #[test]
    fn wrong_addresses_cores_and_ports_are_errors_that_name_the_key() {
        for (key, value) in [
            ("namesrvAddr", "localhost"),
            ("namesrvAddr", "a:1;b:x"),
            ("shardCores", "3-1"),
            ("shardCores", "a"),
            ("bindAddress", "everywhere"),
            ("deleteWhen", "25"),
            ("brokerIP1", "no such host"),
        ] {
            let error = options(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("accepted"), "{error}");
        }
        for key in ["listenPort", "haListenPort"] {
            let error = options(&[("shardCount", "200"), (key, "64000")]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("200 shards"), "{error}");
        }
    }
}
