//! Finding frames in what arrives.
//!
//! ```text
//!   remoting:  | length u32 big-endian | length bytes …  |      the first byte of a connection is 0x00 or 0x01,
//!                                                                because a length never reaches 2^25
//!   native:    0x9A 'R' 'M' 'Q' …                               a lane of its own; see Lane
//!   TLS:       0x16 …
//! ```

/// Bytes of the length field.
pub const LENGTH_BYTES: usize = 4;

/// How a connection speaks, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// RocketMQ remoting.
    Remoting,
}

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No protocol of this port begins so.
    #[error("first byte {0:#04x}: neither RocketMQ remoting (0x00, 0x01) nor another protocol spoken on this port")]
    UnknownLane(u8),
    /// A TLS greeting.
    #[error("the first byte announces TLS, which this port does not speak (tls.server.mode=disabled)")]
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
}

/// A frame holds at least the word with the serialize type and the header's length.
const FRAME_BYTES_MIN: usize = 4;

/// The lane of a connection that begins with this byte.
pub fn detect(first: u8) -> Result<Lane, FrameError> {
    match first {
        0x00 | 0x01 => Ok(Lane::Remoting),
        0x16 => Err(FrameError::Tls),
        other => Err(FrameError::UnknownLane(other)),
    }
}

/// The length that a frame announces, or `None` while its length field is incomplete.
pub fn announced(lane: Lane, bytes: &[u8], max: usize) -> Result<Option<usize>, FrameError> {
    let Lane::Remoting = lane;
    let Some(field) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let announced = u32::from_be_bytes(*field) as usize;
    if announced > max {
        return Err(FrameError::TooLong { announced, max });
    }
    if announced < FRAME_BYTES_MIN {
        return Err(FrameError::TooShort { announced, min: FRAME_BYTES_MIN });
    }
    Ok(Some(announced))
}

/// Takes the next whole frame (without its length field) off the front of `bytes`.
pub fn take<'a>(lane: Lane, bytes: &mut &'a [u8], max: usize) -> Result<Option<&'a [u8]>, FrameError> {
    let Some(length) = announced(lane, bytes, max)? else {
        return Ok(None);
    };
    let Some(frame) = bytes.get(LENGTH_BYTES..LENGTH_BYTES + length) else {
        return Ok(None);
    };
    *bytes = bytes.get(LENGTH_BYTES + length..).unwrap_or_default();
    Ok(Some(frame))
}

/// Moves bytes from `data` to `carry` until `carry` holds one whole frame; true when it does. Never takes more than
/// that frame, so the rest can be handled in place, and never more memory than has arrived.
pub fn fill(lane: Lane, carry: &mut Vec<u8>, data: &mut &[u8], max: usize) -> Result<bool, FrameError> {
    loop {
        let wanted = match announced(lane, carry, max)? {
            None => LENGTH_BYTES,
            Some(length) => LENGTH_BYTES + length,
        };
        let missing = wanted - carry.len().min(wanted);
        if missing == 0 && wanted > LENGTH_BYTES {
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

    /// What a connection does with arriving bytes, without the connection.
    fn split(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut carry, mut frames) = (Vec::new(), Vec::new());
        for chunk in chunks {
            let mut data = *chunk;
            if !carry.is_empty() {
                if !fill(Lane::Remoting, &mut carry, &mut data, 1024).unwrap() {
                    continue;
                }
                frames.push(carry[LENGTH_BYTES..].to_vec());
                carry.clear();
            }
            while let Some(found) = take(Lane::Remoting, &mut data, 1024).unwrap() {
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
        let stream: Vec<u8> = payloads.iter().flat_map(|p| frame(p)).collect();
        for cut in 0..stream.len() {
            for second in cut..stream.len() {
                let found = split(&[&stream[..cut], &stream[cut..second], &stream[second..]]);
                assert_eq!(found, payloads, "cut at {cut} and {second}");
            }
        }
    }

    #[test]
    fn lengths_outside_the_limits_are_refused() {
        let mut long: &[u8] = &[0, 1, 0, 0, 9];
        assert_eq!(take(Lane::Remoting, &mut long, 1024), Err(FrameError::TooLong { announced: 65536, max: 1024 }));
        let mut short: &[u8] = &[0, 0, 0, 3, 9];
        assert_eq!(take(Lane::Remoting, &mut short, 1024), Err(FrameError::TooShort { announced: 3, min: 4 }));
    }

    #[test]
    fn the_first_byte_tells_the_lane() {
        assert_eq!(detect(0), Ok(Lane::Remoting));
        assert_eq!(detect(0x16), Err(FrameError::Tls));
        assert_eq!(detect(b'G'), Err(FrameError::UnknownLane(b'G')));
    }
}
