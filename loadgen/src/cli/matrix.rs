//! Arguments of `matrix` and of its preset `replication-cost`.

use super::{CommonArgs, Flush, from_to};
use crate::limits::{BATCH_MAX, IN_FLIGHT_MAX, SENDERS_MAX};
use crate::units;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Examples of `matrix`.
pub(super) const MATRIX_EXAMPLES: &str = "Examples:
  loadgen matrix
      {ASYNC_FLUSH, SYNC_FLUSH} x {no slave, ASYNC_MASTER, SYNC_MASTER} x batches of 1 and 16
  loadgen matrix --flush sync --slaves none --batches 1,8,64
      what batches do to SYNC_FLUSH
  loadgen matrix --cluster none=a:9876 --cluster sync=b:9876 --blocks 8
      clusters that are running already

Each block visits the kinds of slaves there and back again (N A S S A N), so that a machine that
gets slower at a steady pace takes as much from each. The order is fixed before the first send.";

/// Examples of `replication-cost`.
pub(super) const COST_EXAMPLES: &str = "Examples:
  loadgen replication-cost
      a master and a slave of its own, no set-up
  loadgen replication-cost --broker ringmq,apache --loads 1x1,16x8
      the same on Apache RocketMQ 5.5.0, in the same run (needs Java; Maven for the first time)
  loadgen replication-cost --flush async --blocks 8 --duration 3s
      one flush policy, narrower intervals
  loadgen replication-cost --cluster async=a:9876 --cluster sync=b:9876 --broker-pid async=71
      clusters that are running already

A SYNC_MASTER of its own, RingMQ's or Apache's, has inSyncReplicas=2: with Apache's default of 1 a
send waits for nobody, and the cost would be 0.";

/// Which slaves a master has, and whether a send waits for them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Slaves {
    /// No slave
    None,
    /// ASYNC_MASTER with a slave
    Async,
    /// SYNC_MASTER with a slave
    Sync,
}

impl Slaves {
    /// As it stands in tables.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::None => "no slave",
            Self::Async => "ASYNC_MASTER",
            Self::Sync => "SYNC_MASTER",
        }
    }

    /// As it stands in names, and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Async => "async",
            Self::Sync => "sync",
        }
    }
}

/// Whose broker is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Maker {
    /// This program's own
    Ringmq,
    /// Apache RocketMQ 5.5.0, from Maven Central
    Apache,
}

impl Maker {
    /// Its product's name.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Ringmq => "RingMQ",
            Self::Apache => "Apache",
        }
    }
}

/// Connections and requests in flight on each, as `16x8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Connections.
    pub senders: usize,
    /// Requests in flight on each.
    pub in_flight: usize,
}

fn closed(text: &str) -> Result<Closed, String> {
    let wrong = || format!("`{text}` is no load: write SENDERSxIN_FLIGHT, as 16x8");
    let (senders, in_flight) = text.split_once(['x', '×']).ok_or_else(wrong)?;
    let number = |text: &str, max: usize| {
        let number = text.parse::<usize>().ok();
        number.filter(|number| (1..=max).contains(number)).ok_or_else(wrong)
    };
    Ok(Closed {
        senders: number(senders, SENDERS_MAX)?,
        in_flight: number(in_flight, IN_FLIGHT_MAX)?,
    })
}

/// `sync=VALUE`.
fn of_slaves(text: &str) -> Result<(Slaves, String), String> {
    let (slaves, value) =
        text.split_once('=').ok_or_else(|| format!("`{text}`: write none=…, async=… or sync=…"))?;
    Ok((<Slaves as ValueEnum>::from_str(slaves, false)?, value.to_owned()))
}

/// `sync=PID`.
fn pid_of_slaves(text: &str) -> Result<(Slaves, u32), String> {
    let (slaves, pid) = of_slaves(text)?;
    Ok((slaves, pid.parse().map_err(|_| format!("`{pid}` is no process id"))?))
}

