//! GET_BROKER_RUNTIME_INFO 28: what `mqadmin clusterList` and `brokerStatus` read. The conformance
//! scenario `runtime-info` holds the keys and their forms against a real Apache broker.

use crate::client::pull_from;
use crate::cluster::{Cluster, eventually};
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

fn info(client: &mut crate::client::Client) -> BTreeMap<String, String> {
    let answer = client.call(request::GET_BROKER_RUNTIME_INFO, &[]);
    assert_eq!(answer.code, 0);
    from_lenient::<KvTable>(&answer.body).unwrap().table
}
