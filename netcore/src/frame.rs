//! Finding frames in what arrives.
//!
//! ```text
//!   remoting:  | length u32 big-endian | length bytes … |
//!              the first byte of a connection is 0x00 or 0x01, because a length never reaches 2^25
//!   native:    | 0x9A 'R' 'M' 'Q' | length u32 little-endian, of the whole frame | … |
//!              RingMQ's own, see docs/FORMATS.md
//!   TLS:       0x16 …
//!   reports:   | offset i64 big-endian |                              a slave to its master
//!   transfers: | offset i64 | size i32, both big-endian | size bytes | a master to its slave
//!              RocketMQ's replication. Its bytes begin with anything, so the listener or the dial
//!              decides
//! ```

/// Bytes of remoting's length field.
pub const LENGTH_BYTES: usize = 4;

/// The first bytes of every native frame.
pub const NATIVE_MAGIC: [u8; 4] = [0x9A, b'R', b'M', b'Q'];
/// Bytes of a native frame up to the end of its length field.
const NATIVE_HEAD_BYTES: usize = 8;
/// Bytes of a native frame's prefix: no frame is shorter.
const NATIVE_BYTES_MIN: usize = 16;

/// Bytes of a slave's report, all of it (`DefaultHAClient.REPORT_HEADER_SIZE`).
pub const REPORT_BYTES: usize = 8;
/// Bytes of a transfer before what it carries (`DefaultHAConnection.TRANSFER_HEADER_SIZE`).
pub const TRANSFER_HEAD_BYTES: usize = 8 + 4;

/// How the bytes of a connection are cut into frames. A connection speaks one protocol to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RocketMQ remoting.
    Remoting,
    /// RingMQ's native protocol.
    Native,
    /// What a slave sends its master.
    Reports,
    /// What a master sends its slave.
    Transfers,
}

/// Which protocols a listener or a dial allows. The peer's first byte decides only where more than
/// one is allowed, and must fit elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Remoting or the native protocol, as the peer's first byte says.
    ByFirstByte,
    /// Remoting only.
    Remoting,
    /// The native protocol only.
    Native,
    /// A slave's reports, whatever the first byte is.
    Reports,
    /// A master's transfers, whatever the first byte is.
    Transfers,
}

impl Framing {
    /// The protocol of a connection whose peer begins with `first`.
    ///
    /// # Errors
    /// No protocol that is allowed here begins so.
    pub fn protocol(self, first: u8) -> Result<Protocol, FrameError> {
        let allowed_only = match self {
            Self::Reports => return Ok(Protocol::Reports),
            Self::Transfers => return Ok(Protocol::Transfers),
            Self::ByFirstByte => None,
            Self::Remoting => Some(Protocol::Remoting),
            Self::Native => Some(Protocol::Native),
        };
        let found = detect(first)?;
        let allowed = allowed_only.is_none_or(|only| only == found);
        if allowed { Ok(found) } else { Err(FrameError::UnknownProtocol(first)) }
    }
}

impl Protocol {
    /// Bytes from a frame's beginning that tell its length.
    fn head_bytes(self) -> usize {
        match self {
            Self::Remoting => LENGTH_BYTES,
            Self::Native => NATIVE_HEAD_BYTES,
            Self::Reports => REPORT_BYTES,
            Self::Transfers => TRANSFER_HEAD_BYTES,
        }
    }

    /// Bytes at a frame's beginning that a handler does not get.
    #[must_use]
    pub fn hidden_bytes(self) -> usize {
        match self {
            Self::Remoting => LENGTH_BYTES,
            Self::Native | Self::Reports | Self::Transfers => 0,
        }
    }
}

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No protocol of this port begins so.
    #[error(
        "first byte {0:#04x}: neither RocketMQ remoting (0x00, 0x01) nor another protocol spoken \
            on this port"
    )]
    UnknownProtocol(u8),
    /// A TLS greeting.
    #[error(
        "the first byte announces TLS, which this port does not speak (tls.server.mode=disabled)"
    )]
    Tls,
    /// Longer than the limit.
    #[error("a frame of {announced} bytes announced, at most {max} are accepted")]
    TooLong {
        /// Bytes announced.
        announced: usize,
        /// The limit.
        max: usize,
    },
    /// Shorter than any header.
    #[error("a frame of {announced} bytes announced, the shortest header needs {min}")]
    TooShort {
        /// Bytes announced.
        announced: usize,
        /// The least there can be.
        min: usize,
    },
    /// Something else where a native frame should begin.
    #[error("a native frame begins 9a 52 4d 51, found {0:02x?}: a connection speaks one protocol")]
    NotNative([u8; 4]),
}

