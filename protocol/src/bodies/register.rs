//! A broker's registration, plain or compressed.
//!
//! Compressed, it is a zlib stream of
//!
//! ```text
//!  | len i32 | DataVersion JSON | topics i32 | topics × ( len i32 | TopicConfig text form ) |   big-endian
//!  | len i32 | filter servers JSON | mappings i32 | mappings × ( len i32 | TopicQueueMappingInfo JSON ) |
//!                                  '-- from senders since 5.0.0 --------------------------------------'
//! ```

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use super::{TopicConfig, TopicConfigSerializeWrapper, TopicQueueMappingInfo};
use crate::bytes::Reader;
use crate::checked::fit;
use crate::codes::version::V5_0_0;
use crate::json::{JsonError, from_lenient, to_fastjson};
use crate::limits::REGISTER_BODY_INFLATED_BYTES_MAX;

/// Body of REGISTER_BROKER.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RegisterBrokerBody {
    /// Filter servers (removed long ago).
    pub filter_server_list: Vec<String>,
    /// The broker's topics.
    pub topic_config_serialize_wrapper: TopicConfigSerializeWrapper,
}

/// Why a registration can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RegisterBodyError {
    /// Its JSON is wrong.
    #[error("registration: {0}")]
    Json(#[from] JsonError),
    /// No zlib stream.
    #[error("registration: {0}")]
    Inflate(std::io::Error),
    /// Inflates to more than [`REGISTER_BODY_INFLATED_BYTES_MAX`].
    #[error("registration: more than {REGISTER_BODY_INFLATED_BYTES_MAX} bytes when decompressed")]
    TooLong,
    /// A length or count does not fit.
    #[error("registration: {what} does not fit at byte {offset} of {total}, decompressed")]
    Length {
        /// Which part.
        what: &'static str,
        /// Where it begins.
        offset: usize,
        /// Decompressed bytes.
        total: usize,
    },
    /// A topic's text form is wrong.
    #[error("registration: {found:?} is no topic in text form")]
    Topic {
        /// The text, cut to a readable length.
        found: String,
    },
}

impl RegisterBrokerBody {
    /// Reads a registration as its header describes it: compressed or not, from a broker of this
    /// version.
    pub fn decode(bytes: &[u8], compressed: bool, version: i32) -> Result<Self, RegisterBodyError> {
        if !compressed {
            return Ok(from_lenient(bytes)?);
        }
        let inflated = inflate(bytes)?;
        let mut parts = Parts { reader: Reader::new(&inflated), total: inflated.len() };
        let mut body = Self::default();
        let wrapper = &mut body.topic_config_serialize_wrapper;
        wrapper.data_version = from_lenient(parts.sized("the data version")?)?;
        for _ in 0..parts.count("the topic count")? {
            let text = String::from_utf8_lossy(parts.sized("a topic")?);
            let topic = TopicConfig::from_text(&text).ok_or_else(|| topic_error(&text))?;
            wrapper.topic_config_table.insert(topic.topic_name.clone(), topic);
        }
        body.filter_server_list = from_lenient(parts.sized("the filter servers")?)?;
        if version >= V5_0_0 && parts.reader.remaining() > 0 {
            let mappings = wrapper.topic_queue_mapping_info_map.get_or_insert_default();
            for _ in 0..parts.count("the mapping count")? {
                let mapping: TopicQueueMappingInfo = from_lenient(parts.sized("a mapping")?)?;
                mappings.insert(mapping.topic.clone(), mapping);
            }
        }
        Ok(body)
    }

    /// Writes the registration as a broker of this version sends it.
    #[must_use]
    pub fn encode(&self, compressed: bool, version: i32) -> Vec<u8> {
        if !compressed {
            return to_fastjson(self);
        }
        let wrapper = &self.topic_config_serialize_wrapper;
        let mut plain = Vec::new();
        put_sized(&mut plain, &to_fastjson(&wrapper.data_version));
        put_length(&mut plain, wrapper.topic_config_table.len());
        for topic in wrapper.topic_config_table.values() {
            put_sized(&mut plain, topic.to_text().as_bytes());
        }
        put_sized(&mut plain, &to_fastjson(&self.filter_server_list));
        if version >= V5_0_0 {
            let mappings = wrapper.topic_queue_mapping_info_map.iter().flatten();
            put_length(&mut plain, mappings.clone().count());
            for (_, mapping) in mappings {
                put_sized(&mut plain, &to_fastjson(mapping));
            }
        }
        deflate(&plain)
    }
}

