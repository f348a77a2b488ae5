//! The plan of a phase, made before it starts: which connection sends to which queues.

use crate::gate::StartGate;
use crate::intervals::IntervalsWish;
use crate::live::Measured;
use crate::messages::{MessageFacts, Messages};
use crate::native_wire::NativeTemplate;
use crate::protocols::{Protocol, Template};
use crate::schedule::Shape;
use crate::signals::Stop;
use crate::wire::{SendShape, SendTemplate};
use protocol::native::Welcome;
use protocol::remoting::SerializeType;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What decides when the next message is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Closed loop: the last answer decides, as in RocketMQ's own tool. It hides stalls.
    #[default]
    Closed,
    /// Open loop: a schedule decides.
    Open {
        /// Messages a second over all generators.
        rate: f64,
        /// Gaps between them.
        shape: Shape,
    },
}

/// A load as asked for, the same for every generator thread.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Marks this run's messages.
    pub run_id: u64,
    /// Seed of the schedule and the payloads.
    pub seed: u64,
    /// Topic.
    pub topic: String,
    /// Producer group.
    pub group: String,
    /// Open or closed loop.
    pub mode: Mode,
    /// Connections over all generators.
    pub senders: usize,
    /// Requests in flight per connection. In a closed loop always so many; in an open loop at most
    /// so many, as blocking senders would (0: as many as the schedule asks).
    pub in_flight: usize,
    /// Sizes, tags, keys and batches of the messages.
    pub messages: Messages,
    /// Messages of a burst, where the shape has bursts.
    pub burst: u32,
    /// Time of sending before the measured window.
    pub warmup: Duration,
    /// The measured window.
    pub duration: Duration,
    /// Whether the generator never sleeps.
    pub spin: bool,
    /// Protocol of the sends.
    pub protocol: Protocol,
    /// Header encoding (remoting).
    pub serialize: SerializeType,
    /// How many messages of each generator are kept with the place where they were acknowledged: 0
    /// unless they are read back.
    pub acks_max: u64,
}

impl Load {
    /// What `result.json` keeps of the load.
    #[must_use]
    pub fn facts(&self) -> LoadFacts {
        let header = match (self.protocol, self.serialize) {
            (Protocol::Native, _) => "native",
            (Protocol::Remoting, SerializeType::Json) => "json",
            (Protocol::Remoting, SerializeType::RocketMq) => "binary",
        };
        LoadFacts {
            mode: self.mode,
            generators: 1,
            threads: 0,
            queues: 0,
            spins: self.spin,
            header: header.into(),
            warmup_s: self.warmup.as_secs_f64(),
            window_s: self.duration.as_secs_f64(),
            seed: self.seed,
            topic: self.topic.clone(),
            group: self.group.clone(),
            messages: self.messages.facts(),
            burst: self.burst,
        }
    }
}

/// Everything that makes a load again, beside the row's own fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadFacts {
    /// Open loop with its rate and shape, or closed loop.
    pub mode: Mode,
    /// Generator processes; 0 in older files, which had one.
    pub generators: usize,
    /// Generator threads, of all processes.
    pub threads: usize,
    /// Queues of the topic over all brokers.
    pub queues: usize,
    /// Whether the generators never slept.
    pub spins: bool,
    /// Kind of header: `json` or `binary` (remoting), `native`.
    pub header: String,
    /// Time of sending before the window, seconds.
    pub warmup_s: f64,
    /// The measured window as it was asked for, seconds.
    pub window_s: f64,
    /// Seed of the schedule and the payloads.
    pub seed: u64,
    /// Topic.
    pub topic: String,
    /// Producer group.
    pub group: String,
    /// Sizes, tags, keys and batches.
    pub messages: MessageFacts,
    /// Messages of a burst, where the shape has bursts.
    pub burst: u32,
}

