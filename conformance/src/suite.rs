//! The table of scenarios.

use crate::options::Against;

/// What a scenario runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The cluster that the scenarios before it used, if it is still whole.
    Shared,
    /// The same, of RingMQ alone: Apache does not have what it shows.
    SharedOurs,
    /// The same, but only where there are two shards (two masters).
    SharedTwo,
    /// A fresh one on the seed's ports with the seed's configuration.
    Seed,
    /// A fresh one with small store files, whose broker is Apache's first and is exchanged on its
    /// store.
    DropIn,
    /// The same; against Apache its own broker takes the lives of RingMQ's.
    Visited,
    /// A fresh one with lite topics. Apache's broker has its store for a while.
    Lite,
}

impl Stage {
    /// The cluster may have served others before and may serve others after.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::SharedOurs | Self::SharedTwo)
    }
}

/// Which clients play a scenario, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    /// All at once: the scenario leaves the servers alone.
    Together,
    /// One after the other: the scenario hurts servers.
    InTurn,
    /// The newest only: what is tested is not the client.
    Newest,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    /// As given to `--only` and to the Java program.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) shows: &'static str,
    /// What it needs.
    pub(crate) stage: Stage,
    /// Who plays it.
    pub(crate) clients: Clients,
    /// It has the runner run Apache's `mqadmin`.
    pub(crate) asks_mqadmin: bool,
    /// For its JVM.
    pub(crate) jvm_args: &'static [&'static str],
}

impl Scenario {
    /// Apache's broker or its tools take part, whoever is put to the test.
    pub(crate) fn needs_apache(&self) -> bool {
        matches!(self.stage, Stage::DropIn | Stage::Visited | Stage::Lite) || self.asks_mqadmin
    }

    /// Why the scenario makes no sense against these servers, if it doesn't.
    pub(crate) fn left_out(&self, against: Against, shards: u16) -> Option<&'static str> {
        match self.stage {
            Stage::SharedOurs if !against.our_broker() => Some("Apache has no native protocol"),
            Stage::DropIn if !against.our_broker() => Some("Apache is no drop-in for itself"),
            Stage::DropIn | Stage::Visited | Stage::Lite if shards > 1 => {
                Some("Apache's store has one shard")
            }
            Stage::Seed if shards > 1 => Some("the seed's configuration has one shard"),
            Stage::SharedTwo if shards == 1 => Some("it needs --shards 2"),
            _ => None,
        }
    }
}

