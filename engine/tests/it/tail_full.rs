//! A device that stalls: appends are refused at the tail's bound, wait, and go on; nothing is lost
//! or doubled.

use crate::oracle::{Oracle, small_config};
use engine::{AppendError, Store};
use rt::sim::Sim;
use rt::{Priority, Runtime};
use std::time::Duration;

#[test]
fn a_stalled_device_refuses_appends_at_the_bound_and_nothing_is_lost() {
    let sim = Sim::new(41);
    sim.block_on(async {
        let config = small_config("/store");
        let bound = config.tail_bytes_max as u64;
        let store = Store::open(sim.clone(), config).await.unwrap();
        let mut oracle = Oracle::default();
        oracle.fill(&sim, &store, 50).await;
        for _ in 0..5 {
            sim.hold_writes(true);
            let refused = loop {
                if let Err(refused) = oracle.append(&store, ("alpha", 0), "red", 2000) {
                    break refused;
                }
            };
            let unwritten = store.appended().0 - store.written().0;
            assert_eq!(refused, AppendError::TailFull { unwritten_bytes: unwritten });
            assert!(unwritten <= bound && unwritten > bound / 2, "{unwritten} of {bound}");
            let device = sim.clone();
            sim.spawn(Priority::Background, async move {
                device.sleep(Duration::from_millis(50)).await;
                device.hold_writes(false);
            });
            let before = sim.now_nanos();
            store.wait_writable().await;
            assert!(sim.now_nanos() - before >= 49_000_000, "waited for the device");
            oracle.append(&store, ("alpha", 0), "red", 2000).unwrap();
        }
        oracle.check(&store).await;
        store.close().await.unwrap();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        oracle.check(&store).await;
        store.close().await.unwrap();
    });
}
