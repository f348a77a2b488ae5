//! The same client on a glommio core: futures awaited by the core's tasks, sockets in the core's
//! own ring.

#![expect(clippy::print_stdout, reason = "an example talks to people")]

use client::{ClientConfig, FetchOptions, Message, Queue, on_core};
use rt::real::{Core, CorePlacement, launch};
use rt::ring::RingConfig;
use std::io;
use std::process::ExitCode;

const USAGE: &str = "usage: on_a_core HOST:PORT TOPIC COUNT
  one task sends COUNT messages to queue 0 of TOPIC while another waits for them with held fetches
  cargo run -p client --example on_a_core -- 127.0.0.1:10911 TopicTest 10";

async fn talk(core: Core, address: String, topic: String, count: u64) -> client::Result<()> {
    let client = on_core(&core, &[&address], ClientConfig::default())?;
    client.connect().await?;
    let queue = client
        .create_topic(&topic, 1)
        .await?
        .readable()
        .first()
        .copied()
        .unwrap_or(Queue { shard: 0, queue_id: 0 });
    let mut offset = client.offsets("on_a_core", &topic, queue).await?.max_offset;
    let (sender, topic_sent) = (client.clone(), topic.clone());
    rt::Runtime::spawn(&core, rt::Priority::Foreground, async move {
        for number in 0..count {
            let body = format!("message {number}");
            match sender.submit_to(queue, &Message::new(&topic_sent, body.as_bytes())) {
                Ok(ticket) => println!(
                    "{body}: {:?}",
                    sender.completion_of(ticket).await.map(|stored| stored.queue_offset)
                ),
                Err(error) => println!("{body}: {error}"),
            }
        }
    });
    let mut received = 0;
    while received < count {
        let batch = client.fetch(&topic, queue, offset, &FetchOptions::default()).await?;
        for message in batch.messages() {
            println!("received {}", String::from_utf8_lossy(message?.body()));
            received += 1;
        }
        offset = batch.next_offset;
    }
    println!("{received} received");
    Ok(())
}

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
    let [address, topic, count] = &args[..] else { return Err(USAGE.into()) };
    let (address, topic, count) = (address.clone(), topic.clone(), count.parse()?);
    let main = move |core: Core, _shard| {
        let talking = talk(core, address.clone(), topic.clone(), count);
        async move { talking.await.map_err(|error| io::Error::other(error.to_string())) }
    };
    launch(&[CorePlacement::Unpinned], RingConfig::default(), main)?.join()?;
    Ok(())
}
