//! The texts about popped messages, as `ExtraInfoUtil` of RocketMQ 5.5.0 writes and reads them.
//!
//! ```text
//!   receipt (POP_CK, extraInfo):
//!     startOffset ␠ popTime ␠ invisibleTime ␠ reviveQueue ␠ retry ␠ broker ␠ queue [␠ queueOffset]
//!   startOffsetInfo:  retry ␠ queue ␠ startOffset        joined by ';'
//!   msgOffsetInfo:    retry ␠ queue ␠ offset,offset,…    joined by ';'
//!   orderCountInfo:   retry ␠ queue ␠ count, or retry ␠ qo<queue>%<offset> ␠ count
//! ```

use super::Retry;
use crate::json::push_int;
use std::fmt::{self, Write as _};

/// With what a popped message is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt<'a> {
    /// The first queue offset of its checkpoint.
    pub start_offset: i64,
    /// When it was popped, in milliseconds since 1970.
    pub pop_time_ms: i64,
    /// For how long nobody else gets it, in milliseconds.
    pub invisible_ms: i64,
    /// The queue of the revive topic that its checkpoint goes to.
    pub revive_queue: i32,
    /// Which topic it lies in.
    pub retry: Retry,
    /// The broker that gave it.
    pub broker: &'a str,
    /// Its queue.
    pub queue_id: i32,
    /// Its queue offset, from brokers that say it.
    pub queue_offset: Option<i64>,
}

/// Why a text is no receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// A part is missing.
    #[error("the receipt has {found} parts instead of 7 or 8: {text:?}")]
    Parts {
        /// How many there are.
        found: usize,
        /// The text, shortened.
        text: String,
    },
    /// A part that is no number in its range.
    #[error("part {part} of the receipt is no such number: {text:?}")]
    Number {
        /// Which part, from 1.
        part: usize,
        /// The text, shortened.
        text: String,
    },
    /// A retry flag other than 0, 1 and 2.
    #[error("part 5 of the receipt is none of 0, 1 and 2: {text:?}")]
    Retry {
        /// The text, shortened.
        text: String,
    },
}

/// Characters of a bad receipt that its error repeats.
const TOLD_CHARS: usize = 80;

impl<'a> Receipt<'a> {
    /// Reads a receipt. As Java's `split`, it minds no blanks at the end.
    pub fn parse(text: &'a str) -> Result<Self, ReceiptError> {
        let told = || text.chars().take(TOLD_CHARS).collect::<String>();
        let mut parts = [""; 8];
        let mut found = 0;
        for part in text.trim_end_matches(' ').split(' ') {
            if let Some(place) = parts.get_mut(found) {
                *place = part;
            }
            found += 1;
        }
        if !(7..=8).contains(&found) {
            return Err(ReceiptError::Parts { found, text: told() });
        }
        let [start, pop_time, invisible, revive, retry, broker, queue, offset] = parts;
        let number = |part, value: &str| {
            value.parse::<i64>().map_err(|_| ReceiptError::Number { part, text: told() })
        };
        let small = |part, value: &str| {
            value.parse::<i32>().map_err(|_| ReceiptError::Number { part, text: told() })
        };
        Ok(Self {
            start_offset: number(1, start)?,
            pop_time_ms: number(2, pop_time)?,
            invisible_ms: number(3, invisible)?,
            revive_queue: small(4, revive)?,
            retry: Retry::from_flag(retry).ok_or_else(|| ReceiptError::Retry { text: told() })?,
            broker,
            queue_id: small(7, queue)?,
            queue_offset: (found == 8).then(|| number(8, offset)).transpose()?,
        })
    }
}

impl fmt::Display for Receipt<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start_offset, pop_time_ms, invisible_ms, revive_queue, .. } = self;
        let (retry, broker, queue_id) = (self.retry.flag(), self.broker, self.queue_id);
        write!(
            out,
            "{start_offset} {pop_time_ms} {invisible_ms} {revive_queue} {retry} {broker} {queue_id}"
        )?;
        match self.queue_offset {
            Some(offset) => write!(out, " {offset}"),
            None => Ok(()),
        }
    }
}

