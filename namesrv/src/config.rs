//! The configuration: RocketMQ's keys with their names and defaults, and a few of RingMQ's.

use crate::limits::HEARTBEAT_TIMEOUT_MS_MAX;
use crate::route::RouteOptions;
use protocol::config_file::{ConfigError, Key, Properties, Settings};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

const ONE_CORE: &str = "one core does all the work, there are no pools of threads";
const KERNEL: &str = "buffers are the network ring's, and bounded";
const NO_CONTROLLER: &str = "there is no controller in this name server";
const NO_DIALLING: &str = "this name server dials nobody";

/// Every key, in the order `-p` prints them.
pub(crate) const KEYS: &[Key] = &[
    Key::int(
        "listenPort",
        0,
        65535,
        "9876",
        "the port brokers and clients connect to; 0 takes a free one",
    ),
    Key::text("bindAddress", "0.0.0.0", "the IP address to listen on; :: is all of IPv6 and IPv4"),
    Key::text(
        "rocketmqHome",
        "",
        "RocketMQ's installation folder; kept for scripts, nothing is read from it",
    ),
    Key::text(
        "kvConfigPath",
        "",
        "where key-value configuration is kept; default ~/namesrv/kvConfig.json",
    ),
    Key::text("configStorePath", "", "the file this configuration came from"),
    Key::int(
        "scanNotActiveBrokerInterval",
        1,
        HEARTBEAT_TIMEOUT_MS_MAX,
        "5000",
        "milliseconds between looks for brokers that fell silent",
    ),
    Key::bool(
        "orderMessageEnable",
        "false",
        "routes carry the topic's order configuration (namespace ORDER_TOPIC_CONFIG)",
    ),
    Key::bool(
        "returnOrderTopicConfigToBroker",
        "true",
        "brokers get all order configurations when they register",
    ),
    Key::bool("enableAllTopicList", "true", "answer the request for all topics"),
    Key::bool("enableTopicList", "true", "answer requests for topics by cluster and by unit"),
    Key::bool(
        "supportActingMaster",
        "false",
        "the slave with the smallest id stands in for a lost master in routes",
    ),
    Key::bool(
        "deleteTopicWithBrokerRegistration",
        "false",
        "a registration removes the broker's topics that are not in it",
    ),
    Key::bool(
        "needWaitForService",
        "false",
        "answer route lookups only after waitSecondsForService",
    ),
    Key::int("waitSecondsForService", 0, 86_400, "45", "see needWaitForService"),
    Key::text(
        "configBlackList",
        "configBlackList;configStorePath;kvConfigPath",
        "keys that UPDATE_NAMESRV_CONFIG may not change, separated by ;",
    ),
    Key::int(
        "serverChannelMaxIdleTimeSeconds",
        1,
        86_400,
        "120",
        "a connection silent for so long is closed",
    ),
    Key::int(
        "idleSpinMicros",
        0,
        1_000_000,
        "0",
        "how long the idle core looks for work before it sleeps (RingMQ's key)",
    ),
    Key::text("productEnvName", "center", "the environment's name")
        .without_effect("RocketMQ does not use it either"),
    Key::bool("clusterTest", "false", "ask another name server for unknown topics")
        .without_effect(NO_DIALLING),
    Key::bool("notifyMinBrokerIdChanged", "false", "tell brokers who stands in for a lost master")
        .without_effect(NO_DIALLING),
    Key::bool("enableControllerInNamesrv", "false", "run a controller")
        .without_effect(NO_CONTROLLER),
    Key::int("clientRequestThreadPoolNums", 1, 65535, "8", "threads").without_effect(ONE_CORE),
    Key::int("defaultThreadPoolNums", 1, 65535, "16", "threads").without_effect(ONE_CORE),
    Key::int("clientRequestThreadPoolQueueCapacity", 1, i64::MAX, "50000", "requests")
        .without_effect(ONE_CORE),
    Key::int("defaultThreadPoolQueueCapacity", 1, i64::MAX, "10000", "requests")
        .without_effect(ONE_CORE),
    Key::int("unRegisterBrokerQueueCapacity", 1, i64::MAX, "3000", "requests")
        .without_effect(ONE_CORE),
    Key::int("serverWorkerThreads", 1, 65535, "8", "threads").without_effect(ONE_CORE),
    Key::int("serverCallbackExecutorThreads", 0, 65535, "0", "threads").without_effect(ONE_CORE),
    Key::int("serverSelectorThreads", 1, 65535, "3", "threads").without_effect(ONE_CORE),
    Key::int("serverOnewaySemaphoreValue", 1, i64::MAX, "256", "requests")
        .without_effect(NO_DIALLING),
    Key::int("serverAsyncSemaphoreValue", 1, i64::MAX, "64", "requests")
        .without_effect(NO_DIALLING),
    Key::int("serverSocketSndBufSize", 0, i64::MAX, "0", "bytes").without_effect(KERNEL),
    Key::int("serverSocketRcvBufSize", 0, i64::MAX, "0", "bytes").without_effect(KERNEL),
    Key::int("writeBufferHighWaterMark", 0, i64::MAX, "0", "bytes").without_effect(KERNEL),
    Key::int("writeBufferLowWaterMark", 0, i64::MAX, "0", "bytes").without_effect(KERNEL),
    Key::int("serverSocketBacklog", 1, i64::MAX, "1024", "connections").without_effect(KERNEL),
    Key::bool("serverNettyWorkerGroupEnable", "true", "Netty").without_effect(ONE_CORE),
    Key::bool("serverPooledByteBufAllocatorEnable", "true", "Netty").without_effect(KERNEL),
    Key::bool("useEpollNativeSelector", "false", "Netty").without_effect("the network is io_uring"),
];

