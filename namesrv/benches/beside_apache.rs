//! A name server that knows 1,000 brokers with 100 topics each: what a registration costs, how
//! many routes a second it tells, and its memory; beside Apache RocketMQ's in the same run.
//!
//! ```text
//! cargo bench -p namesrv --bench beside_apache -- --apache target/conformance/apache
//! ```
//!
//! `cargo run -p conformance -- --against apache --only send` collects the jars that `--apache`
//! names; without it RingMQ is alone. `--rounds`, `--seconds` (of route questions), `--brokers` and
//! `--topics` (of each) say how much, `--java` names the program, `--save FILE` keeps the table,
//! `--pairs FILE` one line of each round for a campaign.
//!
//! Every broker has a connection of its own and registers all its topics, as it does every 30 s: a
//! message of JSON, not compressed, nothing changed since the last; all of them at once. Routes are
//! asked for on 16 connections with 8 questions in flight on each, topics by chance (the seed is
//! printed). Both servers are on the first core and take turns, the client is on the last. Rounds
//! that warm Java up are not counted. Apache's heap is 1 GiB at most and grows as it likes.
//! Without `--bench` (under `cargo test`) it is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "beside_apache/peer.rs"]
mod peer;
#[path = "beside_apache/servers.rs"]
mod servers;

use peer::Asker;
use protocol::bodies::{RegisterBrokerBody, TopicConfig};
use protocol::codes::request;
use protocol::json::to_fastjson;
use servers::Server;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use testkit::remoting::{Client, fields};

const CONNECTIONS: usize = 16;
const IN_FLIGHT: usize = 8;
/// Questions that are prepared; each names a topic by chance.
const QUESTIONS: usize = 8_192;
const SEED: u64 = 42;

struct Sizes {
    brokers: usize,
    topics: usize,
    rounds: usize,
    warm_rounds: usize,
    span: Duration,
}

/// What a round found of a server.
#[derive(Clone, Copy)]
struct Round {
    registration_us: f64,
    routes_per_s: f64,
    resident_bytes: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let is_measured = args.iter().any(|a| a == "--bench");
    let number = |name: &str, measured: usize, smoke: usize| {
        option(name).map_or(if is_measured { measured } else { smoke }, |v| v.parse().unwrap())
    };
    let seconds = number("--seconds", 2, 0);
    let sizes = Sizes {
        brokers: number("--brokers", 1_000, 8),
        topics: number("--topics", 100, 5),
        rounds: number("--rounds", 5, 1),
        warm_rounds: number("--warm-rounds", 5, 0),
        span: Duration::from_secs(seconds as u64).max(Duration::from_millis(20)),
    };
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut servers = vec![Server::ours(dir.path())];
    let java = option("--java").map_or("java", String::as_str);
    servers.extend(option("--apache").map(|jars| Server::apache(jars, java, dir.path())));
    servers::stay_on_the_last_core();
    let bodies: Vec<Vec<u8>> =
        (0..sizes.brokers).map(|broker| registration(broker, sizes.topics)).collect();
    let mut links: Vec<Vec<Client>> = servers
        .iter()
        .map(|server| bodies.iter().map(|_| Client::connect(server.addr)).collect())
        .collect();
    let mut rounds: Vec<Vec<Round>> = vec![vec![]; servers.len()];
    for nth in 0..sizes.warm_rounds + sizes.rounds {
        for ((server, links), rounds) in servers.iter().zip(&mut links).zip(&mut rounds) {
            let round = measure(server, links, &bodies, &sizes);
            if nth >= sizes.warm_rounds {
                rounds.push(round);
            }
        }
    }
    let text = table(&servers, &rounds, &sizes);
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
    let [ours, theirs] = &rounds[..] else { return };
    keep("names-routes", ours, theirs, |round| round.routes_per_s);
    keep("names-registration", ours, theirs, |round| round.registration_us);
    keep("names-memory", ours, theirs, |round| round.resident_bytes);
}

fn keep(figure: &str, ours: &[Round], theirs: &[Round], of: impl Fn(&Round) -> f64) {
    testkit::pairs::keep(figure, ours.iter().zip(theirs).map(|(b, a)| (of(a), of(b))));
}

