//! How fast a slave that comes late catches up, beside what disk and loopback do bare, and what
//! that costs both sides. (What replication costs senders: `loadgen replication-cost`.)
//!
//! ```text
//! cargo bench -p broker --bench replication -- --mib 2048 --rounds 5 --dir FOLDER --save FILE
//! ```
//!
//! | row | what the master's log is read from |
//! |---|---|
//! | from memory | its tail, where everything just written still is |
//! | from disk | its files: it was started again, and keeps next to nothing in memory |
//!
//! A slave's time is from when it follows (it has dialled and both logs were compared) to its log's
//! end being the master's. Bare: `dd` with O_DIRECT in the same folder (writing, reading, both at
//! once), and one connection over loopback. Master and slave share the disk, so a catch-up from
//! disk reads and writes at once; its share of one alone is printed too. On two cores master and
//! slave have a core each, and the kernel's own work shares them.
//! Without `--bench` (under `cargo test`) it is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

use protocol::codes::request;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::remoting::Client;
use testkit::{Broker, BrokerSetup, NameServer, Program, eventually};

const BODY_BYTES: usize = 64 << 10;
const MIB: f64 = 1_048_576.0;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let number = |name: &str, measuring: usize, smoke: usize| -> usize {
        option(name).map_or(if measured { measuring } else { smoke }, |v| v.parse().unwrap())
    };
    let (mebibytes, rounds) = (number("--mib", 2048, 16), number("--rounds", 5, 1));
    let dir = option("--dir").map_or(env!("CARGO_TARGET_TMPDIR"), |v| v);
    let folder = tempfile::tempdir_in(dir).unwrap();
    let mut each: [Vec<Round>; 2] = Default::default();
    let mut bare: Vec<[f64; 4]> = vec![];
    for _ in 0..rounds {
        bare.push(bare_rates(folder.path(), mebibytes));
        for (rounds, from_disk) in each.iter_mut().zip([false, true]) {
            rounds.push(round(folder.path(), mebibytes, from_disk));
        }
    }
    let text = table(&each, &bare);
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

/// MiB a second, and CPU time per MiB of both sides, µs.
struct Round {
    rate: f64,
    master_us: f64,
    slave_us: f64,
}

