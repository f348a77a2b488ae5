//! The command line. Its help explains each command and has examples that run as printed.

pub mod analysis;
pub mod campaign;
pub mod matrix;
pub mod search;

use analysis::{
    CompareArgs, CompletionsArgs, EnvArgs, GateArgs, ManArgs, ReportArgs, SelftestArgs, VerifyArgs,
};
use campaign::CampaignArgs;
use matrix::MatrixArgs;
use search::{FindMaxArgs, SoakArgs, SweepArgs};

use crate::limits::{
    BATCH_MAX, GENERATORS_MAX, IN_FLIGHT_MAX, PAYLOAD_BYTES_MAX, PROPERTY_BYTES_MAX, SENDERS_MAX,
    TAGS_MAX, THREADS_MAX,
};
use crate::messages::{Messages, Sizes};
use crate::payload::PAYLOAD_BYTES_MIN;
use crate::protocols::Protocol;
use crate::schedule::Shape;
use crate::units;
use clap::builder::RangedI64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::checked::fit;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "Examples:
  loadgen quick
      measure RingMQ on this machine, about a minute, no set-up
  loadgen quick --shards 2 --out results
      the same with two shards, results elsewhere
  loadgen quick --protocol native --flush sync
      RingMQ's own protocol, and where each send's time went: queue, network, append, flush
  loadgen run --namesrv 127.0.0.1:9876
      one sender, closed loop, against a running cluster
  loadgen crash --flush sync
      kill a broker 20 times while messages are sent; is an acknowledged one missing?
  loadgen crash --flush async --backend mmap
      the same for what the page cache promises
  loadgen run --namesrv a:9876,b:9876 --senders 16 --rate 50k/s --duration 60s --consume
      open loop at 50,000/s over 16 connections, then read all back and check it
  loadgen run --namesrv 127.0.0.1:9876 --senders 16 --rate 20k/s --consumers 4
      consumers beside the senders: time from end to end, backlog over time
  loadgen sweep --namesrv 127.0.0.1:9876 --senders 16
      the throughput–latency curve, up to the most that a closed loop reaches
  loadgen find-max --namesrv 127.0.0.1:9876 --senders 16 --p99 5ms
      the highest rate whose p99 stays within 5 ms
  loadgen gate main-1 main-2 main-3 --to new-1 new-2 new-3 --tolerance 5%
      is the new build more than 5 % slower? Runs of your CI, in pairs
  loadgen run --namesrv 127.0.0.1:9876 --protocol native --senders 16 --in-flight 8 --consume
      produce and read back over the native protocol of a running RingMQ

Response time runs from when a message was due, service time from when it was sent. A closed loop
sends only after an answer, so it hides stalls: use --rate for latency figures. A row that missed
its schedule is marked INVALID.

Exit status: 0 good · 1 could not run · 2 wrong arguments · 3 integrity check failed
             4 run invalid, or ended early with its rows kept · 130 interrupted before a row
             5 gate: worse is shown · 6 gate: neither is shown
             7 verify, selftest: something does not hold

Every run keeps its folder. Its name ends in .FAIL unless the run is good.";

/// A payload's size.
fn payload_bytes(text: &str) -> Result<u32, String> {
    units::bytes(text, fit(PAYLOAD_BYTES_MIN), fit(PAYLOAD_BYTES_MAX))
}

/// Sizes of payloads.
fn payload_sizes(text: &str) -> Result<Sizes, String> {
    Sizes::parse(text, fit(PAYLOAD_BYTES_MIN), fit(PAYLOAD_BYTES_MAX))
}

/// A number within these bounds, both included.
fn from_to(min: usize, max: usize) -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range::<RangeInclusive<i64>>(fit(min)..=fit(max))
}

