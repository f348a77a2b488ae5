//! The frame: prefix, header, payload.
//!
//! ```text
//!   0      1     2     3     4            8           10     11      12            16        16+H            L
//!   | 0x9A | 'R' | 'M' | 'Q' | length L   | header H  | kind | flags | correlation | header  | payload ...   |
//!   |                        | u32 LE     | u16 LE    | u8   | u8, 0 | u32 LE      | H bytes | L - 16 - H    |
//! ```
//!
//! L counts the whole frame, prefix included. An answer carries the correlation of its request;
//! answers may overtake each other. Flags are 0 in version 1 and a frame with others is refused: a
//! flag marks a change that the receiver must know about.

use rkyv::api::low::{LowSerializer, LowValidator, access, to_bytes_in_with_alloc};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;
use rkyv::ser::allocator::SubAllocator;
use rkyv::{Archive, Portable, Serialize};
use std::mem::MaybeUninit;

/// The first four bytes of every frame.
pub const MAGIC: [u8; 4] = [0x9A, b'R', b'M', b'Q'];
/// Bytes of the prefix.
pub const PREFIX_BYTES: usize = 16;
/// Bytes of a header: its length is 16 bits.
pub const HEADER_BYTES_MAX: usize = u16::MAX as usize;

/// Working memory of rkyv while it writes a list whose elements have texts.
const SCRATCH_BYTES: usize = 16 * 1024;

/// The kind of a frame. An answer has its request's number with the top bit set; [`Kind::FetchSql`]
/// is answered as [`Kind::Fetch`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// [`super::Hello`]
    Hello = 1,
    /// [`super::Produce`]
    Produce = 2,
    /// [`super::Fetch`]
    Fetch = 3,
    /// [`super::QueryOffset`]
    QueryOffset = 4,
    /// [`super::CommitOffset`]
    CommitOffset = 5,
    /// [`super::Route`]
    Route = 6,
    /// Empty: answered at once. Keeps a quiet connection open.
    Ping = 7,
    /// [`super::FetchSql`]
    FetchSql = 8,
    /// [`super::Welcome`]
    Welcome = 0x81,
    /// [`super::Produced`]
    Produced = 0x82,
    /// [`super::Fetched`]
    Fetched = 0x83,
    /// [`super::OffsetIs`]
    OffsetIs = 0x84,
    /// Empty.
    Committed = 0x85,
    /// [`super::RouteIs`]
    RouteIs = 0x86,
    /// Empty.
    Pong = 0x87,
    /// [`super::ErrorAnswer`]
    Error = 0xFF,
}

impl Kind {
    /// The kind of a number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Hello,
            2 => Self::Produce,
            3 => Self::Fetch,
            4 => Self::QueryOffset,
            5 => Self::CommitOffset,
            6 => Self::Route,
            7 => Self::Ping,
            8 => Self::FetchSql,
            0x81 => Self::Welcome,
            0x82 => Self::Produced,
            0x83 => Self::Fetched,
            0x84 => Self::OffsetIs,
            0x85 => Self::Committed,
            0x86 => Self::RouteIs,
            0x87 => Self::Pong,
            0xFF => Self::Error,
            _ => return None,
        })
    }
}

/// Why bytes are no frame, or a header no header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NativeError {
    /// Too few bytes for what they announce.
    #[error("a native frame of {expected} bytes expected, {found} found")]
    TooShort {
        /// Bytes there must be.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// The first four bytes are not [`MAGIC`].
    #[error("a native frame begins 9a 52 4d 51, found {found:02x?}")]
    Magic {
        /// The bytes found.
        found: [u8; 4],
    },
    /// Header and prefix do not fit the frame.
    #[error("a header of {header} bytes and a prefix of 16 do not fit a frame of {frame}")]
    HeaderLength {
        /// The header's length.
        header: usize,
        /// The frame's.
        frame: usize,
    },
    /// A flag that version 1 does not have.
    #[error("flags {found:#04x}: version 1 has none")]
    Flags {
        /// The flags found.
        found: u8,
    },
    /// A kind that version 1 does not have.
    #[error("kind {found:#04x}: version 1 has no such frame")]
    Kind {
        /// The number found.
        found: u8,
    },
    /// The header is not a valid archive of its kind: too short, a text or list that points
    /// outside, text that is no UTF-8.
    #[error(
        "the header of {header} bytes is no valid {kind:?}: too short, or something in it points \
            outside of it or is no UTF-8"
    )]
    Header {
        /// The kind it should be.
        kind: Kind,
        /// Its length.
        header: usize,
    },
    /// A header that does not fit 16 bits of length.
    #[error(
        "the header of a {kind:?} would take more than {HEADER_BYTES_MAX} bytes: shorten its texts"
    )]
    HeaderTooLong {
        /// The kind.
        kind: Kind,
    },
    /// A frame that does not fit 32 bits of length.
    #[error("a {kind:?} of {found} bytes is longer than a frame can be")]
    FrameTooLong {
        /// The kind.
        kind: Kind,
        /// The length it would have.
        found: usize,
    },
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Bytes of the whole frame.
    pub frame_bytes: u32,
    /// Bytes of the header.
    pub header_bytes: u16,
    /// The kind's number; it may be one of a later version.
    pub kind: u8,
    /// 0 in version 1.
    pub flags: u8,
    /// Chosen by the client; its answer has the same.
    pub correlation: u32,
}

