//! `mqbroker`: the broker as a program. Everything is in the library, which loadgen starts too.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    broker::run(std::env::args_os())
}
