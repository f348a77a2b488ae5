//! What the program says on its standard output when all shards are up.

use super::files::Files;
use crate::config::Options;
use engine::{FlushPolicy, LogBackend, Recovered};
use std::io::{self, Write as _};

/// A line for whoever started the program; nobody reading it is no reason to stop.
pub(super) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _nobody_reads = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// What a shard found when it opened.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The ports it listens on.
    pub(super) ports: Vec<u16>,
    /// The log goes through the page cache, because the filesystem has no O_DIRECT.
    pub(super) buffered: bool,
    /// How its store was left.
    pub(super) recovered: Recovered,
}

/// The greeting: one entry of `cores` and `found` for each shard.
pub(super) fn text(options: &Options, cores: &[usize], files: &Files, found: &[Found]) -> String {
    let mut lines = vec![format!(
        "RingMQ {}, compatible with RocketMQ 5.5.0; pid {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    )];
    let shards: Vec<_> = (0..options.shards.count).map(|index| options.shard(index)).collect();
    for ((shard, core), found) in shards.iter().zip(cores).zip(found) {
        let ports: Vec<_> = found.ports.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "  shard {} on core {core}, ports {}, store {}",
            shard.index,
            ports.join(" and "),
            shard.store_root.display()
        ));
    }
    let recovered = found.iter().enumerate();
    lines.extend(recovered.filter_map(|(shard, found)| recovery_line(shard, &found.recovered)));
    let buffered = found.iter().any(|found| found.buffered);
    lines.push(format!(
        "  policies: {}, no replication, {}",
        durability(options),
        log_access(options, buffered)
    ));
    lines.push(format!(
        "  memory: what peers make a shard hold is bounded by {} MiB",
        options.shards.memory_bytes_max >> 20
    ));
    lines.push(format!("  limits: {files}"));
    let servers = options.network.name_servers.join(";");
    let servers = match servers.as_str() {
        "" => String::new(),
        servers => format!(" and name server is {servers}"),
    };
    for shard in &shards {
        lines.push(format!(
            "The broker[{}, {}] boot success. serializeType=JSON{servers}",
            shard.broker, shard.address
        ));
    }
    lines.join("\n")
}

/// When a send is answered.
fn durability(options: &Options) -> &'static str {
    match (options.store.flush, options.store.backend) {
        (FlushPolicy::Sync, _) => "flush SYNC_FLUSH (acknowledged when it survives a power cut)",
        (FlushPolicy::Async, LogBackend::Mmap) => {
            "flush ASYNC_FLUSH (acknowledged when it survives the process)"
        }
        (FlushPolicy::Async, LogBackend::Direct) => {
            "flush ASYNC_FLUSH (acknowledged in memory, written right behind)"
        }
    }
}

fn log_access(options: &Options, buffered: bool) -> &'static str {
    match options.store.backend {
        LogBackend::Mmap => "log mmap, through the page cache",
        LogBackend::Direct if buffered => {
            "log direct, through the page cache (this filesystem has no O_DIRECT)"
        }
        LogBackend::Direct => "log direct, O_DIRECT",
    }
}

/// How a store was found, when it was not simply closed and whole.
fn recovery_line(shard: usize, recovered: &Recovered) -> Option<String> {
    let Recovered { was_unclean, records_scanned, damaged_stretches, damaged_bytes, nanos, .. } =
        *recovered;
    let millis = nanos / 1_000_000;
    if damaged_stretches > 0 {
        return Some(format!(
            "  shard {shard}: UNREADABLE in the log: {damaged_stretches} stretches of \
             {damaged_bytes} bytes together hold no message any more, the rest is served; the log \
             of this start names files and offsets ({records_scanned} messages scanned in \
             {millis} ms)"
        ));
    }
    was_unclean.then(|| {
        format!(
            "  shard {shard}: the store was not closed when it stopped; {records_scanned} \
             messages scanned in {millis} ms, all of them readable"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;

    #[test]
    fn the_greeting_says_where_each_shard_is_and_what_an_answer_means() {
        let options = options(&[("shardCount", "2"), ("namesrvAddr", "n:9876")]);
        let unclean = Recovered { was_unclean: true, records_scanned: 7, ..Recovered::default() };
        let found =
            |ports: &[u16], recovered| Found { ports: ports.to_vec(), buffered: false, recovered };
        let found = [found(&[10911, 10909], unclean), found(&[10921], Recovered::default())];
        let text = text(&options, &[0, 3], &Files::raise(2), &found);
        for part in [
            "  shard 0 on core 0, ports 10911 and 10909, store /s/shard-0\n",
            "  shard 1 on core 3, ports 10921, store /s/shard-1\n",
            "  shard 0: the store was not closed when it stopped; 7 messages scanned",
            "  policies: flush ASYNC_FLUSH (acknowledged in memory, written right behind)",
            "log direct, O_DIRECT\n",
            " connections for each of 2 shards, ",
            "The broker[b-s1, 10.0.0.1:10921] boot success. serializeType=JSON and name server is \
             n:9876",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        assert!(!text.contains("shard 1: the store"), "{text}");
    }
}