/// A frame holds at least the word with the serialize type and the header's length.
const FRAME_BYTES_MIN: usize = 4;

/// The protocol of a connection that begins with this byte.
pub fn detect(first: u8) -> Result<Protocol, FrameError> {
    match first {
        0x00 | 0x01 => Ok(Protocol::Remoting),
        0x9A => Ok(Protocol::Native),
        0x16 => Err(FrameError::Tls),
        other => Err(FrameError::UnknownProtocol(other)),
    }
}

/// Bytes of the frame that begins here, all of them, or `None` while too little of it has arrived
/// to tell.
pub fn frame_bytes(
    protocol: Protocol,
    bytes: &[u8],
    max: usize,
) -> Result<Option<usize>, FrameError> {
    let (announced, min, before) = match protocol {
        Protocol::Remoting => {
            let Some(field) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
            (u32::from_be_bytes(*field) as usize, FRAME_BYTES_MIN, LENGTH_BYTES)
        }
        Protocol::Native => {
            let Some([m0, m1, m2, m3, l0, l1, l2, l3]) =
                bytes.first_chunk::<NATIVE_HEAD_BYTES>().copied()
            else {
                return Ok(None);
            };
            let magic = [m0, m1, m2, m3];
            if magic != NATIVE_MAGIC {
                return Err(FrameError::NotNative(magic));
            }
            (u32::from_le_bytes([l0, l1, l2, l3]) as usize, NATIVE_BYTES_MIN, 0)
        }
        Protocol::Reports => return Ok(Some(REPORT_BYTES)),
        Protocol::Transfers => {
            let Some([_, _, _, _, _, _, _, _, size @ ..]) =
                bytes.first_chunk::<TRANSFER_HEAD_BYTES>()
            else {
                return Ok(None);
            };
            // A negative size is one beyond every limit.
            (u32::from_be_bytes(*size) as usize, 0, TRANSFER_HEAD_BYTES)
        }
    };
    if announced > max {
        return Err(FrameError::TooLong { announced, max });
    }
    if announced < min {
        return Err(FrameError::TooShort { announced, min });
    }
    Ok(Some(before + announced))
}

/// Takes the next whole frame off the front of `bytes`: of remoting without its length field, of
/// the native protocol all of it.
pub fn take<'a>(
    protocol: Protocol,
    bytes: &mut &'a [u8],
    max: usize,
) -> Result<Option<&'a [u8]>, FrameError> {
    let Some(whole) = frame_bytes(protocol, bytes, max)? else {
        return Ok(None);
    };
    let Some((frame, rest)) = bytes.split_at_checked(whole) else {
        return Ok(None);
    };
    *bytes = rest;
    Ok(frame.get(protocol.hidden_bytes()..))
}

