//! The table of scenarios.

use crate::options::Against;

/// What a scenario runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The cluster that the scenarios before it used, if it is still whole.
    Shared,
    /// The same, of RingMQ alone: Apache does not have what it shows.
    SharedOurs,
    /// A fresh one on the seed's ports with the seed's configuration.
    Seed,
    /// A fresh one whose broker has two shards.
    TwoShards,
    /// A fresh one with small store files, whose broker is Apache's first and is exchanged on its
    /// store.
    DropIn,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// As given to `--only` and to the Java program.
    pub name: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// What it needs.
    pub stage: Stage,
    /// It mostly waits and leaves the servers alone, so all clients run at once.
    pub side_by_side: bool,
    /// For its JVM.
    pub jvm_args: &'static [&'static str],
}

impl Scenario {
    /// Apache's broker has no shards and no native lane, and is no drop-in for itself.
    pub fn applies_to(&self, against: Against) -> bool {
        !matches!(self.stage, Stage::SharedOurs | Stage::TwoShards | Stage::DropIn)
            || against.our_broker()
    }
}

/// In this order; the ones that hurt servers come last.
pub const SCENARIOS: [Scenario; 15] = [
    Scenario {
        name: "seed",
        shows: "the two programs and broker-a.properties of the seed, unchanged, with two name servers on 9876 and 9877 \
                (Apache cannot read the file's // comments: it gets the same lines without them)",
        stage: Stage::Seed,
        side_by_side: false,
        jvm_args: &[],
    },
    shared(
        "send",
        "sync, async, one-way, batch, 1 MiB and compressed sends arrive intact; tags filter; \
            view by offsetMsgId",
    ),
    shared(
        "push",
        "1,000 messages reach a concurrent push consumer exactly once; offsets survive its restart",
    ),
    shared(
        "pull",
        "DefaultMQPullConsumer: min, max, by time, ends, tags, committed offsets, held pulls",
    ),
    shared(
        "query",
        "mqadmin's queryMsgByKey, queryMsgByUniqueKey and queryMsgById: by key, unique key, time \
            and message id",
    ),
    shared("lite-pull", "DefaultLitePullConsumer: subscribe, assign, seek, offset by time, commit"),
    Scenario {
        stage: Stage::SharedOurs,
        ..shared(
            "native",
            "messages of RingMQ's native lane are consumed and found by key, unique key and id \
                by stock clients, and the other way round",
        )
    },
    shared("broadcast", "two broadcasting consumers receive every message each"),
    shared("join-leave", "a second consumer joins and leaves under load: none lost, few twice"),
    Scenario {
        jvm_args: &ORDERLY_SOONER,
        ..waiting(
            "orderly",
            "orderly listeners: queue locks, order per queue while a second consumer comes and \
                goes",
        )
    },
    waiting(
        "long-poll",
        "a message reaches a waiting consumer when it arrives, also after an empty hold",
    ),
    shared("broker-restart", "the broker restarts under load: nothing acknowledged is missing"),
    shared("namesrv-loss", "one name server killed and back, then the other: clients go on"),
    Scenario {
        name: "shards",
        shows: "mqbroker with shardCount=2: the client is connected to both shards and its \
            messages are on both",
        stage: Stage::TwoShards,
        side_by_side: false,
        jvm_args: &[],
    },
    Scenario {
        name: "drop-in",
        shows: "a store that Apache's broker wrote is opened by RingMQ's, written to, opened by Apache's again, and so on, also \
                after SIGKILL: every message by queue, id, key and unique key, every committed \
                offset",
        stage: Stage::DropIn,
        side_by_side: false,
        jvm_args: &[],
    },
];

/// A client hands a queue over 20 s after its rebalance, and asks for locks every 20 s. Its own
/// settings make that 2 s: the broker's part is the same, the wait is not what is tested.
const ORDERLY_SOONER: [&str; 2] = [
    "-Drocketmq.client.unlockDelayTimeMills=2000",
    "-Drocketmq.client.rebalance.waitInterval=2000",
];

const fn shared(name: &'static str, shows: &'static str) -> Scenario {
    Scenario { name, shows, stage: Stage::Shared, side_by_side: false, jvm_args: &[] }
}

const fn waiting(name: &'static str, shows: &'static str) -> Scenario {
    Scenario { name, shows, stage: Stage::Shared, side_by_side: true, jvm_args: &[] }
}

/// The scenarios asked for; an unknown name is an error that lists the known ones.
pub fn choose(only: &[String], against: Against) -> Result<Vec<Scenario>, String> {
    if let Some(unknown) =
        only.iter().find(|name| SCENARIOS.iter().all(|s| s.name != name.as_str()))
    {
        let known: Vec<&str> = SCENARIOS.iter().map(|s| s.name).collect();
        return Err(format!("no scenario is called {unknown}; there are {}", known.join(", ")));
    }
    let wanted = |s: &Scenario| only.is_empty() || only.iter().any(|name| name == s.name);
    Ok(SCENARIOS.into_iter().filter(|s| s.applies_to(against) && wanted(s)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_into_topic_names() {
        for (i, scenario) in SCENARIOS.iter().enumerate() {
            assert!(scenario.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
            assert!(SCENARIOS[..i].iter().all(|s| s.name != scenario.name));
        }
    }

    #[test]
    fn apache_is_not_asked_for_what_it_does_not_have() {
        let apache = choose(&[], Against::Apache).unwrap();
        let ours = ["shards", "drop-in", "native"];
        assert!(apache.iter().all(|s| !ours.contains(&s.name)));
        assert_eq!(choose(&[], Against::Ringmq).unwrap().len(), apache.len() + ours.len());
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = choose(&["sent".into()], Against::Apache).unwrap_err();
        assert!(error.contains("sent") && error.contains("send, push"));
    }
}