impl Prefix {
    /// As bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; PREFIX_BYTES] {
        let [m0, m1, m2, m3] = MAGIC;
        let [l0, l1, l2, l3] = self.frame_bytes.to_le_bytes();
        let [h0, h1] = self.header_bytes.to_le_bytes();
        let [c0, c1, c2, c3] = self.correlation.to_le_bytes();
        [m0, m1, m2, m3, l0, l1, l2, l3, h0, h1, self.kind, self.flags, c0, c1, c2, c3]
    }

    /// From the first 16 bytes of a frame.
    pub fn parse(bytes: &[u8]) -> Result<Self, NativeError> {
        let Some([m0, m1, m2, m3, l0, l1, l2, l3, h0, h1, kind, flags, c0, c1, c2, c3]) =
            bytes.first_chunk::<PREFIX_BYTES>().copied()
        else {
            return Err(NativeError::TooShort { expected: PREFIX_BYTES, found: bytes.len() });
        };
        let found = [m0, m1, m2, m3];
        if found != MAGIC {
            return Err(NativeError::Magic { found });
        }
        Ok(Self {
            frame_bytes: u32::from_le_bytes([l0, l1, l2, l3]),
            header_bytes: u16::from_le_bytes([h0, h1]),
            kind,
            flags,
            correlation: u32::from_le_bytes([c0, c1, c2, c3]),
        })
    }
}

/// A whole frame where it was received. Its header is not yet looked at.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// The kind.
    pub kind: Kind,
    /// The request's number.
    pub correlation: u32,
    header: &'a [u8],
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> FrameView<'a> {
    /// Reads a frame that is exactly `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NativeError> {
        let prefix = Prefix::parse(bytes)?;
        let (frame, header) = (prefix.frame_bytes as usize, usize::from(prefix.header_bytes));
        if frame != bytes.len() {
            return Err(NativeError::TooShort { expected: frame, found: bytes.len() });
        }
        let (Some(payload), Some(header_bytes)) =
            (bytes.get(PREFIX_BYTES + header..), bytes.get(PREFIX_BYTES..PREFIX_BYTES + header))
        else {
            return Err(NativeError::HeaderLength { header, frame });
        };
        if prefix.flags != 0 {
            return Err(NativeError::Flags { found: prefix.flags });
        }
        let kind =
            Kind::from_number(prefix.kind).ok_or(NativeError::Kind { found: prefix.kind })?;
        Ok(Self { kind, correlation: prefix.correlation, header: header_bytes, payload })
    }

    /// The header, validated, in place: `T` is the archived type of the frame's kind.
    pub fn header<T: ReadInPlace>(&self) -> Result<&'a T, NativeError> {
        access::<T, Failure>(self.header)
            .map_err(|Failure| NativeError::Header { kind: self.kind, header: self.header.len() })
    }
}

/// A header that can be written: every type of [`super::headers`]. Implemented for whatever rkyv
/// serializes this way.
pub trait Header:
    for<'w, 's> Serialize<LowSerializer<&'w mut Vec<u8>, SubAllocator<'s>, Failure>>
    + Archive<Archived: ReadInPlace>
{
}

impl<H> Header for H where
    H: for<'w, 's> Serialize<LowSerializer<&'w mut Vec<u8>, SubAllocator<'s>, Failure>>
        + Archive<Archived: ReadInPlace>
{
}

/// An archived header that can be validated and read where it lies.
pub trait ReadInPlace: Portable + for<'v> CheckBytes<LowValidator<'v, Failure>> {}

impl<T> ReadInPlace for T where T: Portable + for<'v> CheckBytes<LowValidator<'v, Failure>> {}

/// Appends prefix and header of a frame whose payload of `payload_bytes` follows, to whatever `out`
/// holds. On an error `out` is as it was. Allocates nothing beside what `out` needs to grow.
pub fn append_frame(
    out: &mut Vec<u8>,
    kind: Kind,
    correlation: u32,
    header: &impl Header,
    payload_bytes: usize,
) -> Result<(), NativeError> {
    let start = out.len();
    let appended = put(out, kind, correlation, header, payload_bytes);
    if appended.is_err() {
        out.truncate(start);
    }
    appended
}

fn put(
    out: &mut Vec<u8>,
    kind: Kind,
    correlation: u32,
    header: &impl Header,
    payload_bytes: usize,
) -> Result<(), NativeError> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    let mut scratch = [MaybeUninit::<u8>::uninit(); SCRATCH_BYTES];
    to_bytes_in_with_alloc::<_, _, Failure>(header, &mut *out, SubAllocator::new(&mut scratch))
        .map_err(|Failure| NativeError::HeaderTooLong { kind })?;
    let header_bytes = out.len() - start - PREFIX_BYTES;
    let found = PREFIX_BYTES + header_bytes + payload_bytes;
    let prefix = Prefix {
        frame_bytes: u32::try_from(found).map_err(|_| NativeError::FrameTooLong { kind, found })?,
        header_bytes: u16::try_from(header_bytes)
            .map_err(|_| NativeError::HeaderTooLong { kind })?,
        kind: kind as u8,
        flags: 0,
        correlation,
    };
    if let Some(place) = out.get_mut(start..start + PREFIX_BYTES) {
        place.copy_from_slice(&prefix.to_bytes());
    }
    Ok(())
}
