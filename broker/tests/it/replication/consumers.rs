//! Consumers that come back after their master was killed and its slave promoted.

use super::pair::Pair;
use crate::client::{Client, message, pull_from};
use crate::cluster::eventually;
use crate::member::joins;
use protocol::codes::request;
use protocol::headers::{PullHeader, SendHeader};
use std::collections::BTreeSet;
use std::net::SocketAddr;

const QUEUES: i32 = 4;
const PER_QUEUE: usize = 60;
const GROUP: &str = "g";

/// A member of the group that reads all queues of `t` from the master that the name server names.
struct Consumer {
    client: Client,
}

impl Consumer {
    fn of(pair: &Pair) -> Self {
        let master: SocketAddr = pair.brokers_of("t")[&0].parse().unwrap();
        let mut client = Client::connect(master);
        joins(&mut client, "c", GROUP, &["t"]);
        Self { client }
    }

    fn offset(&mut self, queue: i32) -> Option<i64> {
        offset(&mut self.client, queue)
    }

    /// Up to so many messages from the group's offset on, which moves behind them.
    fn consume(&mut self, queue: i32, count: usize) -> Vec<String> {
        let mut texts: Vec<String> = vec![];
        while texts.len() < count {
            let from = self.offset(queue).unwrap_or(0);
            let most = i32::try_from(count - texts.len()).unwrap();
            let header =
                PullHeader { queue_id: queue, max_msg_nums: most.min(32), ..pull_from("t", from) };
            let frame = self.client.pull(&header);
            if frame.code == 19 {
                break;
            }
            assert_eq!(frame.code, 0, "{frame:?}");
            let messages = frame.messages();
            let upto = (from + i64::try_from(messages.len()).unwrap()).to_string();
            texts.extend(messages.iter().map(|message| message.text().to_owned()));
            let queue = queue.to_string();
            let fields = [
                ("consumerGroup", GROUP),
                ("topic", "t"),
                ("queueId", &queue),
                ("commitOffset", &upto),
            ];
            assert_eq!(self.client.call(request::UPDATE_CONSUMER_OFFSET, &fields).code, 0);
        }
        texts
    }
}

fn offset(client: &mut Client, queue: i32) -> Option<i64> {
    let queue = queue.to_string();
    let fields = [("consumerGroup", GROUP), ("topic", "t"), ("queueId", &queue)];
    let reply = client.call(request::QUERY_CONSUMER_OFFSET, &fields);
    (reply.code == 0).then(|| reply.number("offset"))
}

fn send_all(client: &mut Client) {
    for nth in 0..PER_QUEUE {
        for queue_id in 0..QUEUES {
            let header = SendHeader { queue_id, ..message("t") };
            assert_eq!(
                client.send_message(&header, format!("{queue_id}/{nth}").as_bytes()).code,
                0
            );
        }
    }
}

#[test]
fn consumers_go_on_at_the_last_synchronised_offsets_and_miss_nothing() {
    let mut pair = Pair::start(&[]);
    send_all(&mut pair.master_client());
    pair.slave_has_all();
    let mut consumer = Consumer::of(&pair);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for queue in 0..QUEUES {
        seen.extend(consumer.consume(queue, 10 + usize::try_from(queue).unwrap()));
    }
    let synchronised: Vec<i64> = (0..QUEUES).map(|queue| 10 + i64::from(queue)).collect();
    let mut slave = pair.slave_client();
    for (queue, expected) in (0..QUEUES).zip(&synchronised) {
        eventually("the slave has the offset", || offset(&mut slave, queue) == Some(*expected));
    }
    // What is consumed now the slave may learn of, or not.
    for queue in 0..QUEUES {
        seen.extend(consumer.consume(queue, 10));
    }
    pair.master.process.kill();
    pair.slave.process.stop();
    pair.slave.setup.add_settings(&["brokerRole=SYNC_MASTER", "brokerId=0", "inSyncReplicas=1"]);
    pair.slave.restart();
    let mut consumer = Consumer::of(&pair);
    for (queue, expected) in (0..QUEUES).zip(synchronised) {
        let found = consumer.offset(queue).unwrap();
        assert!((expected..=expected + 10).contains(&found), "queue {queue}: {found}");
        let texts = consumer.consume(queue, PER_QUEUE);
        let first = usize::try_from(found).unwrap();
        let rest: Vec<String> = (first..PER_QUEUE).map(|nth| format!("{queue}/{nth}")).collect();
        assert_eq!(texts, rest, "in order, from there to the end");
        seen.extend(texts);
    }
    assert_eq!(seen.len(), PER_QUEUE * usize::try_from(QUEUES).unwrap(), "each one came");
    assert_eq!(pair.slave_client().put("t", "", "goes on").code, 0);
    assert_eq!(consumer.consume(0, 5), ["goes on"]);
}
