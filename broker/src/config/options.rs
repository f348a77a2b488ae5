//! The validated options of the process and of each of its shards.

use super::lite::LiteOptions;
use super::pop::PopOptions;
use super::replication::ReplicationOptions;
use super::serve::{CreateOptions, ServeOptions};
use super::timers::TimerOptions;
use super::transactions::TransactionOptions;
use super::{host, memory, store};
use crate::checked;
use crate::limits::NAME_SERVERS_MAX;
use engine::StoreConfig;
use protocol::config_file::{ConfigError, Settings};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Ports of two neighbouring shards are this far apart: room for HA (+1) and the VIP port (−2) of
/// each.
const SHARD_PORT_STEP: u16 = 10;

/// What the process was told. Plain data: each shard gets its own copy.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// `brokerClusterName`.
    pub(crate) cluster: String,
    /// `brokerName`, without the shard's suffix.
    pub(crate) broker: String,
    /// `brokerPermission`.
    pub(crate) permission: i32,
    /// Where it listens, and what others are told of that.
    pub(crate) network: NetworkOptions,
    /// How many shards there are, and where they run.
    pub(crate) shards: ShardsOptions,
    /// The store of each shard, but for its root, which is the process's
    /// ([`ShardOptions::store_config`]).
    pub(crate) store: StoreConfig,
    /// Automatic creation of topics and groups.
    pub(crate) create: CreateOptions,
    /// Timer messages and their recall.
    pub(crate) timers: TimerOptions,
    /// Limits and waits of requests.
    pub(crate) serve: ServeOptions,
    /// How transactions end.
    pub(crate) transactions: TransactionOptions,
    /// POP.
    pub(crate) pop: PopOptions,
    /// Lite topics.
    pub(crate) lite: LiteOptions,
    /// Its role among the brokers of its name.
    pub(crate) replication: ReplicationOptions,
    /// `flushConsumerOffsetInterval`.
    pub(crate) persist_every: Duration,
    /// `flushDelayOffsetInterval`.
    pub(crate) persist_delays_every: Duration,
    /// `registerNameServerPeriod`, within RocketMQ's bounds.
    pub(crate) register_every: Duration,
    /// Every value in force, as `-p` prints it: what 26 answers.
    pub(crate) printed: Arc<str>,
}

/// Addresses and ports.
#[derive(Clone, Debug)]
pub(crate) struct NetworkOptions {
    /// `namesrvAddr`, one entry each.
    pub(crate) name_servers: Vec<String>,
    /// `listenPort`: of shard 0.
    pub(crate) listen_port: u16,
    /// `bindAddress`.
    pub(crate) bind: IpAddr,
    /// `brokerIP1` as given: what clients are told.
    pub(crate) advertised_host: String,
    /// The same as an address: stored in every message and message id.
    pub(crate) advertised_ip: IpAddr,
    /// `brokerIP2`.
    pub(crate) ha_host: String,
    /// `haListenPort` of shard 0; `None`: the shard's port + 1.
    pub(crate) ha_port: Option<u16>,
    /// `serverChannelMaxIdleTimeSeconds`.
    pub(crate) idle_timeout: Duration,
}

/// The process's shards.
#[derive(Clone, Debug)]
pub(crate) struct ShardsOptions {
    /// `shardCount`.
    pub(crate) count: usize,
    /// `shardCores`, empty for all cores in order.
    pub(crate) cores: Vec<usize>,
    /// `idleSpinMicros`.
    pub(crate) idle_spin: Duration,
    /// Connections of each shard. Not a key; the process derives it from the limit of open files.
    pub(crate) connections_max: usize,
    /// What peers may make each shard hold: the limit of its memory account. Not a key; derived
    /// from the memory of the machine or the control group.
    pub(crate) memory_bytes_max: usize,
}

impl Options {
    /// Validates what the table of keys could not: addresses, core lists, ports of all shards.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        if settings.text("storePathRootDir").is_empty() {
            return Err(settings
                .wrong("storePathRootDir", "a folder (HOME is not set, so there is no default)"));
        }
        let shards = ShardsOptions::from_settings(settings)?;
        Ok(Self {
            cluster: settings.text("brokerClusterName").to_owned(),
            broker: settings.text("brokerName").to_owned(),
            permission: settings.int("brokerPermission"),
            network: NetworkOptions::from_settings(settings, shards.count)?,
            shards,
            store: store::store_config(settings)?,
            create: CreateOptions::from_settings(settings),
            timers: TimerOptions::from_settings(settings),
            serve: ServeOptions::from_settings(settings),
            transactions: TransactionOptions::from_settings(settings),
            pop: PopOptions::from_settings(settings),
            lite: LiteOptions::from_settings(settings),
            replication: ReplicationOptions::from_settings(settings)?,
            persist_every: millis(settings, "flushConsumerOffsetInterval"),
            persist_delays_every: millis(settings, "flushDelayOffsetInterval"),
            register_every: millis(settings, "registerNameServerPeriod")
                .clamp(Duration::from_secs(10), Duration::from_secs(60)),
            printed: settings.print().into(),
        })
    }

    /// The options of shard `index`.
    pub(crate) fn shard(&self, index: usize) -> ShardOptions {
        let network = &self.network;
        // `from_settings` has seen that the last shard's ports exist.
        let offset = checked::to::<u16, _>(index) * SHARD_PORT_STEP;
        let port = network.listen_port + offset;
        let ha_port = network.ha_port.map_or(port + 1, |first| first + offset);
        let alone = self.shards.count == 1;
        let root = &self.store.root;
        ShardOptions {
            index,
            broker: if alone { self.broker.clone() } else { format!("{}-s{index}", self.broker) },
            port,
            address: format!("{}:{port}", bracketed(&network.advertised_host)),
            ha_port,
            ha_address: format!("{}:{ha_port}", bracketed(&network.ha_host)),
            store_host: SocketAddr::new(network.advertised_ip, port),
            store_root: if alone { root.clone() } else { root.join(format!("shard-{index}")) },
            process: self.clone(),
        }
    }
}

