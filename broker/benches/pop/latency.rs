//! A pop beside a pull of the same messages.

use super::client::Client;
use super::consumer::{Ask, GROUP, POPPED, pop_frame};
use super::peer::{Lane, Peer};
use super::servers::Server;
use super::{Sizes, median};
use protocol::codes::request;
use protocol::headers::PullHeader;
use protocol::remoting::{CommandHead, write_command};
use protocol::sys_flag::pull::SUBSCRIPTION;
use rt::real::available_cores;
use std::time::Instant;

const TOPIC: &str = "Latency";
const BODY_BYTES: usize = 1_024;

pub(crate) fn run(servers: &[Server], sizes: &Sizes) -> String {
    let mut text = String::new();
    let mut all: Vec<[Vec<f64>; 2]> = servers.iter().map(|_| Default::default()).collect();
    for server in servers {
        Client::connect(server).make_topic(TOPIC, 1);
    }
    for _ in 0..sizes.rounds {
        for (server, [pops, pulls]) in servers.iter().zip(&mut all) {
            let mut client = Client::connect(server);
            let from = client.max_offset(TOPIC, 0);
            client.fill(&[TOPIC.to_owned()], 1, sizes.pops * POPPED, BODY_BYTES);
            let measure = || by_turns(server, from, sizes.pops);
            let (pop, pull) = std::thread::scope(|scope| scope.spawn(measure).join().unwrap());
            pops.push(pop);
            pulls.push(pull);
        }
    }
    for (server, [pops, pulls]) in servers.iter().zip(all) {
        let (pop, pull) = (median(pops), median(pulls));
        text += &format!(
            "latency, {}: pop p50 {pop:.1} µs, pull p50 {pull:.1} µs, {:.2} times it\n",
            server.name,
            pop / pull
        );
    }
    text
}

/// The medians of pops and of pulls, in µs.
fn by_turns(server: &Server, from: i64, count: usize) -> (f64, f64) {
    let core = *available_cores().last().unwrap();
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let mut peer = Peer::connect(server.addr, Lane::Remoting, vec![]);
    peer.spin();
    let ask =
        Ask { topic: TOPIC, queue_id: 0, messages_max: POPPED, invisible_ms: 600_000, poll_ms: 0 };
    let (mut pops, mut pulls) = (vec![], vec![]);
    for nth in 0..count {
        let offset = from + i64::try_from(nth * POPPED).unwrap();
        for (frame, times) in [(pop_frame(ask), &mut pops), (pull_frame(offset), &mut pulls)] {
            let sent = Instant::now();
            peer.send_frames(frame);
            peer.receive(1);
            times.push(sent.elapsed().as_secs_f64() * 1e6);
        }
    }
    assert_eq!(peer.errors, 0, "{}", server.name);
    (median(pops), median(pulls))
}

fn pull_frame(offset: i64) -> Vec<u8> {
    let pull = PullHeader {
        consumer_group: GROUP,
        topic: TOPIC,
        queue_offset: offset,
        max_msg_nums: i32::try_from(POPPED).unwrap(),
        sys_flag: SUBSCRIPTION,
        subscription: Some("*"),
        ..PullHeader::default()
    };
    let head = CommandHead { code: request::PULL_MESSAGE, opaque: 1, ..CommandHead::default() };
    let mut frame = Vec::new();
    write_command(&mut frame, &head, |ext| pull.write(ext), b"");
    frame
}