/// A queue of the topic, numbered over all brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePlan {
    /// Number over all brokers; the integrity check names it by this number.
    pub index: u32,
    /// The broker's name.
    pub broker: String,
    /// Where the broker listens.
    pub addr: SocketAddr,
    /// The queue id at that broker.
    pub queue_id: u32,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct SenderPlan {
    /// Its broker.
    pub addr: SocketAddr,
    /// The queues it sends to, in turn.
    pub queues: Vec<QueuePlan>,
    /// Index of its first queue, so that connections spread.
    pub first_queue: usize,
}

/// The part of a load that one generator thread sends.
#[derive(Clone)]
pub struct Part {
    /// The whole load.
    pub load: Arc<Load>,
    /// Index of this part.
    pub index: u64,
    /// Number of parts.
    pub parts: u64,
    /// Number of the acknowledgement table: unique over the phases of a run.
    pub generator: u32,
    /// Connections of this part.
    pub senders: Vec<SenderPlan>,
    /// Core to run on.
    pub core: Option<usize>,
    /// Lets generators start together, or none of them.
    pub gate: Arc<StartGate>,
    /// Told when the measured window begins and ends.
    pub measured: Arc<Measured>,
    /// Gets the response times of one interval after the other, where they are asked for.
    pub intervals: Option<IntervalsWish>,
    /// Set by Ctrl-C.
    pub stop: Stop,
}

impl Part {
    /// The request template of a queue, for a connection from `local`. `welcome` is the Welcome of
    /// a native broker.
    ///
    /// # Errors
    /// When the request can't be patched.
    pub fn template(
        &self,
        queue: &QueuePlan,
        local: SocketAddr,
        welcome: Option<&Welcome>,
    ) -> Result<Template, String> {
        if let Some(welcome) = welcome {
            return NativeTemplate::new(
                &self.load.topic,
                queue.queue_id,
                local,
                welcome,
                &self.load.messages,
            )
            .map(Template::Native);
        }
        let shape = SendShape {
            topic: &self.load.topic,
            group: &self.load.group,
            broker: &queue.broker,
            queue_id: queue.queue_id,
            serialize: self.load.serialize,
        };
        SendTemplate::new(&shape, &self.load.messages).map(Template::Remoting)
    }
}

/// Deals connections over the brokers of `queues`, each starting at another queue of its broker.
#[must_use]
pub fn deal_senders(queues: &[QueuePlan], senders: usize) -> Vec<SenderPlan> {
    let mut brokers: Vec<Vec<QueuePlan>> = Vec::new();
    for queue in queues {
        match brokers
            .iter_mut()
            .find(|of_broker| of_broker.first().is_some_and(|first| first.addr == queue.addr))
        {
            Some(of_broker) => of_broker.push(queue.clone()),
            None => brokers.push(vec![queue.clone()]),
        }
    }
    if brokers.is_empty() {
        return Vec::new();
    }
    let deal = |index: usize| {
        let queues = brokers[index % brokers.len()].clone();
        let first_queue = (index / brokers.len()) % queues.len();
        SenderPlan { addr: queues[0].addr, queues, first_queue }
    };
    (0..senders).map(deal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(index: u32, port: u16, queue_id: u32) -> QueuePlan {
        QueuePlan {
            index,
            broker: format!("b{port}"),
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            queue_id,
        }
    }

    #[test]
    fn senders_are_dealt_over_brokers_and_start_at_different_queues() {
        let queues = [queue(0, 1, 0), queue(1, 1, 1), queue(2, 2, 0), queue(3, 2, 1)];
        let senders = deal_senders(&queues, 4);
        let seen: Vec<(u16, usize)> =
            senders.iter().map(|sender| (sender.addr.port(), sender.first_queue)).collect();
        assert_eq!(seen, [(1, 0), (2, 0), (1, 1), (2, 1)]);
        assert!(senders.iter().all(|sender| sender.queues.len() == 2));
        assert!(deal_senders(&[], 4).is_empty());
    }
}
