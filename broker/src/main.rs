//! `mqbroker`: the broker as a program. Everything is in the library, which loadgen starts too.

use std::process::ExitCode;

fn main() -> ExitCode {
    broker::run(std::env::args_os())
}