fn topic_error(text: &str) -> RegisterBodyError {
    RegisterBodyError::Topic { found: text.chars().take(64).collect() }
}

/// Reads at most one byte more than the limit, so that a bomb is noticed without being inflated.
fn inflate(bytes: &[u8]) -> Result<Vec<u8>, RegisterBodyError> {
    let mut inflated = Vec::new();
    ZlibDecoder::new(bytes)
        .take(fit::<u64, _>(REGISTER_BODY_INFLATED_BYTES_MAX) + 1)
        .read_to_end(&mut inflated)
        .map_err(RegisterBodyError::Inflate)?;
    if inflated.len() > REGISTER_BODY_INFLATED_BYTES_MAX {
        return Err(RegisterBodyError::TooLong);
    }
    Ok(inflated)
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("a Vec takes every byte")
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&fit::<i32, _>(length).to_be_bytes());
}

fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

struct Parts<'a> {
    reader: Reader<'a>,
    total: usize,
}

impl<'a> Parts<'a> {
    fn sized(&mut self, what: &'static str) -> Result<&'a [u8], RegisterBodyError> {
        let offset = self.reader.position();
        self.reader.sized_i32().ok_or(RegisterBodyError::Length { what, offset, total: self.total })
    }

    /// A count of parts; each has a length of four bytes, so no more can follow than fit.
    fn count(&mut self, what: &'static str) -> Result<usize, RegisterBodyError> {
        let offset = self.reader.position();
        let count = self.reader.i32().and_then(|count| usize::try_from(count).ok());
        let fits = |count: &usize| *count <= self.reader.remaining() / 4;
        count.filter(fits).ok_or(RegisterBodyError::Length { what, offset, total: self.total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> RegisterBrokerBody {
        let mut body = RegisterBrokerBody {
            filter_server_list: vec!["f".to_owned()],
            ..RegisterBrokerBody::default()
        };
        let wrapper = &mut body.topic_config_serialize_wrapper;
        wrapper.data_version.counter = 7;
        for name in ["T1", "T2"] {
            wrapper.topic_config_table.insert(name.to_owned(), TopicConfig::new(name, 8, 6));
        }
        let mapping = TopicQueueMappingInfo {
            topic: "S".to_owned(),
            total_queues: 2,
            ..TopicQueueMappingInfo::default()
        };
        wrapper.topic_queue_mapping_info_map = Some([("S".to_owned(), mapping)].into());
        body
    }

    #[test]
    fn both_forms_read_back() {
        for (compressed, version) in [(false, 513), (true, 513)] {
            let decoded = RegisterBrokerBody::decode(
                &body().encode(compressed, version),
                compressed,
                version,
            );
            assert_eq!(decoded.expect("registration"), body());
        }
        let old = RegisterBrokerBody::decode(&body().encode(true, 409), true, 409).expect("4.9");
        assert_eq!(old.topic_config_serialize_wrapper.topic_queue_mapping_info_map, None);
        assert_eq!(old.topic_config_serialize_wrapper.topic_config_table.len(), 2);
    }

    #[test]
    fn lies_and_bombs_are_errors() {
        let decode = |plain: &[u8]| RegisterBrokerBody::decode(&deflate(plain), true, 513);
        let version = [&2i32.to_be_bytes()[..], b"{}"].concat();
        let with = |rest: &[u8]| decode(&[&version, rest].concat());
        assert!(matches!(
            decode(&[0, 0, 0, 9]),
            Err(RegisterBodyError::Length { what: "the data version", offset: 0, total: 4 })
        ));
        assert!(matches!(
            with(&i32::MAX.to_be_bytes()),
            Err(RegisterBodyError::Length { what: "the topic count", .. })
        ));
        assert!(matches!(
            with(&[0, 0, 0, 1, 0, 0, 0, 1, b'x']),
            Err(RegisterBodyError::Topic { .. })
        ));
        assert!(matches!(
            RegisterBrokerBody::decode(b"not zlib", true, 513),
            Err(RegisterBodyError::Inflate(_))
        ));
        let bomb = deflate(&vec![0; REGISTER_BODY_INFLATED_BYTES_MAX + 1]);
        assert!(bomb.len() < 1 << 20);
        assert!(matches!(
            RegisterBrokerBody::decode(&bomb, true, 513),
            Err(RegisterBodyError::TooLong)
        ));
    }
}
