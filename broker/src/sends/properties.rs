//! The properties of a message on their way from a send request to its record.
//!
//! ```text
//!   sent:    UNIQ_KEY␁…␂TAGS␁a␂POP_CK␁…␂KEYS␁k
//!   stored:  UNIQ_KEY␁…␂TAGS␁a␂           KEYS␁k␂MSG_REGION␁…␂TRACE_ON␁…␂CLUSTER␁…
//!            └─ pieces of what was sent ─┘       └─ one piece, the same for every message ─┘
//! ```
//!
//! Nothing is copied here: the record is written from the pieces. What the broker sets is taken out
//! of what was sent first, because a message that is sent on (a retry, a copy by a tool) brings the
//! values of the broker it comes from.

use super::timer::Asked;
use super::{delay, half, timer};
use std::rc::Rc;

/// Ends a property's name.
const NAME_END: u8 = 1;
/// Ends a property.
const END: u8 = 2;
/// Of one property.
const SEPARATORS_BYTES: usize = 2;

/// Pieces of one message's properties: what is left between taken out properties, the unique key,
/// the common end.
const PIECES_MAX: usize = 16;

/// What the broker adds to every message, made once.
pub(crate) fn common(region: &str, trace_on: bool, cluster: &str) -> Rc<[u8]> {
    let text =
        format!("MSG_REGION\u{1}{region}\u{2}TRACE_ON\u{1}{trace_on}\u{2}CLUSTER\u{1}{cluster}");
    Rc::from(text.into_bytes())
}

/// What a send says in its properties that decides what becomes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said<'a> {
    /// The client's id of the message.
    pub(crate) unique_key: Option<&'a str>,
    /// Its delay level; 0 and less for none.
    pub(crate) delay_level: i32,
    /// The time or delay that it asks for as a timer message.
    pub(crate) timed: Asked<'a>,
    /// It is the first half of a transaction.
    pub(crate) transactional: bool,
    /// The producer group that is asked how the transaction ends.
    pub(crate) producer_group: Option<&'a str>,
    /// It belongs to an ordered shard.
    pub(crate) sharded: bool,
    /// `WAIT=false`: it is answered as soon as it is in memory.
    pub(crate) no_wait: bool,
    /// Its priority, from 0.
    pub(crate) priority: Option<i32>,
    /// The child of its topic that it goes to.
    pub(crate) lite: Option<&'a str>,
    /// None of its properties can be one that the broker takes out, and each is well-formed.
    pub(crate) keeps_all: bool,
}

impl Said<'_> {
    /// The priority if it decides the queue: only on a message that is nothing else.
    pub(crate) fn priority_alone(&self) -> Option<i32> {
        self.priority.filter(|_| {
            !(self.transactional || self.delay_level > 0 || self.timed.is_there() || self.sharded)
        })
    }
}

/// The properties of one message in pieces.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    pieces: [&'a [u8]; PIECES_MAX],
    len: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn as_slice(&self) -> &[&'a [u8]] {
        self.pieces.get(..self.len).unwrap_or_default()
    }

    /// False when there is no room.
    fn push(&mut self, piece: &'a [u8]) -> bool {
        if piece.is_empty() {
            return true;
        }
        let Some(place) = self.pieces.get_mut(self.len) else { return false };
        *place = piece;
        self.len += 1;
        true
    }
}

/// How a message's properties change on their way, beyond what the broker sets on every message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change<'a> {
    /// Its priority chose its queue; on a message of another kind the property is taken out.
    pub(crate) keeps_priority: bool,
    /// What becomes of its delay.
    pub(crate) delay: Delay<'a>,
    /// It is a half message; these properties say so ([`half::write_properties`]).
    pub(crate) half: Option<&'a [u8]>,
    /// It goes to a child of its topic; this property says so ([`super::lite`]).
    pub(crate) lite: Option<&'a [u8]>,
}

