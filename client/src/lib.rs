//! A client of RingMQ's native protocol. It sends records to shards and reads them back. Sending
//! copies little and, in steady state, allocates nothing per message.
//!
//! ```no_run
//! use client::{ClientConfig, Deliver, FetchOptions, Message, ThreadClient};
//!
//! fn main() -> client::Result<()> {
//!     let mut client = ThreadClient::connect(&["127.0.0.1:10911"], ClientConfig::default())?;
//!     let topic = client.create_topic("TopicTest", 4)?;
//!     let stored = client.send(&Message::new("TopicTest", b"hello").with_tag("greeting"))?;
//!     assert!(stored.queue_offset >= 0); // stored as durably as the broker is configured
//!     client.send(&Message::new("TopicTest", b"later").delivered(Deliver::AfterMs(5_000)))?;
//!
//!     // Many: each has a ticket, then its own completion. They travel in batches.
//!     for _ in 0..1_000 {
//!         client.submit_waiting(&Message::new("TopicTest", b"one of many"))?;
//!     }
//!     while let Some(done) = client.completion()? {
//!         if let Err(error) = done.outcome {
//!             // Never sent again by itself. Unknown: it may be stored or not.
//!             eprintln!("{:?}: {error}, unknown: {}", done.ticket, error.outcome_is_unknown());
//!         }
//!     }
//!
//!     // Reading: from where the group is.
//!     let queue = topic.readable()[0];
//!     let is = client.offsets("my_group", "TopicTest", queue)?;
//!     let from = is.committed.max(is.min_offset);
//!     let batch = client.fetch("TopicTest", queue, from, &FetchOptions::default())?;
//!     for message in batch.messages() {
//!         eprintln!("{:?}", message?.body()); // its checksum was right
//!     }
//!     client.commit("my_group", "TopicTest", queue, batch.next_offset)
//! }
//! ```
//!
//! ```text
//!   ThreadClient (owns a ring)    on_core (a glommio core's ring)      drivers: turn a ring, nothing else
//!          └──────── Client ─────────┘                                  futures: send, submit, fetch, commit, route
//!                      │
//!   hub ─ lanes        one lane a shard: dial, greet, lose, dial again with backoff
//!   ───────────────────┼─────────────────────────────────────────────── no sockets below: bytes and the time come in
//!   connection         Hello, requests, answers by correlation, timeouts, pings
//!   producer, record   messages as stored records, gathered into frames, one completion each, back-pressure
//!   consumer           what a fetch brought, checked as it is read
//!   route              a topic's queues over the shards
//! ```
//!
//! What is *not* here: name servers, groups that rebalance, remoting. A shard's Welcome names its
//! siblings, so one address of each broker is enough. `docs/FORMATS.md` specifies the protocol;
//! `examples/` has programs.
//!
//! When a connection is lost, unanswered records complete as [`ClientError::Unknown`]. Records that
//! were still gathering go out on the next connection, or complete as [`ClientError::NotSent`]
//! after the timeout.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod answer;
mod client;
mod connection;
mod consumer;
mod error;
pub mod frames;
mod hub;
mod lane;
mod limits;
mod on_core;
pub mod producer;
mod record;
mod route;
mod thread;

pub use client::Client;
pub use connection::{Connection, Told};
pub use consumer::{FetchOptions, FetchedBatch, Messages};
pub use error::{ClientError, Operation, Refusal, Result};
pub use hub::ClientConfig;
pub use on_core::on_core;
pub use producer::{Completion, Producer, ProducerConfig, Stored, Ticket};
pub use record::{Deliver, Message, RecordLayout, RecordWriter};
pub use route::{Queue, TopicRoute};
pub use thread::ThreadClient;
