//! Many peers at once that take what they can: memory, descriptors, CPU. Whoever takes too much is
//! paused or closed; a sender beside them sees no error.

use crate::client::{Client, long_pull_from, message, pull_from};
use crate::cluster::{Cluster, eventually};
use protocol::codes::request;
use protocol::headers::PullHeader;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// What all connections together may make a shard hold, with the process's own memory: far below
/// what the attacks ask for.
const RESIDENT_BYTES_MAX: u64 = 1 << 30;
/// A peer that the broker takes no byte of for so long is paused or closed.
const QUIET: Duration = Duration::from_secs(2);

/// A peer that writes these bytes as fast as they are taken, and reads nothing.
struct Attacker {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// How often the bytes are sent, one after another.
    times: usize,
    written: usize,
}

impl Attacker {
    fn connect(addr: SocketAddr, bytes: &[u8], times: usize) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, bytes: bytes.to_vec(), times, written: 0 }
    }

    /// Writes what is taken now; whether that was anything.
    fn advance(&mut self) -> bool {
        let before = self.written;
        while self.written < self.bytes.len() * self.times {
            let rest = &self.bytes[self.written % self.bytes.len()..];
            match self.stream.write(rest) {
                Ok(taken) => self.written += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_closed) => self.times = 0,
            }
        }
        self.written > before
    }
}

/// Senders that were there before the attack: each send is acknowledged on the connection that it
/// began with.
struct Senders(Vec<Client>);

impl Senders {
    fn connect(cluster: &Cluster) -> Self {
        let mut senders = Self((0..4).map(|_| cluster.client(0)).collect());
        senders.send();
        senders
    }

    fn send(&mut self) {
        self.0.iter_mut().for_each(|sender| _ = sender.put("Witness", "", "still here"));
    }
}

/// Lets all write until none gets on any more, with sends in between; the most memory seen.
fn attack(cluster: &Cluster, attackers: &mut [Attacker], senders: &mut Senders) -> u64 {
    let (mut moved, mut resident) = (Instant::now(), 0);
    while moved.elapsed() < QUIET {
        // A few at a time, so that the sends are between those of the attack.
        for some in attackers.chunks_mut(20) {
            for attacker in some {
                if attacker.advance() {
                    moved = Instant::now();
                }
            }
            senders.send();
        }
        resident = resident.max(cluster.broker.resident_bytes());
        std::thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..50 {
        senders.send();
    }
    resident.max(cluster.broker.resident_bytes_peak())
}

#[test]
fn two_hundred_half_frames_of_14_mib_do_not_take_the_memory_of_others() {
    let cluster = Cluster::start(1, &[]);
    let mut senders = Senders::connect(&cluster);
    let announced = u32::try_from(16 << 20).unwrap().to_be_bytes();
    let half = [&announced[..], &vec![b'{'; 14 << 20]].concat();
    let mut attackers: Vec<_> =
        (0..200).map(|_| Attacker::connect(cluster.shard_addr(0), &half, 1)).collect();
    let resident = attack(&cluster, &mut attackers, &mut senders);
    assert!(resident < RESIDENT_BYTES_MAX, "{resident} bytes resident for half frames");
    drop(attackers);
    let mut newcomer = cluster.client(0);
    newcomer.put("Witness", "", "who comes later is served as well");
}

#[test]
fn three_hundred_peers_that_read_nothing_cost_nobody_else_a_connection() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let body = vec![b'x'; 250_000];
    (0..4).for_each(|_| assert_eq!(client.send_message(&message("Big"), &body).code, 0));
    // 100 pulls, each answered with one message of 250 KB: 25 MB for each peer, 7.5 GB in all.
    let pull = PullHeader { max_msg_nums: 1, ..pull_from("Big", 0) };
    let (_, asked) = client.frame(request::PULL_MESSAGE, 0, |w| pull.write(w), &[]);
    let mut senders = Senders::connect(&cluster);
    let mut attackers: Vec<_> =
        (0..300).map(|_| Attacker::connect(cluster.shard_addr(0), &asked, 100)).collect();
    let resident = attack(&cluster, &mut attackers, &mut senders);
    assert!(resident < RESIDENT_BYTES_MAX, "{resident} bytes resident for answers nobody reads");
    assert_eq!(client.pull(&pull).messages().len(), 1, "a peer that reads is answered");
}

