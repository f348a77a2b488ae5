//! Writing frames: straight into the connection's outgoing bytes, lengths filled in afterwards.

use super::command::{FLAG_RESPONSE, SerializeType};
use crate::checked::fit;
use crate::codes::{language, response, version};
use crate::json::write_string;
use crate::limits::{HEADER_BYTES_MAX, REMARK_BYTES_MAX};

/// The fixed fields of a frame to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommandHead<'a> {
    /// JSON, or the form that the peer's last frame had.
    pub serialize: SerializeType,
    /// Request code or response code.
    pub code: i32,
    /// The request's number.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`], [`super::FLAG_ONEWAY`].
    pub flag: i32,
    /// An error's text; cut to [`REMARK_BYTES_MAX`].
    pub remark: Option<&'a str>,
}

impl<'a> CommandHead<'a> {
    /// The head of an answer to `request`: its serialization, its number.
    #[must_use]
    pub fn answer(request: &super::CommandView<'_>, code: i32) -> Self {
        Self {
            serialize: request.serialize,
            code,
            opaque: request.opaque,
            flag: FLAG_RESPONSE,
            remark: None,
        }
    }

    /// The same head with a remark.
    #[must_use]
    pub fn with_remark(self, remark: &'a str) -> Self {
        Self { remark: Some(remark), ..self }
    }
}

/// The language and version that a frame gives for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// See [`crate::codes::language`].
    pub language: u8,
    /// See [`crate::codes::version`].
    pub version: i32,
}

impl Default for Sender {
    /// JAVA and 5.5.0. Every client knows both, and newer clients turn features on by the version.
    fn default() -> Self {
        Self { language: language::JAVA, version: version::V5_5_0 }
    }
}

