//! The payload of every message. It lets the reading side prove that each message arrived once,
//! unchanged and in order.
//!
//! ```text
//!  0       4       8        16           24      28          32           40              48    56
//!  | magic | crc32 | run id | message id | sender| generator | sender seq | settled below | due | filler…   little-endian
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
//! `due` is when the message was due, in ns on the run's clock: a consumer of the same process
//! tells from it how long the message took from end to end.
//!
//! The filler is noise that no message repeats: neither a disk nor a network that compresses can
//! cheat. Each word is a word of the writer's noise, combined with a sequence of the message's own:
//!
//! ```text
//!   filler[i] = noise[i] xor (key + i · GAMMA)      key = mix(seed, generator, message id)
//! ```
//!
//! Noise that is only shifted from message to message repeats itself: messages then compressed 18
//! to 51 times across each other. Tried on fillers of 1 MiB, 1 KiB each, and of every message of a
//! run over the wire: zstd at level 3 and 19 with its usual windows, zstd at level 19 with a window
//! of 128 MiB, lz4; none makes them 0.1 % smaller. The 56 bytes before the filler do compress.

/// First bytes of every payload.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"RLG2");
/// Smallest payload: the fields above without filler.
pub(crate) const PAYLOAD_BYTES_MIN: usize = 56;

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
    /// When it was due, ns on the run's clock.
    pub due_nanos: u64,
}

impl Stamp {
    /// The stamp of the `nth` message of a batch that begins with this one.
    #[must_use]
    pub fn nth(&self, nth: u32) -> Self {
        let nth = u64::from(nth);
        Self { message_id: self.message_id + nth, sender_seq: self.sender_seq + nth, ..*self }
    }
}

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Too short, or without the magic: another program's message.
    Foreign,
    /// The checksum does not match the bytes.
    Corrupt,
}

/// Writes payloads.
#[derive(Debug)]
pub struct PayloadWriter {
    noise: Vec<u64>,
    seed: u64,
}

impl PayloadWriter {
    /// Payloads of at most `size_max` bytes.
    #[must_use]
    pub fn new(size_max: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let words = size_max.saturating_sub(PAYLOAD_BYTES_MIN).div_ceil(WORD_BYTES);
        Self { noise: (0..words).map(|_| random.u64(..)).collect(), seed }
    }

    /// Appends whole words of filler, at least as many bytes as a payload of `size` has.
    fn append_filler(&self, out: &mut Vec<u8>, stamp: &Stamp, size: usize) {
        let words = size.saturating_sub(PAYLOAD_BYTES_MIN).div_ceil(WORD_BYTES);
        let noise = &self.noise[..words.min(self.noise.len())];
        let of_generator = mix(self.seed ^ u64::from(stamp.generator).wrapping_mul(GAMMA));
        let mut sequence = mix(of_generator ^ stamp.message_id);
        let start = out.len();
        out.resize(start + noise.len() * WORD_BYTES, 0);
        // Without a check of the capacity in the loop it becomes a few vector instructions.
        for (word, noise) in out[start..].chunks_exact_mut(WORD_BYTES).zip(noise) {
            word.copy_from_slice(&(noise ^ sequence).to_le_bytes());
            sequence = sequence.wrapping_add(GAMMA);
        }
    }

    /// Appends one payload of `size` bytes (raised to [`PAYLOAD_BYTES_MIN`]; at most the largest
    /// that this was made for). No allocation once `out` has grown to its working size.
    pub fn append(&self, out: &mut Vec<u8>, stamp: &Stamp, size: usize) {
        let size = size.clamp(PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MIN + self.noise.len() * WORD_BYTES);
        let start = out.len();
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&stamp.run_id.to_le_bytes());
        out.extend_from_slice(&stamp.message_id.to_le_bytes());
        out.extend_from_slice(&stamp.sender.to_le_bytes());
        out.extend_from_slice(&stamp.generator.to_le_bytes());
        out.extend_from_slice(&stamp.sender_seq.to_le_bytes());
        out.extend_from_slice(&stamp.settled_below.to_le_bytes());
        out.extend_from_slice(&stamp.due_nanos.to_le_bytes());
        self.append_filler(out, stamp, size);
        out.truncate(start + size);
        let crc = crc32fast::hash(&out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }
}