/// What becomes of the delay that a message asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Delay<'a> {
    /// It has none: what it says is stored as it came.
    #[default]
    None,
    /// It goes to the dead letters although it asks for one.
    DeadLetter,
    /// It waits; these properties say so ([`delay::Waiting::write_properties`]).
    Waits(&'a [u8]),
    /// It waits as a timer message ([`timer::Timer::write_properties`]).
    Timed(&'a [u8]),
}

impl<'a> Delay<'a> {
    fn property(self) -> &'a [u8] {
        match self {
            Self::None => &[],
            Self::DeadLetter => DEAD_LETTERS_DELAY,
            Self::Waits(properties) | Self::Timed(properties) => properties,
        }
    }

    /// Whether a property of what was sent is replaced by [`Self::property`].
    fn takes_out(self, name: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::DeadLetter => name == b"DELAY",
            Self::Waits(_) => delay::TAKEN_OUT.iter().any(|out| out.as_bytes() == name),
            Self::Timed(_) => timer::TAKEN_OUT.iter().any(|out| out.as_bytes() == name),
        }
    }
}

/// What Apache stores in place of the delay of a retry that became a dead letter
/// (`SendMessageProcessor.handleRetryAndDLQ`).
const DEAD_LETTERS_DELAY: &[u8] = b"DELAY\x01-1\x02";

/// Reads what decides what becomes of the message.
pub(crate) fn read(sent: &str) -> Said<'_> {
    let mut said = Said::default();
    let mut kept_bytes = 0;
    for (name, value) in protocol::properties::iter_text(sent) {
        if !may_be_taken_out(name.as_bytes()) {
            kept_bytes += name.len() + value.len() + SEPARATORS_BYTES;
        }
        match name {
            "UNIQ_KEY" => said.unique_key = Some(value),
            "DELAY" => said.delay_level = value.trim().parse().unwrap_or(0),
            "TIMER_DELAY_SEC" => said.timed.delay_sec = Some(value),
            "TIMER_DELAY_MS" => said.timed.delay_ms = Some(value),
            "TIMER_DELIVER_MS" => said.timed.deliver_ms = Some(value),
            "TIMER_OUT_MS" => said.timed.has_slot = true,
            "TIMER_DEL_UNIQKEY" => said.timed.recalls = true,
            "TRAN_MSG" => said.transactional = value.eq_ignore_ascii_case("true"),
            "PGROUP" => said.producer_group = Some(value),
            "WAIT" => said.no_wait = value.eq_ignore_ascii_case("false"),
            "__SHARDINGKEY" => said.sharded = true,
            "__LITE_TOPIC" => said.lite = Some(value),
            "_SYS_MSG_PRIORITY_" => {
                said.priority = value.parse().ok().filter(|priority| *priority >= 0)
            }
            _ => {}
        }
    }
    // The last one's separator may be missing.
    said.keeps_all = kept_bytes == sent.len() || kept_bytes == sent.len() + 1;
    said
}

/// Cuts what was sent around what the broker takes out, and adds `unique_key` (a whole property, or
/// nothing) and `common`. `None` when more is to be taken out than any client sends. `keeps_all` is
/// what [`read`] said of them.
pub(crate) fn pieces<'a>(
    (sent, keeps_all): (&'a str, bool),
    change: Change<'a>,
    unique_key: &'a [u8],
    common: &'a [u8],
) -> Option<Pieces<'a>> {
    let sent = sent.as_bytes();
    let mut pieces = Pieces { pieces: [&[]; PIECES_MAX], len: 0 };
    let (mut kept_from, mut at) = (0, 0);
    let looked_at = if keeps_all { &[] } else { sent };
    for entry in protocol::properties::entries(looked_at) {
        let end = (at + entry.len() + 1).min(sent.len());
        if is_taken_out(sent.get(at..end).unwrap_or_default(), change) {
            if !pieces.push(sent.get(kept_from..at).unwrap_or_default()) {
                return None;
            }
            kept_from = end;
        }
        at = end;
    }
    let fits = pieces.push(sent.get(kept_from..).unwrap_or_default());
    let unfinished = pieces.as_slice().last().is_some_and(|last| last.last() != Some(&END));
    let fits = fits
        && (!unfinished || pieces.push(&[END]))
        && pieces.push(change.delay.property())
        && pieces.push(change.half.unwrap_or_default())
        && pieces.push(change.lite.unwrap_or_default())
        && pieces.push(unique_key)
        && pieces.push(common);
    fits.then_some(pieces)
}

/// False for most of what clients send, by the first letters: the tags begin as no other does.
fn may_be_taken_out(entry: &[u8]) -> bool {
    match entry {
        [b'T', b'A', ..] => false,
        [first, ..] => matches!(first, b'P' | b'M' | b'T' | b'C' | b'D' | b'R' | b'_' | b'I'),
        [] => false,
    }
}