/// In this order; the ones that hurt servers come last.
pub(crate) const SCENARIOS: [Scenario; 43] = [
    Scenario {
        stage: Stage::Seed,
        ..in_turn(
            "seed",
            "the two programs and broker-a.properties of the seed, unchanged, with two name \
                servers on 9876 and 9877 (Apache cannot read the file's // comments: it gets the \
                same lines without them)",
        )
    },
    together(
        "send",
        "sync, async, one-way, batch, 1 MiB and compressed sends arrive intact; tags filter; \
            view by offsetMsgId",
    ),
    together(
        "push",
        "1,000 messages reach a concurrent push consumer exactly once; offsets survive its restart",
    ),
    together(
        "pull",
        "DefaultMQPullConsumer: min, max, by time, ends, tags, committed offsets, long polls",
    ),
    together(
        "query",
        "mqadmin's queryMsgByKey, queryMsgByUniqueKey and queryMsgById: by key, unique key, time \
            and message id",
    ),
    together(
        "lite-pull",
        "DefaultLitePullConsumer: subscribe, assign, seek, offset by time, commit",
    ),
    Scenario {
        stage: Stage::SharedOurs,
        jvm_args: &REBALANCE_SOONER,
        ..together(
            "native",
            "messages of RingMQ's native protocol are consumed and found by key, unique key and \
                id by stock clients, and the other way round",
        )
    },
    together(
        "sql-filter",
        "MessageSelector.bySql with push, pull and lite pull consumers, stored and waiting; a \
            wrong expression is refused at the consumer's start (23)",
    ),
    together("broadcast", "two broadcasting consumers receive every message each"),
    together("join-leave", "a second consumer joins and leaves under load: none lost, few twice"),
    Scenario {
        jvm_args: &REBALANCE_SOONER,
        ..together(
            "orderly",
            "orderly listeners: queue locks, order per queue while a second consumer comes and \
                goes",
        )
    },
    together(
        "long-poll",
        "a message reaches a waiting consumer when it arrives, also after an empty long poll",
    ),
    Scenario {
        jvm_args: &REBALANCE_SOONER,
        ..together(
            "dead-letters",
            "messages that concurrent and orderly consumers give up arrive in %DLQ%group with \
                the right properties; the answers of CONSUMER_SEND_MSG_BACK",
        )
    },
    together(
        "delays",
        "delay levels: a message comes to its queue once, when it is due and not before, as it was \
            sent; all 18 levels and one above, where they wait",
    ),
    together(
        "timers",
        "timer messages: each comes to its queue once, not before the time that was asked for; \
            what has passed comes at once, what is too far away is refused",
    ),
    together(
        "recall",
        "a timer message that is recalled never comes, its neighbours do; the handle, and what \
            is none",
    ),
    Scenario {
        clients: Clients::Newest,
        ..together(
            "pop-api",
            "POP's requests one by one: what is acknowledged never comes again, what is not comes \
                once more; another invisible time, a long poll, receipts that are none",
        )
    },
    Scenario {
        jvm_args: &REBALANCE_SOONER,
        ..together(
            "retries",
            "a push consumer that fails sees each message again, with a higher count and after its \
                delay, until it succeeds or gives up",
        )
    },
    Scenario {
        clients: Clients::Newest,
        asks_mqadmin: true,
        ..together(
            "runtime-info",
            "stock mqadmin's clusterList and brokerStatus: every key, each value of its form",
        )
    },
    together(
        "request-reply",
        "request() with a thread and with a callback, the replies of a consumer, a time-out; the \
            answers to replies for nobody",
    ),
    Scenario {
        asks_mqadmin: true,
        ..together(
            "trace",
            "clients with message trace on; mqadmin's queryMsgTraceById finds who sent and who \
                consumed",
        )
    },
    Scenario {
        asks_mqadmin: true,
        jvm_args: &REBALANCE_SOONER,
        ..together(
            "reset-offset",
            "mqadmin's resetOffsetByTime moves a running consumer and a group without any back in \
                time, skipAccumulatedMessage to the end",
        )
    },
    Scenario {
        asks_mqadmin: true,
        jvm_args: &REBALANCE_SOONER,
        ..together(
            "consumer-tools",
            "mqadmin's consumerProgress, consumerConnection, consumerStatus, queryMsgById with a \
                direct consumption (of a dead letter too), consumeMessage, cloneGroupOffset, \
                updateSubGroup and their kin",
        )
    },
    Scenario {
        clients: Clients::Newest,
        ..in_turn(
            "slow-consumer",
            "a group whose listener never returns: another group gets every message; the time \
                from send to listener is printed without and beside it",
        )
    },
    Scenario {
        stage: Stage::SharedTwo,
        jvm_args: &REBALANCE_SOONER,
        ..together("shards", "a client is connected to both shards, its messages are on both")
    },
    Scenario {
        stage: Stage::SharedTwo,
        asks_mqadmin: true,
        jvm_args: &REBALANCE_SOONER,
        ..together(
            "placement",
            "a topic made by address or by a send is on that broker only, with its queue count; \
                routes do not grow by themselves: keys stay in their queues, two consumers share \
                them evenly",
        )
    },
    Scenario {
        jvm_args: &REBALANCE_SOONER,
        ..in_turn(
            "new-group",
            "where a new group starts (CONSUME_FROM_LAST_OFFSET) on a queue that has its first \
            message, before and after a restart of the broker",
        )
    },
    Scenario {
        jvm_args: &REBALANCE_SOONER,
        ..in_turn(
            "orderly-kill",
            "the broker is killed and started again under an orderly consumer: nothing \
                acknowledged is lost, each queue stays in order",
        )
    },
    Scenario {
        jvm_args: &REBALANCE_SOONER,
        clients: Clients::Newest,
        ..in_turn(
            "pop-push",
            "push consumers that the broker balances, in mode POP: what fails comes again; a \
                consumer leaves and the broker restarts, and nothing is lost",
        )
    },
    Scenario {
        stage: Stage::Lite,
        clients: Clients::Newest,
        asks_mqadmin: true,
        ..in_turn(
            "pop-lite",
            "lite topics as a proxy asks for them: in order and no more until that is \
                acknowledged, over SIGTERM, SIGKILL and a visit of the other broker; all tools",
        )
    },
    Scenario {
        jvm_args: &REBALANCE_SOONER,
        clients: Clients::Newest,
        ..in_turn(
            "pop-changes",
            "a group goes from pull to POP and back under load, with a member that always pulls, \
                members that come and leave, and a topic that gets more queues and then fewer: \
                nothing is lost",
        )
    },
    Scenario {
        jvm_args: &REBALANCE_SOONER,
        clients: Clients::Newest,
        ..in_turn(
            "pop-kill",
            "a consumer that has popped messages is killed, then the broker is: nothing is lost",
        )
    },
    in_turn("broker-restart", "the broker restarts under load: nothing acknowledged is missing"),
    in_turn(
        "transactions",
        "commit, rollback, and what the broker asks for: of a producer that did not know, of \
            another of its group when one is gone, of all after the broker was killed",
    ),
    in_turn("namesrv-loss", "one name server killed and back, then the other: clients go on"),
    Scenario {
        stage: Stage::DropIn,
        clients: Clients::Newest,
        ..in_turn(
            "drop-in",
            "a store that Apache's broker wrote is opened by RingMQ's, written to, opened by \
                Apache's again, and so on, also after SIGKILL: every message by queue, id, key \
                and unique key, every committed offset",
        )
    },
    Scenario {
        stage: Stage::Visited,
        clients: Clients::Newest,
        ..in_turn(
            "delayed-drop-in",
            "delayed messages and retries pend while a store changes hands: each broker delivers \
                what the other took, on time and once; after SIGTERM, after SIGKILL (twice at \
                most), after a rebuild of the queues",
        )
    },
    Scenario {
        stage: Stage::Visited,
        clients: Clients::Newest,
        ..in_turn(
            "timer-drop-in",
            "timer messages and recalls pend while a store changes hands: each broker delivers \
                what the other took; after SIGTERM once, after SIGKILL of either maybe again",
        )
    },
    Scenario {
        stage: Stage::Visited,
        clients: Clients::Newest,
        ..in_turn(
            "pop-drop-in",
            "popped messages are out while a store changes hands: each broker takes \
                acknowledgements of what the other gave, and revives what nobody acknowledged",
        )
    },
    Scenario {
        stage: Stage::Visited,
        clients: Clients::Newest,
        ..in_turn(
            "transactions-drop-in",
            "transactions pend while a store changes hands: each broker asks about what the other \
                took, nothing that has ended comes again; after SIGTERM and after SIGKILL",
        )
    },
    Scenario {
        stage: Stage::DropIn,
        clients: Clients::Newest,
        ..in_turn(
            "apache-slave",
            "Apache's broker as slave of RingMQ's: both logs have the same bytes, also after \
                either was killed; what the slave has is read when it has become the master",
        )
    },
    Scenario {
        stage: Stage::DropIn,
        clients: Clients::Newest,
        ..in_turn(
            "ringmq-slave",
            "RingMQ's broker as slave of Apache's, from a log of many files on, also after either \
                was killed, and cut when the master went back to an older store; it becomes the \
                master, and stock clients carry on",
        )
    },
    Scenario {
        stage: Stage::DropIn,
        clients: Clients::Newest,
        ..in_turn(
            "migration",
            "docs/migration/migrate.sh: RingMQ joins as slave of an Apache master under load, \
                catches up, is promoted; a producer and a consumer carry on, nothing is lost",
        )
    },
];

