//! The payload of every message. It lets the reading side prove that each message arrived once,
//! unchanged and in order.
//!
//! ```text
//!  0       4       8        16           24      28          32           40               48
//!  | magic | crc32 | run id | message id | sender| generator | sender seq | settled below  | filler…   little-endian
//!            over [8..]
//! ```
//!
//! `message id` counts the messages of one generator thread, `sender seq` those of one connection.
//! `settled below`: all messages of this connection with a smaller sequence had been answered when
//! this one was sent. Suppose that a consumer sees, in one queue, message B before message A, and
//! B's `settled below` is larger than A's sequence. Then A was acknowledged before B was sent, and
//! the order is wrong. With one message in flight this rule is strict order; with more it is all
//! the order that the protocol promises.
//!
//! The filler is incompressible and differs from message to message, so neither the disk nor the
//! network can cheat.

use protocol::checked::fit;

/// First bytes of every payload.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"RLG1");
/// Smallest payload: the fields above without filler.
pub(crate) const PAYLOAD_BYTES_MIN: usize = 48;

/// The fields of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The run the message belongs to.
    pub run_id: u64,
    /// Counts the messages of one generator over all phases.
    pub message_id: u64,
    /// Connection of the generator.
    pub sender: u32,
    /// Generator thread.
    pub generator: u32,
    /// Counts the messages of one connection.
    pub sender_seq: u64,
    /// Every smaller `sender_seq` had its answer when this was sent.
    pub settled_below: u64,
}

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Too short, or without the magic: another program's message.
    Foreign,
    /// The checksum does not match the bytes.
    Corrupt,
}

/// Writes payloads of one size.
#[derive(Debug)]
pub struct PayloadWriter {
    noise: Vec<u8>,
    size: usize,
}

impl PayloadWriter {
    /// Payloads of `size` bytes (raised to [`PAYLOAD_BYTES_MIN`]).
    #[must_use]
    pub fn new(size: usize, seed: u64) -> Self {
        let size = size.max(PAYLOAD_BYTES_MIN);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut noise = vec![0; size + NOISE_SHIFT_MAX];
        random.fill(&mut noise);
        Self { noise, size }
    }

    /// Bytes of a payload.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Appends one payload. No allocation once `out` has grown to its working size.
    pub fn append(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let start = out.len();
        let shift = noise_shift(stamp.message_id);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&stamp.run_id.to_le_bytes());
        out.extend_from_slice(&stamp.message_id.to_le_bytes());
        out.extend_from_slice(&stamp.sender.to_le_bytes());
        out.extend_from_slice(&stamp.generator.to_le_bytes());
        out.extend_from_slice(&stamp.sender_seq.to_le_bytes());
        out.extend_from_slice(&stamp.settled_below.to_le_bytes());
        out.extend_from_slice(&self.noise[shift..shift + self.size - PAYLOAD_BYTES_MIN]);
        let crc = crc32fast::hash(&out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Payloads begin their filler at different places of the noise. A prime keeps neighbouring
/// payloads apart.
const NOISE_SHIFT_MAX: usize = 4093;

fn noise_shift(message_id: u64) -> usize {
    fit(message_id.wrapping_mul(769) % 4093)
}

/// Reads a payload back and checks it.
///
/// # Errors
/// [`Damage`] when the bytes are not a payload of ours, or not as sent.
pub(crate) fn verify(payload: &[u8]) -> Result<Stamp, Damage> {
    let field = |at: usize| {
        payload.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
    };
    let half = |at: usize| {
        payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
    };
    if payload.len() < PAYLOAD_BYTES_MIN || half(0) != Some(MAGIC) {
        return Err(Damage::Foreign);
    }
    if half(4) != Some(crc32fast::hash(payload.get(8..).unwrap_or_default())) {
        return Err(Damage::Corrupt);
    }
    Ok(Stamp {
        run_id: field(8).ok_or(Damage::Foreign)?,
        message_id: field(16).ok_or(Damage::Foreign)?,
        sender: half(24).ok_or(Damage::Foreign)?,
        generator: half(28).ok_or(Damage::Foreign)?,
        sender_seq: field(32).ok_or(Damage::Foreign)?,
        settled_below: field(40).ok_or(Damage::Foreign)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(message_id: u64) -> Stamp {
        Stamp { run_id: 9, message_id, sender: 3, generator: 1, sender_seq: 77, settled_below: 70 }
    }

    #[test]
    fn a_payload_comes_back_as_it_was_stamped() {
        let writer = PayloadWriter::new(1024, 5);
        let mut out = vec![1, 2, 3];
        writer.append(&mut out, &stamp(12));
        assert_eq!(out.len(), 3 + 1024);
        assert_eq!(verify(&out[3..]), Ok(stamp(12)));
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let mut out = Vec::new();
        PayloadWriter::new(100, 5).append(&mut out, &stamp(1));
        for at in 0..out.len() {
            out[at] ^= 0x20;
            assert!(verify(&out).is_err(), "byte {at}");
            out[at] ^= 0x20;
        }
    }

    #[test]
    fn short_and_foreign_payloads_are_told_apart_from_damage() {
        assert_eq!(verify(b"hello"), Err(Damage::Foreign));
        assert_eq!(verify(&[7; 500]), Err(Damage::Foreign));
    }

    #[test]
    fn filler_differs_between_neighbours() {
        let writer = PayloadWriter::new(256, 5);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        writer.append(&mut one, &stamp(1));
        writer.append(&mut two, &stamp(2));
        assert_ne!(one[PAYLOAD_BYTES_MIN..], two[PAYLOAD_BYTES_MIN..]);
    }
}
