//! Closing keeps its deadline and says what it leaves; the next start does the rest.

use crate::oracle::{Oracle, small_config};
use engine::{KeyQuery, LeftOver, Store, StoreConfig};
use rt::Runtime;
use rt::sim::{Fault, FaultOp, Sim};
use std::path::Path;
use std::time::Duration;

const MS: u64 = 1_000_000;

async fn has_abort(sim: &Sim) -> bool {
    sim.read_file(Path::new("/store/abort")).await.is_ok()
}

fn query(key: &str) -> KeyQuery {
    KeyQuery {
        topic: "alpha".into(),
        key: key.into(),
        by_tag: false,
        max_messages: 32,
        begin_ms: 0,
        end_ms: i64::MAX,
    }
}

#[test]
fn closing_does_not_wait_for_the_whole_index_and_the_next_start_goes_on_where_it_stood() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let config = StoreConfig {
            close_deadline_ms: 400,
            commitlog_file_bytes: 4 << 20,
            index_slots: 4000,
            index_entries: 9000,
            ..small_config("/store")
        };
        let store = Store::open(sim.clone(), config.clone()).await.unwrap();
        for nth in 0..2000 {
            let properties = format!("KEYS\u{1}key-{nth}\u{2}");
            let body = [7; 1000];
            let draft = crate::oracle::draft("alpha", 0, &body, &[]);
            let properties = [properties.as_bytes()];
            let draft = protocol::record::RecordDraft { properties: &properties, ..draft };
            while store.append(&draft).is_err() {
                store.wait_writable().await;
            }
        }
        store.close().await.unwrap();
        sim.remove_dir_all(Path::new("/store/index")).await.unwrap();
        let store = Store::open(sim.clone(), config.clone()).await.unwrap();
        assert_eq!(store.indexed().0, 0, "all is to be indexed anew");
        sim.inject(Fault::slow(FaultOp::Read, "/store/commitlog", Duration::from_millis(150)));
        sim.sleep(Duration::from_millis(100)).await;
        let before = sim.now_nanos();
        let left = store.close().await.unwrap();
        let took_ms = (sim.now_nanos() - before) / MS;
        assert!(took_ms < 800, "{took_ms} ms");
        let index_from = left.index_from.expect("2 MB need more reads than there was time for");
        assert!(index_from < store.appended() && index_from.0 > 0, "{left:?}");
        assert_eq!(left, LeftOver { index_from: Some(index_from), ..LeftOver::default() });
        assert!(left.is_clean_stop() && !has_abort(&sim).await, "the index goes on by itself");
        sim.clear_faults();
        let store = Store::open(sim.clone(), config).await.unwrap();
        assert_eq!(store.indexed(), index_from);
        while store.indexed() < store.appended() {
            sim.sleep(Duration::from_millis(5)).await;
        }
        for nth in (0..2000).step_by(101) {
            let found = store.query(query(&format!("key-{nth}"))).await.unwrap();
            assert_eq!(found.records.len(), 1, "key-{nth}");
        }
        assert_eq!(store.close().await.unwrap(), LeftOver::default());
    });
}

#[test]
fn closing_without_time_for_a_checkpoint_says_from_where_the_next_start_scans() {
    let (sim, mut oracle) = (Sim::new(2), Oracle::default());
    sim.block_on(async {
        let config = StoreConfig { close_deadline_ms: 300, ..small_config("/store") };
        let store = Store::open(sim.clone(), config.clone()).await.unwrap();
        oracle.fill(&sim, &store, 200).await;
        sim.sleep(Duration::from_millis(100)).await;
        let listed = store.appended();
        oracle.fill(&sim, &store, 100).await;
        let slow = Duration::from_secs(2);
        sim.inject(Fault::slow(FaultOp::Sync, "/store/consumequeue", slow));
        let before = sim.now_nanos();
        let left = store.close().await.unwrap();
        let took_ms = (sim.now_nanos() - before) / MS;
        assert!(took_ms < 300 + 3 * 2000, "no sync begins after the deadline: {took_ms} ms");
        let from = left.scan_from.expect("no time for a checkpoint");
        assert!(from >= listed && from < store.appended(), "{left:?}");
        assert!(!left.is_clean_stop() && has_abort(&sim).await);
        sim.clear_faults();
        let store = Store::open(sim.clone(), config).await.unwrap();
        assert_eq!(store.recovered().scanned_from, from.0);
        oracle.check(&store).await;
        assert_eq!(store.close().await.unwrap(), LeftOver::default());
    });
}
