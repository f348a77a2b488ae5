//! A zero byte in a message's properties is stored, as Apache stores it, and is never taken for
//! what a crash tore; what a crash tore from such a message is never served.

use crate::oracle::{Replay, draft, request, seeds, small_config};
use engine::{AppendError, Appended, FlushPolicy, PhyOffset, Store, StoreConfig, TagFilter};
use protocol::record::{RecordError, RecordView};
use rt::Runtime;
use rt::sim::Sim;
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

#[derive(Default)]
struct Witness {
    sent: RefCell<Vec<(Appended, Vec<u8>)>>,
    store: RefCell<Option<Store<Sim>>>,
    acknowledged: Cell<PhyOffset>,
}

/// Long properties, most of them zeros.
fn properties(nth: usize) -> Vec<u8> {
    let mut properties = format!("TAGS\u{1}red\u{2}zeros\u{1}{nth}").into_bytes();
    properties.resize(properties.len() + 1 + nth * 97 % 2500, 0);
    if nth.is_multiple_of(3) {
        properties.push(2);
    }
    properties
}

impl Witness {
    async fn send_for_ever(&self, sim: &Sim, config: StoreConfig) {
        let store = Store::open(sim.clone(), config).await.unwrap();
        self.store.replace(Some(store.clone()));
        loop {
            for _ in 0..20 {
                let properties = properties(self.sent.borrow().len());
                if let Ok(at) = store.append(&draft("t", 0, b"short", &[&properties])) {
                    self.sent.borrow_mut().push((at, properties));
                }
            }
            sim.sleep(Duration::from_micros(300)).await;
        }
    }

    /// Every message is whole or not there; what had to survive is there. Returns how many are.
    async fn check(&self, store: &Store<Sim>) -> usize {
        let mut there = 0;
        let sent = self.sent.borrow().clone();
        for (at, properties) in &sent {
            let Some(bytes) = store.message_at(at.physical_offset).await.unwrap() else {
                assert!(at.end() > self.acknowledged.get(), "{at:?} had to survive");
                continue;
            };
            let record = RecordView::parse(&bytes).unwrap();
            record.verify_intact().unwrap();
            assert!(record.properties().starts_with(properties), "{at:?} is not what was sent");
            there += 1;
        }
        there
    }
}

fn crash_and_check(flush: FlushPolicy, power_cut: bool) {
    let name = "zeros_in_properties_survive";
    let (mut torn, mut kept) = (0, 0);
    for seed in seeds(80) {
        let _replay = Replay(seed, name);
        let (sim, witness) = (Sim::new(seed), Witness::default());
        let config = StoreConfig { flush, ..small_config("/store") };
        let time = Duration::from_micros(5_000 + sim.random_u64() % 30_000);
        let sends = witness.send_for_ever(&sim, config.clone());
        sim.block_on(futures_lite::future::or(sends, sim.sleep(time)));
        if let Some(store) = witness.store.take() {
            let survives = if power_cut { store.flushed() } else { store.written() };
            witness.acknowledged.set(survives);
        }
        let sim = if power_cut { sim.crash().0 } else { sim.kill() };
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            torn += store.recovered().damaged_stretches;
            let there = witness.check(&store).await;
            kept += there;
            store.close().await.unwrap();
            // Queues and all built anew: what was damage stays damage.
            sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
            let store = Store::open(sim.clone(), config).await.unwrap();
            assert_eq!(witness.check(&store).await, there);
            store.close().await.unwrap();
        });
    }
    assert!(kept > 100 || std::env::var("ENGINE_SEED").is_ok(), "{kept} messages kept");
    let must_tear = power_cut && flush == FlushPolicy::Sync;
    assert!(!must_tear || torn > 5 || std::env::var("ENGINE_SEED").is_ok(), "{torn} torn");
}

#[test]
fn zeros_in_properties_survive_a_kill() {
    crash_and_check(FlushPolicy::Async, false);
}

#[test]
fn zeros_in_properties_survive_a_power_cut_and_torn_ones_are_found() {
    crash_and_check(FlushPolicy::Sync, true);
    crash_and_check(FlushPolicy::Async, true);
}

#[test]
fn every_sector_that_a_crash_leaves_out_of_such_a_record_is_found() {
    let properties = properties(25);
    let sim = Sim::new(7);
    let bytes = sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let at = store.append(&draft("t", 0, &[9; 700], &[&properties])).unwrap();
        store.message_at(at.physical_offset).await.unwrap().unwrap().to_vec()
    });
    assert!(bytes.len() > 6 * 512);
    for shift in 0..512 {
        for sector in 0..bytes.len().div_ceil(512) + 1 {
            let mut torn = bytes.clone();
            let from = (sector * 512).saturating_sub(shift).min(torn.len());
            let upto = ((sector + 1) * 512).saturating_sub(shift).min(torn.len());
            torn[from..upto].fill(0);
            if torn == bytes {
                continue; // only zeros were there
            }
            // As recovery looks at its own records.
            let is_found = RecordView::parse(&torn).and_then(|record| {
                record.verify_intact()?;
                if record.has_crc_property() { Ok(()) } else { record.verify_no_zero() }
            });
            assert!(is_found.is_err(), "sector {sector} shifted by {shift}");
        }
    }
}

#[test]
fn properties_that_end_like_a_checksum_are_no_damage_and_a_zero_in_the_topic_is_refused() {
    let sim = Sim::new(8);
    sim.block_on(async {
        let config = small_config("/store");
        let store = Store::open(sim.clone(), config.clone()).await.unwrap();
        let made_up: [&[&[u8]]; 4] = [
            &[b"__CRC32#\x010123456789\x02"],
            &[b"TAGS\x01a\x02__CRC32#\x01xxxxxxxxxx\x02"],
            &[b"TAGS\x01a\x02__CRC3", b"", b"2#\x010123456789", b"\x02"],
            &[b"a\x01__CRC32#yxxxxxxxxxx\x02"],
        ];
        let mut sent = Vec::new();
        for pieces in made_up {
            sent.push((store.append(&draft("t", 0, b"x", pieces)).unwrap(), pieces.concat()));
        }
        let refused = store.append(&draft("t\0", 0, b"x", &[])).unwrap_err();
        let zero = RecordError::ZeroByte { field: "topic", offset: 1 };
        assert_eq!(refused, AppendError::Record(zero));
        store.close().await.unwrap();
        sim.remove_file(Path::new("/store/consumequeue.manifest")).await.unwrap();
        let store = Store::open(sim.clone(), config).await.unwrap();
        assert_eq!(store.recovered().damaged_stretches, 0);
        for (at, properties) in sent {
            let bytes = store.message_at(at.physical_offset).await.unwrap().unwrap();
            assert!(RecordView::parse(&bytes).unwrap().properties().starts_with(&properties));
        }
        let all = store.read_cold(request("t", 0, 0, TagFilter::All).to_owned()).await.unwrap();
        assert_eq!(all.messages, 4);
        store.close().await.unwrap();
    });
}
