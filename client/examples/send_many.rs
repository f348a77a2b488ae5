//! Sends many messages without waiting for each: they go in batches, and every one has its own
//! completion.

#![expect(clippy::print_stdout, reason = "an example talks to people")]

use client::{ClientConfig, ClientError, Message, ThreadClient};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: send_many HOST:PORT TOPIC COUNT [LINGER_MS]
  sends COUNT small messages over all queues of TOPIC; a batch waits LINGER_MS for more (default 0)
  cargo run --release -p client --example send_many -- 127.0.0.1:10911 TopicTest 1000000";

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
    let ([address, topic, count] | [address, topic, count, _]) = &args[..] else {
        return Err(USAGE.into());
    };
    let (count, linger_ms): (u64, u64) =
        (count.parse()?, args.get(3).map_or(Ok(0), |ms| ms.parse())?);
    let mut config = ClientConfig::default();
    config.producer.linger = Duration::from_millis(linger_ms);
    let mut client = ThreadClient::connect(&[address], config)?;
    client.create_topic(topic, 4)?;

    let start = Instant::now();
    let (mut stored, mut failed, mut unknown) = (0_u64, 0_u64, 0_u64);
    let mut take = |outcome: Result<_, ClientError>| match outcome {
        Ok(_) => stored += 1,
        Err(error) if error.outcome_is_unknown() => unknown += 1,
        Err(_) => failed += 1,
    };
    let mut body = String::with_capacity(32);
    for number in 0..count {
        body.clear();
        std::fmt::Write::write_fmt(&mut body, format_args!("message {number}"))?;
        let message = Message::new(topic, body.as_bytes());
        // No room: take what is done and try again. `submit_waiting` would wait; this uses the
        // time.
        while let Err(error) = client.client().submit(&message) {
            if !error.is_full() {
                return Err(error.into());
            }
            client.turn(Duration::from_millis(1))?;
            while let Some(done) = client.client().try_completion() {
                take(done.outcome);
            }
        }
    }
    while let Some(done) = client.completion()? {
        take(done.outcome);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{stored} stored, {failed} failed, {unknown} unknown in {seconds:.3} s: {:.0} messages/s",
        stored as f64 / seconds
    );
    Ok(())
}
