//! `mqnamesrv`: the name server as a program. Everything is in the library, which loadgen starts
//! too.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    namesrv::run(std::env::args_os())
}