/// This process needs more descriptors than the broker that it attacks.
fn raise_own_limit_of_files(files: u32) {
    let pid = std::process::id().to_string();
    let limit = format!("--nofile={files}:");
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "prlimit (util-linux) raises the limit of open files to {files}. Fix: raise the hard limit"
    );
}

#[test]
fn peers_beyond_the_soft_limit_of_files_leave_the_log_its_own() {
    peers_beyond_the_limit_of_files("1024:");
}

#[test]
fn peers_beyond_the_hard_limit_of_files_leave_the_log_its_own() {
    peers_beyond_the_limit_of_files("1024:1024");
}

fn peers_beyond_the_limit_of_files(limit: &str) {
    raise_own_limit_of_files(8_192);
    let settings = ["mappedFileSizeCommitLog=1048576", "maxMessageSize=65536"];
    let cluster = Cluster::start_with(1, &settings, |setup| setup.limit_of_files(limit));
    let mut senders = Senders::connect(&cluster);
    let peers: Vec<TcpStream> =
        (0..1_500).map(|_| TcpStream::connect(cluster.shard_addr(0)).unwrap()).collect();
    let body = vec![b'x'; 60_000];
    let files = || std::fs::read_dir(cluster.store().join("commitlog")).unwrap().count();
    let before = files();
    for nth in 0..100 {
        for sender in &mut senders.0 {
            let reply = sender.send_message(&message("T"), &body);
            assert_eq!(reply.code, 0, "message {nth}, {} log files: {reply:?}", files());
        }
    }
    eventually("the log has rolled", || files() >= before + 10);
    drop(peers);
    eventually("their descriptors are free again", || cluster.broker.descriptors() < 200);
    cluster.client(0).put("T", "", "who comes later is served as well");
}

#[test]
fn sigterm_ends_a_broker_whose_core_has_panicked() {
    let mut cluster = Cluster::start_with(2, &[], |setup| {
        setup.environment("RINGMQ_TEST_PANIC_AFTER_MS", "1:2000")
    });
    eventually("the panic is logged", || cluster.broker.log().contains("panicked"));
    cluster.broker.signal("TERM");
    let code = cluster.broker.wait();
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {}", cluster.broker.log());
    assert!(cluster.store().join("shard-1/abort").exists(), "the panicked shard is not closed");
}

/// A consumer with this many long polls that the broker has taken.
fn consumer_that_waits(cluster: &Cluster, polls: usize) -> Client {
    let mut consumer = cluster.client(0);
    let mut frames = vec![];
    for _ in 0..polls {
        let poll = long_pull_from("T", 1, 10 * 60 * 1000);
        frames.extend(consumer.frame(request::PULL_MESSAGE, 0, |w| poll.write(w), &[]).1);
    }
    consumer.stream.write_all(&frames).unwrap();
    // Requests of a connection are handled in order: once this is answered, all polls wait.
    let queue = [("topic", "T"), ("queueId", "0")];
    assert_eq!(consumer.call(request::GET_MAX_OFFSET, &queue).number("offset"), 1);
    consumer
}

/// CPU time of the broker for the end of so many consumers, all at once.
fn cost_of_end(cluster: &Cluster, consumers: usize) -> Duration {
    let before = cluster.broker.descriptors();
    let all: Vec<_> = (0..consumers).map(|_| consumer_that_waits(cluster, 10)).collect();
    let started = cluster.broker.cpu_time();
    drop(all);
    // A few more are those of files.
    eventually("they are gone", || cluster.broker.descriptors() <= before + 20);
    cluster.broker.cpu_time() - started
}

#[test]
fn the_end_of_many_consumers_costs_the_same_for_each() {
    raise_own_limit_of_files(8_192);
    let cluster = Cluster::start_with(1, &[], |setup| setup.limit_of_files("8192:"));
    cluster.client(0).put("T", "", "x");
    cost_of_end(&cluster, 500); // memory that is used again
    // The same number of ends each time; what one costs must not grow with how many there are.
    let few: Duration = (0..5).map(|_| cost_of_end(&cluster, 1_000)).sum();
    let many = cost_of_end(&cluster, 5_000);
    println!("5 × 1,000 consumers: {few:?} of CPU time, 5,000: {many:?}");
    assert!(
        many < few * 2,
        "5,000 consumers with 50,000 long polls: {many:?} of CPU time, five times 1,000: {few:?}"
    );
}
