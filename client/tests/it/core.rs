//! The client on a glommio core.

use crate::broker_process::Broker;
use client::{ClientConfig, Message, on_core};
use rt::real::{CorePlacement, launch};
use rt::ring::RingConfig;
use std::io;
use std::time::{Duration, Instant};

#[test]
fn tasks_of_one_core_send_side_by_side_and_share_frames() {
    let broker = Broker::start(2, &[]);
    let addr = broker.addr();
    let main = move |core: rt::real::Core, _shard| {
        let addr = addr.clone();
        async move {
            let mut config = ClientConfig::default();
            config.producer.linger = Duration::from_millis(1);
            let start = Instant::now();
            let run = async {
                let client = on_core(&core, &[&addr], config)?;
                client.connect().await?;
                client.create_topic("T", 2).await?;
                let tickets = (0..1_000).map(|_| client.submit(&Message::new("T", b"m"))).collect::<client::Result<Vec<_>>>()?;
                for ticket in tickets {
                    client.completion_of(ticket).await?;
                }
                client.send(&Message::new("T", b"alone")).await
            };
            run.await.map_err(|error: client::ClientError| io::Error::other(error.to_string()))?;
            assert!(start.elapsed() < crate::broker_process::SOON);
            Ok(())
        }
    };
    launch(&[CorePlacement::Unpinned], RingConfig::default(), main).unwrap().join().unwrap();
}
