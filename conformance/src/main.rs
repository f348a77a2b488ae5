//! `conformance`: stock clients against real brokers, ours or Apache's.
//!
//! ```text
//!  runner (this) --starts--> 2 name servers + broker    RingMQ's binaries, or Apache's 5.5.0
//!       |  starts                    ^                  as the oracle
//!       v                            | remoting protocol
//!  one JVM per scenario: stock client 4.9.8 or 5.5.0, the program says what it expects
//! ```
//!
//! The programs under `java/` are the same for both targets, so an expectation is proved on the
//! original before it is held against ours. What a program cannot do itself (restart a broker, kill
//! a name server) it asks the runner for.
//!
//! The clients of other languages are driven from `languages`, on the same cluster.
//!
//! Reading order: `options`, `suite` (the table of scenarios), `run`, `dialogue`, `requests`,
//! `cluster`, `target`; `capture` records golden bytes instead, `fixture` makes the store of
//! Apache's that plain tests open.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line program: the table is its result")]

mod artifacts;
mod capture;
mod cluster;
mod dialogue;
mod fixture;
mod kept_store;
mod language;
mod languages;
mod limits;
mod mqadmin;
mod native;
mod options;
mod ports;
mod prerequisites;
mod process;
mod registration;
mod report;
mod requests;
mod run;
mod schedule;
mod seed;
mod slave;
mod sockets;
mod suite;
mod target;

use std::process::ExitCode;

use clap::Parser as _;

use crate::options::{Action, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.action {
        Some(Action::Capture { into }) => capture::run(&options, into),
        Some(Action::Fixture { into }) => fixture::run(&options, into),
        None if options.list => {
            report::list(languages::names());
            Ok(true)
        }
        None => run::run(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::from(2)
        }
    }
}