/// Arguments of `matrix` and `replication-cost`.
#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// Arguments of all commands that measure.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Flush policies of the masters
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["async", "sync"])]
    pub flush: Vec<Flush>,
    /// Kinds of slaves
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["none", "async", "sync"])]
    pub slaves: Vec<Slaves>,
    /// Messages in a request, several values (matrix: 1,16; replication-cost: 1)
    #[arg(
        long,
        value_delimiter = ',',
        value_parser = from_to(1, BATCH_MAX),
        conflicts_with = "batch"
    )]
    pub batches: Vec<u32>,
    /// Closed loops, as SENDERSxIN_FLIGHT (matrix: 16x8; replication-cost: 1x1,64x1,16x8)
    #[arg(long, value_delimiter = ',', value_parser = closed)]
    pub loads: Vec<Closed>,
    /// Rate of the open loop, the same for all kinds of slaves (default: half of what the slowest
    /// of them reached)
    #[arg(long, value_parser = units::rate, allow_hyphen_values = true)]
    pub rate: Option<f64>,
    /// Leave the open loop at equal rates out
    #[arg(long, conflicts_with = "rate")]
    pub no_equal_rate: bool,
    /// Blocks; fewer than 5 make wide intervals
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub blocks: u32,
    /// Measured time of a row
    #[arg(long, default_value = "1s", value_parser = units::time, allow_hyphen_values = true)]
    pub duration: Duration,
    /// Time of sending before each row
    #[arg(long, default_value = "300ms", value_parser = units::time_or_zero)]
    pub warmup: Duration,
    /// At most so long a broker is warmed up, until three windows agree within 2 % (default: one
    /// window for RingMQ, 60s for Apache)
    #[arg(long, value_parser = units::time_or_zero)]
    pub warm_max: Option<Duration>,
    /// Whose brokers to start
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["ringmq"])]
    pub broker: Vec<Maker>,
    /// A cluster that is running already, as none=HOST:PORT of its name server; may be repeated
    #[arg(
        long,
        value_name = "SLAVES=NAMESRV",
        value_parser = of_slaves,
        conflicts_with_all = ["broker", "flush", "slaves"]
    )]
    pub cluster: Vec<(Slaves, String)>,
    /// Process of such a cluster's master on this host; may be repeated
    #[arg(long, value_name = "SLAVES=PID", value_parser = pid_of_slaves, requires = "cluster")]
    pub broker_pid: Vec<(Slaves, u32)>,
    /// Folder for the temporary stores (default: beside the results)
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// More lines for the masters' and slaves' configuration, as key=value; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub broker_config: Vec<String>,
    /// More lines for the slaves' configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub slave_config: Vec<String>,
    /// Folder of Apache RocketMQ's jars; fetched by Maven when it has none
    #[arg(long, default_value = "target/apache-rocketmq-5.5.0", value_name = "DIR")]
    pub apache_jars: PathBuf,
    /// Memory of each of Apache's brokers, as Java takes it
    #[arg(long, default_value = "1g")]
    pub apache_heap: String,
}

/// What the two commands differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    /// `matrix`.
    Matrix,
    /// `replication-cost`.
    ReplicationCost,
}

impl Preset {
    /// The command's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::ReplicationCost => "replication-cost",
        }
    }

    /// The closed loops, those of this preset when none was asked for.
    pub(crate) fn loads(self, args: &MatrixArgs) -> Vec<Closed> {
        let of = |pairs: &[(usize, usize)]| {
            pairs.iter().map(|&(senders, in_flight)| Closed { senders, in_flight }).collect()
        };
        match (args.loads.is_empty(), self) {
            (false, _) => args.loads.clone(),
            (true, Self::Matrix) => of(&[(16, 8)]),
            (true, Self::ReplicationCost) => of(&[(1, 1), (64, 1), (16, 8)]),
        }
    }

    /// Messages in a request, those of this preset when none was asked for.
    pub(crate) fn batches(self, args: &MatrixArgs) -> Vec<u32> {
        match (args.batches.is_empty(), self) {
            (false, _) => args.batches.clone(),
            (true, Self::Matrix) if args.common.batch == 1 => vec![1, 16],
            (true, _) => vec![args.common.batch],
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use clap::Parser;

    #[test]
    fn every_example_runs_as_it_is_printed() {
        let all = format!("{}\n{}", super::MATRIX_EXAMPLES, super::COST_EXAMPLES);
        let lines = all.lines().filter(|line| line.starts_with("  loadgen "));
        let parsed = lines.map(|line| Cli::try_parse_from(line.split_whitespace()).map(drop));
        assert_eq!(parsed.collect::<Result<Vec<()>, _>>().map(|all| all.len()).unwrap(), 7);
    }

    #[test]
    fn wrong_values_are_refused_with_what_is_accepted() {
        for (wrong, words) in [
            (&["--loads", "16"][..], "write SENDERSxIN_FLIGHT"),
            (&["--loads", "0x1"], "write SENDERSxIN_FLIGHT"),
            (&["--cluster", "sync"], "write none="),
            (&["--cluster", "half=a:1"], "half"),
            (&["--broker-pid", "sync=1"], "--cluster"),
            (&["--cluster", "sync=a:1", "--broker", "apache"], "cannot be used with"),
            (&["--batches", "0"], "0 is not in 1..=1024"),
            (&["--blocks", "0"], "0 is not in 1..=99"),
        ] {
            let words_of = [&["loadgen", "replication-cost"], wrong].concat();
            let error = Cli::try_parse_from(words_of).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
