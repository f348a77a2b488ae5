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