/// What one shard, a broker of its own, was told.
#[derive(Clone, Debug)]
pub(crate) struct ShardOptions {
    /// Its number in the process.
    pub(crate) index: usize,
    /// The name it registers: `broker-a`, or `broker-a-s0` when there are several.
    pub(crate) broker: String,
    /// The port it listens on.
    pub(crate) port: u16,
    /// What it tells clients: host and port.
    pub(crate) address: String,
    /// The port that slaves dial.
    pub(crate) ha_port: u16,
    /// What it tells slaves.
    pub(crate) ha_address: String,
    /// Stored in every message and part of every message id.
    pub(crate) store_host: SocketAddr,
    /// Its store.
    pub(crate) store_root: PathBuf,
    /// The rest.
    pub(crate) process: Options,
}

impl ShardOptions {
    /// What its store is opened with.
    pub(crate) fn store_config(&self) -> StoreConfig {
        StoreConfig { root: self.store_root.clone(), ..self.process.store.clone() }
    }
}

impl NetworkOptions {
    fn from_settings(settings: &Settings, shard_count: usize) -> Result<Self, ConfigError> {
        let listen_port = first_port(settings, "listenPort", shard_count, 1)?;
        let ha_port = first_port(settings, "haListenPort", shard_count, 0)?;
        let advertised_host = settings.text("brokerIP1").to_owned();
        let advertised_ip = resolve_host(&advertised_host).ok_or_else(|| {
            settings.wrong("brokerIP1", "an IP address or a name that resolves to one")
        })?;
        let bind = settings.text("bindAddress").parse().map_err(|_| {
            settings.wrong("bindAddress", "an IP address of this host, 0.0.0.0 for all")
        })?;
        Ok(Self {
            name_servers: name_servers(settings)?,
            listen_port,
            bind,
            ha_host: some_text(settings, "brokerIP2").unwrap_or_else(|| advertised_host.clone()),
            advertised_host,
            advertised_ip,
            ha_port: Some(ha_port).filter(|port| *port != 0),
            idle_timeout: Duration::from_secs(settings.int("serverChannelMaxIdleTimeSeconds")),
        })
    }
}

impl ShardsOptions {
    fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let count = settings.int("shardCount");
        Ok(Self {
            count,
            cores: cores(settings)?,
            idle_spin: Duration::from_micros(settings.int("idleSpinMicros")),
            connections_max: netcore::limits::CONNECTIONS_MAX,
            memory_bytes_max: memory::shard_bytes_max(host::memory_bytes(), count),
        })
    }
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
    use crate::config::{options, try_options};

    #[test]
    fn one_shard_is_the_broker_itself() {
        let shard = options(&[]).shard(0);
        assert_eq!(
            (shard.broker.as_str(), shard.address.as_str(), shard.ha_address.as_str()),
            ("b", "10.0.0.1:10911", "10.0.0.1:10912")
        );
        assert_eq!(shard.store_root, PathBuf::from("/s"));
    }

    #[test]
    fn several_shards_are_brokers_ten_ports_apart_with_a_folder_each() {
        let options =
            options(&[("shardCount", "2"), ("listenPort", "20000"), ("shardCores", "0-1, 4")]);
        let shard = options.shard(1);
        assert_eq!((shard.broker.as_str(), shard.port), ("b-s1", 20010));
        assert_eq!(shard.ha_address, "10.0.0.1:20011");
        assert_eq!(shard.store_config().root, PathBuf::from("/s/shard-1"));
        assert_eq!(options.shards.cores, [0, 1, 4]);
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
            let error = try_options(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("accepted"), "{error}");
        }
        for key in ["listenPort", "haListenPort"] {
            let error =
                try_options(&[("shardCount", "200"), (key, "64000")]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("200 shards"), "{error}");
        }
    }
}
