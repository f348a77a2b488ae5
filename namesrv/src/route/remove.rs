//! Removal of brokers: they unregister, their connection ends, or they fall silent.

use super::{PERM_WRITE, RouteTable};

/// A broker that was silent for too long, and the connection it had registered on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expired<C> {
    /// Its cluster.
    pub cluster: String,
    /// Its name.
    pub broker_name: String,
    /// Its address.
    pub addr: String,
    /// Its connection, which must be closed: a half-open connection may be why it fell silent.
    pub conn: C,
    /// How long it was silent.
    pub silent_ms: i64,
}

impl<C: Copy + Eq> RouteTable<C> {
    /// Unregisters a broker's address. An unknown one is no error, since it may have expired just
    /// now.
    pub(crate) fn unregister(&mut self, broker_name: &str, addr: &str) {
        self.forget_address(broker_name, addr);
        let Some(broker) = self.brokers.get_mut(broker_name) else { return };
        broker.addrs.retain(|_, known| known != addr);
        if broker.addrs.is_empty() {
            self.remove_broker(broker_name);
        } else if broker.acting_master && self.no_master(broker_name) {
            self.wipe_write_perm(broker_name);
        }
    }

    /// Removes every broker whose latest registration came on this connection, which has ended.
    /// Returns their addresses.
    pub(crate) fn connection_lost(&mut self, conn: C) -> Vec<String> {
        let of_conn = self.live.iter().filter(|(_, live)| live.conn == conn);
        let gone: Vec<_> =
            of_conn.map(|(key, live)| (live.broker_name.clone(), key.addr.clone())).collect();
        gone.iter().for_each(|(broker_name, addr)| self.unregister(broker_name, addr));
        gone.into_iter().map(|(_, addr)| addr).collect()
    }

    /// Removes every broker that was silent for longer than its timeout.
    pub(crate) fn expire(&mut self, now_ms: i64) -> Vec<Expired<C>> {
        let silent = self.live.iter().filter(|(_, live)| now_ms - live.last_ms > live.timeout_ms);
        let gone: Vec<_> = silent
            .map(|(key, live)| Expired {
                cluster: key.cluster.clone(),
                broker_name: live.broker_name.clone(),
                addr: key.addr.clone(),
                conn: live.conn,
                silent_ms: now_ms - live.last_ms,
            })
            .collect();
        gone.iter().for_each(|expired| self.unregister(&expired.broker_name, &expired.addr));
        gone
    }

    fn remove_broker(&mut self, broker_name: &str) {
        if let Some(broker) = self.brokers.remove(broker_name) {
            self.leave_cluster(&broker.cluster, broker_name);
        }
        self.remove_queues(|_, broker| broker == broker_name);
    }

    pub(super) fn leave_cluster(&mut self, cluster: &str, broker_name: &str) {
        if let Some(names) = self.clusters.get_mut(cluster) {
            names.remove(broker_name);
            if names.is_empty() {
                self.clusters.remove(cluster);
            }
        }
    }

    /// Makes a broker's topics read-only until it registers changed topics. Returns how many topics
    /// it has.
    pub(crate) fn wipe_write_perm(&mut self, broker_name: &str) -> usize {
        self.change_perm(broker_name, |perm| perm & !PERM_WRITE)
    }
}
