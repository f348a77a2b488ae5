//! Arguments of the commands that judge what was measured.

use super::{CommonArgs, LoadArgs};
use crate::compare::{self, metrics::Metric};
use crate::units;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Examples of `compare`.
pub(super) const COMPARE_EXAMPLES: &str = "Examples:
  loadgen compare before-1 before-2 before-3 --to after-1 after-2 after-3
      stored runs, in pairs: the first with the first
  loadgen compare --namesrv-a 127.0.0.1:9876 --namesrv-b 127.0.0.1:9976 --senders 64 --duration 5s
      two brokers, 8 blocks of A B B A
  loadgen compare --namesrv-a a:9876 --namesrv-b b:9876 --rate 20k/s --blocks 16
      the same at an equal rate: response times are what differs

The interval is Student's t of the log ratios, the bootstrap's stands beside it. \"No difference
shown\" comes with the smallest difference that would have been shown.";

/// Examples of `gate`.
pub(super) const GATE_EXAMPLES: &str = "Examples:
  loadgen gate main-1 main-2 main-3 --to new-1 new-2 new-3 --tolerance 5%
      three stored runs of each
  loadgen gate --namesrv-a a:9876 --namesrv-b b:9876 --senders 64 --metrics rate,p99
      two brokers; only rate and p99 count

Exit status: 0 every figure is shown to be within the tolerance · 5 one is shown to be worse
             6 neither is shown (more pairs would tell; --undecided-passes makes it 0)";

/// Examples of `report`.
pub(super) const REPORT_EXAMPLES: &str = "Examples:
  loadgen report bench-results/runs/20261122T120000-h-abc-quick
      draws report.html in that folder again
  loadgen report some-run --to page.html
      draws it elsewhere";

/// Examples of `verify`.
pub(super) const VERIFY_EXAMPLES: &str = "Examples:
  loadgen verify bench-results/runs/20261122T120000-h-abc-quick
      one run
  loadgen verify mine-1 mine-2 theirs
      several, also of other people

Exit status: 0 they hold · 7 one contradicts itself";

/// Examples of `selftest`.
pub(super) const SELFTEST_EXAMPLES: &str = "Examples:
  loadgen selftest
      stalls of 1, 10 and 100 ms at known times, in about four seconds
  loadgen selftest --rate 50k/s --json
      more messages see each stall; a machine's answer
  loadgen selftest --compare
      a broker and itself, and itself made 5 % slower, 20 times each, in about ten minutes";

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Arguments of all commands that measure.
    #[command(flatten)]
    pub common: CommonArgs,
    /// The load of two brokers.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Folders of A's stored runs
    pub runs: Vec<PathBuf>,
    /// Folders of B's stored runs, as many
    #[arg(long, num_args = 1.., conflicts_with_all = ["namesrv_a", "namesrv_b"])]
    pub to: Vec<PathBuf>,
    /// Name servers of broker A
    #[arg(long, requires = "namesrv_b", conflicts_with = "runs")]
    pub namesrv_a: Option<String>,
    /// Name servers of broker B
    #[arg(long, requires = "namesrv_a", conflicts_with = "runs")]
    pub namesrv_b: Option<String>,
    /// Process of broker A on this host: CPU per message is compared too
    #[arg(long, requires = "namesrv_a", value_name = "PID")]
    pub pid_a: Option<u32>,
    /// Process of broker B on this host
    #[arg(long, requires = "namesrv_a", value_name = "PID")]
    pub pid_b: Option<u32>,
    /// Blocks of A B B A
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=99))]
    pub blocks: u32,
    /// Print the table of all measured rows too
    #[arg(long)]
    pub rows: bool,
    /// Compare runs that differ in more than the broker; the differences are printed
    #[arg(long)]
    pub even_if_different: bool,
}

/// Arguments of `gate`.
#[derive(Debug, Args)]
pub struct GateArgs {
    /// What is compared.
    #[command(flatten)]
    pub compare: CompareArgs,
    /// How much worse B may be
    #[arg(long, default_value = "5%", value_parser = units::share)]
    pub tolerance: f64,
    /// The figures that count: rate, p50, p99, p99.9, cpu (default: all that there are)
    #[arg(long, value_delimiter = ',', value_parser = compare::metric)]
    pub metrics: Vec<Metric>,
    /// Status 0 when neither is shown
    #[arg(long)]
    pub undecided_passes: bool,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The run's folder
    pub run: PathBuf,
    /// File to write (default: report.html in the folder)
    #[arg(long)]
    pub to: Option<PathBuf>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The runs' folders
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
}

/// Arguments of `env`.
#[derive(Debug, Args)]
pub struct EnvArgs {
    /// Folder whose disk is described
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `selftest`.
#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// Messages a second: a stall of 1 ms should meet at least ten
    #[arg(long, default_value = "20k/s", value_parser = units::rate, allow_hyphen_values = true)]
    pub rate: f64,
    /// Instead: compare a broker with itself, and with itself made slower, again and again
    #[arg(long)]
    pub compare: bool,
    /// How often (--compare)
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub times: u32,
    /// Blocks of A B B A in each comparison (--compare)
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=99))]
    pub blocks: u32,
    /// Measured time of each row (--compare)
    #[arg(long, default_value = "250ms", value_parser = units::time)]
    pub window: Duration,
    /// How much slower it is made (--compare)
    #[arg(long, default_value = "5%", value_parser = units::share)]
    pub slow_by: f64,
    /// Folder that gets the comparisons (--compare)
    #[arg(long, default_value = "bench-results/runs")]
    pub out: PathBuf,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder that gets a page for each command (default: the main page on standard output)
    #[arg(long)]
    pub out: Option<PathBuf>,
}
