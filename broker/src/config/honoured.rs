//! The keys that work: RocketMQ's with their names, defaults and meaning, and RingMQ's own.

use protocol::config_file::Key;

const INT_MAX: i64 = i32::MAX as i64;
const MIB: i64 = 1 << 20;

/// RocketMQ's keys that this version honours.
pub(super) const ROCKETMQ: &[Key] = &[
    Key::text("namesrvAddr", "", "name servers, ';' between them: 127.0.0.1:9876;127.0.0.1:9877"),
    Key::text("brokerClusterName", "DefaultCluster", "the cluster this broker belongs to"),
    Key::text("brokerName", "", "the broker's name; the host's name when not set"),
    Key::choice(
        "flushDiskType",
        &["ASYNC_FLUSH", "SYNC_FLUSH"],
        "ASYNC_FLUSH",
        "SYNC_FLUSH: a send is answered when its message survives a power cut; ASYNC_FLUSH: when \
            it is in memory",
    ),
    Key::int(
        "listenPort",
        3,
        65_534,
        "10911",
        "port of shard 0; shard k listens 10 k higher, each also on its port - 2",
    ),
    Key::text("bindAddress", "0.0.0.0", "the address to listen on"),
    Key::text(
        "brokerIP1",
        "",
        "the address given to clients; the first non-loopback IPv4 address of the host when not \
            set",
    ),
    Key::text("brokerIP2", "", "the address given to slaves; brokerIP1 when not set"),
    Key::text("storePathRootDir", "", "the store's folder; $HOME/store when not set"),
    Key::int(
        "mappedFileSizeCommitLog",
        4_096,
        1 << 31,
        "1073741824",
        "bytes of one CommitLog file",
    ),
    Key::int(
        "mappedFileSizeConsumeQueue",
        20,
        1 << 31,
        "6000000",
        "bytes of one ConsumeQueue file, 20 per message",
    ),
    Key::int("maxMessageSize", 1_024, 8 * MIB, "4194304", "bytes of the largest message body"),
    Key::int(
        "syncFlushTimeout",
        1,
        3_600_000,
        "5000",
        "milliseconds after which a send is answered FLUSH_DISK_TIMEOUT",
    ),
    Key::bool(
        "enabledAppendPropCRC",
        "false",
        "every record ends with a checksum over all of it: damage anywhere is found, not only in \
            bodies",
    ),
    Key::int(
        "flushIntervalCommitLog",
        1,
        3_600_000,
        "500",
        "milliseconds between two fdatasyncs of the log under ASYNC_FLUSH",
    ),
    Key::int(
        "flushIntervalConsumeQueue",
        1,
        3_600_000,
        "1000",
        "milliseconds between two writes of ConsumeQueue files",
    ),
    Key::int(
        "fileReservedTime",
        0,
        INT_MAX,
        "72",
        "hours that a log file is kept after it was last written to",
    ),
    Key::text(
        "deleteWhen",
        "04",
        "hours of the day at which older files go although there is space, ';' between them",
    ),
    Key::int(
        "diskMaxUsedSpaceRatio",
        0,
        100,
        "75",
        "percent of the disk used, beyond which older files go at any time; 10 to 95 in effect",
    ),
    Key::int(
        "diskSpaceCleanForciblyRatio",
        0,
        100,
        "85",
        "percent beyond which the oldest files go whatever their age; 30 to 85 in effect",
    ),
    Key::int(
        "diskSpaceWarningLevelRatio",
        0,
        100,
        "90",
        "percent beyond which sends are refused; 35 to 90 in effect",
    ),
    Key::bool(
        "cleanFileForciblyEnable",
        "true",
        "files may go before their time when the disk is nearly full",
    ),
    Key::int(
        "cleanResourceInterval",
        10,
        3_600_000,
        "10000",
        "milliseconds between two looks for files that may go",
    ),
    Key::int(
        "deleteCommitLogFilesInterval",
        0,
        60_000,
        "100",
        "milliseconds between the removals of two log files",
    ),
    Key::int("deleteFileBatchMax", 1, 10_000, "10", "log files removed in one go"),
    Key::int("brokerPermission", 0, 7, "6", "4 readable, 2 writeable"),
    Key::int(
        "defaultTopicQueueNums",
        1,
        65_536,
        "8",
        "queues of TBW102: what an automatically created topic has at most",
    ),
    Key::bool(
        "autoCreateTopicEnable",
        "true",
        "a send to an unknown topic creates it, on the shard it was sent to",
    ),
    Key::bool(
        "clusterTopicEnable",
        "true",
        "the topic named as the cluster is readable and writeable",
    ),
    Key::bool(
        "brokerTopicEnable",
        "true",
        "the topic named as the broker is readable and writeable",
    ),
    Key::bool("autoCreateSubscriptionGroup", "true", "a consumer of an unknown group creates it"),
    Key::bool(
        "enableCreateSysGroup",
        "true",
        "groups named CID_RMQ_SYS_… are created even without autoCreateSubscriptionGroup",
    ),
    Key::bool("traceTopicEnable", "false", "the trace topic exists from the start"),
    Key::text("msgTraceTopicName", "RMQ_SYS_TRACE_TOPIC", "the trace topic"),
    Key::bool("traceOn", "true", "tells clients that they may trace"),
    Key::text("regionId", "DefaultRegion", "stored in every message as MSG_REGION"),
    Key::int(
        "flushConsumerOffsetInterval",
        100,
        3_600_000,
        "5000",
        "milliseconds between two writes of consumerOffset.json",
    ),
    Key::int(
        "flushDelayOffsetInterval",
        100,
        3_600_000,
        "10000",
        "milliseconds between two writes of delayOffset.json: a broker that is killed may deliver \
            again what it delivered since",
    ),
    Key::int(
        "registerNameServerPeriod",
        1_000,
        3_600_000,
        "30000",
        "milliseconds between two registrations, 10000 to 60000 in effect",
    ),
    Key::bool(
        "longPollingEnable",
        "true",
        "a pull that finds nothing waits as long as it asks for",
    ),
    Key::int(
        "shortPollingTimeMills",
        1,
        60_000,
        "1000",
        "how long it waits instead without longPollingEnable",
    ),
    Key::bool(
        "notifyConsumerIdsChangedEnable",
        "true",
        "members are told when their group changes",
    ),
    Key::bool(
        "useServerSideResetOffset",
        "true",
        "a tool's reset of offsets is the broker's: a group's next pull of each queue is told \
            where to go on. false: its clients are told, and a group without any can't be reset",
    ),
    Key::bool("storeReplyMessageEnable", "true", "replies to requests are stored as well"),
    Key::bool(
        "brokerFastFailureEnable",
        "true",
        "sends that wait too long for the device are answered with SYSTEM_BUSY",
    ),
    Key::int(
        "waitTimeMillsInSendQueue",
        1,
        60_000,
        "200",
        "how long a send waits for the device before it is answered with SYSTEM_BUSY",
    ),
    Key::int(
        "startAcceptSendRequestTimeStamp",
        0,
        i64::MAX,
        "0",
        "no send is accepted before this time (ms since 1970)",
    ),
    Key::int(
        "channelExpiredTimeout",
        1_000,
        i64::MAX,
        "120000",
        "a client without a heartbeat for so many ms is closed (looked at every 10 s)",
    ),
    Key::bool("litePullMessageEnable", "true", "lite pull consumers are served"),
    Key::bool(
        "enablePropertyFilter",
        "false",
        "consumers may choose messages by SQL92 expressions over their properties",
    ),
    Key::bool(
        "filterSupportRetry",
        "false",
        "a SQL92 subscription to a retry topic takes its messages by the expressions of the topics \
            that they first came from",
    ),
    Key::bool(
        "validateSystemTopicWhenUpdateTopic",
        "true",
        "system topics cannot be created or deleted by a request",
    ),
    Key::int(
        "maxTransferBytesOnMessageInMemory",
        1_024,
        16 * MIB,
        "262144",
        "bytes of one pull's answer, unless its first message is larger",
    ),
    Key::int("maxTransferCountOnMessageInMemory", 1, 1_024, "32", "messages of one pull's answer"),
    Key::int(
        "maxTransferBytesOnMessageInDisk",
        1_024,
        16 * MIB,
        "65536",
        "the same when the messages are read from disk",
    ),
    Key::int(
        "maxTransferCountOnMessageInDisk",
        1,
        1_024,
        "8",
        "the same when the messages are read from disk",
    ),
    Key::int(
        "pullBatchMaxMessageCount",
        1,
        1_024,
        "160",
        "messages of one pull's answer, whatever the other key says",
    ),
    Key::text(
        "messageDelayLevel",
        "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h",
        "the delays of messages with the property DELAY, level 1 first",
    ),
    Key::bool(
        "enableLmq",
        "false",
        "with enableMultiDispatch: there are lite topics, messages are in the light message queues \
            (%LMQ%) that they name besides their own, and consumer offsets are in \
            lmqConsumerOffset.json",
    ),
    Key::bool("enableMultiDispatch", "false", "see enableLmq"),
    Key::bool("enableLmqQuota", "false", "whether maxLmqConsumeQueueNum counts"),
    Key::int(
        "maxLmqConsumeQueueNum",
        0,
        INT_MAX,
        "20000",
        "with enableLmqQuota: light message queues of a shard; a send that would make one more is \
            refused (2017)",
    ),
    Key::bool("messageIndexEnable", "true", "messages can be found by key, unique key and tag"),
    Key::bool("indexFileWriteEnable", "true", "the same, for the index files"),
    Key::bool("indexFileReadEnable", "true", "queries look into the index files"),
    Key::int(
        "maxHashSlotNum",
        1,
        INT_MAX / 4,
        "5000000",
        "slots of one index file; 4 bytes of memory each once there are keys",
    ),
    Key::int("maxIndexNum", 2, INT_MAX / 20, "20000000", "keys of one index file"),
    Key::int("maxMsgsNumBatch", 1, 1_024, "64", "messages of one query's answer"),
    Key::int(
        "defaultQueryMaxNum",
        1,
        1_024,
        "32",
        "messages of the answer to a query by unique key",
    ),
    Key::int(
        "serverChannelMaxIdleTimeSeconds",
        1,
        86_400,
        "120",
        "a connection that says nothing this long is closed",
    ),
];