/// The instrument: measures RocketMQ-compatible brokers honestly.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a name server and a broker of its own, measure them, check every message, write a
    /// report
    Quick(QuickArgs),
    /// Measure any RocketMQ-compatible cluster that is already running
    Run(RunArgs),
    /// Kill a broker of its own again and again while sending, and show that nothing it
    /// acknowledged is missing
    Crash(CrashArgs),
    /// The throughput–latency curve: the same load at rising rates
    #[command(after_help = search::SWEEP_EXAMPLES)]
    Sweep(SweepArgs),
    /// The highest rate that keeps a p99 objective, found by bisection and confirmed twice
    #[command(after_help = search::FIND_MAX_EXAMPLES)]
    FindMax(FindMaxArgs),
    /// One load for hours, with a line in a log for each interval
    #[command(after_help = search::SOAK_EXAMPLES)]
    Soak(SoakArgs),
    /// Is B different from A? Stored runs in pairs, or two brokers in blocks A B B A
    #[command(after_help = analysis::COMPARE_EXAMPLES)]
    Compare(Box<CompareArgs>),
    /// `compare` with an exit status, for your own CI: is B worse than A by more than you allow?
    #[command(after_help = analysis::GATE_EXAMPLES)]
    Gate(Box<GateArgs>),
    /// Measure every target beside its peers, in blocks that can be interrupted, and judge them
    #[command(after_help = campaign::CAMPAIGN_EXAMPLES)]
    Campaign(Box<CampaignArgs>),
    /// {flush} x {slaves} x batch sizes on clusters of its own, or others: what does each cost?
    #[command(after_help = matrix::MATRIX_EXAMPLES)]
    Matrix(Box<MatrixArgs>),
    /// What a slave costs, and what waiting for it: {no slave, ASYNC_MASTER, SYNC_MASTER} x
    /// {ASYNC_FLUSH, SYNC_FLUSH}
    #[command(after_help = matrix::COST_EXAMPLES)]
    ReplicationCost(Box<MatrixArgs>),
    /// Draw the report of a stored run again
    #[command(after_help = analysis::REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// Check stored runs: do counts, percentiles, histograms and verdicts agree?
    #[command(after_help = analysis::VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Show the environment that travels with every result
    Env(EnvArgs),
    /// Put known stalls into a target and find them: does this instrument work on this machine?
    #[command(after_help = analysis::SELFTEST_EXAMPLES)]
    Selftest(SelftestArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
    /// The broker, run as a child
    #[command(hide = true, disable_help_flag = true)]
    Mqbroker(ChildArgs),
    /// The name server, run as a child
    #[command(hide = true, disable_help_flag = true)]
    Mqnamesrv(ChildArgs),
    /// The no-op target, run as a child
    #[command(hide = true)]
    NoopTarget(NoopArgs),
}

/// Arguments handed through to a program.
#[derive(Debug, Args)]
pub struct ChildArgs {
    /// Arguments of that program. A leading `--exit-with-parent` stops it when standard input ends.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
}

/// Arguments of the no-op target.
#[derive(Debug, Args)]
pub struct NoopArgs {
    /// Stop when standard input ends
    #[arg(long)]
    pub exit_with_parent: bool,
    /// Answer the native protocol, not remoting
    #[arg(long)]
    pub native: bool,
    /// Core to run on
    #[arg(long)]
    pub core: Option<usize>,
    /// Stand still, AT:FOR after the first request; may be repeated
    #[arg(long, value_name = "AT:FOR", value_parser = units::stall)]
    pub stall: Vec<(Duration, Duration)>,
}

/// When the generator sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Spin {
    /// Spin when the generator has a core of its own
    Auto,
    /// Never sleep
    Always,
    /// Sleep whenever there is nothing to do (adds this host's wake-up time to every response time)
    Never,
}

/// Header encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Header {
    /// As stock Java clients send
    Json,
    /// RocketMQ's binary header
    Binary,
}

/// When the broker answers a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flush {
    /// ASYNC_FLUSH: from memory
    Async,
    /// SYNC_FLUSH: after the disk has it
    Sync,
}

impl Flush {
    /// RocketMQ's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Async => "ASYNC_FLUSH",
            Self::Sync => "SYNC_FLUSH",
        }
    }
}

/// How the broker writes its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// O_DIRECT
    Direct,
    /// Through the page cache
    Mmap,
}

impl Backend {
    /// The value of the broker's key.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Mmap => "mmap",
        }
    }
}

/// Arguments of `crash`.
#[derive(Debug, Args)]
pub struct CrashArgs {
    /// How often the broker is killed
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub kills: u32,
    /// Flush policy of the broker
    #[arg(long, value_enum, default_value_t = Flush::Sync)]
    pub flush: Flush,
    /// How the broker writes its log
    #[arg(long, value_enum, default_value_t = Backend::Direct)]
    pub backend: Backend,
    /// Payload bytes per message
    #[arg(long, default_value = "1KiB", value_parser = payload_bytes)]
    pub size: u32,
    /// Queues of the topic
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub queues: u32,
    /// Connections
    #[arg(long, default_value_t = 8, value_parser = from_to(1, SENDERS_MAX))]
    pub senders: u32,
    /// Requests in flight per connection
    #[arg(long, default_value_t = 4, value_parser = from_to(1, IN_FLIGHT_MAX))]
    pub in_flight: u32,
    /// Folder for the temporary store
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// Repeat the moments of an earlier run's kills (what the broker is doing then still varies)
    #[arg(long)]
    pub seed: Option<u64>,
    /// Keep the store and the logs when the check fails
    #[arg(long)]
    pub keep_failed: bool,
    /// More lines for the broker's configuration, as key=value; may be repeated
    #[arg(long = "broker-config", value_name = "KEY=VALUE")]
    pub broker_config: Vec<String>,
    /// Print the result as JSON; progress stays off
    #[arg(long)]
    pub json: bool,
}

