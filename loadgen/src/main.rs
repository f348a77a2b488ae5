//! `loadgen`: see the library's text, or `loadgen --help`.

#![forbid(unsafe_code)]

use clap::{CommandFactory, Parser};
use loadgen::cli::{Cli, Command};
use std::process::ExitCode;

/// As clap ends for a flag that it does not know.
const WRONG_ARGUMENTS: u8 = 2;

fn main() -> ExitCode {
    let args = match loadgen::workload::expand(std::env::args_os().collect(), &Cli::command()) {
        Ok(args) => args,
        Err(error) => {
            loadgen::progress::note(&format!("loadgen: {error}"));
            return ExitCode::from(WRONG_ARGUMENTS);
        }
    };
    match Cli::parse_from(args).command {
        Command::Mqbroker(child) => loadgen::app::child("mqbroker", child, broker::run),
        Command::Mqnamesrv(child) => loadgen::app::child("mqnamesrv", child, namesrv::run),
        command => loadgen::app::main(command),
    }
}
