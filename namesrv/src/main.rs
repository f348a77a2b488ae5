//! `mqnamesrv`: the name server as a program. The code is in the library, because loadgen starts a
//! name server too.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    namesrv::run(std::env::args_os())
}
