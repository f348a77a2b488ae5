//! The native lane's client: send and read a RingMQ shard's records over connections that copy little and allocate nothing per
//! message.
//!
//! ```text
//!   connection   one connection without its socket: Hello, requests, answers by correlation, timeouts, pings
//!   record       a message as the record that the broker stores
//!   producer     records gathered into frames, one completion each, back-pressure
//!   consumer     what a fetch brought, checked as it is read
//!   route        a topic's queues over the shards
//! ```
//!
//! These know no socket: bytes in, bytes out, the time as an argument. What is *not* here: name servers, consumer groups that
//! rebalance, remoting. `docs/FORMATS.md` specifies the lane.
//!
//! A record is never sent twice by itself. What was under way when a connection was lost completes as
//! [`ClientError::Unknown`]: it may or may not be stored.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod answer;
pub mod connection;
pub mod consumer;
pub mod error;
pub mod frames;
pub mod limits;
pub mod producer;
pub mod record;
pub mod route;

pub use connection::{Connection, Told};
pub use consumer::{FetchOptions, FetchedBatch, Messages};
pub use error::{ClientError, Operation, Refusal, Result};
pub use producer::{Completion, Producer, ProducerConfig, Stored, Ticket};
pub use route::{Queue, TopicRoute};
pub use record::{Message, RecordLayout, RecordWriter};
