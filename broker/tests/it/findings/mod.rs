//! What a reading found to differ from Apache RocketMQ 5.5.0, one test each, by the finding's
//! number. Ignored with that number as the reason until it is closed.

mod groups;
mod messages;
mod topics;

use crate::cluster::Cluster;
use std::path::PathBuf;

/// Ends the broker in good order.
fn stop(cluster: &mut Cluster) {
    assert_eq!(cluster.broker.stop(), Some(0), "{}", cluster.broker.log());
}

/// A file of the store's `config` folder as JSON.
fn read_config(cluster: &Cluster, name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(config_path(cluster, name)).unwrap()).unwrap()
}

/// Changes such a file while the broker is down.
fn change_config(cluster: &Cluster, name: &str, change: impl FnOnce(&mut serde_json::Value)) {
    let mut json = read_config(cluster, name);
    change(&mut json);
    std::fs::write(config_path(cluster, name), json.to_string()).unwrap();
}

fn config_path(cluster: &Cluster, name: &str) -> PathBuf {
    cluster.store().join("config").join(name)
}
