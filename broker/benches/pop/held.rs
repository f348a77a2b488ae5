//! An append while pops wait that it does not concern.

use super::client::Client;
use super::consumer::{Ask, POPPED, pop_ext};
use super::servers::Server;
use super::{Sizes, median};
use protocol::codes::request;

const WAITS: &str = "Held";
const APPENDED: &str = "Appended";
const BODY_BYTES: usize = 1_024;

pub(crate) fn run(servers: &[Server], sizes: &Sizes) -> String {
    let mut text = String::new();
    for server in servers {
        let mut client = Client::connect(server);
        client.make_topic(WAITS, 8);
        client.make_topic(APPENDED, 1);
        let mut spent = [vec![], vec![]];
        for _ in 0..sizes.rounds {
            for (spent, held) in spent.iter_mut().zip([1, sizes.held]) {
                let _waiting = hold(server, held);
                client.fill(&[APPENDED.to_owned()], 1, sizes.appends / 10, BODY_BYTES); // warm
                let before_s = server.cpu_s();
                client.fill(&[APPENDED.to_owned()], 1, sizes.appends, BODY_BYTES);
                spent.push((server.cpu_s() - before_s) * 1e6 / sizes.appends as f64);
            }
        }
        let [one, many] = spent.map(median);
        let more = 100.0 * (many / one - 1.0);
        text += &format!(
            "held, {}: {one:.2} µs of CPU an append with 1 pop that waits, {many:.2} with {}: \
             {more:+.0} %\n",
            server.name, sizes.held,
        );
    }
    text
}

/// A connection on which so many pops wait.
fn hold(server: &Server, count: usize) -> Client {
    let mut client = Client::connect(server);
    let ask = Ask {
        topic: WAITS,
        queue_id: -1,
        messages_max: POPPED,
        invisible_ms: 60_000,
        poll_ms: 25_000,
    };
    for _ in 0..count {
        client.send(request::POP_MESSAGE, |ext| pop_ext(ext, ask), b"");
    }
    // An answer that comes behind them says that all were read.
    assert_eq!(client.max_offset(WAITS, 0), 0, "{}", server.name);
    client
}
