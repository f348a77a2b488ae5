//! Which queues a client of a group gets: RocketMQ's `AVG` and `AVG_BY_CIRCLE`, and what POP makes
//! of them. Pure. Queues and clients come in order and without repetition.

use protocol::bodies::MessageQueue;

/// All queues of a broker.
const ALL_QUEUES: i32 = -1;

/// How queues are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// Neighbours go to one client.
    Averagely,
    /// One each, round and round.
    ByCircle,
}

impl Strategy {
    /// By its name in requests.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "AVG" => Some(Self::Averagely),
            "AVG_BY_CIRCLE" => Some(Self::ByCircle),
            _ => None,
        }
    }
}

/// The queues of one client; none when it is not among them.
pub(super) fn allocate(
    strategy: Strategy,
    client: &str,
    queues: &[MessageQueue],
    clients: &[&str],
) -> Vec<MessageQueue> {
    let Some(index) = clients.iter().position(|other| *other == client) else { return vec![] };
    let (all, of) = (queues.len(), clients.len());
    match strategy {
        Strategy::ByCircle => queues.iter().skip(index).step_by(of).cloned().collect(),
        Strategy::Averagely => {
            let (least, over) = (all / of, all % of);
            let start = index * least + index.min(over);
            let count = least + usize::from(index < over);
            queues.iter().skip(start).take(count).cloned().collect()
        }
    }
}

/// The same for POP: all clients share all queues, or each shares those of `share` that follow it.
pub(super) fn allocate_for_pop(
    strategy: Strategy,
    client: &str,
    queues: &[MessageQueue],
    clients: &[&str],
    share: i32,
) -> Vec<MessageQueue> {
    let share = usize::try_from(share).unwrap_or(0);
    if share == 0 || share >= clients.len().saturating_sub(1) {
        let mut brokers: Vec<MessageQueue> = vec![];
        for queue in queues {
            if brokers.last().is_none_or(|last| last.broker_name != queue.broker_name) {
                brokers.push(MessageQueue { queue_id: ALL_QUEUES, ..queue.clone() });
            }
        }
        return brokers;
    }
    let Some(index) = clients.iter().position(|other| *other == client) else { return vec![] };
    if clients.len() > queues.len() {
        // Each client gets one, and some get the same.
        return queues.get(index % queues.len().max(1)).cloned().into_iter().collect();
    }
    let followers = clients.iter().cycle().skip(index).take(share + 1);
    followers.flat_map(|follower| allocate(strategy, follower, queues, clients)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: i32) -> Vec<MessageQueue> {
        let queue = |queue_id| MessageQueue {
            topic: "T".into(),
            broker_name: if queue_id < 4 { "a".into() } else { "b".into() },
            queue_id,
        };
        (0..count).map(queue).collect()
    }

    fn ids(queues: &[MessageQueue]) -> Vec<i32> {
        queues.iter().map(|queue| queue.queue_id).collect()
    }

    #[test]
    fn queues_are_shared_out_as_apaches_strategies_do() {
        let (all, clients) = (queues(8), ["x", "y", "z"]);
        let of = |strategy, client| ids(&allocate(strategy, client, &all, &clients));
        let averagely = clients.map(|client| of(Strategy::Averagely, client));
        assert_eq!(averagely, [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        let by_circle = clients.map(|client| of(Strategy::ByCircle, client));
        assert_eq!(by_circle, [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
        assert_eq!(of(Strategy::Averagely, "none"), [0; 0]);
        let few = queues(2);
        let of_few = clients.map(|one| ids(&allocate(Strategy::Averagely, one, &few, &clients)));
        assert_eq!(of_few, [vec![0], vec![1], vec![]]);
    }

    #[test]
    fn popping_clients_share_all_or_those_of_the_next() {
        let (all, clients) = (queues(8), ["w", "x", "y", "z"]);
        let of =
            |client, share| allocate_for_pop(Strategy::Averagely, client, &all, &clients, share);
        for share in [-1, 0, 3, 9] {
            let brokers = of("x", share);
            assert_eq!(ids(&brokers), [-1, -1]);
            assert_eq!(brokers[1].broker_name, "b");
        }
        assert_eq!(ids(&of("z", 1)), [6, 7, 0, 1]);
        assert_eq!(ids(&of("none", 1)), [0; 0]);
        let few = queues(2);
        let of_few = |client| allocate_for_pop(Strategy::Averagely, client, &few, &clients, 1);
        assert_eq!(ids(&of_few("y")), [0]);
        assert_eq!(ids(&allocate_for_pop(Strategy::Averagely, "y", &[], &clients, 1)), [0; 0]);
    }
}
