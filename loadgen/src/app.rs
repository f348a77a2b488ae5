//! From a parsed command line to an exit status.

use crate::children::{EXIT_WITH_PARENT, watch_parent};
use crate::cli::matrix::Preset;
use crate::cli::{ChildArgs, Command};
use crate::compare::Verdict;
use crate::error::{Error, Result};
use crate::progress::note;
use crate::protocols::Protocol;
use crate::result::RunResult;
use crate::signals::Stop;
use crate::{
    campaign, compare, crash, matrix, noop, quick, remote, search, selftest, selftest_compare,
    soak, tools, verify,
};
use std::ffi::OsString;
use std::process::ExitCode;

/// It ran, but the integrity check failed.
const INTEGRITY_FAILED: u8 = 3;
/// It ran, but the run is invalid as a whole, or ended early and kept what it had.
const RUN_INVALID: u8 = 4;
/// `gate`: worse is shown.
const GATE_FAILED: u8 = 5;
/// `gate`: neither is shown.
const GATE_UNDECIDED: u8 = 6;
/// `verify`: a run contradicts itself. `selftest`: a stall was not found.
const DOES_NOT_HOLD: u8 = 7;
/// Ended by SIGINT or SIGTERM before there was a row, as shells count it.
const INTERRUPTED: u8 = 130;

/// Runs a command of the instrument itself.
#[must_use]
pub fn main(command: Command) -> ExitCode {
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            note(&format!("loadgen: {error}"));
            ExitCode::from(if matches!(error, Error::Interrupted) { INTERRUPTED } else { 1 })
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::NoopTarget(args) => {
            if args.exit_with_parent {
                watch_parent();
            }
            let protocol = if args.native { Protocol::Native } else { Protocol::Remoting };
            noop::serve(args.core, protocol, &args.stall).map(|()| ExitCode::SUCCESS)
        }
        Command::Quick(args) => {
            quick::quick(&args, &Stop::on_signals()?).map(|finished| status(&finished))
        }
        Command::Crash(args) => {
            let result = crash::crash(&args, &Stop::on_signals()?)?;
            Ok(if result.holds() { ExitCode::SUCCESS } else { ExitCode::from(INTEGRITY_FAILED) })
        }
        Command::Run(args) => {
            remote::run(&args, &Stop::on_signals()?).map(|finished| status(&finished))
        }
        Command::Sweep(args) => {
            search::sweep(&args, &Stop::on_signals()?).map(|finished| status(&finished))
        }
        Command::FindMax(args) => {
            search::find_max(&args, &Stop::on_signals()?).map(|finished| status(&finished))
        }
        Command::Soak(args) => {
            soak::soak(&args, &Stop::on_signals()?).map(|finished| status(&finished))
        }
        Command::Campaign(args) => {
            campaign::campaign(&args, &Stop::on_signals()?).map(|()| ExitCode::SUCCESS)
        }
        Command::Compare(args) => {
            compare::compare(&args, &Stop::on_signals()?).map(|_| ExitCode::SUCCESS)
        }
        Command::Gate(args) => {
            let verdict = compare::gate(&args, &Stop::on_signals()?)?;
            Ok(gate_status(verdict, args.undecided_passes))
        }
        Command::Matrix(args) => matrix::run(&args, Preset::Matrix, &Stop::on_signals()?)
            .map(|finished| status(&finished)),
        Command::ReplicationCost(args) => {
            matrix::run(&args, Preset::ReplicationCost, &Stop::on_signals()?)
                .map(|finished| status(&finished))
        }
        Command::Verify(args) => verify::verify(&args).map(holds),
        Command::Selftest(args) if args.compare => {
            let outcome = selftest_compare::selftest(&args, &Stop::on_signals()?)?;
            Ok(holds(outcome.holds))
        }
        Command::Selftest(args) => {
            let findings = selftest::selftest(&args, &Stop::on_signals()?)?;
            let cannot_tell = !findings.holds && !findings.invalid.is_empty();
            Ok(if cannot_tell { ExitCode::from(RUN_INVALID) } else { holds(findings.holds) })
        }
        Command::Report(args) => tools::report(&args).map(|()| ExitCode::SUCCESS),
        Command::Env(args) => tools::env(&args).map(|()| ExitCode::SUCCESS),
        Command::Man(args) => tools::man(&args).map(|()| ExitCode::SUCCESS),
        Command::Completions(args) => {
            tools::completions(&args);
            Ok(ExitCode::SUCCESS)
        }
        Command::Mqbroker(_) | Command::Mqnamesrv(_) => Err(Error::Usage(
            "a server's subcommand is run by the program, not by its library".into(),
        )),
    }
}

fn gate_status(verdict: Verdict, undecided_passes: bool) -> ExitCode {
    match verdict {
        Verdict::Pass => ExitCode::SUCCESS,
        Verdict::Fail => ExitCode::from(GATE_FAILED),
        Verdict::Undecided if undecided_passes => ExitCode::SUCCESS,
        Verdict::Undecided => ExitCode::from(GATE_UNDECIDED),
    }
}

fn holds(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::from(DOES_NOT_HOLD) }
}

fn status(result: &RunResult) -> ExitCode {
    if result.integrity_failed() {
        ExitCode::from(INTEGRITY_FAILED)
    } else if !result.is_valid() {
        ExitCode::from(RUN_INVALID)
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs a server as a child: watches the parent when asked to, then hands over to the server's own
/// `run`.
pub fn child(
    program: &str,
    child: ChildArgs,
    serve: impl FnOnce(Vec<OsString>) -> ExitCode,
) -> ExitCode {
    let mut args = child.args;
    if args.first().is_some_and(|first| first == EXIT_WITH_PARENT) {
        args.remove(0);
        watch_parent();
    }
    serve(std::iter::once(program.to_owned()).chain(args).map(OsString::from).collect())
}
