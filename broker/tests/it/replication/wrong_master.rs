//! A slave whose master the test plays: what it says is taken only where it is a log that goes on.

use super::pair::{end_of, setup};
use crate::cluster::eventually;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use testkit::message::record;
use testkit::{Broker, SOON};

struct Master {
    listener: TcpListener,
}

impl Master {
    fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn slave(&self) -> Broker {
        let address = format!("haMasterAddress={}", self.listener.local_addr().unwrap());
        Broker::start(setup(&["brokerRole=SLAVE", "brokerId=1", &address], &[]))
    }

    /// The next connection, and what it reports first.
    fn accept(&self) -> (TcpStream, i64) {
        let (mut stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut report = [0; 8];
        stream.read_exact(&mut report).unwrap();
        (stream, i64::from_be_bytes(report))
    }
}

fn transfer(offset: u64, bytes: &[u8]) -> Vec<u8> {
    let size = u32::try_from(bytes.len()).unwrap();
    [&offset.to_be_bytes()[..], &size.to_be_bytes(), bytes].concat()
}

/// A record as it lies at `at`, the `offset`-th of its queue.
fn record_at(at: u64, offset: i64, text: &str) -> Vec<u8> {
    let mut bytes = record("t", 0, "", text);
    bytes[20..28].copy_from_slice(&offset.to_be_bytes());
    bytes[28..36].copy_from_slice(&at.to_be_bytes());
    bytes
}

#[test]
fn what_is_no_log_that_goes_on_is_refused_by_name_and_nothing_of_it_is_kept() {
    let master = Master::new();
    let slave = master.slave();
    let good = record_at(0, 0, "good");
    let mut elsewhere = good.clone();
    elsewhere[28..36].copy_from_slice(&77_u64.to_be_bytes());
    let mut no_magic = good.clone();
    no_magic[4] ^= 0xFF;
    let topic_at = good.iter().rposition(|byte| *byte == b't').unwrap();
    let mut no_name = good.clone();
    no_name[topic_at] = b'/';
    for (said, reason) in [
        (transfer(5, &good), "its log begins at 5 for a slave that has nothing"),
        (transfer(0, &[0, 0, 0, 7, 1, 2, 3]), "it sent a record of 7 bytes; expected 8 to"),
        (transfer(0, &[0xFF; 20]), "it sent a record of 4294967295 bytes"),
        (transfer(0, &elsewhere), "at log offset 0: expected a whole record"),
        (transfer(0, &no_magic), "at log offset 0: expected a whole record"),
        (transfer(0, &no_name), "expected a folder's name"),
        ([[0; 8].as_slice(), &[0xFF; 4]].concat(), "a frame of 4294967295 bytes announced"),
        (
            [transfer(0, &good[..9]), transfer(10, &[1])].concat(),
            "it sent log offset 10; expected 9",
        ),
    ] {
        let (mut stream, from) = master.accept();
        assert_eq!(from, 0);
        stream.write_all(&said).unwrap();
        eventually(reason, || slave.process.log().contains(reason));
        assert_eq!(end_of(slave.addr()), 0, "{reason}");
    }
    // A good one is taken in any pieces, and told of.
    let (mut stream, _) = master.accept();
    let second = record_at(good.len() as u64, 1, "second");
    let log = [good, second].concat();
    for (at, byte) in log.iter().enumerate() {
        stream.write_all(&transfer(at as u64, &[*byte])).unwrap();
    }
    let mut reported = 0;
    while reported < log.len() as u64 {
        let mut report = [0; 8];
        stream.read_exact(&mut report).unwrap();
        reported = u64::from_be_bytes(report);
        assert!(reported <= log.len() as u64);
    }
    assert_eq!(end_of(slave.addr()), log.len() as u64);
}

#[test]
fn a_master_that_falls_silent_in_the_middle_of_a_record_is_given_up_and_dialled_again() {
    let master = Master::new();
    let mut slave = master.slave();
    slave.process.stop();
    slave.setup.add_settings(&["haHousekeepingInterval=1000"]);
    slave.restart();
    let good = record_at(0, 0, "good");
    let (mut silent, _) = master.accept();
    silent.write_all(&transfer(0, &good[..30])).unwrap();
    let (mut stream, from) = master.accept();
    assert_eq!(from, 0, "half a record is nothing");
    let reason = "it said nothing for 1000 ms";
    eventually(reason, || slave.process.log().contains(reason));
    stream.write_all(&transfer(0, &good)).unwrap();
    eventually("it is taken", || end_of(slave.addr()) == good.len() as u64);
}
