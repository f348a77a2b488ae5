//! Sends one message and prints where it is stored.

#![expect(clippy::print_stdout, reason = "an example talks to people")]

use client::{ClientConfig, Message, ThreadClient};
use std::process::ExitCode;

const USAGE: &str = "usage: send HOST:PORT TOPIC TEXT [TAG]
  sends TEXT to TOPIC, which is created with 4 queues when it is missing
  cargo run -p client --example send -- 127.0.0.1:10911 TopicTest 'hello from Rust' greeting";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ([address, topic, text] | [address, topic, text, _]) = &args[..] else {
        return Err(USAGE.into());
    };
    let mut client = ThreadClient::connect(&[address], ClientConfig::default())?;
    client.create_topic(topic, 4)?;
    let message =
        Message { tag: args.get(3).map(String::as_str), ..Message::new(topic, text.as_bytes()) };
    let stored = client.send(&message)?;
    println!(
        "stored: queue offset {}, physical offset {}, late: {}",
        stored.queue_offset, stored.physical_offset, stored.is_late
    );
    Ok(())
}
