//! Which part of the broker a row of the ledger belongs to, told by the files on its stack.

use crate::ledger::{Kind, Row};

/// Where something was allocated or copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A send that has to wait because the device is behind by as much as the tail holds: it is
    /// kept whole.
    Waiting,
    /// While a frame was handled, an answer written or a turn of the ring ended: what every message
    /// goes through.
    Frame,
    /// Copied: the record, into the log's tail.
    Append,
    /// Copied: what did not fit the receive buffer, into the connection's own.
    HalfFrame,
    /// Copied: the log's partial last block, in front of a device write or to the next chunk of the
    /// tail.
    LastBlock,
    /// The task that writes the log: once for each device write.
    LogWrite,
    /// Copied: the state of a task that does a file operation, when it is moved to where it waits.
    Task,
    /// glommio's, and the core's eventfd through it: each time the core sleeps or looks after its
    /// timers.
    Sleep,
    /// Tasks that run by time or by the size of the log: index, ConsumeQueue files, manifest, the
    /// tick.
    Background,
    /// Anything else.
    Other,
}

/// Files of each place; the first place counts of which one is on the stack.
const ALLOCATES: [(Place, &[&str]); 5] = [
    (Place::Waiting, &["src/sends/drain.rs"]),
    (Place::Frame, &["netcore/src/"]),
    (
        Place::Sleep,
        &[
            "glommio-0.9.0/src/reactor.rs",
            "glommio-0.9.0/src/sys/",
            "glommio-0.9.0/src/timer/",
            "rt/src/real/driver.rs",
        ],
    ),
    (Place::LogWrite, &["write_log::"]),
    (Place::Background, &["engine/src/", "src/services/"]),
];

/// Files that copy, by the innermost on the stack.
const COPIES: [(Place, &[&str]); 6] = [
    (Place::Waiting, &["src/sends/message.rs"]),
    (Place::Append, &["protocol/src/record/", "engine/src/store/append_records.rs"]),
    (Place::HalfFrame, &["netcore/src/"]),
    (Place::LastBlock, &["engine/src/commitlog/writer.rs", "engine/src/tail.rs"]),
    (
        Place::Task,
        &[
            "engine/src/store/background.rs",
            "engine/src/store/zeros.rs",
            "engine/src/consumequeue/disk.rs",
            "rt/src/ring/files.rs",
            "rt/src/real/file.rs",
            "rt/src/real/core.rs",
        ],
    ),
    (
        Place::Background,
        &["engine/src/consumequeue/", "engine/src/index/", "/src/stream/futures_unordered/"],
    ),
];

pub(crate) fn of(row: &Row) -> Place {
    let (places, functions) = match row.kind {
        Kind::Allocation => (&ALLOCATES[..], row.stack.as_slice()),
        Kind::Copy => (&COPIES[..], innermost(&row.stack)),
    };
    let is_there = |paths: &[&str]| {
        functions.iter().any(|function| paths.iter().any(|path| function.contains(path)))
    };
    places.iter().find(|(_, paths)| is_there(paths)).map_or(Place::Other, |(place, _)| *place)
}

/// The function that copies, not counting the buffer's own.
fn innermost(stack: &[String]) -> &[String] {
    let at =
        stack.iter().position(|function| !function.contains("rt/src/buf.rs")).unwrap_or_default();
    stack.get(at..=at).unwrap_or_default()
}

/// Whether the row counts sleeps: for each the ring's eventfd is read through glommio, which takes
/// one scheduling record.
pub(crate) fn is_sleep(row: &Row) -> bool {
    of(row) == Place::Sleep
        && row
            .stack
            .first()
            .is_some_and(|function| function.contains("glommio-0.9.0/src/io/sched.rs"))
}
