//! Cuts a byte stream into frames. A frame of remoting is a 4-byte big-endian length and that many
//! bytes. The client crate cuts the native protocol.
//!
//! Whole frames inside one received chunk are handed out in place; only what a chunk cuts in two is
//! copied.

use crate::limits::FRAME_BYTES_MAX;
use crate::protocols::Protocol;
use client::frames::Cutter;

/// The cutter of one connection.
#[derive(Debug)]
pub(crate) enum Splitting {
    /// Of remoting.
    Remoting(Splitter),
    /// Of the native protocol.
    Native(Cutter),
}

impl Splitting {
    /// A cutter for this protocol.
    #[must_use]
    pub(crate) fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Remoting => Self::Remoting(Splitter::default()),
            Protocol::Native => Self::Native(Cutter::new(FRAME_BYTES_MAX)),
        }
    }

    /// Hands every frame that is now whole to `on_frame`.
    ///
    /// # Errors
    /// When the bytes are not the protocol's; the connection can't be used any more.
    pub(crate) fn feed(&mut self, chunk: &[u8], on_frame: impl FnMut(&[u8])) -> Result<(), String> {
        match self {
            Self::Remoting(splitter) => splitter.feed(chunk, on_frame).map_err(|bad| {
                format!("answer frame of {} bytes: not a RocketMQ remoting port?", bad.0)
            }),
            Self::Native(cutter) => cutter.feed(chunk, on_frame).map_err(|error| error.to_string()),
        }
    }
}

const LENGTH_BYTES: usize = 4;

/// The unfinished frame of one connection.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    rest: Vec<u8>,
}

/// A length that no frame can have: the stream is not remoting, or is cut at the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadLength(pub usize);

impl Splitter {
    /// Hands every complete frame (without its length) to `on_frame` and keeps the rest.
    ///
    /// # Errors
    /// [`BadLength`] when a length is over the limit; the connection can't be used any more.
    pub(crate) fn feed(
        &mut self,
        mut chunk: &[u8],
        mut on_frame: impl FnMut(&[u8]),
    ) -> Result<(), BadLength> {
        if !self.rest.is_empty() {
            chunk = self.complete(chunk, &mut on_frame)?;
        }
        while let Some(frame) = whole_frame(chunk)? {
            on_frame(&frame[LENGTH_BYTES..]);
            chunk = &chunk[frame.len()..];
        }
        self.rest.extend_from_slice(chunk);
        Ok(())
    }

    /// Adds to the kept part until its frame is whole; returns the rest of the chunk.
    fn complete<'a>(
        &mut self,
        mut chunk: &'a [u8],
        on_frame: &mut impl FnMut(&[u8]),
    ) -> Result<&'a [u8], BadLength> {
        let missing_length = LENGTH_BYTES.saturating_sub(self.rest.len()).min(chunk.len());
        self.rest.extend_from_slice(&chunk[..missing_length]);
        chunk = &chunk[missing_length..];
        let Some(frame_len) = frame_len(&self.rest)? else { return Ok(chunk) };
        let missing = frame_len.saturating_sub(self.rest.len()).min(chunk.len());
        self.rest.extend_from_slice(&chunk[..missing]);
        if self.rest.len() == frame_len {
            on_frame(&self.rest[LENGTH_BYTES..]);
            self.rest.clear();
        }
        Ok(&chunk[missing..])
    }
}

fn frame_len(bytes: &[u8]) -> Result<Option<usize>, BadLength> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > FRAME_BYTES_MAX { Err(BadLength(length)) } else { Ok(Some(LENGTH_BYTES + length)) }
}

fn whole_frame(chunk: &[u8]) -> Result<Option<&[u8]>, BadLength> {
    Ok(frame_len(chunk)?.and_then(|len| chunk.get(..len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = Vec::new();
        for body in [&b"a"[..], b"", b"hello", &[9; 300]] {
            bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(body);
        }
        bytes
    }

    #[test]
    fn any_cut_gives_the_same_frames() {
        let bytes = stream();
        for piece in 1..bytes.len() {
            let (mut splitter, mut frames) = (Splitter::default(), Vec::new());
            for chunk in bytes.chunks(piece) {
                splitter.feed(chunk, |frame| frames.push(frame.to_vec())).unwrap();
            }
            assert_eq!(
                frames,
                [b"a".to_vec(), Vec::new(), b"hello".to_vec(), vec![9; 300]],
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn a_length_over_the_limit_ends_the_stream() {
        assert!(Splitter::default().feed(&[0xff; 8], |_| ()).is_err());
    }
}
