//! Promotion: a slave that is started again as a master, by hand or by a command.

use super::pair::{Pair, end_of, info, logs_are_the_same, messages};
use crate::client::Client;
use crate::cluster::{eventually, program};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use testkit::{Broker, Process, SOON};

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
        let _at_end = StopAtEnd(&stop);
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
        let _at_end = StopAtEnd(stop);
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

/// Starts a broker again with its settings in a file, as operators do; the file.
fn start_with_file(broker: &mut Broker) -> PathBuf {
    broker.process.stop();
    let arguments = broker.setup.arguments();
    let (mut settings, mut words) = (BTreeMap::new(), arguments.iter());
    while let Some(word) = words.next() {
        let value = words.next().unwrap();
        match word.as_str() {
            "-n" => _ = settings.insert("namesrvAddr", value.as_str()),
            _ => {
                let (key, value) = value.split_once('=').unwrap();
                settings.insert(key, value);
            }
        }
    }
    let text: String = settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    let file = broker.setup.dir().join("broker.properties");
    fs::write(&file, text).unwrap();
    let mut command = program("mqbroker").command(&[], &[]);
    command.arg("-c").arg(&file);
    broker.process = Process::spawn(command);
    broker.process.wait_for_within("boot success", 1, SOON);
    file
}

fn become_role(file: &Path, role: &str) -> String {
    let mut command = program("mqbroker").command(&[], &[]);
    let outcome = command.arg("-c").arg(file).args(["--become", role]).output().unwrap();
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
    String::from_utf8(outcome.stdout).unwrap()
}

/// Sends to whichever of both takes messages, until it is told to stop. A connection is kept as
/// long as it takes them: one for each message would use the machine's ports up.
fn send_to_either(addrs: [SocketAddr; 2], sender: usize, stop: &AtomicBool) -> Vec<String> {
    let (mut acknowledged, mut at) = (vec![], 0);
    let mut client = None;
    for nth in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let text = format!("{sender}/{nth}");
        let header = crate::client::message("t");
        let write = |w: &mut protocol::remoting::ExtWriter<'_>| header.write_v2(w);
        let code = protocol::codes::request::SEND_MESSAGE_V2;
        client = client.or_else(|| Client::try_connect(addrs[at]).ok());
        let answer = client.as_mut().and_then(|client| {
            client.try_send(code, 0, write, text.as_bytes()).ok()?;
            client.receive_within(SOON)
        });
        if answer.is_some_and(|answer| answer.code == 0) {
            acknowledged.push(text);
        } else {
            (client, at) = (None, 1 - at);
            thread::sleep(Duration::from_millis(5));
        }
    }
    acknowledged
}

/// Senders end with the test, also when it fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_command_changes_who_is_the_master_under_load_and_nothing_acknowledged_is_lost() {
    let mut pair = Pair::of(&["brokerRole=SYNC_MASTER"], &[]);
    let files = [start_with_file(&mut pair.master), start_with_file(&mut pair.slave)];
    pair.slave_follows();
    let (addrs, stop) = ([pair.master.addr(), pair.slave.addr()], AtomicBool::new(false));
    let acknowledged: Vec<String> = thread::scope(|scope| {
        let stop = &stop;
        let _at_end = StopAtEnd(stop);
        let senders: Vec<_> =
            (0..3).map(|sender| scope.spawn(move || send_to_either(addrs, sender, stop))).collect();
        eventually("there is a load", || {
            info(addrs[0])["haSendsReplicated"].parse::<u64>().unwrap() > 100
        });
        let said = become_role(&files[0], "SLAVE");
        assert!(said.contains("is SLAVE now, brokerId=1"), "{said}");
        let said = become_role(&files[1], "SYNC_MASTER");
        assert!(said.contains("is SYNC_MASTER now, brokerId=0"), "{said}");
        eventually("sends go on", || {
            info(addrs[1])
                .get("haSendsReplicated")
                .is_some_and(|count| count.parse::<u64>().unwrap() > 100)
        });
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    assert!(acknowledged.len() > 200, "{}", acknowledged.len());
    let stored = messages(&mut pair.slave_client(), "t");
    let stored: BTreeSet<String> = super::pair::texts(&stored).into_iter().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|text| !stored.contains(*text)).collect();
    assert!(lost.is_empty(), "{} of {} are lost", lost.len(), acknowledged.len());
    let end = end_of(pair.slave.addr());
    eventually("the old master has all of it", || end_of(pair.master.addr()) == end);
    let text = fs::read_to_string(&files[1]).unwrap();
    assert!(text.contains("brokerRole=SYNC_MASTER\n") && text.contains("brokerId=0\n"), "{text}");
    logs_are_the_same(&mut pair.slave, &mut pair.master, end);
}