fn topic(broker: usize, nth: usize) -> String {
    format!("topic-of-broker-{broker:04}-{nth:03}")
}

/// All topics of a broker, four queues each.
fn registration(broker: usize, topics: usize) -> Vec<u8> {
    let mut body = RegisterBrokerBody::default();
    let wrapper = &mut body.topic_config_serialize_wrapper;
    wrapper.data_version.counter = 1;
    wrapper.topic_config_table.extend((0..topics).map(|nth| {
        let name = topic(broker, nth);
        (name.clone(), TopicConfig::new(&name, 4, 6))
    }));
    to_fastjson(&body)
}

fn measure(server: &Server, links: &mut [Client], bodies: &[Vec<u8>], sizes: &Sizes) -> Round {
    let before = server.cpu();
    let asked: Vec<i32> = links
        .iter_mut()
        .zip(bodies)
        .enumerate()
        .map(|(broker, (link, body))| register(link, broker, body))
        .collect();
    for (link, asked) in links.iter_mut().zip(asked) {
        let reply = link.answer_to(asked);
        assert_eq!(reply.code, 0, "{reply:?}");
    }
    let registration_us = (server.cpu() - before).as_secs_f64() * 1e6 / bodies.len() as f64;
    let routes_per_s = routes(server, sizes);
    Round { registration_us, routes_per_s, resident_bytes: server.resident_bytes() }
}

/// A broker registers; the number of the question.
fn register(link: &mut Client, broker: usize, body: &[u8]) -> i32 {
    let (name, addr) = (format!("broker-{broker:04}"), format!("10.0.0.1:{}", 1_024 + broker));
    let ext = [
        ("brokerName", &*name),
        ("brokerAddr", &addr),
        ("clusterName", "c"),
        ("haServerAddr", "10.0.0.1:10912"),
        ("brokerId", "0"),
        ("compressed", "false"),
        ("bodyCrc32", "0"),
    ];
    link.send(request::REGISTER_BROKER, 0, fields(&ext), body)
}

fn routes(server: &Server, sizes: &Sizes) -> f64 {
    let mut chance = SEED;
    let mut below = |limit: usize| {
        // xorshift64: any spread will do, and the same in each run.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        usize::try_from(chance % limit as u64).unwrap()
    };
    let names: Vec<String> =
        (0..QUESTIONS).map(|_| topic(below(sizes.brokers), below(sizes.topics))).collect();
    let mut askers: Vec<Asker> = (0..CONNECTIONS)
        .map(|nth| {
            let own = names.iter().skip(nth).step_by(CONNECTIONS);
            Asker::connect(server.addr, own.map(String::as_str), IN_FLIGHT)
        })
        .collect();
    askers.iter_mut().for_each(Asker::ask);
    let (began, mut told) = (Instant::now(), 0);
    while began.elapsed() < sizes.span {
        for asker in &mut askers {
            asker.receive();
            told += IN_FLIGHT;
            asker.ask();
        }
    }
    let took_s = began.elapsed().as_secs_f64();
    askers.iter_mut().for_each(Asker::receive);
    told as f64 / took_s
}

fn table(servers: &[Server], rounds: &[Vec<Round>], sizes: &Sizes) -> String {
    let median = |rounds: &[Round], of: fn(&Round) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let mut text = format!(
        "{} brokers with {} topics each, {} rounds after {} that warm up, seed {SEED}\n\n\
            | | CPU of a registration, µs | routes a second | resident, MiB |\n|---|---|---|---|\n",
        sizes.brokers, sizes.topics, sizes.rounds, sizes.warm_rounds
    );
    for (server, rounds) in servers.iter().zip(rounds) {
        let memory = median(rounds, |round| round.resident_bytes) / f64::from(1 << 20);
        let (us, rate) =
            (median(rounds, |round| round.registration_us), median(rounds, |r| r.routes_per_s));
        writeln!(text, "| {} | {us:.1} | {rate:.0} | {memory:.1} |", server.name).unwrap();
    }
    text
}