/// A client hands a queue over 20 s after its rebalance, and asks for locks every 20 s. Its own
/// settings make that 2 s: the broker's part is the same, the wait is not what is tested.
const REBALANCE_SOONER: [&str; 2] = [
    "-Drocketmq.client.unlockDelayTimeMills=2000",
    "-Drocketmq.client.rebalance.waitInterval=2000",
];

const fn together(name: &'static str, shows: &'static str) -> Scenario {
    let clients = Clients::Together;
    Scenario { name, shows, stage: Stage::Shared, clients, asks_mqadmin: false, jvm_args: &[] }
}

const fn in_turn(name: &'static str, shows: &'static str) -> Scenario {
    Scenario { clients: Clients::InTurn, ..together(name, shows) }
}

/// A scenario of the table that is not run, and why.
pub(crate) type LeftOut = (&'static str, &'static str);

/// The scenarios asked for, and those of the whole table that make no sense here. An unknown name
/// is an error that lists the known ones, `others` among them; so is a name that makes no sense
/// here.
pub(crate) fn choose(
    only: &[String],
    against: Against,
    shards: u16,
    others: &[&str],
) -> Result<(Vec<Scenario>, Vec<LeftOut>), String> {
    for name in only.iter().filter(|name| !others.contains(&name.as_str())) {
        let scenario = named(name).ok_or_else(|| unknown(name, others))?;
        if let Some(why) = scenario.left_out(against, shards) {
            return Err(format!("{name} can't run here: {why}"));
        }
    }
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for scenario in SCENARIOS {
        match scenario.left_out(against, shards) {
            Some(why) if only.is_empty() => left_out.push((scenario.name, why)),
            None if only.is_empty() || only.iter().any(|name| name == scenario.name) => {
                chosen.push(scenario);
            }
            _ => {}
        }
    }
    Ok((chosen, left_out))
}