/// RingMQ's own keys.
pub(super) const OWN: &[Key] = &[
    Key::int(
        "shardCount",
        1,
        256,
        "1",
        "shards of this process, each a broker of its own with topics of its own; fixed when the \
            store is created",
    ),
    Key::text(
        "shardCores",
        "",
        "cores to run on, 0-3,8 for example; shard i runs on the i-th. All cores in order when \
            not set",
    ),
    Key::choice(
        "logBackend",
        &["direct", "mmap"],
        "direct",
        "how the log is written: direct (O_DIRECT), or mmap (through the page cache)",
    ),
    Key::int(
        "longPollsMax",
        1,
        100_000,
        "100000",
        "pulls of a shard that wait for a message; over it one that finds nothing is refused with \
            SYSTEM_BUSY",
    ),
    Key::int(
        "groupsMax",
        1,
        50_000,
        "50000",
        "consumer groups of a shard that clients may create, and apart from them its producer \
            groups; over it a new one is refused (26; its heartbeat with SYSTEM_BUSY)",
    ),
    Key::int(
        "subscriptionsPerGroupMax",
        1,
        4_096,
        "4096",
        "topics that one consumer group subscribes to; a heartbeat with more is refused with \
            SYSTEM_BUSY",
    ),
    Key::int(
        "clientsMax",
        1,
        1_000_000,
        "100000",
        "connections of a shard that are in consumer groups, and apart from them in producer \
            groups; over it the heartbeat of another one is refused with SYSTEM_BUSY",
    ),
    Key::int(
        "idleSpinMicros",
        0,
        1_000_000,
        "20",
        "how long an idle core looks for work before it sleeps",
    ),
    Key::text(
        "tailCacheBytes",
        "auto",
        "recent log kept in memory, taken as it fills; with a tailPath up to 64 MiB of it at \
            start. auto: up to a quarter of what the machine or the control group has, over all \
            shards and with what is read from disk, given back while memory is short. A number: \
            so many bytes for each shard, whatever comes",
    ),
    Key::text(
        "tailPath",
        "auto",
        "ASYNC_FLUSH on direct: the folder on a tmpfs where that memory outlives a killed \
            process, which then loses nothing it acknowledged. auto: /dev/shm where that outlives \
            the process, else a send is answered when it is written. Nothing: answered at once, \
            and a killed process loses what is not written",
    ),
    Key::int(
        "storeCloseDeadlineMs",
        0,
        3_600_000,
        "30000",
        "how long a stop may finish what the next start can do as well: the index, ConsumeQueue \
            files. Messages are made durable however long it takes",
    ),
];

/// Keys whose other values would promise something this version does not do: anything but the
/// default stops the start.
pub(super) const REFUSED: &[(&str, &str, &str)] = &[
    (
        "aclEnable",
        "false",
        "access control is not in this version of RingMQ: the broker would be open",
    ),
    (
        "authenticationEnabled",
        "false",
        "access control is not in this version of RingMQ: the broker would be open",
    ),
    (
        "authorizationEnabled",
        "false",
        "access control is not in this version of RingMQ: the broker would be open",
    ),
    ("enableDLegerCommitLog", "false", "DLedger is not in this version of RingMQ"),
    ("enableControllerMode", "false", "the controller is not in this version of RingMQ"),
];

/// Switches of [`REFUSED`] that have no other use.
pub(super) const SWITCHES: &[Key] = &[
    Key::bool("aclEnable", "false", "access control; not in this version"),
    Key::bool("authenticationEnabled", "false", "access control; not in this version"),
    Key::bool("authorizationEnabled", "false", "access control; not in this version"),
    Key::bool("enableDLegerCommitLog", "false", "DLedger; not in this version"),
    Key::bool("enableControllerMode", "false", "automatic failover; not in this version"),
];
