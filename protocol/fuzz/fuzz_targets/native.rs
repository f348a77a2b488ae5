//! Any bytes: see `protocol::check::check_native`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocol::check::check_native(bytes));
