//! The header of every frame of version 1.
//!
//! All numbers little-endian, no padding, in the order written here: rkyv with `little_endian`,
//! `unaligned`, `pointer_width_32`. A text or list takes 8 bytes. rkyv stores a text of up to 8
//! bytes in place, and a longer one as length and distance; a list is distance and length. The
//! bytes at that distance lie before the root. `docs/FORMATS.md` has the tables.

use rkyv::{Archive, Deserialize, Serialize};

/// Client → broker, the first frame: the versions and abilities of the client.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The lowest version it speaks.
    pub version_min: u16,
    /// The highest version it speaks.
    pub version_max: u16,
    /// Optional abilities, one bit each; version 1 defines none. Bits that the other side does not
    /// know are ignored.
    pub capabilities: u64,
    /// The client's name for the broker's log, at most 255 bytes.
    pub client: String,
}

/// Where a shard of this broker's process answers.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ShardAddress {
    /// Its broker name, as the name server has it.
    pub broker_name: String,
    /// `host:port`.
    pub address: String,
}

/// How safe a message is when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Durability {
    /// In the broker's memory.
    Appended = 0,
    /// In the page cache of the operating system: survives the broker's death, not the machine's.
    Written = 1,
    /// On the device: survives a power cut.
    Flushed = 2,
}

/// Answer to [`Hello`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version spoken from here on.
    pub version: u16,
    /// Index of the answering shard in `shards`.
    pub shard: u16,
    /// The broker's abilities; version 1 defines none.
    pub capabilities: u64,
    /// Longest frame in bytes, prefix included.
    pub frame_bytes_max: u32,
    /// Most records in a produce frame.
    pub records_per_produce_max: u32,
    /// Longest message body in bytes.
    pub message_bytes_max: u32,
    /// Most messages in the answer to one fetch.
    pub fetch_messages_max: u32,
    /// Longest long poll of a fetch, in milliseconds.
    pub hold_ms_max: u32,
    /// When a message is acknowledged: a [`Durability`] as its number.
    pub durability: u8,
    /// STOREHOST takes 20 bytes (IPv6) and not 8: records must leave that much room and say so in
    /// SYSFLAG.
    pub store_host_is_v6: bool,
    /// Records must end with the property `__CRC32#` (20 bytes, any digits), which the broker fills
    /// in.
    pub needs_crc_property: bool,
    /// The broker's wall clock, milliseconds since 1970.
    pub wall_ms: i64,
    /// The cluster's name.
    pub cluster: String,
    /// The shard map: every shard of this process.
    pub shards: Vec<ShardAddress>,
}

/// When a produce frame is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ack {
    /// When its last record is as safe as the broker is configured to make it
    /// ([`Welcome::durability`]).
    Configured = 0,
    /// As soon as it is in memory.
    Appended = 1,
}

/// Client → broker: store the records of the payload, all or none.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Produce {
    /// How many records the payload has.
    pub records: u32,
    /// When to answer: an [`Ack`] as its number.
    pub ack: u8,
    /// Whether the answer shall contain the time spent in each stage. The broker then reads its
    /// clock two more times.
    pub wants_stages: bool,
}

/// For each stage, the nanoseconds from the broker's reading the frame to the end of the stage; 0
/// when the stage was skipped or the request did not ask.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// The records are in memory and have their offsets.
    pub appended_nanos: u64,
    /// The records are written or flushed, as the broker is configured.
    pub flushed_nanos: u64,
    /// The slaves have the records.
    pub replicated_nanos: u64,
    /// The answer is in the connection's outgoing bytes.
    pub answered_nanos: u64,
}

/// Answer to [`Produce`]; its payload is one [`Placed`] for each record.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// How many records were stored.
    pub records: u32,
    /// False: as durable as promised. True: stored, but the flush took longer than
    /// `syncFlushTimeout`.
    pub is_late: bool,
    /// STORETIMESTAMP of the records.
    pub store_timestamp_ms: i64,
    /// Time spent in each stage; zeros when the request did not ask.
    pub stages: Stages,
}

/// Bytes of a [`Placed`].
pub const PLACED_BYTES: usize = 16;

/// Where a record was stored.
///
/// ```text
///   0        8         16
///   | queue  | physical |     both i64, little-endian
///   | offset | offset   |
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Its index in its queue.
    pub queue_offset: i64,
    /// Offset of its first byte in the CommitLog.
    pub physical_offset: i64,
}