fn is_taken_out(entry: &[u8], change: Change<'_>) -> bool {
    if !may_be_taken_out(entry) {
        return false;
    }
    let name = entry.split(|byte| *byte == NAME_END).next().unwrap_or_default();
    match name {
        // The checksum is that of the record which a message sent on comes from.
        b"POP_CK" | b"MSG_REGION" | b"TRACE_ON" | b"CLUSTER" | b"__CRC32#" => true,
        b"_SYS_MSG_PRIORITY_" => !change.keeps_priority,
        b"INNER_MULTI_DISPATCH" => change.lite.is_some(),
        name => change.delay.takes_out(name) || change.half.is_some() && is_of_half(name),
    }
}

fn is_of_half(name: &[u8]) -> bool {
    half::TAKEN_OUT.iter().any(|out| out.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(sent: &str, unique_key: &str) -> String {
        let common = common("R", true, "C");
        let of = |keeps_all| {
            let sent = (sent, keeps_all);
            let pieces = pieces(sent, Change::default(), unique_key.as_bytes(), &common).unwrap();
            String::from_utf8(pieces.as_slice().concat()).unwrap()
        };
        let stored = of(false);
        assert_eq!(of(read(sent).keeps_all), stored, "{sent:?}");
        stored
    }

    const COMMON: &str = "MSG_REGION\u{1}R\u{2}TRACE_ON\u{1}true\u{2}CLUSTER\u{1}C";

    #[test]
    fn the_brokers_properties_follow_what_was_sent() {
        assert_eq!(stored("", ""), COMMON);
        assert_eq!(stored("TAGS\u{1}a", ""), format!("TAGS\u{1}a\u{2}{COMMON}"));
        assert_eq!(
            stored("TAGS\u{1}a\u{2}", ""),
            format!("TAGS\u{1}a\u{2}{COMMON}"),
            "4.x clients end with a separator"
        );
        assert_eq!(
            stored("TAGS\u{1}a", "UNIQ_KEY\u{1}7\u{2}"),
            format!("TAGS\u{1}a\u{2}UNIQ_KEY\u{1}7\u{2}{COMMON}")
        );
    }

    #[test]
    fn what_the_broker_sets_is_taken_out_of_what_was_sent() {
        let sent = "CLUSTER\u{1}old\u{2}TAGS\u{1}a\u{2}POP_CK\u{1}x\u{2}\
                    __CRC32#\u{1}0123456789\u{2}MSG_REGION\u{1}old\u{2}\
                    KEYS\u{1}k\u{2}TRACE_ON\u{1}false";
        assert_eq!(stored(sent, ""), format!("TAGS\u{1}a\u{2}KEYS\u{1}k\u{2}{COMMON}"));
        assert_eq!(stored("POP_CK\u{1}x", ""), COMMON);
    }

    /// What is kept whole gives the same as what is looked through, whatever stands in it: a
    /// property that is taken out, half of one, an empty one, a separator too many.
    #[test]
    fn properties_are_kept_whole_only_where_nothing_is_taken_out() {
        const PARTS: [&str; 12] = [
            "TAGS\u{1}a\u{2}",
            "KEYS\u{1}k 1\u{2}",
            "own\u{1}\u{1}\u{2}",
            "POP_CK\u{1}x\u{2}",
            "CLUSTER\u{2}",
            "CLUSTER\u{1}\u{2}",
            "TAGS\u{2}",
            "\u{2}",
            "\u{1}x\u{2}",
            "REAL_TOPIC\u{1}x\u{2}",
            "DELAY\u{1}3\u{2}",
            "WAIT\u{1}true\u{2}",
        ];
        let changes = [
            Change::default(),
            Change { half: Some(b"H\x01h\x02"), ..Change::default() },
            Change { delay: Delay::Waits(b"DELAY\x015\x02"), ..Change::default() },
            Change { delay: Delay::Timed(b"D\x015\x02"), ..Change::default() },
            Change { lite: Some(b"L\x01l\x02"), ..Change::default() },
        ];
        let mut kept_whole = 0;
        for nth in 0..PARTS.len().pow(3) {
            let part = |place: u32| PARTS[nth / PARTS.len().pow(place) % PARTS.len()];
            let whole = [part(0), part(1), part(2)].concat();
            for sent in [whole.as_str(), &whole[..whole.len() - 1]] {
                let keeps_all = read(sent).keeps_all;
                kept_whole += usize::from(keeps_all);
                for change in changes {
                    let of = |keeps_all| {
                        let pieces = pieces((sent, keeps_all), change, b"", COMMON.as_bytes());
                        pieces.unwrap().as_slice().concat()
                    };
                    assert_eq!(of(keeps_all), of(false), "{sent:?} {change:?}");
                }
            }
        }
        assert!(kept_whole > 50, "{kept_whole}");
    }

    #[test]
    fn a_dead_letter_has_no_delay_any_more() {
        let sent = "DELAY\u{1}5\u{2}KEYS\u{1}k";
        let change = Change { delay: Delay::DeadLetter, ..Change::default() };
        let pieces = pieces((sent, false), change, b"", b"C\x01c").unwrap();
        assert_eq!(pieces.as_slice().concat(), b"KEYS\x01k\x02DELAY\x01-1\x02C\x01c");
        assert_eq!(stored(sent, ""), format!("{sent}\u{2}{COMMON}"), "another message keeps it");
    }

    #[test]
    fn what_says_where_a_delayed_message_goes_is_the_brokers() {
        let sent = "REAL_TOPIC\u{1}x\u{2}DELAY\u{1} 5\u{2}KEYS\u{1}k\u{2}TIMER_DELAY_SEC\u{1}3\u{2}\
                    REAL_QID\u{1}9\u{2}TIMER_OUT_MS\u{1}7";
        let change = Change { delay: Delay::Waits(b"DELAY\x015\x02"), ..Change::default() };
        let pieces = pieces((sent, false), change, b"", b"C\x01c").unwrap().as_slice().concat();
        assert_eq!(pieces, b"KEYS\x01k\x02TIMER_OUT_MS\x017\x02DELAY\x015\x02C\x01c");
        let kept = "REAL_TOPIC\u{1}x\u{2}";
        assert_eq!(stored(kept, ""), format!("{kept}{COMMON}"), "another message keeps it");
    }

    #[test]
    fn what_a_half_message_says_of_its_transaction_is_the_brokers() {
        let sent = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}REAL_TOPIC\u{1}x\u{2}DELAY\u{1}3\u{2}\
                    TRANSACTION_CHECK_TIMES\u{1}9\u{2}__transactionId__\u{1}y\u{2}\
                    REAL_QID\u{1}9\u{2}\
                    TRAN_PREPARED_QUEUE_OFFSET\u{1}7";
        let change = Change { half: Some(b"REAL_TOPIC\x01T\x02"), ..Change::default() };
        let pieces = pieces((sent, false), change, b"", b"C\x01c").unwrap().as_slice().concat();
        let kept = b"TRAN_MSG\x01true\x02PGROUP\x01p\x02DELAY\x013\x02REAL_TOPIC\x01T\x02C\x01c";
        assert_eq!(pieces, kept);
        assert_eq!(read(sent).producer_group, Some("p"));
    }

    #[test]
    fn endless_reserved_properties_are_refused_not_copied() {
        let sent = "a\u{1}1\u{2}POP_CK\u{1}x\u{2}".repeat(PIECES_MAX);
        assert!(pieces((&sent, false), Change::default(), b"", b"c").is_none());
    }

    #[test]
    fn what_decides_a_messages_fate_is_read() {
        let said = read(
            "UNIQ_KEY\u{1}7F\u{2}DELAY\u{1}3\u{2}TRAN_MSG\u{1}true\u{2}no \
                separator\u{2}_SYS_MSG_PRIORITY_\u{1}2",
        );
        assert_eq!(
            (said.unique_key, said.delay_level, said.transactional, said.priority),
            (Some("7F"), 3, true, Some(2))
        );
        assert_eq!(said.priority_alone(), None);
        assert_eq!(read("DELAY\u{1}0\u{2}_SYS_MSG_PRIORITY_\u{1}2").priority_alone(), Some(2));
        assert_eq!(read("UNIQ_KEY\u{1}\u{2}DELAY\u{1}soon"), Said::default());
        assert_eq!(read("DELAY\u{1}-1").delay_level, -1);
    }
}
