//! Cuts the bytes of a connection into frames.
//!
//! ```text
//!   received: | rest of a frame | frame | frame | half a fr…      whole frames are handed out where they lie,
//!             |<- to carry ---->|  in place     |<- to carry ->   only what a receive cuts in two is copied
//! ```

use crate::limits::CARRY_KEEP_BYTES;
use protocol::native::{NativeError, PREFIX_BYTES, Prefix};

/// The unfinished frame of one connection. Bounded by the longest frame allowed; memory grows with
/// what has arrived, never with what a prefix announces.
#[derive(Debug)]
pub struct Cutter {
    carry: Vec<u8>,
    frame_bytes_max: usize,
}

/// Why a stream cannot be cut: it is not the native protocol, or a length in it is wrong. The
/// connection must be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// The bytes are not a frame's prefix.
    #[error("{0}: is this RingMQ's native protocol?")]
    Prefix(#[from] NativeError),
    /// Longer than allowed, or shorter than its own prefix.
    #[error("a frame of {found} bytes announced, {PREFIX_BYTES} to {max} are possible")]
    Length {
        /// Bytes announced.
        found: usize,
        /// The limit.
        max: usize,
    },
}

impl Cutter {
    /// Takes frames of up to `frame_bytes_max` bytes.
    #[must_use]
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { carry: Vec::new(), frame_bytes_max }
    }

    /// Calls `on_frame` with each frame that is now complete, prefix included, in order.
    pub fn feed(
        &mut self,
        mut data: &[u8],
        mut on_frame: impl FnMut(&[u8]),
    ) -> Result<(), CutError> {
        if !self.carry.is_empty() {
            if !self.fill(&mut data)? {
                return Ok(());
            }
            on_frame(&self.carry);
            self.carry.clear();
            self.carry.shrink_to(CARRY_KEEP_BYTES);
        }
        while let Some(length) = self.length(data)? {
            let Some((frame, rest)) = data.split_at_checked(length) else { break };
            on_frame(frame);
            data = rest;
        }
        self.carry.extend_from_slice(data);
        Ok(())
    }

    /// Moves bytes to `carry` until it holds one whole frame; true when it does.
    fn fill(&mut self, data: &mut &[u8]) -> Result<bool, CutError> {
        loop {
            let announced = self.length(&self.carry)?;
            let missing = announced.unwrap_or(PREFIX_BYTES).saturating_sub(self.carry.len());
            if missing == 0 && announced.is_some() {
                return Ok(true);
            }
            let (now, later) = data.split_at(missing.min(data.len()));
            self.carry.extend_from_slice(now);
            *data = later;
            if now.len() < missing {
                return Ok(false);
            }
        }
    }

    /// The length of the frame that begins here; `None` while its prefix is incomplete.
    fn length(&self, bytes: &[u8]) -> Result<Option<usize>, CutError> {
        if bytes.len() < PREFIX_BYTES {
            return Ok(None);
        }
        let found = Prefix::parse(bytes)?.frame_bytes as usize;
        let is_possible = (PREFIX_BYTES..=self.frame_bytes_max).contains(&found);
        is_possible
            .then_some(Some(found))
            .ok_or(CutError::Length { found, max: self.frame_bytes_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::native::{Kind, append_frame};

    fn stream() -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut frames = Vec::new();
        for payload in [&b""[..], b"records", &[7; 90]] {
            let mut frame = Vec::new();
            append_frame(&mut frame, Kind::Pong, 3, &(), payload.len()).unwrap();
            frame.extend_from_slice(payload);
            frames.push(frame);
        }
        (frames.concat(), frames)
    }

    #[test]
    fn frames_are_found_wherever_the_stream_is_cut() {
        let (bytes, expected) = stream();
        for piece in 1..=bytes.len() {
            let (mut cutter, mut found) = (Cutter::new(1024), Vec::new());
            for chunk in bytes.chunks(piece) {
                cutter.feed(chunk, |frame| found.push(frame.to_vec())).unwrap();
            }
            assert_eq!(found, expected, "pieces of {piece}");
        }
    }

    #[test]
    fn other_protocols_and_impossible_lengths_end_the_stream() {
        let cut = |bytes: &[u8]| Cutter::new(1024).feed(bytes, |_| panic!("no frame")).unwrap_err();
        assert!(matches!(cut(b"HTTP/1.1 400 Bad"), CutError::Prefix(_)));
        let (bytes, _) = stream();
        for length in [0_u32, 15, 1025, u32::MAX] {
            let mut lying = bytes.clone();
            lying[4..8].copy_from_slice(&length.to_le_bytes());
            assert_eq!(cut(&lying), CutError::Length { found: length as usize, max: 1024 });
        }
    }

    #[test]
    fn a_long_half_frame_takes_no_more_memory_than_has_arrived() {
        let mut cutter = Cutter::new(16 << 20);
        let mut prefix = stream().0[..16].to_vec();
        prefix[4..8].copy_from_slice(&(16_u32 << 20).to_le_bytes());
        cutter.feed(&prefix, |_| panic!("not whole")).unwrap();
        assert!(cutter.carry.capacity() < 1024);
    }
}