fn table(each: &[Vec<Round>; 2], bare: &[[f64; 4]]) -> String {
    let [write, read, both, loopback] =
        [0, 1, 2, 3].map(|at| median(bare.iter().map(|rates| rates[at]).collect()));
    let alone = write.min(read).min(loopback);
    let mut text = format!(
        "bare: write {write:.0} MiB/s, read {read:.0} MiB/s, both at once {both:.0} MiB/s each, \
         loopback {loopback:.0} MiB/s\n\
         {:<12} {:>9} {:>16} {:>16} {:>16} {:>16}\n",
        "catch-up", "MiB/s", "of the least", "of one alone", "master µs/MiB", "slave µs/MiB"
    );
    let least = [alone, both.min(loopback)];
    for ((rounds, name), least) in each.iter().zip(["from memory", "from disk"]).zip(least) {
        let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
        let rate = of(|round| round.rate);
        let _infallible = writeln!(
            text,
            "{name:<12} {rate:>9.0} {:>14.0} % {:>14.0} % {:>16.0} {:>16.0}",
            100.0 * rate / least,
            100.0 * rate / alone,
            of(|round| round.master_us),
            of(|round| round.slave_us)
        );
    }
    text
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn setup(role: &[&str], folder: &Path, more: &[&str]) -> BrokerSetup {
    let program = Path::new(env!("CARGO_BIN_EXE_mqbroker"));
    BrokerSetup::new(Program::at(program), 1)
        .settings(["slaveSyncInterval=200", "mappedFileSizeCommitLog=1073741824"])
        .settings(role)
        .settings(more)
        .store_in(folder.join(role[0]))
        .start_limit(Duration::from_secs(120))
}

fn log_end(broker: &Broker) -> u64 {
    let reply = Client::connect(broker.addr()).call(request::GET_BROKER_RUNTIME_INFO, &[]);
    let table: protocol::bodies::KvTable = protocol::json::from_lenient(&reply.body).unwrap();
    table.table["commitLogMaxOffset"].parse().unwrap()
}

fn follows(slave: &Broker) -> bool {
    let reply = Client::connect(slave.addr()).call(request::GET_BROKER_RUNTIME_INFO, &[]);
    let table: protocol::bodies::KvTable = protocol::json::from_lenient(&reply.body).unwrap();
    table.table.get("haFollowsMaster").is_some_and(|follows| follows == "true")
}

fn round(folder: &Path, mebibytes: usize, from_disk: bool) -> Round {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let role = ["brokerRole=ASYNC_MASTER", "shardCores=0"];
    let tail = if from_disk { "tailCacheBytes=33554432" } else { "tailCacheBytes=4294967296" };
    let master = setup(&role, folder.path(), &[tail]);
    let name_server = Path::new(env!("CARGO_BIN_EXE_mqbroker")).with_file_name("mqnamesrv");
    let name_server = NameServer::start(&Program::at(name_server), master.dir(), &[]);
    let mut master = Broker::start(master.name_server(name_server.addr));
    let body = "r".repeat(BODY_BYTES);
    let mut client = Client::connect(master.addr());
    for _ in 0..mebibytes * 16 {
        client.put("Replicated", "", &body);
    }
    if from_disk {
        master.process.stop();
        master.restart();
    }
    let core = if cores() > 1 { "shardCores=1" } else { "shardCores=0" };
    let role = ["brokerRole=SLAVE", "brokerId=1", core];
    let slave = setup(&role, folder.path(), &[]).name_server(name_server.addr);
    let slave = Broker::start(slave);
    let end = log_end(&master);
    eventually("the slave follows", || follows(&slave));
    let (start, from) = (Instant::now(), log_end(&slave));
    let before = [&master, &slave].map(|broker| broker.process.cpu_time());
    while log_end(&slave) < end {
        std::thread::sleep(Duration::from_millis(2));
        assert!(start.elapsed() < Duration::from_secs(600), "the slave does not catch up");
    }
    let took = start.elapsed().as_secs_f64();
    let moved = (end - from).max(1) as f64 / MIB;
    let used = [&master, &slave].map(|broker| broker.process.cpu_time());
    let per_mib = |at: usize| (used[at] - before[at]).as_secs_f64() * 1e6 / moved;
    Round { rate: moved / took, master_us: per_mib(0), slave_us: per_mib(1) }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// MiB a second: written, read, both at once, sent over loopback.
fn bare_rates(folder: &Path, mebibytes: usize) -> [f64; 4] {
    let files = ["bare", "beside"].map(|name| folder.join(name));
    let [write, read, beside] =
        [dd_to(&files[0], mebibytes), dd_from(&files[0], mebibytes), dd_to(&files[1], mebibytes)];
    let rate = |together: &[&[String]]| {
        let start = Instant::now();
        let each = together.iter().map(|words| Command::new("dd").args(*words).spawn().unwrap());
        let each: Vec<_> = each.collect();
        each.into_iter().for_each(|mut dd| assert!(dd.wait().unwrap().success(), "dd"));
        mebibytes as f64 / start.elapsed().as_secs_f64()
    };
    let (written, was_read) = (rate(&[&write]), rate(&[&read]));
    let both = rate(&[&read, &beside]);
    files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    [written, was_read, both, loopback(mebibytes)]
}

fn dd_to(file: &Path, mebibytes: usize) -> Vec<String> {
    let to = format!("of={}", file.display());
    dd_words(["if=/dev/zero", &to, "oflag=direct", "conv=fsync"], mebibytes)
}

fn dd_from(file: &Path, mebibytes: usize) -> Vec<String> {
    let from = format!("if={}", file.display());
    dd_words([&from, "of=/dev/null", "iflag=direct", "status=none"], mebibytes)
}

fn dd_words(words: [&str; 4], mebibytes: usize) -> Vec<String> {
    let count = format!("count={mebibytes}");
    words.iter().chain(&["bs=1M", "status=none", &count]).map(|word| (*word).to_owned()).collect()
}

fn loopback(mebibytes: usize) -> f64 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let start = Instant::now();
    let sender = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        let piece = vec![1; 256 << 10];
        for _ in 0..mebibytes * 4 {
            stream.write_all(&piece).unwrap();
        }
    });
    let (mut stream, _) = listener.accept().unwrap();
    let (mut piece, mut got) = (vec![0; 256 << 10], 0);
    while got < mebibytes << 20 {
        got += stream.read(&mut piece).unwrap();
    }
    sender.join().unwrap();
    mebibytes as f64 / start.elapsed().as_secs_f64()
}
