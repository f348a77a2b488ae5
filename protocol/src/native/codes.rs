//! Numbers in headers: why a request was refused, how a fetch ended.

/// Why a request was refused; the number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ErrorCode {
    /// Hello offers no version that this side speaks; the connection is closed.
    Version = 1,
    /// The first frame was not Hello, or a second Hello came; the connection is closed.
    HelloFirst = 2,
    /// A kind of frame that version 1 does not have.
    Kind = 3,
    /// The header is no valid archive of its kind.
    Header = 4,
    /// A record is damaged, or not as a record must be; nothing of the frame was stored.
    Record = 5,
    /// The topic does not exist.
    Topic = 6,
    /// The topic has no such queue.
    Queue = 7,
    /// The topic may not be written, or not read.
    Permission = 8,
    /// A message, or the frame, is longer than allowed.
    TooLarge = 9,
    /// The broker has no room at the moment: send again later.
    Busy = 10,
    /// The store accepts no messages: its disk is full or has failed.
    NotWritable = 11,
    /// This broker does not support it: transactional messages; timed ones, or SQL92 filters, where
    /// its settings switch them off.
    Unsupported = 12,
    /// The disk failed while reading.
    Read = 13,
    /// The request contradicts itself: counts, offsets, names.
    Request = 14,
    /// The expression of a filter can't be read.
    Expression = 15,
}

impl ErrorCode {
    const ALL: [Self; 15] = [
        Self::Version,
        Self::HelloFirst,
        Self::Kind,
        Self::Header,
        Self::Record,
        Self::Topic,
        Self::Queue,
        Self::Permission,
        Self::TooLarge,
        Self::Busy,
        Self::NotWritable,
        Self::Unsupported,
        Self::Read,
        Self::Request,
        Self::Expression,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The code of a number; `None` for one of a later version.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }
}

/// How a fetch ended. In every case but [`FetchStatus::Found`] and [`FetchStatus::AtEnd`] the
/// reader goes on at `next_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FetchStatus {
    /// Records are in the payload.
    Found = 0,
    /// The offset is the queue's end, and no message arrived during the long poll.
    AtEnd = 1,
    /// None of the messages that were examined has one of the tags.
    NoMatch = 2,
    /// The offset lies before the queue's first message.
    BelowMin = 3,
    /// The offset lies beyond the queue's end.
    BeyondEnd = 4,
    /// The message is damaged or has left the log.
    Removed = 5,
}

impl FetchStatus {
    const ALL: [Self; 6] =
        [Self::Found, Self::AtEnd, Self::NoMatch, Self::BelowMin, Self::BeyondEnd, Self::Removed];

    /// The status of a number; `None` for one of a later version.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as u8 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_and_others_do_not() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(code));
        }
        for status in FetchStatus::ALL {
            assert_eq!(FetchStatus::from_number(status as u8), Some(status));
        }
        assert_eq!(
            (ErrorCode::from_number(0), ErrorCode::from_number(16), FetchStatus::from_number(6)),
            (None, None, None)
        );
    }
}
