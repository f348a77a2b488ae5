//! Frames out of byte streams, answers matched with their requests, the wanted ones kept.

use std::collections::{BTreeMap, HashMap};

use crate::limits::FRAME_BYTES_MAX;

use super::wanted::{self, Kind};

/// Which way bytes go through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// From the one who connected.
    ToServer,
    /// To the one who connected.
    ToClient,
}

impl Way {
    fn back(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// The fields of a header that matching needs.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    serialize: &'static str,
    code: i32,
    opaque: i32,
    is_response: bool,
}

/// Cuts one direction of a connection into frames, length field included.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    bytes: Vec<u8>,
}

impl Splitter {
    /// Takes what was read and gives the frames that are now complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.bytes.extend_from_slice(bytes);
        let mut frames = Vec::new();
        while let Some(length) = self.bytes.first_chunk().map(|b| u32::from_be_bytes(*b)) {
            let whole = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(4);
            if whole > FRAME_BYTES_MAX || self.bytes.len() < whole {
                break;
            }
            let rest = self.bytes.split_off(whole);
            frames.push(std::mem::replace(&mut self.bytes, rest));
        }
        frames
    }
}

/// What all connections of all proxies saw, reduced to the wanted frames.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// Who connects from now on.
    pub(crate) label: String,
    connections: u64,
    /// Requests on their way: (connection, way, opaque) to request code.
    pending: HashMap<(u64, Way, i32), i32>,
    labels: HashMap<u64, String>,
    kept: BTreeMap<String, Vec<u8>>,
}

impl Recorder {
    /// A new connection, of whoever the label names now.
    pub(crate) fn connection(&mut self) -> u64 {
        self.connections += 1;
        self.labels.insert(self.connections, self.label.clone());
        self.connections
    }

    /// One whole frame went by.
    pub(crate) fn saw(&mut self, connection: u64, way: Way, frame: &[u8]) {
        let Some(head) = parse(frame) else { return };
        let (code, response) = if head.is_response {
            let Some(code) = self.pending.remove(&(connection, way.back(), head.opaque)) else {
                return;
            };
            (code, Some(head.code))
        } else {
            self.pending.insert((connection, way, head.opaque), head.code);
            (head.code, None)
        };
        let client = self.labels.get(&connection).cloned().unwrap_or_default();
        let kind = Kind { client, serialize: head.serialize, code, response };
        if kind.is_wanted() {
            let best = self.kept.entry(kind.file_name()).or_default();
            if frame.len() > best.len() {
                *best = frame.to_vec();
            }
        }
    }

    /// File names and frames.
    pub(crate) fn kept(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.kept
    }

    /// Wanted files without a frame.
    pub(crate) fn missing(&self) -> Vec<String> {
        wanted::lines()
            .filter_map(wanted::file_name)
            .filter(|name| !self.kept.contains_key(name))
            .collect()
    }
}

/// Reads the header, by hand like the request in `registration`: fixtures must not come through the
/// code they test.
fn parse(frame: &[u8]) -> Option<Head> {
    let kind = *frame.get(4)?;
    let header_len =
        usize::try_from(u32::from_be_bytes([0, *frame.get(5)?, *frame.get(6)?, *frame.get(7)?]))
            .ok()?;
    let header = frame.get(8..8 + header_len)?;
    match kind {
        0 => json_head(header),
        1 => binary_head(header),
        _ => None,
    }
}

fn json_head(header: &[u8]) -> Option<Head> {
    let value: serde_json::Value = serde_json::from_slice(header).ok()?;
    let field = |name: &str| value.get(name)?.as_i64().and_then(|n| i32::try_from(n).ok());
    Some(Head {
        serialize: "json",
        code: field("code")?,
        opaque: field("opaque")?,
        is_response: field("flag")? & 1 == 1,
    })
}

/// code i16, language u8, version i16, opaque i32, flag i32, …
fn binary_head(header: &[u8]) -> Option<Head> {
    let code = i16::from_be_bytes(header.get(0..2)?.try_into().ok()?);
    let opaque = i32::from_be_bytes(header.get(5..9)?.try_into().ok()?);
    let flag = i32::from_be_bytes(header.get(9..13)?.try_into().ok()?);
    Some(Head { serialize: "rocketmq", code: i32::from(code), opaque, is_response: flag & 1 == 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_frame(header: &str, body: &[u8]) -> Vec<u8> {
        let header_len = u32::try_from(header.len()).unwrap();
        let length = header_len + 4 + u32::try_from(body.len()).unwrap();
        [&length.to_be_bytes()[..], &header_len.to_be_bytes(), header.as_bytes(), body].concat()
    }

    #[test]
    fn frames_are_cut_wherever_the_reads_fell() {
        let one = json_frame("{}", b"body");
        let two = json_frame(r#"{"a":1}"#, b"");
        let all = [one.clone(), two.clone()].concat();
        for cut in 0..all.len() {
            let mut splitter = Splitter::default();
            let mut frames = splitter.feed(&all[..cut]);
            frames.extend(splitter.feed(&all[cut..]));
            assert_eq!(frames, [one.clone(), two.clone()], "cut at {cut}");
        }
    }

    #[test]
    fn an_answer_is_kept_under_its_requests_code() {
        let mut recorder = Recorder { label: "5.5.0".into(), ..Recorder::default() };
        let connection = recorder.connection();
        recorder.saw(
            connection,
            Way::ToServer,
            &json_frame(r#"{"code":105,"flag":0,"opaque":3}"#, b""),
        );
        recorder.saw(
            connection,
            Way::ToClient,
            &json_frame(r#"{"code":0,"flag":1,"opaque":3}"#, b"{}"),
        );
        recorder.saw(
            connection,
            Way::ToClient,
            &json_frame(r#"{"code":0,"flag":1,"opaque":99}"#, b"to nobody"),
        );
        let names: Vec<&String> = recorder.kept().keys().collect();
        assert_eq!(
            names,
            [
                "5.5.0-json-105-get-routeinfo-by-topic-req.frame",
                "5.5.0-json-105-get-routeinfo-by-topic-resp.frame"
            ]
        );
    }

    #[test]
    fn a_binary_header_is_understood() {
        let header = [0x00, 0x69, 0, 0x01, 0xdf, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            binary_head(&header),
            Some(Head { serialize: "rocketmq", code: 105, opaque: 1, is_response: false })
        );
        assert_eq!(binary_head(&header[..12]), None);
    }
}