/// Takes the scenarios of these names out; a name that no scenario has is an error.
pub(crate) fn leave_out(
    not: &[String],
    chosen: &mut Vec<Scenario>,
    others: &[&str],
) -> Result<(), String> {
    let is_known = |name: &str| named(name).is_some() || others.contains(&name);
    if let Some(name) = not.iter().find(|name| !is_known(name)) {
        return Err(unknown(name, others));
    }
    chosen.retain(|scenario| !not.iter().any(|name| name == scenario.name));
    Ok(())
}

fn named(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

fn unknown(name: &str, others: &[&str]) -> String {
    let ours = SCENARIOS.iter().map(|scenario| scenario.name);
    let known: Vec<&str> = ours.chain(others.iter().copied()).collect();
    format!("no scenario is called {name}; there are {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_wanted_is_left_out_and_a_wrong_name_is_an_error() {
        let (mut chosen, _) = choose(&[], Against::Ringmq, 1, &[]).unwrap();
        let all = chosen.len();
        leave_out(&["drop-in".into(), "lang-send".into()], &mut chosen, &["lang-send"]).unwrap();
        assert_eq!(chosen.len(), all - 1);
        assert!(chosen.iter().all(|scenario| scenario.name != "drop-in"));
        let error = leave_out(&["dropin".into()], &mut chosen, &[]).unwrap_err();
        assert!(error.contains("dropin") && error.contains("drop-in"), "{error}");
    }

    fn left_out(against: Against, shards: u16) -> Vec<&'static str> {
        let (chosen, left_out) = choose(&[], against, shards, &[]).unwrap();
        assert_eq!(chosen.len() + left_out.len(), SCENARIOS.len());
        left_out.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn names_are_unique_and_fit_into_topic_names() {
        for (i, scenario) in SCENARIOS.iter().enumerate() {
            assert!(scenario.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
            assert!(SCENARIOS[..i].iter().all(|s| s.name != scenario.name));
        }
    }

    #[test]
    fn what_makes_no_sense_is_left_out_and_listed() {
        assert_eq!(left_out(Against::Ringmq, 1), ["shards", "placement"]);
        let changing =
            ["drop-in", "delayed-drop-in", "timer-drop-in", "pop-drop-in", "transactions-drop-in"];
        let slaves = ["apache-slave", "ringmq-slave", "migration"];
        let on_two = [&["seed", "pop-lite"], &changing[..], &slaves].concat();
        assert_eq!(left_out(Against::Ringmq, 2), on_two);
        let apache = ["native", "shards", "placement", "drop-in"];
        assert_eq!(left_out(Against::Apache, 1), [&apache[..], &slaves].concat());
        let on_two = [&["seed", "native", "pop-lite"], &changing[..], &slaves].concat();
        assert_eq!(left_out(Against::Apache, 2), on_two);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = choose(&["sent".into()], Against::Apache, 1, &["lang-send"]).unwrap_err();
        assert!(error.contains("sent") && error.contains("send, push"));
        assert!(error.contains("lang-send"));
        let error = choose(&["placement".into()], Against::Ringmq, 1, &[]).unwrap_err();
        assert_eq!(error, "placement can't run here: it needs --shards 2");
    }
}