/// Arguments of both `quick` and `run`.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// Payload bytes per message, incompressible: 1KiB, a range 100-4KiB, or zipf:100-64KiB
    #[arg(long, default_value = "1KiB", value_parser = payload_sizes)]
    pub size: Sizes,
    /// Messages in each request; a rate stays one of messages
    #[arg(long, default_value_t = 1, value_parser = from_to(1, BATCH_MAX))]
    pub batch: u32,
    /// Distinct tags of the messages
    #[arg(long, default_value_t = 0, value_parser = from_to(0, TAGS_MAX))]
    pub tags: u32,
    /// Distinct keys of the messages, by which a broker's index finds them
    #[arg(long, default_value_t = 0)]
    pub keys: u64,
    /// Bytes of a user property of each message
    #[arg(long, default_value_t = 0, value_parser = from_to(0, PROPERTY_BYTES_MAX))]
    pub property_bytes: u32,
    /// Hot queues: the n-th queue of a broker gets 1/n^SKEW of the first one's messages
    #[arg(long, default_value_t = 0.0, value_parser = units::skew)]
    pub queue_skew: f64,
    /// Messages of a burst (--shape burst)
    #[arg(long, default_value_t = 100, value_parser = from_to(1, IN_FLIGHT_MAX))]
    pub burst: u32,
    /// Queues of the topic per broker, when it is created
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub queues: u32,
    /// Generator threads, one core each
    #[arg(long, default_value_t = 1, value_parser = from_to(1, THREADS_MAX))]
    pub threads: u32,
    /// When the generator sleeps
    #[arg(long, value_enum, default_value_t = Spin::Auto)]
    pub spin: Spin,
    /// Which protocol to measure over
    #[arg(long, value_enum, default_value_t = Protocol::Remoting)]
    pub protocol: Protocol,
    /// Header encoding (remoting)
    #[arg(long, value_enum, default_value_t = Header::Json)]
    pub header: Header,
    /// TOML file with keys that are these flags; what the command line says counts more
    #[arg(long, value_name = "FILE")]
    pub workload: Option<PathBuf>,
    /// Folder that gets the run's folder
    #[arg(long, default_value = "bench-results/runs")]
    pub out: PathBuf,
    /// What you expect, written into the run's README before it starts
    #[arg(long)]
    pub expect: Option<String>,
    /// Repeat the schedule and the payloads of an earlier run (its seed is printed)
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print result.json instead of the table; progress stays off
    #[arg(long)]
    pub json: bool,
    /// Do not measure the no-op floor (saves time)
    #[arg(long)]
    pub no_floor: bool,
}

impl CommonArgs {
    /// What messages look like.
    #[must_use]
    pub fn messages(&self) -> Messages {
        Messages {
            sizes: self.size,
            batch: self.batch,
            tags: self.tags,
            keys: self.keys,
            property_bytes: self.property_bytes,
            queue_skew: self.queue_skew,
        }
    }
}

/// Arguments of `quick`.
#[derive(Debug, Args)]
pub struct QuickArgs {
    /// Arguments of both commands.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Measured time of each row; 1s for a smoke test
    #[arg(long, default_value = "3s", value_parser = units::time, allow_hyphen_values = true)]
    pub seconds_per_phase: Duration,
    /// Folder for the temporary store (default: beside the results)
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Flush policy of the broker
    #[arg(long, value_enum, default_value_t = Flush::Async)]
    pub flush: Flush,
    /// Shards of the broker, one core each
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub shards: u32,
    /// More lines for the broker's configuration, as key=value; may be repeated
    #[arg(long = "broker-config", value_name = "KEY=VALUE")]
    pub broker_config: Vec<String>,
}

