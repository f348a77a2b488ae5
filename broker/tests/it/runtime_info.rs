//! GET_BROKER_RUNTIME_INFO 28: what `mqadmin clusterList` and `brokerStatus` read. The conformance
//! scenario `runtime-info` holds the keys and their forms against a real Apache broker.

use crate::client::pull_from;
use crate::cluster::{Cluster, eventually};
use crate::mount::Mount;
use protocol::bodies::KvTable;
use protocol::codes::request;
use protocol::json::from_lenient;
use std::collections::BTreeMap;

#[test]
fn every_key_that_the_tools_parse_is_there_in_a_form_that_they_parse() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let empty = info(&mut client);
    assert_eq!(empty["earliestMessageTimeStamp"], "-1");
    assert_eq!(empty["putMessageTimesTotal"], "1", "Apache divides by it");
    (0..3).for_each(|nth| _ = client.put("T", "", &format!("{nth}")));
    client.pull(&pull_from("T", 0));
    let info = info(&mut client);
    let number = |key: &str| info[key].parse::<f64>().unwrap_or_else(|_| panic!("{key}: {info:?}"));
    assert_eq!((number("putMessageTimesTotal"), number("msgPutTotalTodayNow")), (3.0, 3.0));
    assert_eq!(number("msgGetTotalTodayNow"), 3.0);
    assert!(number("earliestMessageTimeStamp") > 1.6e12);
    assert!((0.0..=1.0).contains(&number("commitLogDiskRatio")));
    assert!(number("commitLogMaxOffset") > number("commitLogMinOffset"));
    for key in ["putTps", "getTransferredTps", "getFoundTps", "getMissTps", "getTotalTps"] {
        let rates: Vec<f64> = info[key].split(' ').map(|rate| rate.parse().unwrap()).collect();
        assert_eq!(rates.len(), 3, "{key}: {:?}", info[key]);
    }
    for pool in ["send", "pull", "query", "litePull", "ack"] {
        for part in ["QueueSize", "QueueCapacity", "QueueHeadWaitTimeMills"] {
            number(&format!("{pool}ThreadPool{part}"));
        }
    }
    assert_eq!(
        (info["brokerVersionDesc"].as_str(), info["brokerActive"].as_str()),
        ("V5_5_0", "true")
    );
    let store = cluster.store().join("commitlog");
    assert!(info.contains_key(&format!("commitLogDiskRatio_{}", store.display())));
}

#[test]
fn how_far_the_index_is_behind_is_told_in_messages() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let number = |info: &BTreeMap<String, String>, key: &str| info[key].parse::<u64>().unwrap();
    assert_eq!(number(&info(&mut client), "indexBehindMessages"), 0);
    // No index file can be made while a file has the name of its folder.
    let folder = cluster.store().join("index");
    std::fs::write(&folder, b"in the way").unwrap();
    (0..5).for_each(|nth| _ = client.put("T", "KEYS\u{1}k\u{2}", &format!("{nth}")));
    let stuck = info(&mut client);
    assert_eq!(number(&stuck, "indexBehindMessages"), 5);
    assert_eq!(number(&stuck, "indexBehindBytes"), number(&stuck, "commitLogMaxOffset"));
    std::fs::remove_file(&folder).unwrap();
    eventually("the index is level", || {
        let now = info(&mut client);
        number(&now, "indexBehindMessages") == 0 && number(&now, "indexBehindBytes") == 0
    });
}

#[test]
fn what_readers_get_is_counted_as_hot_while_unwritten_as_warm_in_memory_and_as_cold_from_disk() {
    let Some(disk) = Mount::new(96) else { return };
    let store = format!("storePathRootDir={}", disk.path().join("store").display());
    let mut cluster = Cluster::start(1, &["mappedFileSizeCommitLog=8388608", &store]);
    let mut client = cluster.client(0);
    assert_eq!(counted(&mut client), [(0, 0); 3]);
    client.put("T", "", "written");
    let first: u64 = info(&mut client)["commitLogMaxOffset"].parse().unwrap();
    eventually("the first message is written", || {
        client.pull(&pull_from("T", 0));
        let [_, (warm, bytes), _] = counted(&mut client);
        warm > 0 && bytes >= first
    });
    let before = counted(&mut client);
    // From here on nothing reaches the disk.
    disk.freeze();
    (0..3).for_each(|nth| _ = client.put("T", "", &format!("unwritten {nth}")));
    assert_eq!(client.pull(&pull_from("T", 1)).messages().len(), 3);
    let [hot, warm, cold] = counted(&mut client);
    disk.thaw();
    assert_eq!((hot.0 - before[0].0, warm, cold), (3, before[1], (0, 0)));
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0));
    cluster.restart_broker();
    let mut client = cluster.client(0);
    assert_eq!(client.pull(&pull_from("T", 0)).messages().len(), 4);
    let [hot, warm, cold] = counted(&mut client);
    assert_eq!((hot, warm, cold.0), ((0, 0), (0, 0), 4));
    assert_eq!(cold.1.to_string(), info(&mut client)["commitLogMaxOffset"], "all there is");
}

/// Messages and bytes that were handed out, hot, warm and cold.
fn counted(client: &mut crate::client::Client) -> [(u64, u64); 3] {
    let info = info(client);
    ["Hot", "Warm", "Cold"].map(|name| {
        let number = |what: &str| info[&format!("get{name}{what}")].parse().unwrap();
        (number("Messages"), number("Bytes"))
    })
}

fn info(client: &mut crate::client::Client) -> BTreeMap<String, String> {
    let answer = client.call(request::GET_BROKER_RUNTIME_INFO, &[]);
    assert_eq!(answer.code, 0);
    from_lenient::<KvTable>(&answer.body).unwrap().table
}

#[test]
fn a_brokers_configuration_is_every_value_in_force_of_the_shard_that_is_asked() {
    let cluster = Cluster::start(2, &["idleSpinMicros=37"]);
    for shard in 0..2 {
        let answer = cluster.client(shard).call(request::GET_BROKER_CONFIG, &[]);
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let values: BTreeMap<&str, &str> =
            text.lines().map(|line| line.split_once('=').unwrap()).collect();
        assert_eq!((answer.code, values["idleSpinMicros"]), (0, "37"), "{text}");
        assert_eq!(values["flushDiskType"], "ASYNC_FLUSH", "a default: {text}");
        assert!(values["brokerName"].ends_with(&format!("-s{shard}")), "{text}");
        assert!(values["storePathRootDir"].ends_with(&format!("shard-{shard}")), "{text}");
        assert!(values.contains_key("transientStorePoolEnable"), "Apache's keys too: {text}");
    }
}

#[test]
fn the_cpu_time_of_the_idle_spin_is_told_and_grows_with_wake_ups() {
    let cluster = Cluster::start(1, &["idleSpinMicros=200"]);
    let mut client = cluster.client(0);
    let spun = |info: &BTreeMap<String, String>| info["idleSpinNanos"].parse::<u64>().unwrap();
    let before = spun(&info(&mut client));
    (0..20).for_each(|_| _ = info(&mut client));
    // Each of them was followed by a look for more, mostly over the whole window.
    assert!(spun(&info(&mut client)) - before > 20 * 20_000, "20 wake-ups of up to 200 µs");
}
