//! Masters and slaves: the role of this broker, and what its replication keeps to.

use protocol::config_file::{ConfigError, Key, Settings};
use std::time::Duration;

const INT_MAX: i64 = i32::MAX as i64;

/// RocketMQ's keys of replication that work, and at the end RingMQ's own.
pub(super) const KEYS: &[Key] = &[
    Key::int(
        "brokerId",
        0,
        INT_MAX,
        "0",
        "which of the brokers of one name this is: 0 is the master, whatever is said of a broker \
            whose brokerRole is a master's; a slave has a number of its own above",
    ),
    Key::choice(
        "brokerRole",
        &["ASYNC_MASTER", "SYNC_MASTER", "SLAVE"],
        "ASYNC_MASTER",
        "ASYNC_MASTER answers a send without its slaves; SYNC_MASTER when they have it \
            (inSyncReplicas); SLAVE follows the master of the same brokerName",
    ),
    Key::int(
        "haListenPort",
        0,
        65_535,
        "0",
        "the port that slaves dial; listenPort + 1 when 0. Shard k listens 10 k higher",
    ),
    Key::text(
        "haMasterAddress",
        "",
        "a slave of one shard: host:port of its master's haListenPort; a name is looked up every \
            30 s. When not set, what the name servers say",
    ),
    Key::int(
        "haSendHeartbeatInterval",
        10,
        3_600_000,
        "5000",
        "milliseconds after which a master and a slave that have nothing to say say that",
    ),
    Key::int(
        "haHousekeepingInterval",
        100,
        3_600_000,
        "20000",
        "milliseconds of silence after which a master and a slave give each other up",
    ),
    Key::int(
        "haTransferBatchSize",
        1,
        4 * 1024 * 1024 - 12,
        "32768",
        "bytes of one transfer to a slave; an Apache slave takes no more than 4 MiB with its head",
    ),
    Key::int(
        "slaveTimeout",
        1,
        3_600_000,
        "3000",
        "milliseconds that a send to a SYNC_MASTER waits for slaves before it is answered \
            FLUSH_SLAVE_TIMEOUT: it is stored",
    ),
    Key::text(
        "inSyncReplicas",
        "",
        "brokers, the SYNC_MASTER among them, that have a message before its send is answered; 1 \
            waits for no slave, as Apache 5.5.0 does by default. Not set: one slave, and without \
            any the answer is SLAVE_NOT_AVAILABLE, as in 4.9",
    ),
    Key::int(
        "haMaxGapNotInSync",
        1,
        i64::MAX,
        "268435456",
        "bytes that a slave may be behind and still count as one, where inSyncReplicas is not set",
    ),
    Key::int(
        "haSlaveFallbehindMax",
        1,
        i64::MAX,
        "268435456",
        "the name of haMaxGapNotInSync in 4.9; the smaller of both counts",
    ),
    Key::bool(
        "slaveReadEnable",
        "false",
        "a slave serves pulls; and a master sends consumers to it that read what is on disk only",
    ),
    Key::int(
        "slaveSyncInterval",
        100,
        3_600_000,
        "10000",
        "milliseconds between two times that a slave takes over its master's topics, groups, \
            offsets and progress",
    ),
    Key::choice(
        "slaveAckPolicy",
        &["memory", "disk"],
        "memory",
        "when a slave tells its master that it has a message: when its own flushDiskType would \
            answer a send (memory), or when it survives a power cut (disk)",
    ),
];

/// What a broker is to others of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It answers sends; slaves may follow it.
    Master {
        /// How many of them a send waits for.
        waits_for: WaitsFor,
    },
    /// It follows a master.
    Slave {
        /// `brokerId`, above 0.
        id: i64,
    },
}

/// What a send waits for besides the master's own promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// ASYNC_MASTER, and SYNC_MASTER with `inSyncReplicas=1`: for no slave.
    Nobody,
    /// SYNC_MASTER with `inSyncReplicas` above 1: so many slaves, be they there or not, as Apache
    /// 5.5.0 does.
    Slaves(usize),
    /// SYNC_MASTER without `inSyncReplicas`: one slave. A message stored while none is there, or
    /// none is near enough, waits for none and is answered SLAVE_NOT_AVAILABLE, as Apache 4.9 does.
    OneThatIsThere {
        /// How far behind one may be, in bytes.
        gap_bytes_max: u64,
    },
}

/// What replication keeps to.
#[derive(Clone, Debug)]
pub(crate) struct ReplicationOptions {
    /// `brokerRole` and `brokerId`.
    pub(crate) role: Role,
    /// `haMasterAddress` of a slave, as given.
    pub(crate) master: Option<String>,
    /// `haSendHeartbeatInterval`.
    pub(crate) heartbeat_ms: i64,
    /// `haHousekeepingInterval`.
    pub(crate) silent_ms_max: i64,
    /// `haTransferBatchSize`.
    pub(crate) transfer_bytes_max: usize,
    /// `slaveTimeout`.
    pub(crate) slave_timeout_ms: i64,
    /// `slaveReadEnable`.
    pub(crate) slaves_are_read: bool,
    /// `slaveSyncInterval`.
    pub(crate) synchronize_every: Duration,
    /// `slaveAckPolicy=disk`.
    pub(crate) reports_flushed: bool,
    /// `--rebuild-slave`, which is no key: the store is put aside before it is opened.
    pub(crate) begins_anew: bool,
}