/// The cluster that is measured.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// Name servers, host:port, several separated by , or ;
    #[arg(long, short = 'n')]
    pub namesrv: String,
    /// Topic; created on every master when it is missing (default: a fresh one)
    #[arg(long, short = 't')]
    pub topic: Option<String>,
    /// Process of a broker on this host: its CPU time and memory are told; may be repeated
    #[arg(long, value_name = "PID")]
    pub broker_pid: Vec<u32>,
}

/// One load.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Connections
    #[arg(long, default_value_t = 1, value_parser = from_to(1, SENDERS_MAX))]
    pub senders: u32,
    /// Requests in flight per connection: closed loop, always so many (default 1); open loop, at
    /// most so many, as blocking senders would (default: as many as the schedule asks)
    #[arg(long, value_parser = from_to(1, IN_FLIGHT_MAX))]
    pub in_flight: Option<u32>,
    /// Open loop: messages per second over all connections (default: closed loop)
    #[arg(long, value_parser = units::rate, allow_hyphen_values = true)]
    pub rate: Option<f64>,
    /// Gaps between messages of the open loop
    #[arg(long, value_enum, default_value_t = Shape::Constant)]
    pub shape: Shape,
    /// Measured time
    #[arg(long, default_value = "10s", value_parser = units::time, allow_hyphen_values = true)]
    pub duration: Duration,
    /// Time of sending before it
    #[arg(
        long,
        default_value = "2s",
        value_parser = units::time_or_zero,
        allow_hyphen_values = true
    )]
    pub warmup: Duration,
    /// Before that, closed loops of 2 s until three agree within 2 %, at most 60 s: for brokers
    /// that compile themselves while they work
    #[arg(long)]
    pub steady: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Arguments of all commands that measure.
    #[command(flatten)]
    pub common: CommonArgs,
    /// The cluster.
    #[command(flatten)]
    pub target: TargetArgs,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Read everything back afterwards and check it
    #[arg(long)]
    pub consume: bool,
    /// Connections that consume while the senders send: time from end to end, backlog over time
    #[arg(long, default_value_t = 0, value_parser = from_to(0, SENDERS_MAX))]
    pub consumers: u32,
    /// Processes that send, each with its part of the senders and the rate, and --threads threads
    #[arg(long, default_value_t = 1, value_parser = from_to(1, GENERATORS_MAX))]
    pub generators: u32,
    /// Begin the load at this time, µs since 1970
    #[arg(long, hide = true)]
    pub start_at: Option<u64>,
    /// Leave so many cores to other generators
    #[arg(long, hide = true, default_value_t = 0)]
    pub skip_cores: u32,
    /// Cores that all generators together want
    #[arg(long, hide = true)]
    pub of_cores: Option<u32>,
    /// Stop when standard input ends
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
    /// Print the lines that RocketMQ's own benchmark prints, on standard output
    #[arg(long)]
    pub rocketmq_lines: bool,
    /// Time between two of these lines
    #[arg(long, default_value = "10s", value_parser = units::time, allow_hyphen_values = true)]
    pub report_interval: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_its_help_has_examples() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("loadgen quick") && help.contains("Exit status"));
        assert!(!help.contains("mqbroker"), "children's subcommands are hidden");
    }

    #[test]
    fn every_example_of_the_help_runs_as_it_is_printed() {
        let examples: Vec<&str> =
            EXAMPLES.lines().filter(|line| line.starts_with("  loadgen ")).collect();
        assert!(examples.len() >= 7, "{examples:?}");
        for example in examples {
            assert!(!example.contains(['\'', '"', ';', '&', '|', '$', '*']), "quotes: {example}");
            let words: Vec<&str> = example.split_whitespace().collect();
            assert!(Cli::try_parse_from(&words).is_ok(), "{example}");
        }
    }

    #[test]
    fn wrong_values_are_refused_with_what_is_accepted() {
        for wrong in [
            &["run", "-n", "a:1", "--rate", "0"][..],
            &["run", "-n", "a:1", "--size", "10"],
            &["run"],
            &["quick", "--seconds-per-phase", "x"],
        ] {
            assert!(Cli::try_parse_from([&["loadgen"], wrong].concat()).is_err(), "{wrong:?}");
        }
        let parsed = Cli::try_parse_from([
            "loadgen",
            "mqbroker",
            "--exit-with-parent",
            "-n",
            "x",
            "-c",
            "y",
        ])
        .unwrap();
        let Command::Mqbroker(child) = parsed.command else { panic!("{:?}", parsed.command) };
        assert_eq!(child.args, ["--exit-with-parent", "-n", "x", "-c", "y"]);
    }
}
