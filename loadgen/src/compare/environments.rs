//! Whether two runs may be compared: the same machine, the same promise, the same load.

use crate::row::Row;
use crate::stored::Stored;

/// Differences that make a comparison say nothing about the brokers, one sentence each.
#[must_use]
pub(crate) fn differences(a: &Stored, b: &Stored) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, a: &dyn std::fmt::Debug, b: &dyn std::fmt::Debug| {
        let (a, b) = (format!("{a:?}"), format!("{b:?}"));
        if a != b {
            found.push(format!("{what}: {a} and {b}"));
        }
    };
    let (ours, theirs) = (&a.environment, &b.environment);
    differ("durability", &a.result.durability, &b.result.durability);
    differ("host", &ours.host, &theirs.host);
    differ("kernel", &ours.kernel, &theirs.kernel);
    differ("CPU", &ours.cpu.model, &theirs.cpu.model);
    differ("cores", &ours.cpu.cores, &theirs.cpu.cores);
    differ("governor", &ours.cpu.governor, &theirs.cpu.governor);
    differ("memory", &ours.memory_bytes, &theirs.memory_bytes);
    differ("file system", &ours.store.filesystem, &theirs.store.filesystem);
    differ("O_DIRECT", &ours.store.o_direct, &theirs.store.o_direct);
    differ("debug build", &ours.debug_build, &theirs.debug_build);
    for row in &a.result.rows {
        if let Some(other) = b.result.rows.iter().find(|other| other.name == row.name) {
            loads_differ(&mut differ, row, other);
        }
    }
    found
}

fn loads_differ(
    differ: &mut impl FnMut(&str, &dyn std::fmt::Debug, &dyn std::fmt::Debug),
    a: &Row,
    b: &Row,
) {
    let mut of_row = |what: &str, a: &dyn std::fmt::Debug, b: &dyn std::fmt::Debug| {
        differ(what, a, b);
    };
    let name = &a.name;
    of_row(&format!("{name}: kind"), &a.kind, &b.kind);
    of_row(&format!("{name}: protocol"), &a.protocol, &b.protocol);
    of_row(&format!("{name}: payload"), &a.size_bytes, &b.size_bytes);
    of_row(&format!("{name}: senders"), &a.senders, &b.senders);
    of_row(&format!("{name}: in flight"), &a.in_flight, &b.in_flight);
    let (Some(a), Some(b)) = (&a.load, &b.load) else { return };
    of_row(&format!("{name}: header"), &a.header, &b.header);
    of_row(&format!("{name}: threads"), &a.threads, &b.threads);
    of_row(&format!("{name}: generator spins"), &a.spins, &b.spins);
    of_row(&format!("{name}: queues"), &a.queues, &b.queues);
    of_row(&format!("{name}: messages"), &a.messages, &b.messages);
}