/// Adds a queue to a `startOffsetInfo`.
pub fn write_start(out: &mut String, retry: Retry, queue_id: i32, start_offset: i64) {
    separate(out);
    write_queue(out, retry, queue_id);
    push_int(out, start_offset);
}

/// Adds a queue with the offsets of its messages to a `msgOffsetInfo`.
pub fn write_offsets(
    out: &mut String,
    retry: Retry,
    queue_id: i32,
    offsets: impl Iterator<Item = i64>,
) {
    separate(out);
    write_queue(out, retry, queue_id);
    for (nth, offset) in offsets.enumerate() {
        if nth > 0 {
            out.push(',');
        }
        push_int(out, offset);
    }
}

fn write_queue(out: &mut String, retry: Retry, queue_id: i32) {
    out.push_str(retry.flag());
    out.push(' ');
    push_int(out, queue_id.into());
    out.push(' ');
}

/// Adds to an `orderCountInfo` how often a message was delivered before, or, without an offset,
/// how often all of its queue were.
pub fn write_order_count(
    out: &mut String,
    retry: Retry,
    (queue_id, offset): (i32, Option<i64>),
    count: i32,
) {
    separate(out);
    let flag = retry.flag();
    let _infallible = match offset {
        Some(offset) => write!(out, "{flag} qo{queue_id}%{offset} {count}"),
        None => write!(out, "{flag} {queue_id} {count}"),
    };
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push(';');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "7 1700000000000 60000 3 1 broker-a 2 9";

    #[test]
    fn a_receipt_is_read_as_it_was_written() {
        let receipt = Receipt {
            start_offset: 7,
            pop_time_ms: 1_700_000_000_000,
            invisible_ms: 60_000,
            revive_queue: 3,
            retry: Retry::V1,
            broker: "broker-a",
            queue_id: 2,
            queue_offset: Some(9),
        };
        assert_eq!((receipt.to_string().as_str(), Receipt::parse(TEXT)), (TEXT, Ok(receipt)));
        let short = Receipt { queue_offset: None, ..receipt };
        assert_eq!(Receipt::parse(&short.to_string()), Ok(short));
        assert_eq!(Receipt::parse(&format!("{TEXT}  ")), Ok(receipt));
    }

    #[test]
    fn what_is_no_receipt_is_refused_with_the_part_that_is_wrong() {
        let parts = |found, text: &str| Err(ReceiptError::Parts { found, text: text.to_owned() });
        assert_eq!(Receipt::parse(""), parts(1, ""));
        assert_eq!(Receipt::parse("1 2 3 4 0 b"), parts(6, "1 2 3 4 0 b"));
        assert_eq!(Receipt::parse("1 2 3 4 0 b 5 6 7"), parts(9, "1 2 3 4 0 b 5 6 7"));
        for (part, text) in [
            (1, "x 2 3 4 0 b 5 6"),
            (2, "1  3 4 0 b 5 6"),
            (4, "1 2 3 4294967296 0 b 5 6"),
            (8, "1 2 3 4 0 b 5 9223372036854775808"),
        ] {
            let refused = ReceiptError::Number { part, text: text.to_owned() };
            assert_eq!(Receipt::parse(text), Err(refused));
        }
        assert!(matches!(Receipt::parse("1 2 3 4 7 b 5 6"), Err(ReceiptError::Retry { .. })));
        let long = "é ".repeat(10_000);
        let Err(error) = Receipt::parse(&long) else { panic!("taken") };
        assert!(error.to_string().len() < 300);
    }

    #[test]
    fn the_texts_about_offsets_are_those_that_apache_writes() {
        let (mut starts, mut offsets, mut counts) = Default::default();
        for (retry, queue_id) in [(Retry::No, 0), (Retry::V2, 3)] {
            write_start(&mut starts, retry, queue_id, 10);
            write_offsets(&mut offsets, retry, queue_id, [10, 12].into_iter());
        }
        write_order_count(&mut counts, Retry::No, (1, None), 0);
        write_order_count(&mut counts, Retry::No, (1, Some(8)), 2);
        assert_eq!(starts, "0 0 10;2 3 10");
        assert_eq!(offsets, "0 0 10,12;2 3 10,12");
        assert_eq!(counts, "0 1 0;0 qo1%8 2");
    }
}
