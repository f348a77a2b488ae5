//! Arguments of `campaign`.

use crate::campaign::Peer;
use crate::units;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Examples of `campaign`.
pub(super) const CAMPAIGN_EXAMPLES: &str = "Examples:
  loadgen campaign bench-results/campaigns/2026-12 --apache-async 127.0.0.1:19876,4242
      every target that these peers allow; bench-results/campaign.sh starts them
  loadgen campaign bench-results/campaigns/2026-12
      goes on without them: what is measured by now is judged
  loadgen campaign bench-results/campaigns/2026-12 --judge --readme README.md
      judges the files again and writes the table of the first screen

Ctrl-C ends it between two rows; the same command goes on with the block that was not done. A
block beside which the echo drifted, or the host took CPU time, stays as .FAIL and is repeated.";

/// Arguments of `campaign`.
#[derive(Debug, Args)]
pub struct CampaignArgs {
    /// The campaign's folder; one that exists goes on
    pub folder: PathBuf,
    /// Apache RocketMQ with ASYNC_FLUSH, as peers/apache.sh prints it
    #[arg(long, value_name = "NAMESRV,PID")]
    pub apache_async: Option<Peer>,
    /// Apache RocketMQ with SYNC_FLUSH
    #[arg(long, value_name = "NAMESRV,PID")]
    pub apache_sync: Option<Peer>,
    /// rocketmq-rust with ASYNC_FLUSH, as peers/rocketmq-rust.sh prints it
    #[arg(long, value_name = "NAMESRV,PID")]
    pub rocketmq_rust: Option<Peer>,
    /// These measurements alone (their folders' names)
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Blocks of A B B A that have to be good
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=99))]
    pub blocks: u32,
    /// Measured time of a row
    #[arg(long, default_value = "1.5s", value_parser = units::time)]
    pub window: Duration,
    /// Time of sending before it
    #[arg(long, default_value = "0.5s", value_parser = units::time_or_zero)]
    pub warmup: Duration,
    /// Measured time of the echo before and behind each block
    #[arg(long, default_value = "1s", value_parser = units::time)]
    pub calibration: Duration,
    /// Windows of this time warm a peer until three agree within 2 %
    #[arg(long, default_value = "2s", value_parser = units::time)]
    pub steady_window: Duration,
    /// Then it is measured as it is, and marked
    #[arg(long, default_value = "60s", value_parser = units::time_or_zero)]
    pub steady_within: Duration,
    /// A block is repeated when the echo changed by more
    #[arg(long, default_value = "5%", value_parser = units::change)]
    pub drift_max: f64,
    /// A block is repeated when the host took more of the CPU time
    #[arg(long, default_value = "2%", value_parser = units::share)]
    pub steal_max: f64,
    /// Folder for RingMQ's temporary stores (default: the campaign's)
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Measure nothing: judge what is there
    #[arg(long)]
    pub judge: bool,
    /// Write the table of the first screen into this file, between its two marks
    #[arg(long, value_name = "FILE")]
    pub readme: Option<PathBuf>,
}