impl Placed {
    /// As bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; PLACED_BYTES] {
        let mut bytes = [0; PLACED_BYTES];
        let (queue, physical) = bytes.split_at_mut(8);
        queue.copy_from_slice(&self.queue_offset.to_le_bytes());
        physical.copy_from_slice(&self.physical_offset.to_le_bytes());
        bytes
    }

    /// The entries of a [`Produced`] frame's payload.
    pub fn iter(payload: &[u8]) -> impl ExactSizeIterator<Item = Self> + '_ {
        payload.as_chunks::<PLACED_BYTES>().0.iter().map(
            |[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]| Self {
                queue_offset: i64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
                physical_offset: i64::from_le_bytes([*i, *j, *k, *l, *m, *n, *o, *p]),
            },
        )
    }
}

/// Client → broker: records of one queue from an offset on.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The queue.
    pub queue_id: i32,
    /// The first offset wanted.
    pub offset: i64,
    /// At most so many messages.
    pub messages_max: u32,
    /// At most so many bytes of records, except that one record is always returned.
    pub bytes_max: u32,
    /// Long poll: how long the broker may keep the request until a message arrives, in
    /// milliseconds. 0: it answers at once.
    pub hold_ms: u32,
    /// The topic.
    pub topic: String,
    /// Hash codes (Java's) of the tags wanted; empty: all messages. A message whose tag only has
    /// the same hash is delivered too.
    pub tags: Vec<i32>,
}

/// Client → broker: as [`Fetch`], of the messages that a SQL92 expression takes. The broker refuses
/// it where `enablePropertyFilter` is off. Its answer is [`Fetched`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct FetchSql {
    /// The queue.
    pub queue_id: i32,
    /// The first offset wanted.
    pub offset: i64,
    /// At most so many messages.
    pub messages_max: u32,
    /// At most so many bytes of records, except that one record is always returned.
    pub bytes_max: u32,
    /// As [`Fetch::hold_ms`].
    pub hold_ms: u32,
    /// The topic.
    pub topic: String,
    /// The expression, over the properties of messages.
    pub expression: String,
}

/// Answer to [`Fetch`] and [`FetchSql`]; its payload is the records, adjacent, as they lie in the
/// log.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// A [`super::FetchStatus`] as its number.
    pub status: u8,
    /// How many records the payload has.
    pub messages: u32,
    /// The offset to fetch next.
    pub next_offset: i64,
    /// The queue's first offset.
    pub min_offset: i64,
    /// The offset that the queue's next message will have.
    pub max_offset: i64,
}

/// Client → broker: asks for a group's committed offset in a queue.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct QueryOffset {
    /// The queue.
    pub queue_id: i32,
    /// The consumer group.
    pub group: String,
    /// The topic.
    pub topic: String,
}

/// Answer to [`QueryOffset`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct OffsetIs {
    /// The group's committed offset; -1 when it has none.
    pub committed: i64,
    /// The queue's first offset.
    pub min_offset: i64,
    /// The offset that the queue's next message will have.
    pub max_offset: i64,
}

/// Client → broker: stores the offset up to which a group has consumed a queue. Its answer has an
/// empty header.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CommitOffset {
    /// The queue.
    pub queue_id: i32,
    /// The next offset to consume.
    pub offset: i64,
    /// The consumer group.
    pub group: String,
    /// The topic.
    pub topic: String,
}

/// Client → broker: the queues of a topic on this shard.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Queues of the topic if it does not exist and the broker creates topics automatically; 0:
    /// never create it.
    pub create_queues: u32,
    /// The topic.
    pub topic: String,
}

/// Answer to [`Route`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RouteIs {
    /// How many queues can be read; their ids start at 0.
    pub read_queues: u32,
    /// How many queues can be written; their ids start at 0.
    pub write_queues: u32,
    /// RocketMQ's permission bits: 4 read, 2 write.
    pub permission: u32,
}

/// Value of [`ErrorAnswer::record`] when no single record is at fault.
pub const NO_RECORD: u32 = u32::MAX;

/// Answer to any request that was refused.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// A [`super::ErrorCode`] as its number.
    pub code: u16,
    /// Index of the faulty record in the frame, from 0; [`NO_RECORD`] when there is none.
    pub record: u32,
    /// For people: what was expected, what was found, what to do.
    pub reason: String,
}