impl ReplicationOptions {
    pub(super) fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let gaps =
            ["haMaxGapNotInSync", "haSlaveFallbehindMax"].map(|key| settings.int::<u64>(key));
        let role = match settings.text("brokerRole") {
            "SLAVE" => Role::Slave { id: slave_id(settings)? },
            "SYNC_MASTER" => Role::Master { waits_for: waits_for(settings, gaps)? },
            _ => Role::Master { waits_for: WaitsFor::Nobody },
        };
        Ok(Self {
            role,
            master: master(settings)?,
            heartbeat_ms: settings.i64("haSendHeartbeatInterval"),
            silent_ms_max: settings.i64("haHousekeepingInterval"),
            transfer_bytes_max: settings.int("haTransferBatchSize"),
            slave_timeout_ms: settings.i64("slaveTimeout"),
            slaves_are_read: settings.bool("slaveReadEnable"),
            synchronize_every: Duration::from_millis(settings.int("slaveSyncInterval")),
            reports_flushed: settings.text("slaveAckPolicy") == "disk",
            begins_anew: false,
        })
    }

    /// `brokerId` as it is registered: that of a master is 0 whatever the file says, as in Apache.
    pub(crate) fn broker_id(&self) -> i64 {
        match self.role {
            Role::Master { .. } => 0,
            Role::Slave { id } => id,
        }
    }

    /// Whether it follows a master.
    pub(crate) fn is_slave(&self) -> bool {
        matches!(self.role, Role::Slave { .. })
    }
}

fn slave_id(settings: &Settings) -> Result<i64, ConfigError> {
    let id = settings.i64("brokerId");
    if id > 0 {
        return Ok(id);
    }
    Err(settings.wrong("brokerId", "a number above 0 for brokerRole=SLAVE; 0 is the master"))
}

fn waits_for(settings: &Settings, gaps: [u64; 2]) -> Result<WaitsFor, ConfigError> {
    let text = settings.text("inSyncReplicas");
    if text.is_empty() {
        let gap_bytes_max = gaps.into_iter().min().unwrap_or(u64::MAX);
        return Ok(WaitsFor::OneThatIsThere { gap_bytes_max });
    }
    let replicas = text.parse::<usize>().ok().filter(|replicas| (1..=64).contains(replicas));
    match replicas {
        Some(1) => Ok(WaitsFor::Nobody),
        Some(replicas) => Ok(WaitsFor::Slaves(replicas - 1)),
        None => Err(settings.wrong("inSyncReplicas", "nothing, or a number from 1 to 64")),
    }
}

fn master(settings: &Settings) -> Result<Option<String>, ConfigError> {
    let text = settings.text("haMasterAddress");
    if text.is_empty() {
        return Ok(None);
    }
    let has_port = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !has_port || settings.int::<usize>("shardCount") > 1 {
        return Err(settings.wrong(
            "haMasterAddress",
            "host:port of the master's haListenPort, of a broker with one shard; several find \
                theirs through the name servers",
        ));
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{options, try_options};

    fn role(pairs: &[(&str, &str)]) -> Role {
        options(pairs).replication.role
    }

    #[test]
    fn the_role_says_what_a_send_waits_for() {
        let sync = ("brokerRole", "SYNC_MASTER");
        let one = |gap_bytes_max| WaitsFor::OneThatIsThere { gap_bytes_max };
        for (pairs, waits_for) in [
            (vec![], WaitsFor::Nobody),
            (vec![("inSyncReplicas", "3")], WaitsFor::Nobody),
            (vec![sync], one(268_435_456)),
            (vec![sync, ("haSlaveFallbehindMax", "5")], one(5)),
            (vec![sync, ("haMaxGapNotInSync", "7")], one(7)),
            (vec![sync, ("inSyncReplicas", "1")], WaitsFor::Nobody),
            (vec![sync, ("inSyncReplicas", "3")], WaitsFor::Slaves(2)),
        ] {
            assert_eq!(role(&pairs), Role::Master { waits_for }, "{pairs:?}");
        }
    }

    #[test]
    fn the_role_decides_the_id_as_in_apache() {
        let id = |pairs: &[(&str, &str)]| options(pairs).replication.broker_id();
        assert_eq!(id(&[("brokerId", "7")]), 0);
        assert_eq!(id(&[("brokerId", "7"), ("brokerRole", "SLAVE")]), 7);
    }

    #[test]
    fn what_a_role_cannot_be_is_refused_by_key() {
        for (pairs, key) in [
            (vec![("brokerRole", "SLAVE")], "brokerId"),
            (vec![("brokerRole", "SYNC_MASTER"), ("inSyncReplicas", "0")], "inSyncReplicas"),
            (vec![("brokerRole", "SYNC_MASTER"), ("inSyncReplicas", "x")], "inSyncReplicas"),
            (vec![("haMasterAddress", "host")], "haMasterAddress"),
            (vec![("haMasterAddress", "h:1"), ("shardCount", "2")], "haMasterAddress"),
        ] {
            let error = try_options(&pairs).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("accepted"), "{error}");
        }
    }
}
