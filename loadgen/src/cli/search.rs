//! Arguments of the commands that run one load at many rates.

use super::{CommonArgs, LoadArgs, TargetArgs};
use crate::units;
use clap::Args;
use std::time::Duration;

/// Examples of `sweep`.
pub(super) const SWEEP_EXAMPLES: &str = "Examples:
  loadgen sweep --namesrv 127.0.0.1:9876 --senders 16
      ten steps up to the most that a closed loop of 16 × 8 reaches
  loadgen sweep --namesrv 127.0.0.1:9876 --senders 16 --rates 10k/s,20k/s,40k/s --duration 30s
      these rates
  loadgen sweep --namesrv 127.0.0.1:9876 --senders 16 --steps 20 --no-floor
      a finer curve, without the floor of each point";

/// Examples of `find-max`.
pub(super) const FIND_MAX_EXAMPLES: &str = "Examples:
  loadgen find-max --namesrv 127.0.0.1:9876 --senders 16 --p99 5ms
      from 1,000/s up
  loadgen find-max --namesrv 127.0.0.1:9876 --senders 64 --p99 20ms --from 10k/s --within 2%
      begins higher, ends finer

A rate keeps the objective when its row is valid (nothing missing, no growing backlog, the
generator in time) and its p99 is within it. The rate that is found has held in two more rows.";

/// Examples of `soak`.
pub(super) const SOAK_EXAMPLES: &str = "Examples:
  loadgen soak --namesrv 127.0.0.1:9876 --senders 16 --rate 20k/s --duration 8h --consumers 4
      a night; a line each minute, in intervals.csv and intervals.hlog
  loadgen soak --namesrv a:9876 --senders 64 --duration 2h --interval 10s --broker-pid 4242
      closed loop; the broker's CPU and memory are in each line

Memory does not grow with time. Ctrl-C ends it and keeps what there is.";

/// Arguments of `soak`.
#[derive(Debug, Args)]
pub struct SoakArgs {
    /// Arguments of all commands that measure.
    #[command(flatten)]
    pub common: CommonArgs,
    /// The cluster.
    #[command(flatten)]
    pub target: TargetArgs,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Time of each line of the log
    #[arg(long, default_value = "60s", value_parser = units::time, allow_hyphen_values = true)]
    pub interval: Duration,
    /// Connections that consume while the senders send
    #[arg(long, default_value_t = 0, value_parser = super::from_to(0, crate::limits::SENDERS_MAX))]
    pub consumers: u32,
}

/// Arguments of `sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Arguments of all commands that measure.
    #[command(flatten)]
    pub common: CommonArgs,
    /// The cluster.
    #[command(flatten)]
    pub target: TargetArgs,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// The rates, rising (default: --steps of them up to the closed loop's)
    #[arg(long, value_delimiter = ',', value_parser = units::rate, conflicts_with = "rate")]
    pub rates: Vec<f64>,
    /// How many rates
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=100))]
    pub steps: u32,
}

/// Arguments of `find-max`.
#[derive(Debug, Args)]
pub struct FindMaxArgs {
    /// Arguments of all commands that measure.
    #[command(flatten)]
    pub common: CommonArgs,
    /// The cluster.
    #[command(flatten)]
    pub target: TargetArgs,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// The objective: 99 % of the response times within this time
    #[arg(long, default_value = "10ms", value_parser = units::time)]
    pub p99: Duration,
    /// The first rate
    #[arg(long, default_value = "1k/s", value_parser = units::rate, conflicts_with = "rate")]
    pub from: f64,
    /// How close to the limit the search ends
    #[arg(long, default_value = "5%", value_parser = units::share)]
    pub within: f64,
}
