//! Language × capability: what is played, and what each client lacks.

use super::site::{Checked, Site};
use super::{checks, kill, waits};
use crate::language::Language;

/// Does the client have it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Has {
    Yes,
    /// It is not played.
    No(&'static str),
    /// It fails against Apache 5.5.0, which is not ours to mend: printed there and not counted.
    /// RingMQ serves it.
    ExceptAtApache(&'static str),
}

/// How it is played.
#[derive(Debug, Clone, Copy)]
pub(super) enum Run {
    /// Leaves the servers alone.
    Beside(fn(&Site<'_>) -> Checked),
    /// The broker is killed under all languages.
    Kill(kill::AcrossKill),
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capability {
    /// As given to `--only`, part of topic and group names.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) shows: &'static str,
    pub(super) run: Run,
    /// By [`Language::column`].
    has: [Has; 4],
}

impl Capability {
    pub(super) fn has(&self, language: Language) -> Has {
        self.has[language.column()]
    }
}

use Has::{ExceptAtApache, No, Yes};

/// Those that wait longest come first: others run beside them.
pub(crate) static CAPABILITIES: [Capability; 13] = [
    Capability {
        name: "lang-dead-letter",
        shows: "a message that fails as often as it may comes to %DLQ%group",
        run: Run::Beside(waits::dead_letter),
        has: [Yes, Yes, ExceptAtApache(CPP_DEAD), Yes],
    },
    Capability {
        name: "lang-orderly-consumer-kill",
        shows: "one of two orderly consumers is killed: each key stays in order, nothing is lost",
        run: Run::Beside(kill::orderly_consumer),
        has: [Yes, No(NODE_ORDER), Yes, Yes],
    },
    Capability {
        name: "lang-retry",
        shows: "a message whose listener fails comes again after its delay",
        run: Run::Beside(waits::retry),
        has: [Yes, Yes, Yes, Yes],
    },
    Capability {
        name: "lang-transaction",
        shows: "commit, rollback, and both after the broker has asked",
        run: Run::Beside(waits::transaction),
        has: [Yes, No(NODE_TRANSACTIONS), No(CPP_TRANSACTIONS), Yes],
    },
    Capability {
        name: "lang-delay",
        shows: "delay levels: once, and not before it is due",
        run: Run::Beside(waits::delay),
        has: [Yes, Yes, Yes, Yes],
    },
    Capability {
        name: "lang-consumer-kill",
        shows: "one of two consumers is killed: nothing acknowledged is lost",
        run: Run::Beside(kill::consumer),
        has: [Yes, Yes, Yes, Yes],
    },
    Capability {
        name: "lang-batch",
        shows: "the messages of a batch reach a push consumer",
        run: Run::Beside(checks::batch),
        has: [Yes, No(NODE_BATCH), ExceptAtApache(CPP_BATCH), Yes],
    },
    Capability {
        name: "lang-send",
        shows: "sync and one-way sends reach a push consumer",
        run: Run::Beside(checks::send),
        has: [Yes, Yes, Yes, Yes],
    },
    Capability {
        name: "lang-tags",
        shows: "a subscription to two tags gets those",
        run: Run::Beside(checks::tags),
        has: [Yes, Yes, Yes, Yes],
    },
    Capability {
        name: "lang-sql",
        shows: "a SQL92 expression is judged by the broker",
        run: Run::Beside(checks::sql),
        has: [Yes, Yes, No("the client has no SQL92"), Yes],
    },
    Capability {
        name: "lang-orderly",
        shows: "what is sent with one key arrives in order",
        run: Run::Beside(checks::in_order),
        has: [Yes, No(NODE_ORDER), Yes, Yes],
    },
    Capability {
        name: "lang-kill",
        shows: "the broker is killed and started again: nothing acknowledged is lost",
        run: Run::Kill(kill::broker),
        has: [Yes, Yes, Yes, Yes],
    },
    Capability {
        name: "lang-orderly-kill",
        shows: "the broker is killed under an orderly consumer: each key stays in order",
        run: Run::Kill(kill::orderly_broker),
        has: [Yes, No(NODE_ORDER), Yes, Yes],
    },
];

const NODE_BATCH: &str = "the client has no batches";
const CPP_DEAD: &str = "it names no topic in a send-back, over which Apache's broker stumbles";
const CPP_BATCH: &str = "it says batch=1, which Apache takes for no";
const NODE_TRANSACTIONS: &str = "the client has no transactions";
const CPP_TRANSACTIONS: &str = "the library in the wheel has no transactions";
const NODE_ORDER: &str = "the client locks no queues, and its sends with one key change queues";

/// All rows: name and what it shows.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    CAPABILITIES.iter().map(|capability| (capability.name, capability.shows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_client_and_a_name_of_its_own() {
        for (i, row) in CAPABILITIES.iter().enumerate() {
            assert!(row.name.starts_with("lang-"), "{}", row.name);
            assert!(CAPABILITIES[..i].iter().all(|other| other.name != row.name));
            assert!(row.has.contains(&Yes), "{}", row.name);
        }
    }
}
