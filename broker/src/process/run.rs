//! From a command line to running shards and an exit code.

use super::cli::Cli;
use super::greeting::say;
use super::supervisor::{Outcome, StartError};
use super::{become_role, store_shards, supervisor};
use crate::config::{self, Options};
use clap::Parser as _;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use tracing_subscriber::EnvFilter;

/// clap's status for a command line that it does not understand.
const USAGE: u8 = 2;

/// Runs `mqbroker` with this command line (program name first) until SIGINT or SIGTERM.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(help_or_error) => {
            let _nobody_reads = help_or_error.print();
            return if help_or_error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match start(&cli) {
        Ok(Outcome::Ended) => ExitCode::SUCCESS,
        Ok(Outcome::StartAgain) => {
            let error = start_again(&args);
            let _nobody_reads = writeln!(io::stderr(), "mqbroker: starting anew: {error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            let _nobody_reads = writeln!(io::stderr(), "mqbroker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// This program takes the place of this process, with the same command line but for what was to be
/// done once. Comes back only with an error.
fn start_again(args: &[OsString]) -> io::Error {
    let again = args.iter().skip(1).filter(|arg| *arg != "--rebuild-slave");
    Command::new("/proc/self/exe").args(again).exec()
}

fn start(cli: &Cli) -> Result<Outcome, StartError> {
    let settings = config::load(cli.config.as_deref(), cli.namesrv.as_deref(), &cli.set)?;
    if cli.print {
        say(settings.print().trim_end());
        return Ok(Outcome::Ended);
    }
    if cli.print_important {
        say(config::print_important(&settings).trim_end());
        return Ok(Outcome::Ended);
    }
    log_to_stderr();
    settings.notes().iter().for_each(|note| tracing::warn!("{note}"));
    let mut options = Options::from_settings(&settings)?;
    if let (Some(role), Some(file)) = (&cli.role, &cli.config) {
        say(&become_role::become_role(file, role, &options)?);
        return Ok(Outcome::Ended);
    }
    if cli.rebuild_slave && !options.replication.is_slave() {
        return Err(
            "--rebuild-slave is for brokerRole=SLAVE: a master's store is the only one".into()
        );
    }
    options.replication.begins_anew = cli.rebuild_slave;
    store_shards::claim(&options.store.root, options.shards.count)?;
    supervisor::supervise(options)
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // An error means that whoever called `run` logs already.
    let _logging_already = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
}