/// Appends a whole frame to `out`, its 4-byte length included.
pub fn write_command(
    out: &mut Vec<u8>,
    head: &CommandHead<'_>,
    ext: impl FnOnce(&mut ExtWriter<'_>),
    body: &[u8],
) {
    write_command_as(out, Sender::default(), head, ext, body.len());
    out.extend_from_slice(body);
}

/// Appends a frame's length and header; the caller sends `body_bytes` bytes after it.
pub fn write_command_head(
    out: &mut Vec<u8>,
    head: &CommandHead<'_>,
    ext: impl FnOnce(&mut ExtWriter<'_>),
    body_bytes: usize,
) {
    write_command_as(out, Sender::default(), head, ext, body_bytes);
}

/// [`write_command_head`] in another sender's name.
///
/// A header too long for a frame (only possible when a peer's own oversized text is echoed) is
/// replaced by SYSTEM_ERROR, so that every frame written is well-formed.
///
/// # Panics
/// If header and body are longer than a 32-bit length can say: no caller has such a body.
pub fn write_command_as(
    out: &mut Vec<u8>,
    sender: Sender,
    head: &CommandHead<'_>,
    ext: impl FnOnce(&mut ExtWriter<'_>),
    body_bytes: usize,
) {
    let start = out.len();
    write_header(out, sender, head, ext);
    if out.len() - start - 8 > HEADER_BYTES_MAX {
        out.truncate(start);
        let replaced = CommandHead {
            code: response::SYSTEM_ERROR,
            remark: Some("header too long for a frame"),
            ..*head
        };
        write_header(out, sender, &replaced, |_| {});
    }
    let header_bytes = out.len() - start - 8;
    let frame_bytes = 4 + header_bytes + body_bytes;
    let header_word = fit::<u32, _>(header_bytes) | u32::from(head.serialize.byte()) << 24;
    fill(out, start, fit(frame_bytes));
    fill(out, start + 4, header_word);
}

fn fill(out: &mut [u8], at: usize, word: u32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}

fn write_header(
    out: &mut Vec<u8>,
    sender: Sender,
    head: &CommandHead<'_>,
    ext: impl FnOnce(&mut ExtWriter<'_>),
) {
    out.extend_from_slice(&[0; 8]);
    match head.serialize {
        SerializeType::Json => write_json(out, sender, head, ext),
        SerializeType::RocketMq => write_binary(out, sender, head, ext),
    }
}

fn write_json(
    out: &mut Vec<u8>,
    sender: Sender,
    head: &CommandHead<'_>,
    ext: impl FnOnce(&mut ExtWriter<'_>),
) {
    out.extend_from_slice(b"{\"code\":");
    write_int(out, head.code.into());
    let before_ext = out.len();
    out.extend_from_slice(b",\"extFields\":{");
    let empty = out.len();
    ext(&mut ExtWriter { out, serialize: SerializeType::Json });
    if out.len() == empty {
        out.truncate(before_ext);
    } else {
        out.pop(); // the comma after the last field
        out.push(b'}');
    }
    if (head.flag, sender.language) == (FLAG_RESPONSE, language::JAVA) {
        // Every answer of ours.
        out.extend_from_slice(b",\"flag\":1,\"language\":\"JAVA\",\"opaque\":");
    } else {
        out.extend_from_slice(b",\"flag\":");
        write_int(out, head.flag.into());
        out.extend_from_slice(b",\"language\":\"");
        out.extend_from_slice(language::name(sender.language).as_bytes());
        out.extend_from_slice(b"\",\"opaque\":");
    }
    write_int(out, head.opaque.into());
    if let Some(remark) = head.remark {
        out.extend_from_slice(b",\"remark\":");
        write_string(out, cut(remark));
    }
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    write_int(out, sender.version.into());
    out.push(b'}');
}

fn write_binary(
    out: &mut Vec<u8>,
    sender: Sender,
    head: &CommandHead<'_>,
    ext: impl FnOnce(&mut ExtWriter<'_>),
) {
    out.extend_from_slice(&low_16_bits(head.code));
    out.push(sender.language);
    out.extend_from_slice(&low_16_bits(sender.version));
    out.extend_from_slice(&head.opaque.to_be_bytes());
    out.extend_from_slice(&head.flag.to_be_bytes());
    sized_u32(out, cut(head.remark.unwrap_or_default()).as_bytes());
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    ext(&mut ExtWriter { out, serialize: SerializeType::RocketMq });
    let length = fit(out.len() - length_at - 4);
    fill(out, length_at, length);
}

/// The binary header has two bytes for code and version; Java cuts them the same way.
fn low_16_bits(number: i32) -> [u8; 2] {
    let [_, _, high, low] = number.to_be_bytes();
    [high, low]
}

fn sized_u32(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&fit::<u32, _>(bytes.len()).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn cut(remark: &str) -> &str {
    remark.get(..remark.floor_char_boundary(REMARK_BYTES_MAX)).unwrap_or(remark)
}

fn write_int(out: &mut Vec<u8>, number: i64) {
    crate::json::write_int(out, number);
}

/// Custom fields with the same values in many answers, encoded once.
#[derive(Debug)]
pub struct PreparedFields {
    json: Vec<u8>,
    binary: Vec<u8>,
}

impl PreparedFields {
    /// Encodes the fields that `write` writes, in both forms.
    pub fn new(write: impl Fn(&mut ExtWriter<'_>)) -> Self {
        let written = |serialize| {
            let mut out = Vec::new();
            write(&mut ExtWriter { out: &mut out, serialize });
            out
        };
        Self { json: written(SerializeType::Json), binary: written(SerializeType::RocketMq) }
    }
}

/// Writes custom fields in the form of the frame.
#[derive(Debug)]
pub struct ExtWriter<'o> {
    out: &'o mut Vec<u8>,
    serialize: SerializeType,
}

impl ExtWriter<'_> {
    /// A text field. Keys are the protocol's own names: short, without anything to escape.
    pub fn str(&mut self, key: &str, value: &str) {
        match self.serialize {
            SerializeType::Json => {
                self.json_key(key);
                write_string(self.out, value);
                self.out.push(b',');
            }
            SerializeType::RocketMq => {
                self.binary_key(key);
                sized_u32(self.out, value.as_bytes());
            }
        }
    }

    /// A text field that is left out when `None`.
    pub fn opt(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.str(key, value);
        }
    }

    /// A number, as text like every field.
    pub fn int(&mut self, key: &str, value: impl Into<i64>) {
        let value = value.into();
        match self.serialize {
            SerializeType::Json => {
                self.json_key(key);
                self.out.push(b'"');
                write_int(self.out, value);
                self.out.extend_from_slice(b"\",");
            }
            SerializeType::RocketMq => {
                self.binary_key(key);
                let length_at = self.out.len();
                self.out.extend_from_slice(&[0; 4]);
                write_int(self.out, value);
                let length = fit(self.out.len() - length_at - 4);
                fill(self.out, length_at, length);
            }
        }
    }

    /// As [`ExtWriter::str`], for answers to sends and pulls: the caller passes the key also as
    /// JSON, with quotes and colon.
    #[inline]
    pub(crate) fn known_str(&mut self, json_key: &'static [u8], key: &'static str, value: &str) {
        match self.serialize {
            SerializeType::Json => {
                self.out.extend_from_slice(json_key);
                write_string(self.out, value);
                self.out.push(b',');
            }
            SerializeType::RocketMq => self.str(key, value),
        }
    }

    /// As [`ExtWriter::int`], see [`ExtWriter::known_str`].
    #[inline]
    pub(crate) fn known_int(&mut self, json_key: &'static [u8], key: &'static str, value: i64) {
        match self.serialize {
            SerializeType::Json => {
                self.out.extend_from_slice(json_key);
                self.out.push(b'"');
                write_int(self.out, value);
                self.out.extend_from_slice(b"\",");
            }
            SerializeType::RocketMq => self.int(key, value),
        }
    }

    /// Appends fields that were encoded before.
    pub fn prepared(&mut self, fields: &PreparedFields) {
        self.out.extend_from_slice(match self.serialize {
            SerializeType::Json => &fields.json,
            SerializeType::RocketMq => &fields.binary,
        });
    }

    /// "true" or "false".
    pub fn bool(&mut self, key: &str, value: bool) {
        self.str(key, if value { "true" } else { "false" });
    }

    #[inline]
    fn json_key(&mut self, key: &str) {
        write_string(self.out, key);
        self.out.push(b':');
    }

    fn binary_key(&mut self, key: &str) {
        let key = key.get(..key.floor_char_boundary(i16::MAX as usize)).unwrap_or_default();
        self.out.extend_from_slice(&fit::<u16, _>(key.len()).to_be_bytes());
        self.out.extend_from_slice(key.as_bytes());
    }
}
