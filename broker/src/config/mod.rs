//! The broker's configuration: a RocketMQ `.properties` file and the command line become
//! [`Options`], validated once.
//!
//! ```text
//! file, -n, NAMESRV_ADDR
//!   │ Settings::resolve: are the keys known, the values of their kind?
//!   ▼
//! Settings (printed by -p)
//!   │ Options::from_settings: addresses, cores, ports of all shards
//!   ▼
//! Options ──► one ShardOptions each
//! ```

mod honoured;
mod host;
mod lite;
mod memory;
mod options;
mod pop;
mod replication;
mod serve;
mod store;
mod timers;
mod transactions;
mod without_effect;

pub(crate) use options::{Options, ShardOptions};
pub(crate) use pop::BufferOptions;
pub(crate) use replication::{ReplicationOptions, Role, WaitsFor};
pub(crate) use serve::ClientLimits;
pub(crate) use timers::{TimerOptions, WHEEL_SLOTS};
pub(crate) use transactions::TransactionOptions;

use protocol::config_file::{ConfigError, Key, Properties, Settings};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Every key the broker knows: RocketMQ's that work, RingMQ's own, RocketMQ's that change nothing
/// here.
pub(crate) static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    [
        honoured::ROCKETMQ,
        timers::KEYS,
        transactions::KEYS,
        pop::KEYS,
        lite::KEYS,
        replication::KEYS,
        honoured::OWN,
        honoured::SWITCHES,
        without_effect::WITHOUT_EFFECT,
    ]
    .concat()
});

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartConfigError {
    /// The file can't be read.
    #[error("can't read the configuration file {path}: {source}")]
    Unreadable {
        /// As given with `-c`.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A value is wrong.
    #[error(transparent)]
    Wrong(#[from] ConfigError),
}

/// Reads the file (when one is named) under the command line's `--set` and `-n`, and checks every
/// value.
pub(crate) fn load(
    file: Option<&Path>,
    namesrv: Option<&str>,
    set: &[(String, String)],
) -> Result<Settings, StartConfigError> {
    let mut properties = match file {
        None => Properties::default(),
        Some(path) => {
            let bytes = std::fs::read(path)
                .map_err(|source| StartConfigError::Unreadable { path: path.to_owned(), source })?;
            Properties::parse(&path.display().to_string(), &bytes)?
        }
    };
    for (key, value) in set {
        properties.set(key, value, "--set");
    }
    if let Some(addresses) = namesrv {
        properties.set("namesrvAddr", addresses, "-n");
    }
    if let Ok(addresses) = std::env::var("NAMESRV_ADDR") {
        properties.set_if_absent("namesrvAddr", &addresses, "NAMESRV_ADDR");
    }
    properties.set_if_absent("brokerName", &host::name(), "the host's name");
    if let Some(store) = host::default_store() {
        properties.set_if_absent("storePathRootDir", &store, "HOME");
    }
    properties.set_if_absent("brokerIP1", &host::address().to_string(), "the host's address");
    let settings = Settings::resolve(&KEYS, &properties)?;
    for (key, only, why) in honoured::REFUSED {
        if settings.text(key) != *only {
            return Err(settings.wrong(key, format!("{only}; {why}")).into());
        }
    }
    Ok(settings)
}

/// `-m`: the keys that work, without the hundreds that RocketMQ has besides.
pub(crate) fn print_important(settings: &Settings) -> String {
    let works = KEYS.iter().filter(|key| key.no_effect.is_empty());
    works.map(|key| format!("{}={}\n", key.name, settings.text(key.name))).collect()
}

/// Options for tests: the defaults, a name, an address and a store, and `pairs` over them.
#[cfg(test)]
pub(crate) fn options(pairs: &[(&str, &str)]) -> Options {
    try_options(pairs).unwrap()
}

#[cfg(test)]
fn try_options(pairs: &[(&str, &str)]) -> Result<Options, ConfigError> {
    let mut properties = Properties::default();
    let fixed = [("brokerName", "b"), ("brokerIP1", "10.0.0.1"), ("storePathRootDir", "/s")];
    for (key, value) in fixed.iter().chain(pairs) {
        properties.set(key, value, "test");
    }
    Options::from_settings(&Settings::resolve(&KEYS, &properties)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::io::Write as _;

    fn load_text(text: &str) -> Result<Settings, StartConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        load(Some(file.path()), None, &[])
    }

    #[test]
    fn every_key_is_in_the_table_once_and_its_default_is_accepted() {
        let names: HashSet<_> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), KEYS.len());
        load_text("").unwrap();
    }

    #[test]
    fn the_tutorials_file_is_read_as_its_author_meant_it() {
        let settings = load_text(
            "brokerClusterName=DefaultCluster  \nbrokerName=broker-a  \n\
             brokerId=0  // 0表示Master，>0表示Slave  \n\
             namesrvAddr=localhost:9876;localhost:9877  // 多个NameServer地址\n",
        )
        .unwrap();
        let options = Options::from_settings(&settings).unwrap();
        assert_eq!(
            (options.cluster.as_str(), options.broker.as_str()),
            ("DefaultCluster", "broker-a")
        );
        assert_eq!(options.network.name_servers, ["localhost:9876", "localhost:9877"]);
    }

    #[test]
    fn what_this_version_cannot_keep_is_refused_with_the_reason() {
        for (line, reason) in [
            ("enableControllerMode=true", "controller"),
            ("enableDLegerCommitLog=true", "DLedger"),
            ("aclEnable=true", "open"),
        ] {
            let error = load_text(line).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(":1"), "{error}");
        }
    }

    #[test]
    fn a_key_without_effect_and_an_unknown_key_are_told() {
        let settings = load_text("maxRecoveryCommitlogFiles=30\nlistenPortt=10911\n").unwrap();
        let notes: Vec<_> = settings.notes().iter().map(ToString::to_string).collect();
        assert!(
            notes.iter().any(|note| note.contains("maxRecoveryCommitlogFiles")
                && note.contains("not in this version")),
            "{notes:?}"
        );
        assert!(
            notes
                .iter()
                .any(|note| note.contains("listenPortt")
                    && note.contains("did you mean listenPort?")),
            "{notes:?}"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error =
            load(Some(Path::new("/nowhere/broker.conf")), None, &[]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/broker.conf"), "{error}");
    }
}
