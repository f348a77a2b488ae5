//! The client on a glommio core.

use crate::broker_process::Broker;
use client::{ClientConfig, Message, on_core};
use rt::real::{CorePlacement, launch};
use rt::ring::RingConfig;
use std::io;
use std::sync::Arc;
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
                let tickets = (0..1_000)
                    .map(|_| client.submit(&Message::new("T", b"m")))
                    .collect::<client::Result<Vec<_>>>()?;
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

#[test]
fn connections_end_with_the_last_handle_although_the_core_goes_on() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    // Nobody answers Hello here: only the socket's end counts.
    let peer = Arc::new(std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut hello).map(|_| hello)
    }));
    let watched = peer.clone();
    let main = move |core: rt::real::Core, _shard| {
        let (addr, peer) = (addr.clone(), watched.clone());
        async move {
            let client = on_core(&core, &[&addr], ClientConfig::default())
                .map_err(|error| io::Error::other(error.to_string()))?;
            rt::Runtime::sleep(&core, Duration::from_millis(100)).await;
            assert!(!peer.is_finished());
            drop(client);
            let start = Instant::now();
            while !peer.is_finished() && start.elapsed() < crate::broker_process::SOON {
                rt::Runtime::sleep(&core, Duration::from_millis(5)).await;
            }
            assert!(peer.is_finished(), "the connection is still open");
            Ok(())
        }
    };
    launch(&[CorePlacement::Unpinned], RingConfig::default(), main).unwrap().join().unwrap();
}
