//! Promotion, RocketMQ's way: a slave that is started again as a master.

use super::pair::{Pair, info, messages};
use crate::client::Client;
use crate::cluster::eventually;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use testkit::SOON;

/// Sends until it is told to stop or the broker is gone; which texts were acknowledged with
/// SEND_OK.
fn load(addr: SocketAddr, sender: usize, stop: &AtomicBool) -> Vec<String> {
    let mut client = Client::connect(addr);
    let mut acknowledged = vec![];
    let filling = "f".repeat(300);
    for nth in 0.. {
        if stop.load(Ordering::Relaxed) {
            return acknowledged;
        }
        let text = format!("{sender}/{nth} {filling}");
        let header = crate::client::message("t");
        let write = |w: &mut protocol::remoting::ExtWriter<'_>| header.write_v2(w);
        client.send(protocol::codes::request::SEND_MESSAGE_V2, 0, write, text.as_bytes());
        match client.receive_within(SOON) {
            Some(answer) if answer.code == 0 => acknowledged.push(text),
            Some(_) => {}
            None => return acknowledged,
        }
    }
    acknowledged
}

#[test]
fn what_a_sync_master_acknowledged_is_there_when_it_is_killed_and_its_slave_takes_over() {
    let mut pair = Pair::of(&["brokerRole=SYNC_MASTER"], &[]);
    let (addr, stop) = (pair.master.addr(), AtomicBool::new(false));
    let acknowledged: Vec<String> = thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                scope.spawn({
                    let stop = &stop;
                    move || load(addr, sender, stop)
                })
            })
            .collect();
        eventually("there is a load", || {
            info(addr)["haSendsReplicated"].parse::<u64>().unwrap() > 500
        });
        pair.master.process.kill();
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    assert!(acknowledged.len() > 400, "{}", acknowledged.len());
    pair.slave.process.kill();
    pair.slave.setup.add_settings(&["brokerRole=SYNC_MASTER", "brokerId=0", "inSyncReplicas=1"]);
    pair.slave.restart();
    let mut client = pair.slave_client();
    let stored: BTreeSet<String> =
        super::pair::texts(&messages(&mut client, "t")).into_iter().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|text| !stored.contains(*text)).collect();
    assert!(lost.is_empty(), "{} of {} are lost", lost.len(), acknowledged.len());
    assert_eq!(client.put("t", "", "as a master").code, 0);
    assert!(pair.slave.process.log().contains("this broker has become a master"));
}

#[test]
fn what_is_acknowledged_survives_a_killed_slave_as_well() {
    let mut pair = Pair::of(&["brokerRole=SYNC_MASTER", "inSyncReplicas=2"], &[]);
    let (addr, stop) = (pair.master.addr(), AtomicBool::new(false));
    let acknowledged: Vec<String> = thread::scope(|scope| {
        let stop = &stop;
        let senders: Vec<_> =
            (0..4).map(|sender| scope.spawn(move || load(addr, sender, stop))).collect();
        for _ in 0..3 {
            let before = info(addr)["haSendsReplicated"].parse::<u64>().unwrap();
            let is_more = || info(addr)["haSendsReplicated"].parse::<u64>().unwrap() > before + 100;
            eventually("sends go on", is_more);
            pair.slave.process.kill();
            pair.slave.restart();
        }
        pair.slave_follows();
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    assert!(acknowledged.len() > 300, "{}", acknowledged.len());
    pair.master.process.kill();
    pair.slave.process.stop();
    pair.slave.setup.add_settings(&["brokerRole=ASYNC_MASTER", "brokerId=0"]);
    pair.slave.restart();
    let stored: BTreeSet<String> =
        super::pair::texts(&messages(&mut pair.slave_client(), "t")).into_iter().collect();
    assert!(acknowledged.iter().all(|text| stored.contains(text)));
}
