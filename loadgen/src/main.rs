//! `loadgen`: see the library's text, or `loadgen --help`.

#![forbid(unsafe_code)]

use clap::Parser;
use loadgen::cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Mqbroker(child) => loadgen::app::child("mqbroker", child, broker::run),
        Command::Mqnamesrv(child) => loadgen::app::child("mqnamesrv", child, namesrv::run),
        command => loadgen::app::main(command),
    }
}