/// The settings in force, and those that need more checks than the table of keys has.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// All settings, for `-p` and GET_NAMESRV_CONFIG.
    pub settings: Settings,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where key-value configuration is kept.
    pub kv_path: PathBuf,
}

/// Settings as a question for a route needs them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LookupRules {
    /// No route is told earlier than so long after the start (`needWaitForService`).
    pub ready_after_ms: Option<i64>,
    /// Routes tell the topic's order configuration.
    pub order_messages: bool,
}

impl Config {
    /// Checks a file with the command line already laid over it. `home` is the user's home folder,
    /// for the default paths.
    pub(crate) fn resolve(
        mut properties: Properties,
        home: Option<&str>,
    ) -> Result<Self, ConfigError> {
        // Without a home (a bare container) the working folder serves.
        let kv_default = format!("{}/namesrv/kvConfig.json", home.unwrap_or("."));
        properties.set_if_absent("kvConfigPath", &kv_default, "HOME");
        let settings = Settings::resolve(KEYS, &properties)?;
        let accepted = "an IP address of this host, 0.0.0.0 or ::";
        let ip: IpAddr = settings
            .text("bindAddress")
            .parse()
            .map_err(|_| settings.wrong("bindAddress", accepted))?;
        if settings.text("kvConfigPath").is_empty() {
            return Err(settings.wrong("kvConfigPath", "the path of a file"));
        }
        let kv_path = PathBuf::from(settings.text("kvConfigPath"));
        Ok(Self { listen: SocketAddr::new(ip, settings.int("listenPort")), kv_path, settings })
    }

    /// The settings that change the rules of the route table.
    pub(crate) fn route_options(&self) -> RouteOptions {
        RouteOptions {
            delete_topic_with_broker_registration: self
                .settings
                .bool("deleteTopicWithBrokerRegistration"),
            support_acting_master: self.settings.bool("supportActingMaster"),
        }
    }

    /// The settings that each question for a route needs.
    pub(crate) fn lookup_rules(&self) -> LookupRules {
        let waits = self.settings.bool("needWaitForService");
        LookupRules {
            ready_after_ms: waits.then(|| self.settings.i64("waitSecondsForService") * 1000),
            order_messages: self.settings.bool("orderMessageEnable"),
        }
    }

    /// How often to look for silent brokers.
    pub(crate) fn scan_interval(&self) -> Duration {
        Duration::from_millis(self.settings.int("scanNotActiveBrokerInterval"))
    }

    /// The first key of `names` that may not change while running: where the server keeps its
    /// files, and RocketMQ's black list.
    pub(crate) fn protected<'n>(
        &self,
        mut names: impl Iterator<Item = &'n str>,
    ) -> Option<&'n str> {
        const ALWAYS: [&str; 4] =
            ["configBlackList", "configStorePath", "kvConfigPath", "rocketmqHome"];
        let listed = self.settings.text("configBlackList");
        names.find(|name| {
            ALWAYS.contains(name) || listed.split(';').any(|word| word.trim() == *name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, ConfigError> {
        Config::resolve(Properties::parse("n.properties", text.as_bytes()).unwrap(), Some("/rmq"))
    }

    #[test]
    fn defaults_are_rocketmqs() {
        let config = config("").unwrap();
        assert_eq!(config.listen, "0.0.0.0:9876".parse::<std::net::SocketAddr>().unwrap());
        assert_eq!(config.kv_path, PathBuf::from("/rmq/namesrv/kvConfig.json"));
        assert_eq!(config.scan_interval(), Duration::from_secs(5));
        assert_eq!(config.route_options(), RouteOptions::default());
        assert!(config.settings.notes().is_empty(), "{:?}", config.settings.notes());
    }

    #[test]
    fn an_address_that_is_none_is_an_error_naming_line_and_key() {
        let message = config("\nbindAddress=localhost").unwrap_err().to_string();
        assert_eq!(
            message,
            "n.properties:2: bindAddress is \"localhost\"; accepted: an IP address of this host, \
                0.0.0.0 or ::"
        );
        let message = config("kvConfigPath=").unwrap_err().to_string();
        assert_eq!(message, r#"n.properties:1: kvConfigPath is ""; accepted: the path of a file"#);
    }

    #[test]
    fn the_black_list_and_the_servers_own_files_are_protected() {
        let config = config("configBlackList=listenPort; enableTopicList").unwrap();
        for name in [
            "listenPort",
            "enableTopicList",
            "kvConfigPath",
            "rocketmqHome",
            "configBlackList",
            "configStorePath",
        ] {
            assert_eq!(config.protected([name].into_iter()), Some(name));
        }
        assert_eq!(config.protected(["orderMessageEnable"].into_iter()), None);
    }

    #[test]
    fn every_default_is_accepted_and_keys_that_do_nothing_say_why() {
        assert_eq!(config("").unwrap().settings.print().lines().count(), KEYS.len());
        let notes = config("defaultThreadPoolNums=4").unwrap().settings.notes().to_vec();
        assert!(notes[0].to_string().contains("no effect here: one core"), "{}", notes[0]);
    }
}
