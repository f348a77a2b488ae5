//! What the program says on its standard output when all shards are up.

use super::files::Files;
use crate::config::{Options, Role, WaitsFor};
use engine::{FlushPolicy, LogBackend, Recovered, TailMemory};
use std::io::{self, Write as _};
use std::path::Path;

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
    /// What outlives a killed process of its log's tail.
    pub(super) tail: TailMemory,
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
            "  shard {} on core {core}, ports {}, {} for slaves, store {}",
            shard.index,
            ports.join(" and "),
            shard.ha_port,
            shard.store_root.display()
        ));
    }
    let recovered = found.iter().enumerate();
    lines.extend(recovered.filter_map(|(shard, found)| recovery_line(shard, &found.recovered)));
    let buffered = found.iter().any(|found| found.buffered);
    lines.push(format!(
        "  policies: {}, {}, {}",
        durability(options, found),
        replication(options),
        log_access(options, buffered)
    ));
    let tails = found.iter().enumerate();
    lines.extend(tails.filter_map(|(shard, found)| tail_line(shard, &found.tail)));
    lines.push(format!(
        "  memory: what peers make a shard hold is bounded by {} MiB",
        options.shards.memory_bytes_max >> 20
    ));
    lines.push(cache_line(options));
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
fn durability(options: &Options, found: &[Found]) -> String {
    match (options.store.flush, options.store.backend) {
        (FlushPolicy::Sync, _) => {
            return "flush SYNC_FLUSH (acknowledged when it survives a power cut)".to_owned();
        }
        (FlushPolicy::Async, LogBackend::Mmap) => {
            return "flush ASYNC_FLUSH (acknowledged when it survives the process)".to_owned();
        }
        (FlushPolicy::Async, LogBackend::Direct) => {}
    }
    let kept = found.iter().find_map(|found| match &found.tail {
        TailMemory::Kept { path } => path.parent(),
        _ => None,
    });
    let when = match kept.map(Path::display) {
        Some(folder) => format!("acknowledged in memory that survives the process, in {folder}"),
        None if found.iter().any(|found| found.tail == TailMemory::Private) => {
            "acknowledged in memory; tailPath is empty: a killed process loses what it has not \
             written"
                .to_owned()
        }
        None => "acknowledged when it is written, and so survives the process".to_owned(),
    };
    format!("flush ASYNC_FLUSH ({when})")
}

/// The role, and what a send waits for besides the above.
fn replication(options: &Options) -> String {
    match options.replication.role {
        Role::Slave { id } => format!("SLAVE {id} (takes no sends, follows its master)"),
        Role::Master { waits_for: WaitsFor::Nobody } => "sends wait for no slave".to_owned(),
        Role::Master { waits_for: WaitsFor::Slaves(1) } => {
            "SYNC_MASTER (sends wait for a slave)".to_owned()
        }
        Role::Master { waits_for: WaitsFor::Slaves(count) } => {
            format!("SYNC_MASTER (sends wait for {count} slaves)")
        }
        Role::Master { waits_for: WaitsFor::OneThatIsThere { .. } } => {
            "SYNC_MASTER (sends wait for a slave, as inSyncReplicas is not set)".to_owned()
        }
    }
}

/// Why the sends of a shard wait until they are written, and what helps.
fn tail_line(shard: usize, tail: &TailMemory) -> Option<String> {
    let TailMemory::NotKept { reason } = tail else { return None };
    Some(format!(
        "  shard {shard}: sends wait until they are WRITTEN, as no other memory survives the \
         process: {reason}. Fix: set tailPath to a folder on a tmpfs with room that outlives it \
         (mounted from the container's host; /run/ringmq with RuntimeDirectoryPreserve=yes), or \
         to nothing, to be answered at once and lose what is not written when it is killed"
    ))
}

/// What is kept of the log in memory.
fn cache_line(options: &Options) -> String {
    let mebibytes = options.store.tail_bytes_max >> 20;
    if options.store.tail_follows_memory {
        return format!(
            "  cache: tailCacheBytes=auto, for each shard up to {mebibytes} MiB of the log in \
             memory while the machine has it to spare, {} MiB always",
            options.store.tail_floor_bytes() >> 20
        );
    }
    format!("  cache: up to {mebibytes} MiB of the log in memory for each shard")
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
    let taken_over = match recovered.taken_over_bytes {
        _ if recovered.is_kept_memory_gone => {
            "; the memory that it kept is GONE (a reboot, or its tmpfs was emptied): what it had \
             not written is lost"
                .to_owned()
        }
        0 => String::new(),
        bytes => format!("; {bytes} bytes were taken over from the memory that it left"),
    };
    let millis = nanos / 1_000_000;
    if damaged_stretches > 0 {
        return Some(format!(
            "  shard {shard}: UNREADABLE in the log: {damaged_stretches} stretches of \
             {damaged_bytes} bytes together hold no message any more, the rest is served; the log \
             of this start names files and offsets ({records_scanned} messages scanned in \
             {millis} ms{taken_over})"
        ));
    }
    was_unclean.then(|| {
        format!(
            "  shard {shard}: the store was not closed when it stopped; {records_scanned} \
             messages scanned in {millis} ms, all of them readable{taken_over}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;

    fn full() -> TailMemory {
        TailMemory::NotKept { reason: "/dev/shm is full".to_owned() }
    }

    #[test]
    fn what_an_answer_means_is_what_the_tail_promises() {
        let of = |pairs: &[(&str, &str)], tail| {
            durability(&options(pairs), &[Found { tail, ..Found::default() }])
        };
        assert!(of(&[], TailMemory::Private).contains("a killed process loses what"));
        assert!(of(&[], full()).contains("acknowledged when it is written"));
        let gone =
            Recovered { was_unclean: true, is_kept_memory_gone: true, ..Recovered::default() };
        assert!(recovery_line(0, &gone).unwrap().contains("is GONE (a reboot"));
        let mmap = [("logBackend", "mmap")];
        assert!(of(&mmap, TailMemory::NotNeeded).contains("when it survives the process"));
        let sync = [("flushDiskType", "SYNC_FLUSH")];
        assert!(of(&sync, TailMemory::NotNeeded).contains("survives a power cut"));
    }

    #[test]
    fn the_greeting_says_where_each_shard_is_and_what_an_answer_means() {
        let options = options(&[("shardCount", "2"), ("namesrvAddr", "n:9876")]);
        let unclean = Recovered { was_unclean: true, records_scanned: 7, ..Recovered::default() };
        let found = |ports: &[u16], recovered, tail| Found {
            ports: ports.to_vec(),
            buffered: false,
            recovered,
            tail,
        };
        let unclean = Recovered { taken_over_bytes: 4711, ..unclean };
        let kept = TailMemory::Kept { path: "/dev/shm/0a.ringmq-tail".into() };
        let found =
            [found(&[10911, 10909], unclean, kept), found(&[10921], Recovered::default(), full())];
        let text = text(&options, &[0, 3], &Files::raise(2), &found);
        for part in [
            "  shard 0 on core 0, ports 10911 and 10909, 10912 for slaves, store /s/shard-0\n",
            "  shard 1 on core 3, ports 10921, 10922 for slaves, store /s/shard-1\n",
            "  shard 0: the store was not closed when it stopped; 7 messages scanned",
            "all of them readable; 4711 bytes were taken over from the memory that it left\n",
            "  policies: flush ASYNC_FLUSH (acknowledged in memory that survives the process, in \
             /dev/shm)",
            "  shard 1: sends wait until they are WRITTEN, as no other memory survives the \
             process: /dev/shm is full. Fix: set tailPath",
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
