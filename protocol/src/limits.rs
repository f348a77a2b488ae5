//! Every limit of the wire and of the stored record, in one place, related to each other by
//! compile-time asserts.

use crate::names::{DLQ_PREFIX, RETRY_PREFIX};

/// Longest frame a peer may send, length field excluded (`com.rocketmq.remoting.frameMaxLength`).
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest header: its length travels in 24 bits beside the serialize type.
pub const HEADER_BYTES_MAX: usize = 0x00FF_FFFF;

/// Longest remark we write. A remark may echo what a peer sent; unlimited it could push a header
/// over [`HEADER_BYTES_MAX`].
pub const REMARK_BYTES_MAX: usize = 8 * 1024;

/// How deep JSON may nest, in headers and bodies. RocketMQ's deepest body has 6 levels; the limit
/// is what keeps a hostile body of brackets from overflowing the stack.
pub const JSON_DEPTH_MAX: usize = 64;

/// How many values a JSON body may have. A value of two bytes can become a struct of two hundred:
/// this bounds what a frame of brackets can take. A registration of 100,000 topics has about a
/// million.
pub const JSON_VALUES_MAX: usize = 2_000_000;

/// Longest message body stored by default (`maxMessageSize`).
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a whole record may have beyond its body limit before it is refused.
pub const RECORD_OVERHEAD_BYTES_MAX: usize = 64 * 1024;

/// Longest properties: PROPERTIESLENGTH is a signed 16-bit number.
pub const PROPERTIES_BYTES_MAX: usize = 32_767;

/// Longest topic name of a client's message; longer ones exist only with the prefixes of retry and
/// dead-letter topics.
pub const TOPIC_BYTES_MAX: usize = 127;

/// Longest name of a retry or dead-letter topic.
pub const RETRY_TOPIC_BYTES_MAX: usize = 255;

/// Longest consumer or producer group name (`TopicValidator.GROUP_MAX_LENGTH` of RocketMQ 5.5.0).
/// The names of retry topics bound it: with a longer group, the retry topic
/// `%RETRY%group_topic` of POP would not be a legal name and could not be loaded again.
pub const GROUP_BYTES_MAX: usize = 120;

/// Longest registration body after decompression, enough for 200,000 topics: a bomb of a few KiB
/// must not take the name server's memory.
pub const REGISTER_BODY_INFLATED_BYTES_MAX: usize = 16 * 1024 * 1024;

const _: () = assert!(FRAME_BYTES_MAX > HEADER_BYTES_MAX);
const _: () = assert!(
    RETRY_PREFIX.len() + GROUP_BYTES_MAX + "_".len() + TOPIC_BYTES_MAX <= RETRY_TOPIC_BYTES_MAX,
    "a legal group has legal retry topics"
);
const _: () = assert!(DLQ_PREFIX.len() + GROUP_BYTES_MAX <= RETRY_TOPIC_BYTES_MAX);
const _: () =
    assert!(REMARK_BYTES_MAX * 6 < HEADER_BYTES_MAX, "a fully escaped remark fits a header");
const _: () = assert!(PROPERTIES_BYTES_MAX == i16::MAX as usize);
const _: () = assert!(
    BODY_BYTES_MAX + RECORD_OVERHEAD_BYTES_MAX < FRAME_BYTES_MAX,
    "any record fits one frame"
);
const _: () = assert!(PROPERTIES_BYTES_MAX + RETRY_TOPIC_BYTES_MAX < RECORD_OVERHEAD_BYTES_MAX);