const WORD_BYTES: usize = 8;
/// The golden ratio's odd number: a sequence of its multiples visits every value (Knuth; used by
/// SplitMix64).
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's finaliser: every bit of the input changes about half of the output's.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
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
        due_nanos: field(48).ok_or(Damage::Foreign)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(message_id: u64) -> Stamp {
        Stamp {
            run_id: 9,
            message_id,
            sender: 3,
            generator: 1,
            sender_seq: 77,
            settled_below: 70,
            due_nanos: 5,
        }
    }

    #[test]
    fn a_payload_comes_back_as_it_was_stamped() {
        let writer = PayloadWriter::new(1024, 5);
        let mut out = vec![1, 2, 3];
        writer.append(&mut out, &stamp(12), 1024);
        assert_eq!(out.len(), 3 + 1024);
        assert_eq!(verify(&out[3..]), Ok(stamp(12)));
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let mut out = Vec::new();
        PayloadWriter::new(100, 5).append(&mut out, &stamp(1), 100);
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
    fn a_seed_gives_the_same_payloads_and_every_message_and_generator_its_own() {
        let payload = |seed, stamp: Stamp| {
            let mut out = Vec::new();
            PayloadWriter::new(256, seed).append(&mut out, &stamp, 256);
            out[PAYLOAD_BYTES_MIN..].to_vec()
        };
        assert_eq!(payload(5, stamp(1)), payload(5, stamp(1)));
        assert_ne!(payload(5, stamp(1)), payload(6, stamp(1)));
        assert_ne!(payload(5, stamp(1)), payload(5, stamp(2)));
        assert_ne!(payload(5, stamp(1)), payload(5, Stamp { generator: 2, ..stamp(1) }));
    }

    #[test]
    fn every_size_is_kept() {
        for size in [56, 57, 63, 64, 65, 100, 1023] {
            let mut out = vec![1];
            PayloadWriter::new(1023, 5).append(&mut out, &stamp(3), size);
            assert_eq!((out.len(), verify(&out[1..])), (1 + size, Ok(stamp(3))));
        }
    }

    fn stamp_of(message_id: u64, generator: u32) -> Stamp {
        Stamp { generator, ..stamp(message_id) }
    }

    /// Filler alone: 1,024 messages of two generators, 1 MiB.
    fn fillers() -> Vec<u8> {
        let writer = PayloadWriter::new(1024 + PAYLOAD_BYTES_MIN, 5);
        let (mut all, mut one) = (Vec::new(), Vec::new());
        for message_id in 0..512 {
            for generator in 0..2 {
                one.clear();
                writer.append(&mut one, &stamp_of(message_id, generator), 1024 + PAYLOAD_BYTES_MIN);
                all.extend_from_slice(&one[PAYLOAD_BYTES_MIN..]);
            }
        }
        all
    }

    fn zstd_bytes(bytes: &[u8], level: i32, window_log: Option<u32>) -> usize {
        let mut out = Vec::new();
        let mut encoder = zstd::Encoder::new(&mut out, level).unwrap();
        if let Some(log) = window_log {
            encoder.long_distance_matching(true).unwrap();
            encoder.window_log(log).unwrap();
        }
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap();
        out.len()
    }

    #[test]
    fn fillers_do_not_compress_alone_or_across_messages() {
        let all = fillers();
        let least = all.len() - all.len() / 1_000;
        for (level, window_log) in [(3, None), (19, None), (19, Some(27))] {
            let bytes = zstd_bytes(&all, level, window_log);
            assert!(
                bytes >= least,
                "zstd {level}, window {window_log:?}: {} to {bytes}",
                all.len()
            );
        }
        let bytes = lz4_flex::block::compress(&all).len();
        assert!(bytes >= least, "lz4: {} to {bytes}", all.len());
        for one in all.chunks(1024).step_by(64) {
            assert!(zstd_bytes(one, 19, None) >= one.len(), "a message alone");
        }
    }

    #[test]
    fn the_compressors_would_have_found_shifted_noise() {
        // What the filler was: one piece of noise, begun at another place in each message.
        let mut noise = vec![0; 1024 + 4093];
        fastrand::Rng::with_seed(5).fill(&mut noise);
        let shifted = (0..4_096).map(|id: usize| id * 769 % 4093);
        let all: Vec<u8> = shifted.flat_map(|at| noise[at..at + 1024].to_vec()).collect();
        assert!(zstd_bytes(&all, 3, None) * 10 < all.len());
        assert!(lz4_flex::block::compress(&all).len() * 10 < all.len());
    }
}
