//! The control side: routes, topics, offsets and facts, over plain blocking connections. Nothing
//! here is measured.
//!
//! It works against any RocketMQ-compatible cluster: it uses only requests that every version
//! answers. A refused optional request leaves a fact unknown and does not fail the run.

mod call;

pub(crate) use call::{Caller, Reply};

use crate::env::BrokerFacts;
use crate::error::{Error, Result};
use crate::limits::QUEUES_PER_BROKER_MAX;
use crate::plan::QueuePlan;
use crate::signals::Stop;
use protocol::checked::fit;
use protocol::codes::request;
use protocol::json::parse_lenient;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A master broker of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// How long a created topic may take to appear in the route. Current brokers tell name servers at
/// once, old ones every 30 s.
const TOPIC_VISIBLE_TIMEOUT: Duration = Duration::from_secs(40);
const PERM_READ: i64 = 4;
const PERM_WRITE: i64 = 2;
const TOPIC_NOT_EXIST: i32 = 17;

/// A cluster behind one name server.
#[derive(Debug)]
pub(crate) struct Cluster {
    namesrv: Caller,
}

impl Cluster {
    /// Connects to the first name server of `host:port,host:port` that answers.
    ///
    /// # Errors
    /// When no name server answers; the error names the last one.
    pub(crate) fn connect(namesrv: &str) -> Result<Self> {
        let mut last = Error::Usage(
            "--namesrv is empty: give host:port, or several separated by , or ;".into(),
        );
        for addr in namesrv.split([',', ';']).map(str::trim).filter(|addr| !addr.is_empty()) {
            match Caller::connect("connect to name server", addr) {
                Ok(namesrv) => return Ok(Self { namesrv }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The masters of the cluster.
    ///
    /// # Errors
    /// When the name server does not answer well.
    pub(crate) fn brokers(&mut self) -> Result<Vec<Broker>> {
        let reply = self
            .namesrv
            .call("cluster info", request::GET_BROKER_CLUSTER_INFO, |_| (), &[])?
            .success("cluster info")?;
        let info = json(&reply, "cluster info")?;
        let table = info.get("brokerAddrTable").and_then(Value::as_object);
        Ok(table.into_iter().flatten().filter_map(|(_, broker)| master_of(broker)).collect())
    }

    /// The writable queues of a topic, numbered over all brokers; `None` when the name server knows
    /// no such topic.
    ///
    /// # Errors
    /// When the name server does not answer well.
    pub(crate) fn queues(&mut self, topic: &str) -> Result<Option<Vec<QueuePlan>>> {
        let fill = |ext: &mut protocol::remoting::ExtWriter<'_>| {
            ext.str("topic", topic);
            ext.bool("acceptStandardJsonOnly", true);
        };
        let reply = self.namesrv.call("topic route", request::GET_ROUTEINFO_BY_TOPIC, fill, &[])?;
        if reply.code()? == TOPIC_NOT_EXIST {
            return Ok(None);
        }
        let reply = reply.success("topic route")?;
        let queues = queues_of_route(&json(&reply, "topic route")?);
        queues.map(Some).map_err(|why| reply.unreadable("topic route", &why))
    }

    /// The queues of a topic, which is created with `queues` queues on every master when it is
    /// missing.
    ///
    /// # Errors
    /// When the topic can't be created or does not appear in the route in time, or a signal came.
    pub(crate) fn ensure_topic(
        &mut self,
        topic: &str,
        queues: u32,
        stop: &Stop,
    ) -> Result<Vec<QueuePlan>> {
        match self.queues(topic)? {
            Some(found) if !found.is_empty() => return Ok(found),
            // Creating it again would take its owner's permissions away.
            Some(_) => {
                return Err(Error::Usage(format!(
                    "topic {topic} exists and has no queue that may be written: give it the \
                     permission to write (mqadmin updateTopic -p 6), or another --topic"
                )));
            }
            None => {}
        }
        let brokers = self.brokers()?;
        if brokers.is_empty() {
            return Err(Error::Usage(format!(
                "name server {} knows no master broker: is a broker running and registered with \
                    it?",
                self.namesrv.addr()
            )));
        }
        for broker in &brokers {
            stop.check()?;
            create_topic(broker, topic, queues)?;
        }
        self.wait_for_topic(topic, brokers.len(), stop)
    }

    fn wait_for_topic(
        &mut self,
        topic: &str,
        brokers: usize,
        stop: &Stop,
    ) -> Result<Vec<QueuePlan>> {
        let start = Instant::now();
        loop {
            stop.check()?;
            if let Some(found) = self.queues(topic)? {
                let mut names: Vec<&str> =
                    found.iter().map(|queue| queue.broker.as_str()).collect();
                names.dedup();
                if names.len() >= brokers {
                    return Ok(found);
                }
            }
            if start.elapsed() > TOPIC_VISIBLE_TIMEOUT {
                let waited_s = TOPIC_VISIBLE_TIMEOUT.as_secs();
                return Err(Error::Usage(format!(
                    "topic {topic} was created on {brokers} brokers but is not in the name \
                        server's route after {waited_s} s"
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn create_topic(broker: &Broker, topic: &str, queues: u32) -> Result<()> {
    let mut caller = Caller::connect("connect to broker", &broker.addr.to_string())?;
    let fill = |ext: &mut protocol::remoting::ExtWriter<'_>| {
        ext.str("topic", topic);
        ext.str("defaultTopic", "TBW102");
        ext.int("readQueueNums", queues);
        ext.int("writeQueueNums", queues);
        ext.int("perm", PERM_READ | PERM_WRITE);
        ext.str("topicFilterType", "SINGLE_TAG");
        ext.int("topicSysFlag", 0);
        ext.bool("order", false);
    };
    caller
        .call("create topic", request::UPDATE_AND_CREATE_TOPIC, fill, &[])?
        .success("create topic")?;
    Ok(())
}

/// The next offset to be written in a queue, or with `min` the first one kept.
///
/// # Errors
/// When the broker does not answer well.
pub(crate) fn queue_offset(
    caller: &mut Caller,
    topic: &str,
    queue_id: u32,
    min: bool,
) -> Result<u64> {
    let (operation, code) = if min {
        ("min offset", request::GET_MIN_OFFSET)
    } else {
        ("max offset", request::GET_MAX_OFFSET)
    };
    let fill = |ext: &mut protocol::remoting::ExtWriter<'_>| {
        ext.str("topic", topic);
        ext.int("queueId", queue_id);
    };
    let reply = caller.call(operation, code, fill, &[])?.success(operation)?;
    let offset = reply.view()?.ext.get_i64("offset").ok().flatten();
    let missing = || reply.unreadable(operation, "no offset in it");
    offset.and_then(|offset| u64::try_from(offset.max(0)).ok()).ok_or_else(missing)
}

/// The facts that a broker tells about itself, and its configuration text. Facts that it refuses to
/// tell stay unknown.
#[must_use]
pub(crate) fn facts(broker: &Broker) -> (BrokerFacts, Option<String>) {
    let mut facts = BrokerFacts {
        name: broker.name.clone(),
        addr: broker.addr.to_string(),
        ..BrokerFacts::default()
    };
    let Ok(mut caller) = Caller::connect("connect to broker", &broker.addr.to_string()) else {
        return (facts, None);
    };
    let mut ask = |operation, code| {
        caller.call(operation, code, |_| (), &[]).and_then(|reply| reply.success(operation)).ok()
    };
    let config = ask("broker config", request::GET_BROKER_CONFIG).and_then(|reply| {
        reply.view().ok().map(|view| String::from_utf8_lossy(view.body).into_owned())
    });
    let runtime = ask("runtime info", request::GET_BROKER_RUNTIME_INFO)
        .and_then(|reply| json(&reply, "runtime info").ok());
    facts.version = runtime.as_ref().and_then(|runtime| {
        runtime.get("table")?.get("brokerVersionDesc")?.as_str().map(str::to_owned)
    });
    if let Some(text) = &config {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map(|value| value.trim().to_owned())
        };
        facts.flush_disk_type = value("flushDiskType");
        facts.broker_role = value("brokerRole");
        facts.config = properties(text);
        facts.config_crc32 = Some(format!("{:08x}", crc32fast::hash(text.as_bytes())));
    }
    (facts, config)
}

/// A number of a broker's runtime info; `None` when it does not tell it.
#[must_use]
pub(crate) fn runtime_number(addr: SocketAddr, key: &str) -> Option<u64> {
    let operation = "runtime info";
    let mut caller = Caller::connect("connect to broker", &addr.to_string()).ok()?;
    let reply = caller.call(operation, request::GET_BROKER_RUNTIME_INFO, |_| (), &[]).ok()?;
    let info = json(&reply.success(operation).ok()?, operation).ok()?;
    info.get("table")?.get(key)?.as_str()?.parse().ok()
}

/// The keys and values of `key=value` lines; of a key that comes twice the last one.
#[must_use]
pub(crate) fn properties(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

fn json(reply: &Reply, operation: &'static str) -> Result<Value> {
    let body = reply.view()?.body;
    parse_lenient(body).map_err(|error| reply.unreadable(operation, &error.to_string()))
}

/// The master (broker id 0) of a `BrokerData`.
fn master_of(broker: &Value) -> Option<Broker> {
    let name = broker.get("brokerName")?.as_str()?.to_owned();
    let addr = broker.get("brokerAddrs")?.get("0")?.as_str()?;
    Some(Broker { name, addr: addr.parse().ok()? })
}

/// The queues that may be written, of all masters in the order of their names.
fn queues_of_route(route: &Value) -> std::result::Result<Vec<QueuePlan>, String> {
    let list = |key: &str| route.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut masters: Vec<Broker> = list("brokerDatas").iter().filter_map(master_of).collect();
    masters.sort_by(|one, two| one.name.cmp(&two.name));
    let mut queues = Vec::new();
    for broker in &masters {
        let data = list("queueDatas");
        let of_broker = data.iter().find(|data| {
            data.get("brokerName").and_then(Value::as_str) == Some(broker.name.as_str())
        });
        let number = |key: &str| of_broker.and_then(|data| data.get(key)?.as_i64()).unwrap_or(0);
        let writable = number("perm") & PERM_WRITE != 0;
        let count = u32::try_from(number("writeQueueNums"))
            .ok()
            .filter(|count| *count <= QUEUES_PER_BROKER_MAX)
            .ok_or_else(|| {
                format!(
                    "{} has {} queues, 0 to {QUEUES_PER_BROKER_MAX} are possible",
                    broker.name,
                    number("writeQueueNums")
                )
            })?;
        for queue_id in 0..if writable { count } else { 0 } {
            let index = fit(queues.len());
            queues.push(QueuePlan {
                index,
                broker: broker.name.clone(),
                addr: broker.addr,
                queue_id,
            });
        }
    }
    Ok(queues)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_gives_writable_queues_of_masters_in_a_fixed_order() {
        let route = parse_lenient(
            br#"{"brokerDatas":[
                 {"brokerAddrs":{0:"127.0.0.1:20911",1:"127.0.0.1:20912"},"brokerName":"b"},
                 {"brokerAddrs":{0:"127.0.0.1:10911"},"brokerName":"a"},
                 {"brokerAddrs":{1:"127.0.0.1:5"},"brokerName":"slave-only"}],
               "queueDatas":[
                 {"brokerName":"b","perm":6,"writeQueueNums":1},
                 {"brokerName":"a","perm":6,"writeQueueNums":2},
                 {"brokerName":"slave-only","perm":6,"writeQueueNums":9}]}"#,
        );
        let queues = queues_of_route(&route.unwrap()).unwrap();
        let seen: Vec<_> = queues
            .iter()
            .map(|queue| (queue.index, queue.broker.as_str(), queue.queue_id, queue.addr.port()))
            .collect();
        assert_eq!(seen, [(0, "a", 0, 10911), (1, "a", 1, 10911), (2, "b", 0, 20911)]);
    }

    #[test]
    fn a_route_with_absurdly_many_queues_is_an_error_that_names_the_broker() {
        for count in ["-1", "65537", "99999999999"] {
            let route = r#"{"brokerDatas":[{"brokerAddrs":{0:"127.0.0.1:1"},"brokerName":"b"}],
                "queueDatas":[{"brokerName":"b","perm":6,"writeQueueNums":COUNT}]}"#;
            let route = parse_lenient(route.replace("COUNT", count).as_bytes()).unwrap();
            let why = queues_of_route(&route).unwrap_err();
            assert!(why.starts_with(&format!("b has {count} queues")), "{why}");
        }
    }

    #[test]
    fn a_read_only_topic_has_no_queues_to_send_to() {
        let route = parse_lenient(
            br#"{"brokerDatas":[{"brokerAddrs":{"0":"127.0.0.1:1"},"brokerName":"a"}],
                "queueDatas":[{"brokerName":"a","perm":4,"writeQueueNums":2}]}"#,
        );
        assert!(queues_of_route(&route.unwrap()).unwrap().is_empty());
    }
}
