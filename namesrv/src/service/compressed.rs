//! A registration in compressed form, which brokers with `compressedRegister=true` send.
//!
//! ```text
//! zlib of:  | len i32 | DataVersion JSON | count i32 | count × ( len i32 | topic in text form ) |
//!           | len i32 | filter servers JSON | …
//! ```
//!
//! What follows (queue mappings of static topics, from 5.0.0 on) is not read. All numbers are big-endian. Nothing is
//! allocated from a length before that many bytes are there.

use super::Refusal;
use crate::limits;
use flate2::read::ZlibDecoder;
use protocol::bodies::{DataVersion, TopicConfig, TopicConfigSerializeWrapper};
use protocol::json::from_lenient;
use std::io::Read;

pub(super) fn decode(body: &[u8]) -> Result<(TopicConfigSerializeWrapper, Vec<String>), Refusal> {
    let refuse = |reason: String| Refusal::Body { what: "compressed RegisterBrokerBody", bytes: body.len(), reason };
    let inflated = inflate(body).map_err(refuse)?;
    parse(&inflated).map_err(refuse)
}

fn inflate(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let read = ZlibDecoder::new(body).take(limits::INFLATED_BYTES_MAX + 1).read_to_end(&mut out);
    let bytes = read.map_err(|error| error.to_string())?;
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > limits::INFLATED_BYTES_MAX) {
        return Err(format!("it unfolds to more than {} bytes", limits::INFLATED_BYTES_MAX));
    }
    Ok(out)
}

fn parse(mut rest: &[u8]) -> Result<(TopicConfigSerializeWrapper, Vec<String>), String> {
    let data_version: DataVersion = from_lenient(sized(&mut rest)?).map_err(|error| format!("DataVersion: {error}"))?;
    let count = int(&mut rest)?;
    let mut wrapper = TopicConfigSerializeWrapper { data_version, ..TopicConfigSerializeWrapper::default() };
    for _ in 0..count {
        let text = String::from_utf8_lossy(sized(&mut rest)?);
        let config = TopicConfig::from_text(&text).ok_or_else(|| format!("topic {text:?}"))?;
        wrapper.topic_config_table.insert(config.topic_name.clone(), config);
    }
    let filter_servers = from_lenient(sized(&mut rest)?).map_err(|error| format!("filter servers: {error}"))?;
    Ok((wrapper, filter_servers))
}

fn int(rest: &mut &[u8]) -> Result<usize, String> {
    let (head, tail) = rest.split_first_chunk::<4>().ok_or("it ends within a length")?;
    *rest = tail;
    let number = i32::from_be_bytes(*head);
    usize::try_from(number).map_err(|_| format!("length {number}"))
}

fn sized<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let bytes = int(rest)?;
    let (head, tail) = rest.split_at_checked(bytes).ok_or_else(|| format!("length {bytes} with {} bytes left", rest.len()))?;
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    fn put(out: &mut Vec<u8>, piece: &[u8]) {
        out.extend_from_slice(&u32::try_from(piece.len()).unwrap().to_be_bytes());
        out.extend_from_slice(piece);
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn plain(topics: &[&str], filter_servers: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, br#"{"counter":3,"stateVersion":0,"timestamp":5}"#);
        out.extend_from_slice(&u32::try_from(topics.len()).unwrap().to_be_bytes());
        topics.iter().for_each(|topic| put(&mut out, topic.as_bytes()));
        put(&mut out, filter_servers.as_bytes());
        out.extend_from_slice(&[0; 4]); // no queue mappings
        out
    }

    /// What a broker of 5.x sends.
    pub fn encode(topics: &[&str], filter_servers: &str) -> Vec<u8> {
        zlib(&plain(topics, filter_servers))
    }

    #[test]
    fn topics_version_and_filter_servers_come_out() {
        let (wrapper, filters) = decode(&encode(&["T 4 8 6 SINGLE_TAG {\"a\":\"b\"}", "U 1 1 4 MULTI_TAG"], "[\"f:1\"]")).unwrap();
        assert_eq!(wrapper.data_version, DataVersion { counter: 3, state_version: 0, timestamp: 5 });
        assert_eq!((wrapper.topic_config_table["T"].write_queue_nums, wrapper.topic_config_table["U"].perm), (8, 4));
        assert_eq!(filters, ["f:1"]);
    }

    #[test]
    fn every_cut_is_an_error_and_so_is_what_is_no_topic() {
        let whole = plain(&["T 4 8 6 SINGLE_TAG"], "[]");
        for cut in 0..whole.len() - 4 {
            assert!(decode(&zlib(&whole[..cut])).is_err(), "cut at {cut}");
        }
        let error = decode(&encode(&["T four"], "[]")).unwrap_err().to_string();
        assert!(error.contains(r#"topic "T four""#), "{error}");
        assert!(decode(b"not zlib").is_err());
    }

    #[test]
    fn a_bomb_is_refused_before_it_fills_memory() {
        let bomb = zlib(&vec![0; usize::try_from(limits::INFLATED_BYTES_MAX).unwrap() + 2]);
        assert!(bomb.len() < 1 << 20);
        assert!(decode(&bomb).unwrap_err().to_string().contains("more than 67108864 bytes"));
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let mut lie = Vec::new();
        lie.extend_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        assert!(decode(&zlib(&lie)).unwrap_err().to_string().contains("length 2147483647 with 0 bytes left"));
    }
}
