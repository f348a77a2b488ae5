//! Reads a topic as a group: from the group's committed offsets to the ends of the queues, then
//! commits.

#![expect(clippy::print_stdout, reason = "an example talks to people")]

use client::{ClientConfig, FetchOptions, ThreadClient};
use protocol::native::FetchStatus;
use std::process::ExitCode;

const USAGE: &str = "usage: fetch HOST:PORT TOPIC GROUP [TAG]
  prints every message that GROUP has not read yet (of TAG only, when given), then commits
  cargo run -p client --example fetch -- 127.0.0.1:10911 TopicTest my_group";

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
    let ([address, topic, group] | [address, topic, group, _]) = &args[..] else {
        return Err(USAGE.into());
    };
    let mut client = ThreadClient::connect(&[address], ClientConfig::default())?;
    let options = FetchOptions {
        hold_ms: 0,
        tags: args.get(3).cloned().into_iter().collect(),
        ..FetchOptions::default()
    };
    let (mut messages, mut bytes) = (0_u64, 0_usize);
    for queue in client.route(topic)?.readable().to_vec() {
        let is = client.offsets(group, topic, queue)?;
        let mut offset = is.committed.max(is.min_offset);
        while offset < is.max_offset {
            let batch = client.fetch(topic, queue, offset, &options)?;
            for message in batch.messages() {
                let message = message?; // its checksum was right
                println!(
                    "shard {} queue {} offset {}: {}",
                    queue.shard,
                    queue.queue_id,
                    message.queue_offset(),
                    String::from_utf8_lossy(message.body())
                );
                messages += 1;
                bytes += message.body().len();
            }
            if batch.status == Some(FetchStatus::AtEnd) {
                break;
            }
            offset = batch.next_offset; // also over what was removed, damaged or of another tag
        }
        client.commit(group, topic, queue, offset)?;
    }
    println!("{messages} messages, {bytes} bytes");
    Ok(())
}