/// Moves bytes from `data` to `carry` until `carry` holds one whole frame; true when it does. It
/// never moves more than that frame, so the rest of `data` can be handled in place. `carry` grows
/// with the bytes that arrive (at most to twice their number), never with an announced length.
pub fn fill(
    protocol: Protocol,
    carry: &mut Vec<u8>,
    data: &mut &[u8],
    max: usize,
) -> Result<bool, FrameError> {
    loop {
        let known = frame_bytes(protocol, carry, max)?;
        let missing = known.unwrap_or(protocol.head_bytes()).saturating_sub(carry.len());
        if missing == 0 && known.is_some() {
            return Ok(true);
        }
        let (now, later) = data.split_at(missing.min(data.len()));
        carry.extend_from_slice(now);
        *data = later;
        if now.len() < missing {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(payload);
        bytes
    }

    fn native_frame(payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(NATIVE_BYTES_MIN + payload.len()).unwrap();
        [NATIVE_MAGIC.as_slice(), &length.to_le_bytes(), &[0; 8], payload].concat()
    }

    fn transfer(payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap();
        [&[0xFF; 8][..], &size.to_be_bytes(), payload].concat()
    }

    /// What a connection does with arriving bytes, without the connection.
    fn split(protocol: Protocol, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut carry, mut frames) = (Vec::new(), Vec::new());
        for chunk in chunks {
            let mut data = *chunk;
            if !carry.is_empty() {
                if !fill(protocol, &mut carry, &mut data, 1024).unwrap() {
                    continue;
                }
                frames.push(carry[protocol.hidden_bytes()..].to_vec());
                carry.clear();
            }
            while let Some(found) = take(protocol, &mut data, 1024).unwrap() {
                frames.push(found.to_vec());
            }
            carry.extend_from_slice(data);
        }
        assert!(carry.is_empty());
        frames
    }

    #[test]
    fn frames_are_found_wherever_the_stream_is_cut() {
        let payloads: [&[u8]; 3] = [b"first", b"2222", b"the third one"];
        let native: Vec<Vec<u8>> = payloads.iter().map(|p| native_frame(p)).collect();
        let transfers: Vec<Vec<u8>> = payloads.iter().map(|p| transfer(p)).collect();
        let reports = [*b"offset 1", *b"offset 2"].map(Vec::from);
        let protocols = [
            (Protocol::Transfers, transfers.concat(), transfers),
            (Protocol::Reports, reports.concat(), reports.to_vec()),
            (
                Protocol::Remoting,
                payloads.iter().flat_map(|p| frame(p)).collect(),
                payloads.map(<[u8]>::to_vec).to_vec(),
            ),
            (Protocol::Native, native.concat(), native),
        ];
        for (protocol, stream, expected) in &protocols {
            let stream: &Vec<u8> = stream;
            for cut in 0..stream.len() {
                for second in cut..stream.len() {
                    let found = split(
                        *protocol,
                        &[&stream[..cut], &stream[cut..second], &stream[second..]],
                    );
                    assert_eq!(&found, expected, "{protocol:?} cut at {cut} and {second}");
                }
            }
        }
    }

    #[test]
    fn lengths_outside_the_limits_are_refused() {
        let mut long: &[u8] = &[0, 1, 0, 0, 9];
        assert_eq!(
            take(Protocol::Remoting, &mut long, 1024),
            Err(FrameError::TooLong { announced: 65536, max: 1024 })
        );
        let mut short: &[u8] = &[0, 0, 0, 3, 9];
        assert_eq!(
            take(Protocol::Remoting, &mut short, 1024),
            Err(FrameError::TooShort { announced: 3, min: 4 })
        );
        let native =
            |length: u32| [NATIVE_MAGIC.as_slice(), &length.to_le_bytes(), &[0; 16]].concat();
        assert_eq!(
            take(Protocol::Native, &mut native(2048).as_slice(), 1024),
            Err(FrameError::TooLong { announced: 2048, max: 1024 })
        );
        assert_eq!(
            take(Protocol::Native, &mut native(15).as_slice(), 1024),
            Err(FrameError::TooShort { announced: 15, min: 16 })
        );
        let negative = [[0; 8].as_slice(), &(-1_i32).to_be_bytes()].concat();
        assert_eq!(
            take(Protocol::Transfers, &mut negative.as_slice(), 1024),
            Err(FrameError::TooLong { announced: 0xFFFF_FFFF, max: 1024 })
        );
        assert_eq!(
            take(Protocol::Native, &mut frame(b"remoting").as_slice(), 1024),
            Err(FrameError::NotNative([0, 0, 0, 8]))
        );
    }

    #[test]
    fn the_first_byte_tells_the_protocol() {
        assert_eq!(detect(0), Ok(Protocol::Remoting));
        assert_eq!(detect(0x9A), Ok(Protocol::Native));
        assert_eq!(detect(0x16), Err(FrameError::Tls));
        assert_eq!(detect(b'G'), Err(FrameError::UnknownProtocol(b'G')));
    }

    #[test]
    fn a_framing_allows_its_own_protocol_only() {
        for (framing, remoting, native) in [
            (Framing::ByFirstByte, Ok(Protocol::Remoting), Ok(Protocol::Native)),
            (Framing::Remoting, Ok(Protocol::Remoting), Err(FrameError::UnknownProtocol(0x9A))),
            (Framing::Native, Err(FrameError::UnknownProtocol(0)), Ok(Protocol::Native)),
        ] {
            assert_eq!((framing.protocol(0), framing.protocol(0x9A)), (remoting, native));
            assert_eq!(framing.protocol(0x16), Err(FrameError::Tls));
        }
        for first in 0..=u8::MAX {
            assert_eq!(Framing::Reports.protocol(first), Ok(Protocol::Reports));
            assert_eq!(Framing::Transfers.protocol(first), Ok(Protocol::Transfers));
        }
    }
}
